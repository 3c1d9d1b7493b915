/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-combine.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

#include "base/peft-error.h"
#include "base/peft-linalg.h"
#include "base/peft-random.h"
#include "methods/peft-adapter-private.h"
#include "methods/peft-config-private.h"
#include "methods/peft-lora-private.h"
#include "methods/peft-task-vectors.h"

#define MAX_SOURCES 64

/* ---- What the kinds are -------------------------------------------------------------------- */

typedef struct
{
  gboolean whole;   /* of updates, decomposed; else of each factor */
  gboolean by_size, by_chance, elected;
} Kind;

static const Kind kinds[] = {
  [PEFT_COMBINATION_SVD] = { .whole = TRUE },
  [PEFT_COMBINATION_LINEAR] = { FALSE },
  [PEFT_COMBINATION_CAT] = { FALSE },
  [PEFT_COMBINATION_TIES] = { .by_size = TRUE, .elected = TRUE },
  [PEFT_COMBINATION_TIES_SVD] = { .whole = TRUE, .by_size = TRUE, .elected = TRUE },
  [PEFT_COMBINATION_DARE_TIES] = { .by_chance = TRUE, .elected = TRUE },
  [PEFT_COMBINATION_DARE_LINEAR] = { .by_chance = TRUE },
  [PEFT_COMBINATION_DARE_TIES_SVD] = { .whole = TRUE, .by_chance = TRUE, .elected = TRUE },
  [PEFT_COMBINATION_DARE_LINEAR_SVD] = { .whole = TRUE, .by_chance = TRUE },
  [PEFT_COMBINATION_MAGNITUDE_PRUNE] = { .by_size = TRUE },
  [PEFT_COMBINATION_MAGNITUDE_PRUNE_SVD] = { .whole = TRUE, .by_size = TRUE },
};

/* One number out of each array, by the kind's rules. The arrays are changed. */
static void
mix (const PeftCombineOptions *options, const char *place, GPtrArray *arrays, const double *weights,
     gsize n, float *out)
{
  const Kind *kind = &kinds[options->type];
  float *const *values = (float *const *) arrays->pdata;

  for (guint i = 0; i < arrays->len; i++)
    {
      g_autofree char *name = g_strdup_printf ("%s.%u", place, i);

      if (kind->by_size)
        peft_prune_by_size (values[i], n, options->density);
      if (kind->by_chance)
        peft_prune_by_chance (values[i], n, options->density, options->seed, peft_random_stream (name));
    }
  if (kind->elected)
    peft_sum_elected (values, weights, arrays->len, n, options->frequency, out);
  else
    peft_sum_weighted (values, weights, arrays->len, n, out);
}

/* ---- One slot ------------------------------------------------------------------------------ */

/* The sources that have the slot. */
typedef struct
{
  PeftLoraHook *hooks[MAX_SOURCES];
  double weights[MAX_SOURCES];
  guint n;
} Sources;

static Sources
find_sources (GPtrArray *adapters, const double *weights, PeftSlot *slot)
{
  Sources self = { .n = 0 };

  for (guint i = 0; i < adapters->len; i++)
    {
      PeftLoraHook *hook = peft_lora_find_hook (adapters->pdata[i], slot);

      if (hook == NULL)
        continue;
      self.hooks[self.n] = hook;
      self.weights[self.n++] = weights[i];
    }
  return self;
}

/* Factors side by side; those of the target are at least as long. */
static void
concatenate (const Sources *sources, PeftLoraHook *target)
{
  gsize n_in = (gsize) target->a->shape[1], n_out = (gsize) target->b->shape[0];
  gsize rank = (gsize) target->a->shape[0], at = 0;
  g_autofree float *a = g_new0 (float, rank *n_in);
  g_autofree float *b = g_new0 (float, n_out *rank);

  for (guint i = 0; i < sources->n; i++)
    {
      PeftLoraHook *hook = sources->hooks[i];
      gsize r = (gsize) hook->a->shape[0];
      g_autofree float *own_a = peft_param_dup_values (hook->a);
      g_autofree float *own_b = peft_param_dup_values (hook->b);

      for (gsize j = 0; j < r * n_in; j++)
        a[at * n_in + j] = (float) (sources->weights[i] * hook->scale * own_a[j]);
      for (gsize row = 0; row < n_out; row++)
        memcpy (b + row * rank + at, own_b + row * r, r * sizeof *b);
      at += r;
    }
  peft_param_upload (target->a, a);
  peft_param_upload (target->b, b);
}

/* Each factor by itself, with the root of the weight. */
static void
mix_factors (const Sources *sources, PeftLoraHook *target, const PeftCombineOptions *options)
{
  PeftParam *targets[] = { target->a, target->b };

  for (guint side = 0; side < 2; side++)
    {
      gsize n = (gsize) (targets[side]->shape[0] * targets[side]->shape[1]);
      g_autoptr (GPtrArray) arrays = g_ptr_array_new_with_free_func (g_free);
      g_autofree float *out = g_new (float, n);
      double weights[MAX_SOURCES];

      for (guint i = 0; i < sources->n; i++)
        {
          PeftLoraHook *hook = sources->hooks[i];
          double weight = sources->weights[i] * hook->scale;

          weights[i] = sqrt (fabs (weight)) * (side == 0 && weight < 0 ? -1 : 1);
          g_ptr_array_add (arrays, peft_param_dup_values (side == 0 ? hook->a : hook->b));
        }
      mix (options, targets[side]->key, arrays, weights, n, out);
      peft_param_upload (targets[side], out);
    }
}

/* s B A, [out, in] */
static float *
get_update (PeftLoraHook *hook)
{
  gsize n_in = (gsize) hook->a->shape[1], n_out = (gsize) hook->b->shape[0];
  gsize r = (gsize) hook->a->shape[0];
  g_autofree float *a = peft_param_dup_values (hook->a);
  g_autofree float *b = peft_param_dup_values (hook->b);
  float *out = g_new0 (float, n_out * n_in);

  for (gsize i = 0; i < n_out; i++)
    for (gsize k = 0; k < r; k++)
      for (gsize j = 0; j < n_in; j++)
        out[i * n_in + j] += (float) (hook->scale * b[i * r + k]) * a[k * n_in + j];
  return out;
}

static gboolean
mix_updates (const Sources *sources, PeftLoraHook *target, const PeftCombineOptions *options,
             GError **error)
{
  gsize n_in = (gsize) target->a->shape[1], n_out = (gsize) target->b->shape[0];
  gsize rank = (gsize) target->a->shape[0], k = MIN (n_in, n_out);
  g_autoptr (GPtrArray) arrays = g_ptr_array_new_with_free_func (g_free);
  g_autofree float *sum = g_new (float, n_out *n_in);
  g_autofree float *u = NULL;
  g_autofree float *s = NULL;
  g_autofree float *vt = NULL;
  g_autofree float *b = NULL;
  double weights[MAX_SOURCES];

  if (rank > k)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("rank: '%s' allows at most %zu, found %zu"), target->slot->path, k, rank);
      return FALSE;
    }
  for (guint i = 0; i < sources->n; i++)
    {
      /* The update has the scale already, and peft multiplies by the weight alone. */
      weights[i] = sources->weights[i];
      g_ptr_array_add (arrays, get_update (sources->hooks[i]));
    }
  mix (options, target->a->key, arrays, weights, n_out * n_in, sum);
  if (!peft_linalg_svd (sum, n_out, n_in, &u, &s, &vt, target->slot->path, error))
    return FALSE;
  b = g_new (float, n_out *rank);
  for (gsize i = 0; i < n_out; i++)
    for (gsize j = 0; j < rank; j++)
      b[i * rank + j] = u[i * k + j] * s[j];
  if (options->clamp > 0)
    peft_clamp_to_quantile (b, n_out * rank, vt, rank * n_in, options->clamp);
  peft_param_upload (target->a, vt);
  peft_param_upload (target->b, b);
  return TRUE;
}

/* ---- The configuration --------------------------------------------------------------------- */

static gboolean
refuse (GError **error, const char *message, PeftAdapter *adapter)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED, _ ("the adapter '%s' cannot be combined: %s"),
               adapter->name, message);
  return FALSE;
}

static gboolean
check_source (PeftAdapter *first, PeftAdapter *adapter, GError **error)
{
  const char *type = adapter->method != NULL ? adapter->method->name : "full";

  if (!g_str_equal (type, "LORA") && !g_str_equal (type, "IA3"))
    return refuse (error, _ ("expected one of the method LORA or IA3"), adapter);
  if (adapter->method != first->method)
    return refuse (error, _ ("the first one is of another method"), adapter);
  if (adapter->overrides->len > 0)
    return refuse (error, _ ("it trains whole modules or biases"), adapter);
  if (g_str_equal (type, "IA3"))
    return TRUE;
  for (guint i = 0; i < adapter->hooks->len; i++)
    {
      PeftLoraHook *hook = peft_lora_find_hook (adapter, adapter->hook_slots->pdata[i]);

      if (hook == NULL || hook->magnitude != NULL || hook->start_a != NULL || hook->bias != NULL)
        return refuse (error, _ ("it is more than two factors: DoRA, a bias, token rows, or a start that changes the "
                                 "weights"),
                       adapter);
    }
  return TRUE;
}

/* The largest of a source's layers, as peft counts it: whether or not a pattern matches. */
static guint
get_rank (PeftAdapter *adapter)
{
  const PeftJson *pattern = peft_config_get_json (adapter->config, "rank_pattern");
  gint64 rank = peft_config_get_int (adapter->config, "r"), own;

  if (peft_json_get_kind (pattern) == PEFT_JSON_OBJECT)
    for (gsize i = 0; i < peft_json_get_length (pattern); i++)
      if (peft_json_get_int (peft_json_get_value (pattern, i), &own))
        rank = MAX (rank, own);
  return (guint) rank;
}

static gboolean
choose_rank (GPtrArray *adapters, const PeftCombineOptions *options, guint *out, GError **error)
{
  guint sum = 0, most = 0;
  gboolean equal = TRUE;

  for (guint i = 0; i < adapters->len; i++)
    {
      guint rank = get_rank (adapters->pdata[i]);

      sum += rank;
      equal = equal && (most == 0 || rank == most);
      most = MAX (most, rank);
    }
  if (options->type == PEFT_COMBINATION_CAT)
    *out = sum;
  else if (kinds[options->type].whole)
    *out = options->rank > 0 ? options->rank : most;
  else if (equal)
    *out = most;
  else
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                           _ ("this way of combining needs adapters of one rank; cat and those with svd do not"));
      return FALSE;
    }
  return TRUE;
}

static void
add_names (PeftJson *list, const PeftJson *names)
{
  for (gsize i = 0; i < peft_json_get_length (names); i++)
    {
      const char *name = peft_json_get_string (peft_json_get_element (names, i));
      gboolean there = FALSE;

      for (gsize j = 0; !there && j < peft_json_get_length (list); j++)
        there = g_str_equal (peft_json_get_string (peft_json_get_element (list, j)), name);
      if (!there)
        peft_json_append (list, peft_json_new_string (name));
    }
}

/* The union of lists, or of expressions. */
static PeftJson *
join_names (GPtrArray *adapters, const char *field, GError **error)
{
  g_autoptr (PeftJson) list = peft_json_new_array ();
  g_autoptr (GString) pattern = g_string_new (NULL);
  guint n_lists = 0;

  for (guint i = 0; i < adapters->len; i++)
    {
      const PeftJson *names = peft_config_get_json (((PeftAdapter *) adapters->pdata[i])->config, field);

      if (peft_json_get_kind (names) == PEFT_JSON_ARRAY)
        {
          add_names (list, names);
          n_lists++;
        }
      else
        g_string_append_printf (pattern, "%s(%s)", pattern->len > 0 ? "|" : "", peft_json_get_string (names));
    }
  if (n_lists == adapters->len)
    return g_steal_pointer (&list);
  if (n_lists == 0)
    return peft_json_new_string (pattern->str);
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
               _ ("%s: lists of names and expressions cannot be joined"), field);
  return NULL;
}

static gboolean
set_joined (PeftConfig *config, GPtrArray *adapters, const char *field, GError **error)
{
  PeftJson *names = join_names (adapters, field, error);

  return names != NULL && peft_config_set_json (config, field, names, PEFT_ERROR_INVALID_ARGUMENT, error);
}

static gboolean
set_ranks (PeftConfig *config, guint rank, GError **error)
{
  static const char *const numbers[] = { "r", "lora_alpha" };
  static const char *const maps[] = { "rank_pattern", "alpha_pattern" };

  for (guint i = 0; i < 2; i++)
    if (!peft_config_set_json (config, numbers[i], peft_json_new_int (rank), PEFT_ERROR_INVALID_ARGUMENT, error)
        || !peft_config_set_json (config, maps[i], peft_json_new_object (), PEFT_ERROR_INVALID_ARGUMENT, error))
      return FALSE;
  return TRUE;
}

/* ---- The adapters -------------------------------------------------------------------------- */

static PeftAdapter *
new_empty (PeftCore *core, PeftConfig *config, const char *name, GError **error)
{
  g_autoptr (PeftAdapter) self = peft_adapter_declare (core, config, name, 0, TRUE, TRUE, error);

  if (self == NULL || !peft_param_set_allocate (self->params, error))
    return NULL;
  self->loading = FALSE;
  return g_steal_pointer (&self);
}

static PeftAdapter *
combine_lora (GPtrArray *adapters, const double *weights, const char *name,
              const PeftCombineOptions *options, GCancellable *cancellable, GError **error)
{
  PeftAdapter *first = adapters->pdata[0];
  g_autoptr (PeftConfig) config = peft_config_dup (first->config);
  g_autoptr (PeftAdapter) self = NULL;
  PeftCombineOptions own = *options;
  guint rank;

  /* A single one has nothing to be combined with. */
  if (adapters->len == 1)
    own.type = PEFT_COMBINATION_LINEAR;
  if (!choose_rank (adapters, &own, &rank, error) || !set_ranks (config, rank, error)
      || !set_joined (config, adapters, "target_modules", error))
    return NULL;
  self = new_empty (first->core, config, name, error);
  if (self == NULL)
    return NULL;
  for (guint i = 0; i < self->hooks->len; i++)
    {
      PeftSlot *slot = self->hook_slots->pdata[i];
      PeftLoraHook *target = peft_lora_find_hook (self, slot);
      const Sources sources = find_sources (adapters, weights, slot);

      if (g_cancellable_set_error_if_cancelled (cancellable, error))
        return NULL;
      if (sources.n == 0)
        continue;
      if (own.type == PEFT_COMBINATION_CAT)
        concatenate (&sources, target);
      else if (!kinds[own.type].whole)
        mix_factors (&sources, target, &own);
      else if (!mix_updates (&sources, target, &own, error))
        return NULL;
    }
  return g_steal_pointer (&self);
}

/* Σ weight · l over the sources that have the vector. */
static PeftAdapter *
combine_ia3 (GPtrArray *adapters, const double *weights, const char *name, GError **error)
{
  PeftAdapter *first = adapters->pdata[0];
  g_autoptr (PeftConfig) config = peft_config_dup (first->config);
  g_autoptr (PeftAdapter) self = NULL;

  if (!set_joined (config, adapters, "target_modules", error)
      || !set_joined (config, adapters, "feedforward_modules", error))
    return NULL;
  self = new_empty (first->core, config, name, error);
  for (guint i = 0; self != NULL && i < peft_param_set_get_n (self->params); i++)
    {
      PeftParam *param = peft_param_set_get (self->params, i);
      gsize n = (gsize) (param->shape[0] * param->shape[1]);
      g_autofree float *sum = g_new0 (float, n);

      for (guint k = 0; k < adapters->len; k++)
        {
          PeftParam *source = peft_param_set_find (((PeftAdapter *) adapters->pdata[k])->params, param->key);
          g_autofree float *values = source != NULL ? peft_param_dup_values (source) : NULL;

          for (gsize j = 0; values != NULL && j < n; j++)
            sum[j] += (float) (weights[k] * values[j]);
        }
      peft_param_upload (param, sum);
    }
  return g_steal_pointer (&self);
}

PeftAdapter *
peft_adapter_combine (GPtrArray *adapters, const double *weights, const char *name,
                      const PeftCombineOptions *options, GCancellable *cancellable, GError **error)
{
  if (adapters->len == 0 || adapters->len > MAX_SOURCES)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("expected 1 to %d adapters to combine, found %u"), MAX_SOURCES, adapters->len);
      return NULL;
    }
  if (!(options->density >= 0 && options->density <= 1) || !(options->clamp >= 0 && options->clamp <= 1))
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                           _ ("density and clamp: expected shares from 0 to 1"));
      return NULL;
    }
  for (guint i = 0; i < adapters->len; i++)
    if (!check_source (adapters->pdata[0], adapters->pdata[i], error))
      return NULL;
  if (g_str_equal (((PeftAdapter *) adapters->pdata[0])->method->name, "IA3"))
    return combine_ia3 (adapters, weights, name, error);
  return combine_lora (adapters, weights, name, options, cancellable, error);
}
