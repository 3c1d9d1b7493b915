/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rank allocator over recorded steps: FILE INIT_R TARGET_R TINIT TFINAL DELTA_T TOTAL BETA1 BETA2. The file has for each layer L the
 * tensors L.PART.p and L.PART.g [TOTAL, rows, columns], PART being A, E, B. Prints a line a step: the budget, and where ranks are dropped
 * or stay dropped the ranks that are left, layer by layer. */
#include "formats/peft-safetensors.h"
#include "methods/peft-rank-allocator.h"

#include <stdlib.h>

#define MAX_LAYERS 64

typedef struct
{
  const float *p[3], *g[3];
  gsize n[3];
  float *average[3], *uncertainty[3];
  PeftRankLayer layer;
} Recorded;

static const PeftTensorEntry *
find (PeftSafetensors *file, guint layer, const char *part, const char *what)
{
  g_autofree char *name = g_strdup_printf ("%u.%s.%s", layer, part, what);

  return peft_safetensors_lookup (file, name);
}

static void
open_layer (Recorded *self, PeftSafetensors *file, guint number)
{
  static const char *const parts[] = { "A", "E", "B" };

  for (guint i = 0; i < 3; i++)
    {
      const PeftTensorEntry *p = find (file, number, parts[i], "p"), *g = find (file, number, parts[i], "g");

      self->p[i] = (const float *) p->data;
      self->g[i] = (const float *) g->data;
      self->n[i] = p->shape[1] * p->shape[2];
      self->average[i] = g_new0 (float, self->n[i]);
      self->uncertainty[i] = g_new0 (float, self->n[i]);
      self->layer.average[i] = self->average[i];
      self->layer.uncertainty[i] = self->uncertainty[i];
    }
  self->layer.r = self->n[1];
  self->layer.n_in = self->n[0] / self->n[1];
  self->layer.n_out = self->n[2] / self->n[1];
  self->layer.mask = g_new0 (float, self->layer.r);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftSafetensors) file = NULL;
  Recorded recorded[MAX_LAYERS] = { 0 };
  PeftRankLayer layers[MAX_LAYERS];
  PeftRankSchedule schedule;
  guint n_layers = 0;

  if (argc != 10 || (file = peft_safetensors_open (argv[1], &error)) == NULL)
    g_error ("%s", error != NULL ? error->message : "nine arguments are needed");
  schedule = (PeftRankSchedule){
    atoll (argv[2]), atoll (argv[3]), atoll (argv[4]), atoll (argv[5]), atoll (argv[6]), atoll (argv[7]),
    g_ascii_strtod (argv[8], NULL), g_ascii_strtod (argv[9], NULL),
  };
  for (; n_layers < MAX_LAYERS && find (file, n_layers, "A", "p") != NULL; n_layers++)
    open_layer (&recorded[n_layers], file, n_layers);
  for (guint i = 0; i < n_layers; i++)
    layers[i] = recorded[i].layer;
  for (gint64 step = 1; step <= schedule.total_step; step++)
    {
      const gint64 initial = schedule.init_r * n_layers;
      const PeftRankStep now
          = peft_rank_schedule_get_step (&schedule, step, initial, schedule.target_r * n_layers);

      for (guint i = 0; now.measure && i < n_layers; i++)
        for (guint part = 0; part < 3; part++)
          {
            Recorded *r = &recorded[i];

            peft_rank_update_importance (&schedule, r->p[part] + (step - 1) * r->n[part],
                                         r->g[part] + (step - 1) * r->n[part], 1, r->average[part],
                                         r->uncertainty[part], r->n[part]);
          }
      if (now.drop)
        peft_rank_drop (layers, n_layers, initial - now.budget);
      g_print ("%" G_GINT64_FORMAT " ", now.budget);
      for (guint i = 0; (now.drop || now.hold) && i < n_layers; i++)
        for (gsize j = 0; j < layers[i].r; j++)
          g_print ("%d", layers[i].mask[j] != 0);
      g_print (now.drop || now.hold ? "\n" : "-\n");
    }
  for (guint i = 0; i < n_layers; i++)
    {
      for (guint part = 0; part < 3; part++)
        {
          g_free (recorded[i].average[part]);
          g_free (recorded[i].uncertainty[part]);
        }
      g_free (recorded[i].layer.mask);
    }
  return 0;
}
