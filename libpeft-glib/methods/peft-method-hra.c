/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <inttypes.h>
#include <math.h>

#include "methods/peft-common-fields.h"
#include "methods/peft-config-private.h"
#include "methods/peft-config-types.h"
#include "methods/peft-method.h"

/* HRA (Yuan et al., "Bridging the gap between low-rank and orthogonal adaptation via Householder reflection adaptation",
 * arXiv:2405.17484): y = W H₁ H₂ … Hᵣ x + b with the reflections Hᵢ = I − 2 ûᵢ ûᵢᵀ of the input. */

#define MAX_R 65536

/**
 * PeftHraConfig:
 *
 * The settings of HRA.
 *
 * The input of an adapted layer is reflected `r` times before the frozen weight is applied, each time at the plane that is
 * perpendicular to a column of a trained matrix. With `apply-GS` the columns are made orthogonal to each other first. The file has
 * the tensor `base_model.model.MODULE.hra_u` of shape [in, r]. An even number of reflections starts in equal pairs, which cancel
 * each other out; an odd one, and orthogonal ones, change what the model does from the start.
 *
 * See [Yuan et al., HRA](https://arxiv.org/abs/2405.17484).
 *
 * Since: 1.0
 */
struct _PeftHraConfig
{
  PeftConfig parent_instance;
};

G_DEFINE_FINAL_TYPE (PeftHraConfig, peft_hra_config, PEFT_TYPE_CONFIG)

static const char *const biases[] = { "none", "all", "hra_only", NULL };

/* clang-format off */
static const PeftField fields[] = {
  { "r", PEFT_FIELD_INT, "8", .minimum = 1, .maximum = MAX_R, .group = "basic",
    .nick = N_ ("Reflections"),
    .blurb = N_ ("Number of reflections of a layer's input; with an even number training starts from the unchanged model") },
  { "apply_GS", PEFT_FIELD_BOOLEAN, "false", .group = "advanced", .nick = N_ ("Orthogonal reflections"),
    .blurb = N_ ("Whether to make the planes of reflection perpendicular to each other by the Gram–Schmidt process") },
  PEFT_FIELDS_TARGETS,
  { "init_weights", PEFT_FIELD_BOOLEAN, "true", .group = "advanced", .nick = N_ ("Start values"),
    .blurb = N_ ("Whether reflections start in pairs that cancel each other out; otherwise they are random") },
  { "bias", PEFT_FIELD_STRING, "\"none\"", .choices = biases, .group = "advanced",
    .nick = N_ ("Biases"),
    .blurb = N_ ("Which biases of the model to train: none, all, or those of the adapted layers") },
};
/* clang-format on */

static void
peft_hra_config_class_init (PeftHraConfigClass *klass)
{
  peft_config_class_set_fields (PEFT_CONFIG_CLASS (klass), "HRA", fields, G_N_ELEMENTS (fields));
}

static void
peft_hra_config_init (PeftHraConfig *self)
{
}

/* [1, r, r]: 2 above the diagonal, else 0; the identity. NULL with orthogonal reflections. */
typedef struct
{
  PeftTensor *twice_above, *identity;
} HraConstants;

static void
hra_constants_free (HraConstants *self)
{
  g_clear_pointer (&self->twice_above, peft_tensor_unref);
  g_clear_pointer (&self->identity, peft_tensor_unref);
  g_free (self);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (HraConstants, hra_constants_free)

typedef struct
{
  PeftSlotHook parent;
  PeftParam *u; /* [in, r] */
  const HraConstants *constants; /* the adapter's, in method_data */
} HraHook;

static gboolean
hra_declare (PeftAdapter *adapter, GError **error)
{
  PeftBackend *backend = adapter->core->backend;
  gint64 r = peft_config_get_int (adapter->config, "r");
  gboolean orthogonal = peft_config_get_boolean (adapter->config, "apply_GS");
  const gint64 shape[3] = { 1, r, r };
  g_autofree float *above = NULL, *identity = NULL;
  g_autoptr (HraConstants) self = NULL;

  if (!adapter->loading && (r % 2 != 0 || orthogonal)
      && peft_config_get_boolean (adapter->config, "init_weights"))
    peft_adapter_note (adapter,
                       g_strdup (orthogonal ? _ ("apply_GS: orthogonal reflections do not cancel each other out, so that "
                                                 "the adapter starts from a changed model")
                                            : _ ("r: an odd number of reflections does not cancel out, so that the "
                                                 "adapter starts from a changed model; choose an even one")));
  if (orthogonal)
    return TRUE;
  self = g_new0 (HraConstants, 1);
  above = g_try_new0 (float, r * r);
  identity = g_try_new0 (float, r * r);
  if (above == NULL || identity == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY,
                   _ ("no memory for %" PRIi64 " reflections"), r);
      return FALSE;
    }
  for (gint64 i = 0; i < r; i++)
    {
      identity[i * r + i] = 1;
      for (gint64 j = i + 1; j < r; j++)
        above[i * r + j] = 2;
    }
  if ((self->twice_above = peft_tensor_new_on (backend, backend->real, 3, shape, error)) == NULL
      || (self->identity = peft_tensor_new_on (backend, backend->real, 3, shape, error)) == NULL)
    return FALSE;
  peft_tensor_upload_f32 (self->twice_above, above);
  peft_tensor_upload_f32 (self->identity, identity);
  adapter->method_data = g_steal_pointer (&self);
  adapter->method_data_free = (GDestroyNotify) hra_constants_free;
  return TRUE;
}

/* A reflection times a number is none. */
static gboolean
check_weight (PeftSlotHook *hook, PeftSlot *slot, double factor, GError **error)
{
  if (hook->weight * factor == 1)
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
               _ ("%s: the reflections of an HRA adapter cannot be weighted; expected the weight 1, found %g"),
               slot->path, hook->weight * factor);
  return FALSE;
}

/* ---- On the tape --------------------------------------------------------------------------- */

/* x ← x − 2 (x Aᵀ) Bᵀ */
static PeftVar *
subtract_product (PeftTape *tape, PeftVar *x, PeftVar *a, PeftVar *b)
{
  /* The second reference keeps the node from computing in x's memory. */
  g_autoptr (PeftVar) y = peft_var_ref (x);

  return peft_nn_low_rank (tape, y, x, a, b, NULL, -2);
}

/* H₁ … Hᵣ = I − 2 Û (I + 2 strictly_upper (Ûᵀ Û))⁻¹ Ûᵀ: the product of reflections in compact form (Joffrain et al.,
 * "Accumulating Householder transformations, revisited", ACM TOMS 32, 2006). */
static PeftVar *
reflect (HraHook *self, PeftTape *tape, PeftVar *x)
{
  const gint64 r = self->u->shape[1];
  const gint64 square[2] = { r, r }, batch[3] = { 1, r, r };
  g_autoptr (PeftVar) u = peft_tape_param (tape, self->u);
  g_autoptr (PeftVar) lengths = peft_nn_reduce (tape, PEFT_REDUCE_NORM, u, 1u << 0);
  g_autoptr (PeftVar) unit = peft_nn_div (tape, u, lengths);
  g_autoptr (PeftVar) products = peft_nn_matmul (tape, unit, unit, TRUE, FALSE);
  g_autoptr (PeftVar) batched = peft_nn_reshape (tape, products, 3, batch);
  g_autoptr (PeftVar) mask = peft_tape_constant (tape, self->constants->twice_above);
  g_autoptr (PeftVar) identity = peft_tape_constant (tape, self->constants->identity);
  g_autoptr (PeftVar) above = peft_nn_mul (tape, batched, mask);
  g_autoptr (PeftVar) triangle = peft_nn_add (tape, above, identity);
  g_autoptr (PeftVar) inverse = peft_nn_solve (tape, triangle, identity);
  g_autoptr (PeftVar) flat = peft_nn_reshape (tape, inverse, 2, square);
  g_autoptr (PeftVar) a = peft_nn_matmul (tape, flat, unit, FALSE, TRUE);

  return subtract_product (tape, x, a, unit);
}

/* I − 2 Q Qᵀ, where every column of Q, once it has its length, is taken out of all later columns. */
static PeftVar *
reflect_orthogonally (HraHook *self, PeftTape *tape, PeftVar *x)
{
  static const guint swapped[2] = { 1, 0 };
  const gint64 r = self->u->shape[1];
  g_autoptr (PeftVar) u = peft_tape_param (tape, self->u);
  g_autoptr (PeftVar) turned = peft_nn_permute (tape, u, swapped);
  g_autoptr (PeftVar) left = peft_nn_contiguous (tape, turned); /* [columns left, in] */
  g_autoptr (PeftVar) q = NULL;                                 /* [columns done, in] */

  for (gint64 i = 0; i < r; i++)
    {
      g_autoptr (PeftVar) first = peft_nn_slice (tape, left, 0, 0, 1);
      g_autoptr (PeftVar) length = peft_nn_reduce (tape, PEFT_REDUCE_NORM, first, 1u << 1);
      g_autoptr (PeftVar) unit = peft_nn_div (tape, first, length);
      g_autoptr (PeftVar) done = g_steal_pointer (&q);
      PeftVar *parts[2] = { done, unit };

      q = done != NULL ? peft_nn_concat (tape, parts, 2, 0) : peft_var_ref (unit);
      if (i + 1 < r)
        {
          g_autoptr (PeftVar) old = g_steal_pointer (&left);
          g_autoptr (PeftVar) rest = peft_nn_slice (tape, old, 0, 1, r - i - 1);
          g_autoptr (PeftVar) shares = peft_nn_matmul (tape, rest, unit, FALSE, TRUE);
          g_autoptr (PeftVar) part = peft_nn_matmul (tape, shares, unit, FALSE, FALSE);

          left = peft_nn_sub (tape, rest, part);
        }
    }
  g_autoptr (PeftVar) columns = peft_nn_permute (tape, q, swapped);
  g_autoptr (PeftVar) b = peft_nn_contiguous (tape, columns);
  return subtract_product (tape, x, q, b);
}

static const PeftSlotHookClass hra_class;

static gboolean
belong_together (PeftSlotHook *a, PeftSlotHook *b)
{
  return a == b || (b->klass == a->klass && a->of_lines == 0 && b->of_lines == 0);
}

/* Of several adapters the last reflects first, y = W H H′ x, as when they are merged one after the other: the first of them
 * does it for all. */
static PeftVar *
hra_before (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftVar *x)
{
  PeftVar *out = peft_var_ref (x);
  GError *error = NULL;

  if (!check_weight (hook, slot, 1, &error))
    peft_tape_fail (tape, error);
  for (guint i = 0; i < slot->hooks->len; i++)
    {
      PeftSlotHook *other = slot->hooks->pdata[i];

      if (other == hook)
        break;
      if (belong_together (hook, other))
        return out;
    }
  for (guint i = slot->hooks->len; i > 0; i--)
    {
      HraHook *self = slot->hooks->pdata[i - 1];

      if (!belong_together (hook, &self->parent))
        continue;
      g_autoptr (PeftVar) input = g_steal_pointer (&out);
      out = self->constants != NULL ? reflect (self, tape, input)
                                    : reflect_orthogonally (self, tape, input);
    }
  return out;
}

/* ---- On the host --------------------------------------------------------------------------- */

/* û, one after the other: [r, in]. */
static double *
read_reflections (HraHook *self)
{
  gsize n = (gsize) self->u->shape[0], r = (gsize) self->u->shape[1];
  g_autofree float *u = peft_param_dup_values (self->u);
  double *out = g_new (double, n *r);

  for (gsize i = 0; i < r; i++)
    {
      double *unit = out + i * n, length = 0;

      for (gsize k = 0; k < n; k++)
        unit[k] = u[k * r + i];
      for (gsize j = 0; self->constants == NULL && j < i; j++)
        {
          const double *other = out + j * n;
          double share = 0;

          for (gsize k = 0; k < n; k++)
            share += other[k] * unit[k];
          for (gsize k = 0; k < n; k++)
            unit[k] -= share * other[k];
        }
      for (gsize k = 0; k < n; k++)
        length += unit[k] * unit[k];
      for (gsize k = 0; k < n; k++)
        unit[k] /= sqrt (length);
    }
  return out;
}

/* W ← W H₁ H₂ … Hᵣ. Orthogonal reflections commute, so that it is the same for them. */
static gboolean
hra_merge (PeftSlotHook *hook, PeftSlot *slot, float *weight, float **bias, double factor,
           GError **error)
{
  HraHook *self = (HraHook *) hook;
  gsize n = (gsize) slot->in_features, r = (gsize) self->u->shape[1];
  g_autofree double *reflections = NULL;
  g_autofree double *row = NULL;

  if (!check_weight (hook, slot, factor, error))
    return FALSE;
  reflections = read_reflections (self);
  row = g_new (double, n);
  for (gint64 o = 0; o < slot->out_features; o++)
    {
      float *values = weight + (gsize) o * n;

      for (gsize k = 0; k < n; k++)
        row[k] = values[k];
      for (gsize i = 0; i < r; i++)
        {
          const double *unit = reflections + i * n;
          double share = 0;

          for (gsize k = 0; k < n; k++)
            share += row[k] * unit[k];
          for (gsize k = 0; k < n; k++)
            row[k] -= 2 * share * unit[k];
        }
      for (gsize k = 0; k < n; k++)
        values[k] = (float) row[k];
    }
  return TRUE;
}

static const PeftSlotHookClass hra_class = {
  .before = hra_before,
  .merge = hra_merge,
  .free = (void (*) (PeftSlotHook *)) g_free,
};

/* Pairs of equal columns cancel each other out, but as soon as they are made orthogonal nothing of the second one is left. */
static float *
draw_start_values (PeftAdapter *adapter, PeftSlot *slot, gint64 r)
{
  g_autofree char *key = g_strconcat (slot->path, ".hra_u", NULL);
  const gint64 n = slot->in_features;
  gboolean paired = r % 2 == 0 && !peft_config_get_boolean (adapter->config, "apply_GS")
                    && peft_config_get_boolean (adapter->config, "init_weights");
  g_autofree float *half = NULL;
  float *values;

  if (!paired)
    return peft_init_kaiming (adapter, key, n, r);
  half = peft_init_kaiming (adapter, key, n, r / 2);
  values = peft_init_zeros (adapter, (gsize) (n * r));
  for (gint64 i = 0; half != NULL && values != NULL && i < n * r; i++)
    values[i] = half[i / 2];
  return values;
}

static PeftSlotHook *
hra_attach (PeftAdapter *adapter, PeftSlot *slot, GError **error)
{
  gint64 r = peft_config_get_int (adapter->config, "r");
  const gint64 shape[2] = { slot->in_features, r };
  HraHook *hook;

  if (slot->conv1d)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("%s is not for layers with transposed weights such as '%s'"),
                   adapter->method->name, slot->path);
      return NULL;
    }
  if (peft_config_get_boolean (adapter->config, "apply_GS") && r > slot->in_features)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("r: '%s' has room for %" PRIi64 " orthogonal reflections, found %" PRIi64),
                   slot->path, slot->in_features, r);
      return NULL;
    }
  hook = g_new0 (HraHook, 1);
  hook->parent.klass = &hra_class;
  hook->parent.weight = 1.0;
  hook->constants = adapter->method_data;
  hook->u = peft_adapter_add_param (adapter, slot, "hra_u", 2, shape, TRUE,
                                    draw_start_values (adapter, slot, r));
  return &hook->parent;
}

const PeftMethod peft_method_hra = {
  .name = "HRA",
  .display_name = N_ ("HRA"),
  .summary = N_ ("Reflects the inputs of chosen layers several times"),
  .good_for = N_ ("Keeps what the model already knows, as OFT does, with a number of parameters that is chosen as freely as "
                  "LoRA's rank."),
  .cost = N_ ("Half of LoRA's parameters for a square layer and as many reflections as ranks, somewhat slower to train, no cost "
              "after merging."),
  .learning_rate = 2e-3,
  .presets = {
    { { "r", "4" }, { "target_modules", "\"all-linear\"" } },
    { { "r", "8" }, { "target_modules", "\"all-linear\"" } },
    { { "r", "32" }, { "target_modules", "\"all-linear\"" } },
  },
  .get_config_type = peft_hra_config_get_type,
  .slot_kinds = 1u << PEFT_SLOT_LINEAR,
  .declare = hra_declare,
  .attach = hra_attach,
};
