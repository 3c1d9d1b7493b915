/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "methods/peft-adapter-private.h"
#include "methods/peft-common-fields.h"
#include "methods/peft-config-private.h"
#include "methods/peft-config-types.h"
#include "methods/peft-rank-allocator.h"

/* AdaLoRA (Zhang et al., "Adaptive budget allocation for parameter-efficient fine-tuning", arXiv:2303.10512):
 *   y = W x + s · B (E ⊙ A) dropout (x),  s = alpha / (init_r + 1e-5)
 * A [r, in], E [r, 1], B [out, r]. The loss gets a term that keeps A's rows and B's columns orthonormal, and ranks that matter
 * little are dropped during training. */

#define MAX_RANK 4096
#define MAX_STEPS 1000000000.0
#define PATTERN_SUFFIX ".lora_E"

/**
 * PeftAdaloraConfig:
 *
 * The settings of AdaLoRA.
 *
 * The weight W of an adapted layer becomes W + s·B·diag(E)·A, where s is `lora-alpha` / (`init-r` + 1e-5). Training starts with
 * `init-r` ranks a layer and ends with `target-r` on average: from step `tinit` to `tfinal` steps before the end the ranks of all
 * layers that matter least are dropped, every `deltaT` steps. `total-step` is set by the run. The file has the tensors
 * `base_model.model.MODULE.lora_A`, `lora_B` and `lora_E` with the ranks that are left, which `rank-pattern` names.
 *
 * See [Zhang et al., AdaLoRA](https://arxiv.org/abs/2303.10512).
 *
 * Since: 1.0
 */
struct _PeftAdaloraConfig
{
  PeftConfig parent_instance;
};

G_DEFINE_FINAL_TYPE (PeftAdaloraConfig, peft_adalora_config, PEFT_TYPE_CONFIG)

static const char *const biases[] = { "none", "all", "lora_only", NULL };

#define OPTIONAL_MAP (PEFT_FIELD_MAP | PEFT_FIELD_NULL)
/* A field of LoRA that the file has too, and that means nothing or is not there for AdaLoRA. */
#define FOREIGN(field, forms, initial, label) \
  { field, forms, initial, .unsupported = TRUE, .group = "file", .nick = label, \
    .blurb = N_ ("A setting of LoRA, which AdaLoRA does not have") }

/* clang-format off */
static const PeftField fields[] = {
  { "init_r", PEFT_FIELD_INT, "12", .minimum = 1, .maximum = MAX_RANK, .group = "basic",
    .nick = N_ ("First rank"), .blurb = N_ ("Rank of every layer's update at the beginning") },
  { "target_r", PEFT_FIELD_INT, "8", .minimum = 0, .maximum = MAX_RANK, .group = "basic",
    .nick = N_ ("Last rank"), .blurb = N_ ("Average rank of a layer's update at the end") },
  { "lora_alpha", PEFT_FIELD_INT | PEFT_FIELD_DOUBLE, "8", .minimum = 0, .maximum = 1e6,
    .group = "basic", .nick = N_ ("Alpha"),
    .blurb = N_ ("Strength of the update: it is scaled by alpha divided by the first rank; 0 stands for the rank") },
  { "lora_dropout", PEFT_FIELD_DOUBLE, "0.0", .minimum = 0, .maximum = 1, .group = "basic",
    .nick = N_ ("Dropout"),
    .blurb = N_ ("Share of the update's inputs that is set to zero while training") },
  PEFT_FIELDS_TARGETS,
  { "tinit", PEFT_FIELD_INT, "0", .minimum = 0, .maximum = MAX_STEPS, .group = "basic",
    .nick = N_ ("Steps before"), .blurb = N_ ("Steps before the first rank is dropped") },
  { "tfinal", PEFT_FIELD_INT, "0", .minimum = 0, .maximum = MAX_STEPS, .group = "basic",
    .nick = N_ ("Steps after"), .blurb = N_ ("Steps at the end in which ranks stay as they are") },
  { "deltaT", PEFT_FIELD_INT, "1", .minimum = 1, .maximum = MAX_STEPS, .group = "advanced",
    .nick = N_ ("Interval"), .blurb = N_ ("Steps from one dropping of ranks to the next") },
  { "beta1", PEFT_FIELD_DOUBLE, "0.85", .minimum = 0, .maximum = 1, .group = "advanced",
    .nick = N_ ("Smoothing of importance"),
    .blurb = N_ ("How slowly the importance of a value follows what the steps say") },
  { "beta2", PEFT_FIELD_DOUBLE, "0.85", .minimum = 0, .maximum = 1, .group = "advanced",
    .nick = N_ ("Smoothing of uncertainty"),
    .blurb = N_ ("How slowly the uncertainty of a value follows what the steps say") },
  { "orth_reg_weight", PEFT_FIELD_DOUBLE, "0.5", .minimum = 0, .maximum = 1e6,
    .group = "advanced", .nick = N_ ("Orthogonality"),
    .blurb = N_ ("Weight of the loss term that keeps the factors orthogonal") },
  { "total_step", PEFT_FIELD_INT | PEFT_FIELD_NULL, "null", .minimum = 1, .maximum = MAX_STEPS,
    .group = "file", .nick = N_ ("Steps in all"), .blurb = N_ ("Number of optimiser steps; set by the run") },
  { "rank_pattern", OPTIONAL_MAP, "null", .group = "file", .nick = N_ ("Ranks that are left"),
    .blurb = N_ ("For each layer, which of its ranks are left; set by the run") },
  { "bias", PEFT_FIELD_STRING, "\"none\"", .choices = biases, .group = "advanced",
    .nick = N_ ("Biases"),
    .blurb = N_ ("Which biases of the model to train: none, all, or those of the adapted layers") },
  { "fan_in_fan_out", PEFT_FIELD_BOOLEAN, "false", .group = "file",
    .nick = N_ ("Transposed weights"),
    .blurb = N_ ("Whether the layers store their weights as [in, out]; found out from the model") },
  { "init_lora_weights", PEFT_FIELD_BOOLEAN, "true", .group = "advanced",
    .nick = N_ ("Start values"),
    .blurb = N_ ("Whether the adapter starts without effect; otherwise all factors are random") },
  { "r", PEFT_FIELD_INT, "8", .minimum = 0, .maximum = MAX_RANK, .group = "file",
    .nick = N_ ("Rank of LoRA"), .blurb = N_ ("Without meaning here; see the first rank") },
  FOREIGN ("use_rslora", PEFT_FIELD_BOOLEAN, "false", N_ ("Rank-stabilised")),
  FOREIGN ("alpha_pattern", OPTIONAL_MAP, "{}", N_ ("Alphas by module")),
  FOREIGN ("lora_bias", PEFT_FIELD_BOOLEAN, "false", N_ ("Bias of B")),
  FOREIGN ("use_dora", PEFT_FIELD_BOOLEAN, "false", N_ ("DoRA")),
  FOREIGN ("layer_replication", PEFT_FIELD_LIST | PEFT_FIELD_NULL, "null", N_ ("Repeated layers")),
  FOREIGN ("loftq_config", OPTIONAL_MAP, "{}", N_ ("LoftQ")),
  FOREIGN ("eva_config", OPTIONAL_MAP, "null", N_ ("EVA")),
  FOREIGN ("corda_config", OPTIONAL_MAP, "null", N_ ("CorDA")),
  FOREIGN ("megatron_config", OPTIONAL_MAP, "null", N_ ("Megatron")),
  { "megatron_core", PEFT_FIELD_STRING | PEFT_FIELD_NULL, "\"megatron.core\"", .group = "file",
    .nick = N_ ("Megatron module"), .blurb = N_ ("Python module of Megatron; without meaning here") },
  FOREIGN ("trainable_token_indices", PEFT_FIELD_INTS | PEFT_FIELD_MAP | PEFT_FIELD_NULL, "null",
           N_ ("Trained tokens")),
  FOREIGN ("use_qalora", PEFT_FIELD_BOOLEAN, "false", N_ ("QALoRA")),
  FOREIGN ("qalora_group_size", PEFT_FIELD_INT, "16", N_ ("Group size of QALoRA")),
  FOREIGN ("target_parameters", PEFT_FIELD_STRINGS | PEFT_FIELD_NULL, "null", N_ ("Target parameters")),
  FOREIGN ("arrow_config", OPTIONAL_MAP, "null", N_ ("Arrow")),
  FOREIGN ("alora_invocation_tokens", PEFT_FIELD_INTS | PEFT_FIELD_NULL, "null", N_ ("aLoRA")),
  FOREIGN ("ensure_weight_tying", PEFT_FIELD_BOOLEAN, "false", N_ ("Tied weights")),
  FOREIGN ("lora_ga_config", OPTIONAL_MAP, "null", N_ ("LoRA-GA")),
  FOREIGN ("use_bdlora", OPTIONAL_MAP, "null", N_ ("BD-LoRA")),
  FOREIGN ("velora_config", OPTIONAL_MAP, "null", N_ ("VeLoRA")),
  FOREIGN ("monteclora_config", OPTIONAL_MAP, "null", N_ ("MonteCLoRA")),
  FOREIGN ("kasa_config", OPTIONAL_MAP, "null", N_ ("KaSA")),
};

static const PeftTargetDefault targets[] = {
  { "t5", "q k v o wi wo" },
  { "mt5", "q k v o wi_0 wi_1 wo" },
  { "bart", "q_proj k_proj v_proj out_proj fc1 fc2" },
  { "gpt2", "c_attn" },
  { "bloom", "query_key_value" },
  { "opt", "q_proj k_proj v_proj out_proj fc1 fc2" },
  { "gptj", "q_proj v_proj" },
  { "gpt_neox", "query_key_value" },
  { "gpt_neo", "q_proj v_proj" },
  { "llama", "q_proj v_proj" },
  { "llama4", "q_proj v_proj" },
  { "bert", "query value" },
  { "roberta", "query key value dense" },
  { "deberta-v2", "query_proj key_proj value_proj dense" },
  { "gpt_bigcode", "c_attn" },
  { "deberta", "in_proj" },
  { "gemma", "q_proj v_proj" },
  { "gemma2", "q_proj v_proj" },
  { "gemma3_text", "q_proj v_proj" },
  { "qwen2", "q_proj v_proj" },
  { "qwen3", "q_proj v_proj" },
  { NULL, NULL },
};
/* clang-format on */

static void
peft_adalora_config_class_init (PeftAdaloraConfigClass *klass)
{
  peft_config_class_set_fields (PEFT_CONFIG_CLASS (klass), "ADALORA", fields, G_N_ELEMENTS (fields));
}

static void
peft_adalora_config_init (PeftAdaloraConfig *self)
{
}

static gboolean
fail (GError **error, const char *message)
{
  g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT, message);
  return FALSE;
}

static gboolean
adalora_validate (PeftConfig *config, GError **error)
{
  double beta1 = peft_config_get_double (config, "beta1"), beta2 = peft_config_get_double (config, "beta2");

  if (peft_config_get_int (config, "target_r") > peft_config_get_int (config, "init_r"))
    return fail (error, _ ("target_r: expected at most init_r, since ranks are only dropped"));
  if (beta1 <= 0 || beta1 >= 1 || beta2 <= 0 || beta2 >= 1)
    return fail (error, _ ("beta1 and beta2: expected numbers between 0 and 1, both excluded"));
  if (peft_config_get_double (config, "lora_dropout") >= 1.0)
    return fail (error, _ ("lora_dropout: 1 leaves nothing to train"));
  return TRUE;
}

/* ---- Hooks --------------------------------------------------------------------------------- */

enum
{
  PART_A,
  PART_E,
  PART_B,
  N_PARTS
};

typedef struct
{
  PeftSlotHook parent;
  PeftParam *parts[N_PARTS];
  /* Of the rank allocator, from step to step. */
  PeftParam *average[N_PARTS], *uncertainty[N_PARTS];
  PeftParam *mask; /* [r]: 1 for ranks that are left */
  PeftTensor *identity; /* [r, r] */
  gboolean *pattern; /* [init_r]: ranks that the file has left; NULL: all */
  gint64 r;
  double scale, dropout;
  guint64 stream;
} AdaloraHook;

static PeftVar *
adalora_after (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftVar *x, PeftVar *y)
{
  AdaloraHook *self = (AdaloraHook *) hook;

  if (self->r == 0)
    return y;
  g_autoptr (PeftVar) a = peft_tape_param (tape, self->parts[PART_A]);
  g_autoptr (PeftVar) e = peft_tape_param (tape, self->parts[PART_E]);
  g_autoptr (PeftVar) b = peft_tape_param (tape, self->parts[PART_B]);
  g_autoptr (PeftVar) rows = peft_nn_mul (tape, a, e);
  g_autoptr (PeftVar) dropped = peft_nn_dropout (tape, x, self->dropout, self->stream);
  PeftVar *out = peft_nn_low_rank (tape, y, dropped, rows, b, NULL, self->scale * hook->weight);

  peft_var_unref (y);
  return out;
}

static gboolean
adalora_merge (PeftSlotHook *hook, PeftSlot *slot, float *weight, float **bias, double factor,
               GError **error)
{
  AdaloraHook *self = (AdaloraHook *) hook;
  gsize n_in = (gsize) slot->in_features, n_out = (gsize) slot->out_features, r = (gsize) self->r;
  g_autofree float *a = peft_param_dup_values (self->parts[PART_A]);
  g_autofree float *e = peft_param_dup_values (self->parts[PART_E]);
  g_autofree float *b = peft_param_dup_values (self->parts[PART_B]);
  g_autofree double *row = g_new (double, n_in);
  double scale = self->scale * hook->weight * factor;

  for (gsize i = 0; i < n_out; i++)
    {
      memset (row, 0, n_in * sizeof *row);
      for (gsize k = 0; k < r; k++)
        for (gsize j = 0; j < n_in; j++)
          row[j] += (double) b[i * r + k] * e[k] * a[k * n_in + j];
      for (gsize j = 0; j < n_in; j++)
        weight[slot->conv1d ? j * n_out + i : i * n_in + j] += (float) (scale * row[j]);
    }
  return TRUE;
}

static void
adalora_hook_free (PeftSlotHook *hook)
{
  AdaloraHook *self = (AdaloraHook *) hook;

  g_clear_pointer (&self->identity, peft_tensor_unref);
  g_free (self->pattern);
  g_free (self);
}

static const PeftSlotHookClass adalora_hook_class = {
  .after = adalora_after,
  .merge = adalora_merge,
  .free = adalora_hook_free,
};

static char *
pattern_key (PeftSlot *slot)
{
  return g_strconcat (slot->path, PATTERN_SUFFIX, NULL);
}

/* Does the pattern's key name this slot? An adapter's name may follow, as old files have it. */
static gboolean
is_pattern_key (const char *key, PeftSlot *slot)
{
  const char *rest = g_str_has_prefix (key, slot->path) ? key + strlen (slot->path) : "";

  if (!g_str_has_prefix (rest, PATTERN_SUFFIX))
    return FALSE;
  rest += strlen (PATTERN_SUFFIX);
  return *rest == '\0' || (*rest == '.' && strchr (rest + 1, '.') == NULL);
}

/* The file's list for a slot; hook->r becomes the number of ranks that are left. A slot without a list has all. */
static gboolean
read_pattern (PeftAdapter *adapter, PeftSlot *slot, AdaloraHook *hook, GError **error)
{
  const PeftJson *map = peft_config_get_json (adapter->config, "rank_pattern");
  const gint64 n = hook->r;
  const PeftJson *list = NULL;
  gboolean good;

  for (gsize i = 0; list == NULL && peft_json_get_kind (map) == PEFT_JSON_OBJECT
                    && i < peft_json_get_length (map); i++)
    if (is_pattern_key (peft_json_get_name (map, i), slot))
      list = peft_json_get_value (map, i);
  if (list == NULL)
    return TRUE;
  good = peft_json_get_kind (list) == PEFT_JSON_ARRAY && peft_json_get_length (list) == (gsize) n;
  for (gint64 i = 0; good && i < n; i++)
    good = peft_json_get_kind (peft_json_get_element (list, (gsize) i)) == PEFT_JSON_BOOLEAN;
  if (!good)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("rank_pattern: %s%s: expected a list of %" PRIi64 " values true or false, as many as init_r"),
                   slot->path, PATTERN_SUFFIX, n);
      return FALSE;
    }
  hook->pattern = g_new (gboolean, n);
  for (gint64 i = 0; i < n; i++)
    {
      hook->pattern[i] = peft_json_get_boolean (peft_json_get_element (list, (gsize) i));
      hook->r -= !hook->pattern[i];
    }
  return TRUE;
}

/* A new adapter has all its ranks, whatever file its configuration was taken from. */
static gboolean
adalora_declare (PeftAdapter *adapter, GError **error)
{
  if (adapter->loading
      || peft_json_get_kind (peft_config_get_json (adapter->config, "rank_pattern")) == PEFT_JSON_NULL)
    return TRUE;
  peft_adapter_note (adapter, g_strdup (_ ("rank_pattern: not taken over, a new adapter starts with all its ranks")));
  return peft_config_set_json (adapter->config, "rank_pattern", peft_json_new_null (),
                               PEFT_ERROR_INVALID_ARGUMENT, error);
}

/* Every key of the pattern must belong to a slot. */
static gboolean
adalora_complete (PeftAdapter *adapter, GError **error)
{
  const PeftJson *map = peft_config_get_json (adapter->config, "rank_pattern");

  for (gsize i = 0; peft_json_get_kind (map) == PEFT_JSON_OBJECT && i < peft_json_get_length (map); i++)
    {
      gboolean found = FALSE;

      for (guint j = 0; !found && j < adapter->hook_slots->len; j++)
        found = is_pattern_key (peft_json_get_name (map, i), adapter->hook_slots->pdata[j]);
      if (found)
        continue;
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _ ("rank_pattern: expected adapted modules followed by '%s', found '%s'"),
                   PATTERN_SUFFIX, peft_json_get_name (map, i));
      return FALSE;
    }
  return TRUE;
}

/* One that is kept in checkpoints only. */
static PeftParam *
add_state (PeftAdapter *adapter, PeftSlot *slot, const char *suffix, guint n_dims,
           const gint64 *shape, float value)
{
  gsize n = 1;
  float *initial;
  PeftParam *param;

  for (guint i = 0; i < n_dims; i++)
    n *= (gsize) shape[i];
  initial = g_new (float, MAX (n, 1));
  for (gsize i = 0; i < n; i++)
    initial[i] = value;
  param = peft_adapter_add_param (adapter, slot, suffix, n_dims, shape, FALSE, initial);
  param->trainable = param->saved = FALSE;
  return param;
}

static void
add_params (PeftAdapter *adapter, PeftSlot *slot, AdaloraHook *hook)
{
  static const char *const suffixes[N_PARTS] = { "lora_A", "lora_E", "lora_B" };
  const gint64 shapes[N_PARTS][2]
      = { { hook->r, slot->in_features }, { hook->r, 1 }, { slot->out_features, hook->r } };
  gboolean neutral = peft_config_get_boolean (adapter->config, "init_lora_weights");

  for (guint i = 0; i < N_PARTS; i++)
    {
      g_autofree char *key = g_strconcat (slot->path, ".", suffixes[i], NULL);
      g_autofree char *average = g_strconcat (suffixes[i], ".importance", NULL);
      g_autofree char *uncertainty = g_strconcat (suffixes[i], ".uncertainty", NULL);
      gsize n = (gsize) (shapes[i][0] * shapes[i][1]);

      hook->parts[i] = peft_adapter_add_param (
          adapter, slot, suffixes[i], 2, shapes[i], TRUE,
          neutral && i == PART_E ? peft_init_zeros (adapter, n)
                                 : peft_init_normal (adapter, key, n, neutral ? 0.02 : 1.0));
      hook->average[i] = add_state (adapter, slot, average, 2, shapes[i], 0);
      hook->uncertainty[i] = add_state (adapter, slot, uncertainty, 2, shapes[i], 0);
    }
  hook->mask = add_state (adapter, slot, "lora_E.mask", 1, &hook->r, 1);
}

static PeftTensor *
make_identity (PeftBackend *backend, gint64 r, GError **error)
{
  const gint64 shape[2] = { r, r };
  g_autofree float *values = g_new0 (float, MAX (r * r, 1));
  PeftTensor *identity = peft_tensor_new_on (backend, backend->real, 2, shape, error);

  for (gint64 i = 0; i < r; i++)
    values[i * (r + 1)] = 1;
  if (identity != NULL)
    peft_tensor_upload_f32 (identity, values);
  return identity;
}

static PeftSlotHook *
adalora_attach (PeftAdapter *adapter, PeftSlot *slot, GError **error)
{
  double alpha = peft_config_get_double (adapter->config, "lora_alpha");
  AdaloraHook *hook = g_new0 (AdaloraHook, 1);

  hook->parent.klass = &adalora_hook_class;
  hook->parent.weight = 1.0;
  hook->dropout = peft_config_get_double (adapter->config, "lora_dropout");
  hook->stream = peft_adapter_stream (adapter, slot);
  hook->r = peft_config_get_int (adapter->config, "init_r");
  hook->scale = 1 / ((double) hook->r + 1e-5);
  if (read_pattern (adapter, slot, hook, error)
      && (hook->r == 0 || (hook->identity = make_identity (adapter->core->backend, hook->r, error)) != NULL))
    {
      hook->scale *= alpha > 0 ? alpha : (double) hook->r;
      add_params (adapter, slot, hook);
      peft_config_set_json (adapter->config, "fan_in_fan_out", peft_json_new_boolean (slot->conv1d),
                            PEFT_ERROR_INVALID_ARGUMENT, NULL);
      return &hook->parent;
    }
  adalora_hook_free (&hook->parent);
  return NULL;
}

/* ---- Training ------------------------------------------------------------------------------ */

/* ‖P Pᵀ − I‖, or with `transposed` ‖Pᵀ P − I‖. */
static PeftVar *
distance_from_orthonormal (PeftTape *tape, AdaloraHook *hook, PeftParam *param, gboolean transposed)
{
  g_autoptr (PeftVar) p = peft_tape_param (tape, param);
  g_autoptr (PeftVar) product = peft_nn_matmul (tape, p, p, transposed, !transposed);
  g_autoptr (PeftVar) identity = peft_tape_constant (tape, hook->identity);
  g_autoptr (PeftVar) difference = peft_nn_sub (tape, product, identity);

  return peft_nn_reduce (tape, PEFT_REDUCE_NORM, difference, 3);
}

static PeftVar *
adalora_extra_loss (PeftAdapter *adapter, PeftTape *tape)
{
  const gint64 one = 1, square[2] = { 1, 1 };
  double weight = peft_config_get_double (adapter->config, "orth_reg_weight")
                  / (2 * MAX (adapter->hooks->len, 1));
  g_autoptr (PeftTensor) start = peft_tape_alloc (tape, tape->backend->real, 2, square);
  const PeftFillParams fill = { .x = start->view, .value = 0 };
  g_autoptr (PeftVar) sum = NULL;

  peft_tape_run (tape, PEFT_KERNEL_FILL, &fill);
  sum = peft_tape_constant (tape, start);
  for (guint i = 0; i < adapter->hooks->len; i++)
    {
      AdaloraHook *hook = adapter->hooks->pdata[i];

      for (guint part = PART_A; hook->r > 0 && part <= PART_B; part += PART_B - PART_A)
        {
          g_autoptr (PeftVar) before = sum;
          g_autoptr (PeftVar) term
              = distance_from_orthonormal (tape, hook, hook->parts[part], part == PART_B);

          sum = peft_nn_add (tape, before, term);
        }
    }
  g_autoptr (PeftVar) scaled = peft_nn_scale (tape, sum, weight);
  return peft_nn_reshape (tape, scaled, 1, &one);
}

static PeftRankSchedule
get_schedule (PeftAdapter *adapter)
{
  PeftConfig *config = adapter->config;

  return (PeftRankSchedule){
    .init_r = peft_config_get_int (config, "init_r"),
    .target_r = peft_config_get_int (config, "target_r"),
    .tinit = peft_config_get_int (config, "tinit"),
    .tfinal = peft_config_get_int (config, "tfinal"),
    .delta_t = peft_config_get_int (config, "deltaT"),
    .total_step = peft_config_get_int (config, "total_step"),
    .beta1 = peft_config_get_double (config, "beta1"),
    .beta2 = peft_config_get_double (config, "beta2"),
  };
}

static gint64
count_ranks (PeftAdapter *adapter)
{
  gint64 n = 0;

  for (guint i = 0; i < adapter->hooks->len; i++)
    n += ((AdaloraHook *) adapter->hooks->pdata[i])->r;
  return n;
}

static gboolean
adalora_begin_training (PeftAdapter *adapter, guint64 total_steps, GError **error)
{
  PeftConfig *config = adapter->config;
  const PeftJson *configured = peft_config_get_json (config, "total_step");
  gint64 tinit = peft_config_get_int (config, "tinit"), tfinal = peft_config_get_int (config, "tfinal");
  gint64 target = peft_config_get_int (config, "target_r") * (gint64) adapter->hooks->len;
  /* Nothing is measured at the step of the last choice. */
  gint64 needed = MAX (tinit + 1, target < count_ranks (adapter) ? 2 : 1);

  if (tfinal + needed > (gint64) total_steps)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
                   _ ("tinit = %" PRIi64 " and tfinal = %" PRIi64 " leave no step to drop ranks in: expected a run of at "
                      "least %" PRIi64 " steps, found %" PRIu64),
                   tinit, tfinal, tfinal + needed, total_steps);
      return FALSE;
    }
  if (peft_json_get_kind (configured) != PEFT_JSON_NULL
      && peft_config_get_int (config, "total_step") != (gint64) total_steps)
    peft_adapter_note (adapter,
                       g_strdup_printf (_ ("total_step = %" PRIi64 ": the run's %" PRIu64 " steps are what counts"),
                                        peft_config_get_int (config, "total_step"), total_steps));
  return peft_config_set_json (config, "total_step", peft_json_new_int ((gint64) total_steps),
                               PEFT_ERROR_INVALID_ARGUMENT, error);
}

static void
update_importance (AdaloraHook *hook, const PeftRankSchedule *schedule, double grad_scale)
{
  for (guint i = 0; i < N_PARTS; i++)
    {
      PeftParam *param = hook->parts[i];
      gsize n = (gsize) (param->shape[0] * param->shape[1]);
      g_autofree float *p = peft_param_dup_values (param);
      g_autofree float *g = g_new (float, n);
      g_autofree float *average = peft_param_dup_values (hook->average[i]);
      g_autofree float *uncertainty = peft_param_dup_values (hook->uncertainty[i]);

      peft_tensor_download_f32 (param->grad, g);
      peft_rank_update_importance (schedule, p, g, grad_scale, average, uncertainty, n);
      peft_param_upload (hook->average[i], average);
      peft_param_upload (hook->uncertainty[i], uncertainty);
    }
}

/* Sets E to zero where the mask is. */
static void
apply_mask (AdaloraHook *hook)
{
  g_autofree float *mask = peft_param_dup_values (hook->mask);
  g_autofree float *e = peft_param_dup_values (hook->parts[PART_E]);

  for (gint64 i = 0; i < hook->r; i++)
    if (mask[i] == 0)
      e[i] = 0;
  peft_param_upload (hook->parts[PART_E], e);
}

static void
layer_clear (PeftRankLayer *layer)
{
  for (guint i = 0; i < N_PARTS; i++)
    {
      g_free ((float *) layer->average[i]);
      g_free ((float *) layer->uncertainty[i]);
    }
  g_free (layer->mask);
}

static void
drop_ranks (PeftAdapter *adapter, gint64 n_dropped)
{
  g_autoptr (GArray) layers = g_array_new (FALSE, TRUE, sizeof (PeftRankLayer));

  g_array_set_clear_func (layers, (GDestroyNotify) layer_clear);
  g_array_set_size (layers, adapter->hooks->len);
  for (guint i = 0; i < layers->len; i++)
    {
      AdaloraHook *hook = adapter->hooks->pdata[i];
      PeftRankLayer *layer = &g_array_index (layers, PeftRankLayer, i);

      layer->r = (gsize) hook->r;
      layer->n_in = (gsize) hook->parts[PART_A]->shape[1];
      layer->n_out = (gsize) hook->parts[PART_B]->shape[0];
      for (guint part = 0; part < N_PARTS; part++)
        {
          layer->average[part] = peft_param_dup_values (hook->average[part]);
          layer->uncertainty[part] = peft_param_dup_values (hook->uncertainty[part]);
        }
      layer->mask = peft_param_dup_values (hook->mask);
    }
  peft_rank_drop ((PeftRankLayer *) layers->data, layers->len, n_dropped);
  for (guint i = 0; i < layers->len; i++)
    {
      AdaloraHook *hook = adapter->hooks->pdata[i];

      peft_param_upload (hook->mask, g_array_index (layers, PeftRankLayer, i).mask);
      apply_mask (hook);
    }
}

static gboolean
adalora_after_step (PeftAdapter *adapter, const PeftMethodStep *step, GError **error)
{
  const PeftRankSchedule schedule = get_schedule (adapter);
  const gint64 initial = count_ranks (adapter);
  const PeftRankStep now
      = peft_rank_schedule_get_step (&schedule, (gint64) step->step, initial,
                                     schedule.target_r * (gint64) adapter->hooks->len);

  for (guint i = 0; i < adapter->hooks->len; i++)
    {
      AdaloraHook *hook = adapter->hooks->pdata[i];

      if (now.measure)
        update_importance (hook, &schedule, step->grad_scale);
      if (now.hold)
        apply_mask (hook);
    }
  if (now.drop)
    drop_ranks (adapter, initial - now.budget);
  return TRUE;
}

/* ---- Files --------------------------------------------------------------------------------- */

/* The rows, or columns, of a part whose rank is left, times `factor`. */
static PeftAdapterTensor *
cut (AdaloraHook *hook, guint part, const float *mask, gint64 left, double factor)
{
  PeftParam *param = hook->parts[part];
  g_autofree float *values = peft_param_dup_values (param);
  PeftAdapterTensor *tensor = g_new0 (PeftAdapterTensor, 1);
  gint64 rows = param->shape[0], columns = param->shape[1];
  float *out;

  tensor->key = g_strdup (param->key);
  tensor->n_dims = 2;
  tensor->shape[0] = part == PART_B ? rows : left;
  tensor->shape[1] = part == PART_B ? left : columns;
  out = tensor->values = g_new (float, MAX (tensor->shape[0] * tensor->shape[1], 1));
  for (gint64 i = 0; i < rows; i++)
    for (gint64 j = 0; j < columns; j++)
      if (mask[part == PART_B ? j : i] != 0)
        *out++ = (float) (factor * values[i * columns + j]);
  return tensor;
}

/* init_r values: what an earlier file had dropped, and what has been dropped since. */
static PeftJson *
describe_pattern (AdaloraHook *hook, const float *mask, gint64 init_r)
{
  PeftJson *list = peft_json_new_array ();

  for (gint64 i = 0, row = 0; i < init_r; i++)
    {
      gboolean there = hook->pattern == NULL || hook->pattern[i];

      peft_json_append (list, peft_json_new_boolean (there && mask[row] != 0));
      row += there;
    }
  return list;
}

static gboolean
adalora_convert (PeftAdapter *adapter, GPtrArray *out, PeftConfig **config, GError **error)
{
  gint64 init_r = peft_config_get_int (adapter->config, "init_r");
  gboolean by_rank = peft_config_get_double (adapter->config, "lora_alpha") <= 0;
  g_autoptr (PeftJson) pattern = peft_json_new_object ();
  gboolean dropped = FALSE;

  for (guint i = 0; i < adapter->hooks->len; i++)
    {
      AdaloraHook *hook = adapter->hooks->pdata[i];
      g_autofree float *mask = peft_param_dup_values (hook->mask);
      g_autofree float *e = peft_param_dup_values (hook->parts[PART_E]);
      g_autofree char *key = pattern_key (adapter->hook_slots->pdata[i]);
      gint64 left = 0;

      /* Amid the schedule the optimiser has revived some since they were dropped; the file holds what the model computes. */
      for (gint64 j = 0; j < hook->r; j++)
        left += mask[j] = mask[j] != 0 || e[j] != 0;
      dropped = dropped || left < init_r;
      /* Without alpha the scale goes by the ranks that the file has. */
      for (guint part = 0; part < N_PARTS; part++)
        g_ptr_array_add (out, cut (hook, part, mask, left,
                                   by_rank && part == PART_E ? (double) hook->r / (double) MAX (left, 1) : 1));
      peft_json_set (pattern, key, describe_pattern (hook, mask, init_r));
    }
  if (!dropped)
    return TRUE;
  *config = peft_config_dup (adapter->config);
  return peft_config_set_json (*config, "rank_pattern", g_steal_pointer (&pattern),
                               PEFT_ERROR_INVALID_ARGUMENT, error);
}

const PeftMethod peft_method_adalora = {
  .name = "ADALORA",
  .display_name = N_ ("AdaLoRA"),
  .summary = N_ ("LoRA that moves its ranks to the layers where they matter most"),
  .good_for = N_ ("Small adapters from long runs: ranks that are of little use are dropped while training."),
  .cost = N_ ("Half as much again as LoRA at the beginning and less at the end; about LoRA's speed, a little more memory, no "
              "cost after merging."),
  .learning_rate = 1e-3,
  .presets = {
    { { "init_r", "12" }, { "target_r", "8" }, { "lora_alpha", "32" }, { "target_modules", "\"all-linear\"" } },
    { { "init_r", "24" }, { "target_r", "16" }, { "lora_alpha", "64" }, { "target_modules", "\"all-linear\"" } },
    { { "init_r", "64" }, { "target_r", "32" }, { "lora_alpha", "128" }, { "target_modules", "\"all-linear\"" } },
  },
  .get_config_type = peft_adalora_config_get_type,
  .target_defaults = targets,
  .validate = adalora_validate,
  .slot_kinds = 1u << PEFT_SLOT_LINEAR,
  .declare = adalora_declare,
  .attach = adalora_attach,
  .complete = adalora_complete,
  .extra_loss = adalora_extra_loss,
  .begin_training = adalora_begin_training,
  .after_step = adalora_after_step,
  .convert = adalora_convert,
};
