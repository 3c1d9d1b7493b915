/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "methods/peft-config-private.h"
#include "methods/peft-config-types.h"
#include "methods/peft-lycoris.h"

/* LoHa (Hyeon-Woo et al., "FedPara: Low-rank Hadamard product", arXiv:2108.06098):
 *   ΔW = s · (A₁ B₁) ⊙ (A₂ B₂),  s = alpha / r,  A [out, r], B [r, in] */

/**
 * PeftLohaConfig:
 *
 * The settings of LoHa.
 *
 * The weight W of an adapted layer becomes W + s·(A₁·B₁) ⊙ (A₂·B₂) with A of shape [out, r] and B of shape [r, in],
 * where s is `alpha` / `r`. The elementwise product of two matrices of rank r has a rank of up to r². The file has the tensors
 * `base_model.model.MODULE.hada_w1_a`, `hada_w1_b`, `hada_w2_a` and `hada_w2_b`.
 *
 * See [Hyeon-Woo et al., FedPara](https://arxiv.org/abs/2108.06098).
 *
 * Since: 1.0
 */
struct _PeftLohaConfig
{
  PeftConfig parent_instance;
};

G_DEFINE_FINAL_TYPE (PeftLohaConfig, peft_loha_config, PEFT_TYPE_CONFIG)

/* clang-format off */
static const PeftField fields[] = {
  PEFT_FIELDS_LYCORIS,
  { "init_weights", PEFT_FIELD_BOOLEAN, "true", .group = "advanced", .nick = N_ ("Start values"),
    .blurb = N_ ("Whether the adapter starts without effect; otherwise all factors are random") },
};
/* clang-format on */

static void
peft_loha_config_class_init (PeftLohaConfigClass *klass)
{
  peft_config_class_set_fields (PEFT_CONFIG_CLASS (klass), "LOHA", fields, G_N_ELEMENTS (fields));
}

static void
peft_loha_config_init (PeftLohaConfig *self)
{
}

typedef struct
{
  PeftLycorisHook parent;
  PeftParam *factors[4]; /* A₁ B₁ A₂ B₂ */
} LohaHook;

static PeftVar *
loha_delta (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot)
{
  LohaHook *self = (LohaHook *) hook;

  g_autoptr (PeftVar) a1 = peft_tape_param (tape, self->factors[0]);
  g_autoptr (PeftVar) b1 = peft_tape_param (tape, self->factors[1]);
  g_autoptr (PeftVar) a2 = peft_tape_param (tape, self->factors[2]);
  g_autoptr (PeftVar) b2 = peft_tape_param (tape, self->factors[3]);
  g_autoptr (PeftVar) mask = peft_lycoris_mask (&self->parent, tape, slot->out_features, TRUE);

  /* A row of ΔW is left out where the row of A₁ is. */
  if (mask != NULL)
    {
      const gint64 column[2] = { slot->out_features, 1 };
      g_autoptr (PeftVar) rows = peft_nn_reshape (tape, mask, 2, column);
      PeftVar *masked = peft_nn_mul (tape, a1, rows);

      peft_var_unref (a1);
      a1 = masked;
    }
  return peft_nn_hadamard_low_rank (tape, a1, b1, a2, b2, peft_lycoris_get_scale (&self->parent, tape));
}

static void
multiply (const float *a, const float *b, gsize row, gsize r, gsize n, float *out)
{
  for (gsize j = 0; j < n; j++)
    out[j] = 0;
  for (gsize k = 0; k < r; k++)
    for (gsize j = 0; j < n; j++)
      out[j] += a[row * r + k] * b[k * n + j];
}

static gboolean
loha_merge (PeftSlotHook *hook, PeftSlot *slot, float *weight, float **bias, double factor,
            GError **error)
{
  LohaHook *self = (LohaHook *) hook;
  gsize n = (gsize) slot->in_features, r = (gsize) self->factors[0]->shape[1];
  g_autofree float *a1 = peft_param_dup_values (self->factors[0]);
  g_autofree float *b1 = peft_param_dup_values (self->factors[1]);
  g_autofree float *a2 = peft_param_dup_values (self->factors[2]);
  g_autofree float *b2 = peft_param_dup_values (self->factors[3]);
  g_autofree float *left = g_new (float, n);
  g_autofree float *right = g_new (float, n);
  float scale = (float) (self->parent.scale * hook->weight * factor);

  for (gsize i = 0; i < (gsize) slot->out_features; i++)
    {
      multiply (a1, b1, i, r, n, left);
      multiply (a2, b2, i, r, n, right);
      for (gsize j = 0; j < n; j++)
        weight[i * n + j] += scale * left[j] * right[j];
    }
  return TRUE;
}

static const PeftSlotHookClass loha_hook_class = {
  .delta = loha_delta,
  .merge = loha_merge,
  .free = (void (*) (PeftSlotHook *)) g_free,
};

static PeftSlotHook *
loha_attach (PeftAdapter *adapter, PeftSlot *slot, GError **error)
{
  static const char *const suffixes[] = { "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b" };
  gboolean neutral = peft_config_get_boolean (adapter->config, "init_weights");
  g_autofree LohaHook *hook = g_new0 (LohaHook, 1);
  gint64 r;

  if (!peft_lycoris_hook_init (&hook->parent, &loha_hook_class, adapter, slot, &r, error))
    return NULL;
  for (guint i = 0; i < 4; i++)
    {
      const gint64 shape[2] = { i % 2 == 0 ? slot->out_features : r, i % 2 == 0 ? r : slot->in_features };
      g_autofree char *key = g_strconcat (slot->path, ".", suffixes[i], NULL);

      hook->factors[i] = peft_adapter_add_param (
          adapter, slot, suffixes[i], 2, shape, TRUE,
          neutral && i == 3 ? peft_init_zeros (adapter, (gsize) (shape[0] * shape[1]))
                            : peft_init_kaiming (adapter, key, shape[0], shape[1]));
    }
  return (PeftSlotHook *) g_steal_pointer (&hook);
}

const PeftMethod peft_method_loha = {
  .name = "LOHA",
  .display_name = N_ ("LoHa"),
  .summary = N_ ("Adds the elementwise product of two low-rank matrices to the weights of chosen layers"),
  .good_for = N_ ("Updates of high rank from few parameters; known from image models, where it keeps styles apart."),
  .cost = N_ ("Twice LoRA's parameters and file size at the same rank, about two thirds of its training speed, no cost "
              "after merging."),
  .learning_rate = 1e-3,
  .presets = {
    { { "r", "8" }, { "alpha", "8" }, { "target_modules", "\"all-linear\"" } },
    { { "r", "16" }, { "alpha", "16" }, { "target_modules", "\"all-linear\"" } },
    { { "r", "32" }, { "alpha", "32" }, { "target_modules", "\"all-linear\"" }, { "rank_dropout", "0.05" } },
  },
  .get_config_type = peft_loha_config_get_type,
  .validate = peft_lycoris_validate,
  .slot_kinds = 1u << PEFT_SLOT_LINEAR,
  .attach = loha_attach,
};
