/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-prompt-encoder.h"

#include <math.h>

#include "base/peft-random.h"
#include "methods/peft-config-private.h"
#include "methods/peft-prompt-common.h"

#define MAX_LINEARS 3

typedef struct
{
  PeftParam *weight, *bias;
} Linear;

/* One direction of a layer. */
typedef struct
{
  PeftParam *w_in, *w_hidden, *b_in, *b_hidden;
} Cell;

struct _PeftPromptEncoder
{
  guint n_linears;
  Linear linears[MAX_LINEARS]; /* with ReLU between them */
  guint n_layers;              /* of the LSTM; 0: there is none */
  Cell (*layers)[2];           /* forwards, backwards */
  double dropout;
  guint64 stream;
};

/* U (-bound, bound), as torch starts linear layers and LSTMs. */
static PeftParam *
add (PeftAdapter *adapter, const char *name, guint n_dims, gint64 d0, gint64 d1, double bound)
{
  const gint64 shape[2] = { d0, d1 };
  g_autofree char *key = g_strconcat (PEFT_PROMPT_KEY_PREFIX, name, NULL);
  gsize n = (gsize) (n_dims == 2 ? d0 * d1 : d0);
  PeftParam *param
      = peft_adapter_add_core_param (adapter, key, n_dims, shape, n_dims == 2,
                                     peft_init_uniform (adapter, key, n, bound));

  param->name = g_strconcat (PEFT_PROMPT_NAME_PREFIX, name, NULL);
  param->saved = FALSE;
  return param;
}

/* Numbered as in peft, where activations count, too. */
static void
add_linear (PeftPromptEncoder *self, PeftAdapter *adapter, gint64 n_out, gint64 n_in)
{
  const guint number = 2 * self->n_linears;
  g_autofree char *weight = g_strdup_printf ("mlp_head.%u.weight", number);
  g_autofree char *bias = g_strdup_printf ("mlp_head.%u.bias", number);
  const double bound = 1 / sqrt ((double) n_in);
  Linear *linear = &self->linears[self->n_linears++];

  linear->weight = add (adapter, weight, 2, n_out, n_in, bound);
  linear->bias = add (adapter, bias, 1, n_out, 0, bound);
}

static void
add_cell (PeftAdapter *adapter, Cell *cell, guint layer, gboolean reverse, gint64 n_in, gint64 hidden)
{
  g_autofree char *end = g_strdup_printf ("_l%u%s", layer, reverse ? "_reverse" : "");
  g_autofree char *w_in = g_strconcat ("lstm_head.weight_ih", end, NULL);
  g_autofree char *w_hidden = g_strconcat ("lstm_head.weight_hh", end, NULL);
  g_autofree char *b_in = g_strconcat ("lstm_head.bias_ih", end, NULL);
  g_autofree char *b_hidden = g_strconcat ("lstm_head.bias_hh", end, NULL);
  const double bound = 1 / sqrt ((double) hidden);

  cell->w_in = add (adapter, w_in, 2, 4 * hidden, n_in, bound);
  cell->w_hidden = add (adapter, w_hidden, 2, 4 * hidden, hidden, bound);
  cell->b_in = add (adapter, b_in, 1, 4 * hidden, 0, bound);
  cell->b_hidden = add (adapter, b_hidden, 1, 4 * hidden, 0, bound);
}

PeftPromptEncoder *
peft_prompt_encoder_new_mlp (PeftAdapter *adapter)
{
  const gint64 width = adapter->core->dims.hidden;
  const gint64 hidden = peft_config_get_int (adapter->config, "encoder_hidden_size");
  PeftPromptEncoder *self = g_new0 (PeftPromptEncoder, 1);

  add_linear (self, adapter, hidden, width);
  add_linear (self, adapter, hidden, hidden);
  add_linear (self, adapter, width, hidden);
  return self;
}

PeftPromptEncoder *
peft_prompt_encoder_new_lstm (PeftAdapter *adapter)
{
  const gint64 width = adapter->core->dims.hidden;
  const gint64 hidden = peft_config_get_int (adapter->config, "encoder_hidden_size");
  g_autofree char *stream = g_strconcat (PEFT_PROMPT_KEY_PREFIX, adapter->name, NULL);
  PeftPromptEncoder *self = g_new0 (PeftPromptEncoder, 1);

  self->n_layers = (guint) peft_config_get_int (adapter->config, "encoder_num_layers");
  self->layers = g_malloc0_n (self->n_layers, sizeof *self->layers);
  self->dropout = peft_config_get_double (adapter->config, "encoder_dropout");
  self->stream = peft_random_stream (stream);
  for (guint i = 0; i < self->n_layers; i++)
    for (guint reverse = 0; reverse < 2; reverse++)
      add_cell (adapter, &self->layers[i][reverse], i, reverse, i == 0 ? width : 2 * hidden, hidden);
  add_linear (self, adapter, 2 * hidden, 2 * hidden);
  add_linear (self, adapter, width, 2 * hidden);
  return self;
}

void
peft_prompt_encoder_free (PeftPromptEncoder *self)
{
  g_free (self->layers);
  g_free (self);
}

static PeftVar *
run_cell (const Cell *cell, PeftTape *tape, PeftVar *x, gboolean reverse)
{
  g_autoptr (PeftVar) w_in = peft_tape_param (tape, cell->w_in);
  g_autoptr (PeftVar) w_hidden = peft_tape_param (tape, cell->w_hidden);
  g_autoptr (PeftVar) b_in = peft_tape_param (tape, cell->b_in);
  g_autoptr (PeftVar) b_hidden = peft_tape_param (tape, cell->b_hidden);

  return peft_nn_lstm (tape, x, w_in, w_hidden, b_in, b_hidden, reverse);
}

static PeftVar *
run_layer (const Cell *cells, PeftTape *tape, PeftVar *x)
{
  g_autoptr (PeftVar) forwards = run_cell (&cells[0], tape, x, FALSE);
  g_autoptr (PeftVar) backwards = run_cell (&cells[1], tape, x, TRUE);
  PeftVar *parts[] = { forwards, backwards };

  return peft_nn_concat (tape, parts, G_N_ELEMENTS (parts), 1);
}

PeftVar *
peft_prompt_encoder_run (PeftPromptEncoder *self, PeftTape *tape, PeftVar *x)
{
  PeftVar *y = peft_var_ref (x);

  for (guint i = 0; i < self->n_layers; i++)
    {
      g_autoptr (PeftVar) dropped
          = i > 0 ? peft_nn_dropout (tape, y, self->dropout, self->stream + i) : peft_var_ref (y);

      peft_var_unref (y);
      y = run_layer (self->layers[i], tape, dropped);
    }
  for (guint i = 0; i < self->n_linears; i++)
    {
      g_autoptr (PeftVar) weight = peft_tape_param (tape, self->linears[i].weight);
      g_autoptr (PeftVar) bias = peft_tape_param (tape, self->linears[i].bias);
      g_autoptr (PeftVar) active
          = i > 0 ? peft_nn_unary (tape, PEFT_UNARY_RELU, y) : peft_var_ref (y);

      peft_var_unref (y);
      y = peft_nn_linear (tape, active, weight, bias, FALSE);
    }
  return y;
}
