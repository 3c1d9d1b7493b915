/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-config-private.h"
#include "methods/peft-config-types.h"
#include "methods/peft-lycoris.h"

/* LoKr (Yeh et al., "Navigating text-to-image customization: from LyCORIS fine-tuning to model evaluation",
 * arXiv:2309.14859):  ΔW = s · W₁ ⊗ W₂,  s = alpha / r.
 * W₁ [out_l, in_m] and W₂ [out_k, in_n] with out = out_l · out_k, in = in_m · in_n; either may be a product of rank r. */

/**
 * PeftLokrConfig:
 *
 * The settings of LoKr.
 *
 * The weight W of an adapted layer becomes W + s·(W₁ ⊗ W₂), a Kronecker product, where s is `alpha` / `r` also when no factor
 * is of low rank. `decompose-factor` says how the layer's sizes are split. The file has the tensors
 * `base_model.model.MODULE.lokr_w1` or `lokr_w1_a` and `lokr_w1_b`, and `lokr_w2` or `lokr_w2_a` and `lokr_w2_b`.
 *
 * See [Yeh et al., LyCORIS](https://arxiv.org/abs/2309.14859).
 *
 * Since: 1.0
 */
struct _PeftLokrConfig
{
  PeftConfig parent_instance;
};

G_DEFINE_FINAL_TYPE (PeftLokrConfig, peft_lokr_config, PEFT_TYPE_CONFIG)

static const char *const inits[] = { "lycoris", NULL };

/* clang-format off */
static const PeftField fields[] = {
  PEFT_FIELDS_LYCORIS,
  { "decompose_both", PEFT_FIELD_BOOLEAN, "false", .group = "advanced", .nick = N_ ("Decompose both"),
    .blurb = N_ ("Let the smaller factor be of low rank too, where that saves parameters") },
  { "decompose_factor", PEFT_FIELD_INT, "-1", .minimum = -1, .maximum = 1 << 20, .group = "basic",
    .nick = N_ ("Factor"),
    .blurb = N_ ("Size of the smaller factor; -1 splits sizes as evenly as they divide. Smaller ones mean more "
                 "parameters") },
  { "rank_dropout_scale", PEFT_FIELD_BOOLEAN, "false", .group = "advanced",
    .nick = N_ ("Scale row dropout"),
    .blurb = N_ ("Make up for rows that are left out by enlarging the others") },
  { "init_weights", PEFT_FIELD_BOOLEAN | PEFT_FIELD_STRING, "true", .choices = inits,
    .group = "advanced", .nick = N_ ("Start values"),
    .blurb = N_ ("true: the first factor is zero; 'lycoris': the second is, and the first is random; false: both are "
                 "random, so that the adapter starts with an effect") },
};
/* clang-format on */

static void
peft_lokr_config_class_init (PeftLokrConfigClass *klass)
{
  peft_config_class_set_fields (PEFT_CONFIG_CLASS (klass), "LOKR", fields, G_N_ELEMENTS (fields));
}

static void
peft_lokr_config_init (PeftLokrConfig *self)
{
}

static gboolean
lokr_validate (PeftConfig *config, GError **error)
{
  if (peft_config_get_int (config, "decompose_factor") == 0)
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                           _ ("decompose_factor: expected -1 or a positive number, found 0"));
      return FALSE;
    }
  return peft_lycoris_validate (config, error);
}

/* A factor: full, or a · b. */
typedef struct
{
  PeftParam *full, *a, *b;
  gint64 rows, columns;
} LokrFactor;

typedef struct
{
  PeftLycorisHook parent;
  LokrFactor w1, w2;
  gboolean scale_mask;
} LokrHook;

static PeftVar *
get_factor (PeftTape *tape, const LokrFactor *factor)
{
  if (factor->full != NULL)
    return peft_tape_param (tape, factor->full);
  g_autoptr (PeftVar) a = peft_tape_param (tape, factor->a);
  g_autoptr (PeftVar) b = peft_tape_param (tape, factor->b);
  return peft_nn_matmul (tape, a, b, FALSE, FALSE);
}

static PeftVar *
lokr_after (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftVar *x, PeftVar *y)
{
  LokrHook *self = (LokrHook *) hook;
  g_autoptr (PeftVar) w1 = get_factor (tape, &self->w1);
  g_autoptr (PeftVar) w2 = get_factor (tape, &self->w2);
  g_autoptr (PeftVar) dense = peft_nn_contiguous (tape, x);
  g_autoptr (PeftVar) mask
      = peft_lycoris_mask (&self->parent, tape, slot->out_features, self->scale_mask);
  PeftVar *out = peft_nn_kronecker (tape, y, dense, w1, w2, mask,
                                    peft_lycoris_get_scale (&self->parent, tape));

  peft_var_unref (y);
  return out;
}

static float *
read_factor (const LokrFactor *factor)
{
  g_autofree float *a = NULL;
  g_autofree float *b = NULL;
  float *out;
  gsize n, m, r;

  if (factor->full != NULL)
    return peft_param_dup_values (factor->full);
  a = peft_param_dup_values (factor->a);
  b = peft_param_dup_values (factor->b);
  n = (gsize) factor->rows;
  m = (gsize) factor->columns;
  r = (gsize) factor->a->shape[1];
  out = g_new0 (float, n * m);
  for (gsize i = 0; i < n; i++)
    for (gsize k = 0; k < r; k++)
      for (gsize j = 0; j < m; j++)
        out[i * m + j] += a[i * r + k] * b[k * m + j];
  return out;
}

static gboolean
lokr_merge (PeftSlotHook *hook, PeftSlot *slot, float *weight, float **bias, double factor,
            GError **error)
{
  LokrHook *self = (LokrHook *) hook;
  g_autofree float *w1 = read_factor (&self->w1);
  g_autofree float *w2 = read_factor (&self->w2);
  gsize m = (gsize) self->w1.columns, k = (gsize) self->w2.rows, n = (gsize) self->w2.columns;
  float scale = (float) (self->parent.scale * hook->weight * factor);

  for (gsize i = 0; i < (gsize) slot->out_features; i++)
    for (gsize p = 0; p < m; p++)
      {
        float left = scale * w1[i / k * m + p];
        const float *right = w2 + i % k * n;
        float *out = weight + (i * m + p) * n;

        for (gsize j = 0; j < n; j++)
          out[j] += left * right[j];
      }
  return TRUE;
}

static const PeftSlotHookClass lokr_hook_class = {
  .after = lokr_after,
  .merge = lokr_merge,
  .free = (void (*) (PeftSlotHook *)) g_free,
};

/* dim = *small · *large. A factor that divides stands first, whatever its size; else the most even split whose smaller
 * part is at most the factor. */
static void
factorise (gint64 dim, gint64 factor, gint64 *small, gint64 *large)
{
  gint64 m = 1, n = dim, length = dim + 1;

  if (factor > 0 && dim % factor == 0)
    {
      *small = factor;
      *large = dim / factor;
      return;
    }
  if (factor == -1)
    factor = dim;
  while (m < n)
    {
      gint64 next = m + 1, rest;

      while (dim % next != 0)
        next++;
      rest = dim / next;
      if (next + rest > length || next > factor)
        break;
      m = next;
      n = rest;
      length = m + n;
    }
  *small = MIN (m, n);
  *large = MAX (m, n);
}

typedef enum
{
  INIT_KAIMING,
  INIT_ZERO
} FactorInit;

static PeftParam *
add_param (PeftAdapter *adapter, PeftSlot *slot, const char *suffix, gint64 rows, gint64 columns,
           FactorInit init)
{
  const gint64 shape[2] = { rows, columns };
  g_autofree char *key = g_strconcat (slot->path, ".", suffix, NULL);

  return peft_adapter_add_param (adapter, slot, suffix, 2, shape, TRUE,
                                 init == INIT_ZERO
                                     ? peft_init_zeros (adapter, (gsize) (rows * columns))
                                     : peft_init_kaiming (adapter, key, rows, columns));
}

static PeftSlotHook *
lokr_attach (PeftAdapter *adapter, PeftSlot *slot, GError **error)
{
  PeftConfig *config = adapter->config;
  gboolean lycoris = peft_config_get_string (config, "init_weights") != NULL;
  gboolean random = !lycoris && !peft_config_get_boolean (config, "init_weights");
  gint64 factor = peft_config_get_int (config, "decompose_factor");
  FactorInit first = !random && !lycoris ? INIT_ZERO : INIT_KAIMING;
  FactorInit second = lycoris ? INIT_ZERO : INIT_KAIMING;
  g_autofree LokrHook *hook = g_new0 (LokrHook, 1);
  LokrFactor *w1 = &hook->w1, *w2 = &hook->w2;
  gint64 r;

  if (!peft_lycoris_hook_init (&hook->parent, &lokr_hook_class, adapter, slot, &r, error))
    return NULL;
  hook->scale_mask = peft_config_get_boolean (config, "rank_dropout_scale");
  factorise (slot->in_features, factor, &w1->columns, &w2->columns);
  factorise (slot->out_features, factor, &w1->rows, &w2->rows);
  if (!peft_config_get_boolean (config, "decompose_both") || 2 * r >= MAX (w1->rows, w1->columns))
    w1->full = add_param (adapter, slot, "lokr_w1", w1->rows, w1->columns, first);
  else
    {
      w1->a = add_param (adapter, slot, "lokr_w1_a", w1->rows, r, first);
      w1->b = add_param (adapter, slot, "lokr_w1_b", r, w1->columns, INIT_KAIMING);
    }
  if (2 * r >= MAX (w2->rows, w2->columns))
    w2->full = add_param (adapter, slot, "lokr_w2", w2->rows, w2->columns, second);
  else
    {
      w2->a = add_param (adapter, slot, "lokr_w2_a", w2->rows, r, INIT_KAIMING);
      w2->b = add_param (adapter, slot, "lokr_w2_b", r, w2->columns, second);
    }
  return (PeftSlotHook *) g_steal_pointer (&hook);
}

const PeftMethod peft_method_lokr = {
  .name = "LOKR",
  .display_name = N_ ("LoKr"),
  .summary = N_ ("Adds the Kronecker product of two small matrices to the weights of chosen layers"),
  .good_for = N_ ("The smallest files: an adapter of a few hundred kilobytes that still changes whole weights. Needs a higher "
                  "learning rate than LoRA."),
  .cost = N_ ("A fraction of LoRA's parameters and file size, nearly its training speed and memory, no cost after "
              "merging."),
  .learning_rate = 3e-3,
  .presets = {
    { { "r", "16" }, { "alpha", "16" }, { "target_modules", "\"all-linear\"" } },
    { { "r", "32" }, { "alpha", "32" }, { "decompose_factor", "4" }, { "target_modules", "\"all-linear\"" } },
    { { "r", "64" }, { "alpha", "64" }, { "decompose_factor", "4" }, { "target_modules", "\"all-linear\"" } },
  },
  .get_config_type = peft_lokr_config_get_type,
  .validate = lokr_validate,
  .slot_kinds = 1u << PEFT_SLOT_LINEAR,
  .attach = lokr_attach,
};
