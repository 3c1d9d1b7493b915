/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "methods/peft-common-fields.h"
#include "methods/peft-config-private.h"
#include "methods/peft-config-types.h"
#include "methods/peft-oft-rotation.h"

/* OFT (Qiu et al., "Controlling text-to-image diffusion by orthogonal finetuning", arXiv:2306.07280): the input of a layer
 * is rotated block by block before the frozen weight sees it, y = W Rᵀ x + b. */

#define MAX_BLOCK 65536

/**
 * PeftOftConfig:
 *
 * The settings of OFT.
 *
 * The input of an adapted layer is cut into blocks, each of which is rotated by a trained orthogonal matrix R before the frozen
 * weight is applied. R comes from a skew-symmetric matrix Q by the Cayley transform, (I − Q)(I + Q)⁻¹, or by the first terms of a
 * series for (I + Q)(I − Q)⁻¹, the opposite rotation, with `use-cayley-neumann`. One of `r`, the number of blocks, and
 * `oft-block-size` is set; one that does not divide a layer's size is moved to the nearest that does. The file has the tensor
 * `base_model.model.MODULE.oft_R.weight` of shape [blocks, b·(b − 1)/2], for embeddings
 * `base_model.model.MODULE.oft_embedding_R.weight`.
 *
 * See [Qiu et al., OFT](https://arxiv.org/abs/2306.07280).
 *
 * Since: 1.0
 */
struct _PeftOftConfig
{
  PeftConfig parent_instance;
};

G_DEFINE_FINAL_TYPE (PeftOftConfig, peft_oft_config, PEFT_TYPE_CONFIG)

static const char *const biases[] = { "none", "all", "oft_only", NULL };

/* clang-format off */
static const PeftField fields[] = {
  { "r", PEFT_FIELD_INT, "0", .minimum = 0, .maximum = MAX_BLOCK, .group = "basic",
    .nick = N_ ("Blocks"),
    .blurb = N_ ("Number of blocks that a layer's input is cut into; 0: given by the block size") },
  { "oft_block_size", PEFT_FIELD_INT, "32", .minimum = 0, .maximum = MAX_BLOCK, .group = "basic",
    .nick = N_ ("Block size"),
    .blurb = N_ ("Size of a block: larger ones learn more and need more memory; 0: given by the number of blocks") },
  { "module_dropout", PEFT_FIELD_DOUBLE, "0.0", .minimum = 0, .maximum = 1, .group = "advanced",
    .nick = N_ ("Block dropout"),
    .blurb = N_ ("Share of blocks to leave out while training; kept in the file, without effect as in peft") },
  PEFT_FIELDS_TARGETS,
  { "fan_in_fan_out", PEFT_FIELD_BOOLEAN, "false", .group = "file",
    .nick = N_ ("Transposed weights"),
    .blurb = N_ ("Whether the layers store their weights as [in, out]") },
  { "bias", PEFT_FIELD_STRING, "\"none\"", .choices = biases, .group = "advanced",
    .nick = N_ ("Biases"),
    .blurb = N_ ("Which biases of the model to train: none, all, or those of the adapted layers") },
  { "init_weights", PEFT_FIELD_BOOLEAN, "true", .group = "advanced", .nick = N_ ("Start values"),
    .blurb = N_ ("Whether the adapter starts without effect; otherwise with small random rotations") },
  { "coft", PEFT_FIELD_BOOLEAN, "false", .group = "advanced", .nick = N_ ("Constrained"),
    .blurb = N_ ("Keep the rotations small") },
  { "eps", PEFT_FIELD_DOUBLE, "6e-05", .minimum = 0, .maximum = 1e6, .group = "advanced",
    .nick = N_ ("Constraint"), .blurb = N_ ("How far constrained rotations may go") },
  { "block_share", PEFT_FIELD_BOOLEAN, "false", .group = "advanced", .nick = N_ ("Shared block"),
    .blurb = N_ ("Rotate all blocks of a layer by the same matrix") },
  { "use_cayley_neumann", PEFT_FIELD_BOOLEAN, "true", .since = "0.15", .group = "advanced",
    .nick = N_ ("Cayley–Neumann series"),
    .blurb = N_ ("Compute rotations by a series, which is faster and nearly orthogonal") },
  { "num_cayley_neumann_terms", PEFT_FIELD_INT, "5", .minimum = 1, .maximum = 64, .since = "0.15",
    .group = "advanced", .nick = N_ ("Terms of the series"),
    .blurb = N_ ("Number of terms of the series: more are more precise") },
};
/* clang-format on */

static void
peft_oft_config_class_init (PeftOftConfigClass *klass)
{
  peft_config_class_set_fields (PEFT_CONFIG_CLASS (klass), "OFT", fields, G_N_ELEMENTS (fields));
}

static void
peft_oft_config_init (PeftOftConfig *self)
{
}

static gboolean
oft_validate (PeftConfig *config, GError **error)
{
  gint64 r = peft_config_get_int (config, "r"), size = peft_config_get_int (config, "oft_block_size");

  if (r != 0 && !peft_config_is_set (config, "oft_block_size"))
    {
      g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                           _ ("oft_block_size: expected 0 beside a number of blocks, found nothing; adapters of peft before "
                              "0.14, which lack the field, hold something else and must be trained again"));
      return FALSE;
    }
  if ((r == 0) == (size == 0))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("r and oft_block_size: expected one of them to be 0, since each gives the other; found "
                      "%" PRIi64 " and %" PRIi64),
                   r, size);
      return FALSE;
    }
  return TRUE;
}

/* The series changed with peft 0.18. */
static gboolean
oft_declare (PeftAdapter *adapter, GError **error)
{
  const char *version = peft_config_get_string (adapter->config, "peft_version");
  guint major = 0, minor = 0;

  if (version != NULL)
    sscanf (version, "%u.%u", &major, &minor);
  if (adapter->loading && peft_config_get_boolean (adapter->config, "use_cayley_neumann")
      && major == 0 && minor < 18)
    peft_adapter_note (adapter, g_strdup (_ ("use_cayley_neumann: the series was another one before peft 0.18, which this "
                                             "adapter seems to come from; train it again if it disappoints")));
  return TRUE;
}

typedef struct
{
  PeftSlotHook parent;
  PeftOftRotation rotation;
} OftHook;

/* A rotation times a number is none. */
static gboolean
check_weight (PeftSlotHook *hook, PeftSlot *slot, double factor, GError **error)
{
  if (hook->weight * factor == 1)
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
               _ ("%s: the rotations of an OFT adapter cannot be weighted; expected the weight 1, found %g"),
               slot->path, hook->weight * factor);
  return FALSE;
}

static PeftVar *
rotate (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftVar *x)
{
  GError *error = NULL;

  if (!check_weight (hook, slot, 1, &error))
    peft_tape_fail (tape, error);
  return peft_oft_rotate (&((OftHook *) hook)->rotation, tape, x);
}

static PeftVar *
oft_after_embedding (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftTensor *ids, PeftVar *y)
{
  PeftVar *out = rotate (hook, tape, slot, y);

  peft_var_unref (y);
  return out;
}

/* W ← (R Wᵀ)ᵀ, of an embedding W ← W R. */
static gboolean
oft_merge (PeftSlotHook *hook, PeftSlot *slot, float *weight, float **bias, double factor,
           GError **error)
{
  const PeftOftRotation *rotation = &((OftHook *) hook)->rotation;
  gboolean embedding = slot->kind == PEFT_SLOT_EMBEDDING;
  gsize rows = (gsize) (embedding ? slot->in_features : slot->out_features);
  gsize columns = (gsize) (embedding ? slot->out_features : slot->in_features);
  gsize b = (gsize) rotation->block;
  g_autofree double *matrices = NULL;
  g_autofree float *old = NULL;

  if (!check_weight (hook, slot, factor, error))
    return FALSE;
  matrices = peft_oft_rotation_read (rotation);
  old = g_new (float, columns);
  for (gsize i = 0; i < rows; i++)
    {
      float *row = weight + i * columns;

      memcpy (old, row, columns * sizeof *old);
      for (gsize j = 0; j < columns; j++)
        {
          const double *r = matrices + (rotation->shared ? 0 : j / b) * b * b;
          const float *block = old + j / b * b;
          double sum = 0;

          for (gsize k = 0; k < b; k++)
            sum += (embedding ? r[k * b + j % b] : r[j % b * b + k]) * block[k];
          row[j] = (float) sum;
        }
    }
  return TRUE;
}

static const PeftSlotHookClass oft_linear_class = {
  .before = rotate,
  .merge = oft_merge,
  .free = (void (*) (PeftSlotHook *)) g_free,
};

static const PeftSlotHookClass oft_embedding_class = {
  .after_embedding = oft_after_embedding,
  .merge = oft_merge,
  .free = (void (*) (PeftSlotHook *)) g_free,
};

/* The divisor of n nearest to `wanted`, the smaller of two. */
static gint64
find_divisor (gint64 n, gint64 wanted)
{
  gint64 higher = wanted, lower = wanted;

  if (wanted >= n)
    return n;
  while (n % higher != 0)
    higher++;
  while (lower > 1 && n % lower != 0)
    lower--;
  return wanted - lower <= higher - wanted ? lower : higher;
}

static gint64
choose_block (PeftAdapter *adapter, PeftSlot *slot, gint64 n)
{
  gint64 r = peft_config_get_int (adapter->config, "r");
  gint64 wanted = r != 0 ? r : peft_config_get_int (adapter->config, "oft_block_size");
  gint64 found = find_divisor (n, wanted);

  if (found != wanted)
    peft_adapter_note (
        adapter, g_strdup_printf (_ ("%s: %s %" PRIi64 " does not divide %" PRIi64
                                     " and became %" PRIi64),
                                  slot->path, r != 0 ? "r" : "oft_block_size", wanted, n, found));
  return r != 0 ? n / found : found;
}

static PeftSlotHook *
oft_attach (PeftAdapter *adapter, PeftSlot *slot, GError **error)
{
  PeftConfig *config = adapter->config;
  gboolean embedding = slot->kind == PEFT_SLOT_EMBEDDING;
  gint64 n = embedding ? slot->out_features : slot->in_features;
  gint64 block = choose_block (adapter, slot, n);
  gboolean shared = peft_config_get_boolean (config, "block_share");
  const gint64 shape[2] = { shared ? 1 : n / block, block * (block - 1) / 2 };
  gsize n_values = (gsize) (shape[0] * shape[1]);
  g_autofree char *key = g_strconcat (slot->path, ".oft_R", NULL);
  OftHook *hook;
  PeftParam *param;

  if (slot->conv1d)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("%s is not for layers with transposed weights such as '%s'"),
                   adapter->method->name, slot->path);
      return NULL;
    }
  if (block < 2)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("%s: blocks of size 1 cannot be rotated; choose a number of blocks or a block size that divides "
                      "%" PRIi64),
                   slot->path, n);
      return NULL;
    }
  hook = g_new0 (OftHook, 1);
  hook->parent.klass = embedding ? &oft_embedding_class : &oft_linear_class;
  hook->parent.weight = 1.0;
  param = peft_adapter_add_param (
      adapter, slot, embedding ? "oft_embedding_R.weight" : "oft_R.weight", 2, shape, TRUE,
      peft_config_get_boolean (config, "init_weights")
          ? peft_init_zeros (adapter, n_values)
          : peft_init_normal (adapter, key, n_values, 0.1));
  if (!peft_oft_rotation_init (&hook->rotation, adapter, param, block, n / block, error))
    {
      g_free (hook);
      return NULL;
    }
  return &hook->parent;
}

/* peft projects the parameters themselves before it uses them; here that is done before the first step and as soon as they
 * have changed. */
static void
project_all (PeftAdapter *adapter)
{
  for (guint i = 0; i < adapter->hooks->len; i++)
    peft_oft_rotation_project (&((OftHook *) adapter->hooks->pdata[i])->rotation);
}

static gboolean
oft_begin_training (PeftAdapter *adapter, guint64 total_steps, GError **error)
{
  project_all (adapter);
  return TRUE;
}

static gboolean
oft_after_step (PeftAdapter *adapter, const PeftMethodStep *step, GError **error)
{
  project_all (adapter);
  return TRUE;
}

const PeftMethod peft_method_oft = {
  .name = "OFT",
  .display_name = N_ ("OFT"),
  .summary = N_ ("Rotates the inputs of chosen layers, block by block"),
  .good_for = N_ ("Keeps what the model already knows: angles between its features do not change. Good with little data and at "
                  "LoRA's learning rates."),
  .cost = N_ ("About as many parameters as LoRA of rank 16 at block size 32, somewhat slower to train, no cost after "
              "merging."),
  .learning_rate = 1e-3,
  .presets = {
    { { "oft_block_size", "16" }, { "target_modules", "\"all-linear\"" } },
    { { "oft_block_size", "32" }, { "target_modules", "\"all-linear\"" } },
    { { "oft_block_size", "64" }, { "target_modules", "\"all-linear\"" } },
  },
  .get_config_type = peft_oft_config_get_type,
  .validate = oft_validate,
  .slot_kinds = (1u << PEFT_SLOT_LINEAR) | (1u << PEFT_SLOT_EMBEDDING),
  .declare = oft_declare,
  .attach = oft_attach,
  .begin_training = oft_begin_training,
  .after_step = oft_after_step,
};
