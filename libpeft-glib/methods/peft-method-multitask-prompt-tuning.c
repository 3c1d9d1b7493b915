/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <inttypes.h>
#include <string.h>

#include "formats/peft-safetensors.h"
#include "methods/peft-config-private.h"
#include "methods/peft-config-types.h"
#include "methods/peft-prompt-common.h"

/* Multitask prompt tuning (Wang et al., "Multitask prompt tuning enables parameter-efficient transfer learning",
 * arXiv:2303.02861): the prompt of task k is P ∘ (u_k v_k), with P [tokens, width] shared by all tasks, and
 * u_k [tokens, ranks], v_k [ranks, width] of the task. */

#define COLS_KEY "prefix_task_cols"
#define ROWS_KEY "prefix_task_rows"
#define TASK_STD 0.02
#define MAX_TASKS 65536

/**
 * PeftMultitaskPromptTuningConfig:
 *
 * The settings of multitask prompt tuning.
 *
 * The vectors in front of a text are those that all tasks share, times a matrix of low rank that belongs to the text's
 * task. Rows of training data name theirs as `task_id`. The file has the tensors `prompt_embeddings`,
 * `prefix_task_cols` and `prefix_task_rows`.
 *
 * See [Wang et al., Multitask prompt tuning](https://arxiv.org/abs/2303.02861).
 *
 * Since: 1.0
 */
struct _PeftMultitaskPromptTuningConfig
{
  PeftConfig parent_instance;
};

G_DEFINE_FINAL_TYPE (PeftMultitaskPromptTuningConfig, peft_multitask_prompt_tuning_config,
                     PEFT_TYPE_CONFIG)

static const char *const inits[]
    = { "RANDOM", "TEXT", "SAMPLE_VOCAB", "AVERAGE_SOURCE_TASKS", "EXACT_SOURCE_TASK",
        "ONLY_SOURCE_SHARED", NULL };

/* clang-format off */
static const PeftField fields[] = {
  PEFT_FIELDS_PROMPT,
  PEFT_FIELDS_PROMPT_INIT (inits),
  { "prompt_tuning_init_state_dict_path", PEFT_FIELD_STRING | PEFT_FIELD_NULL, "null", .group = "advanced",
    .nick = N_ ("Source file"),
    .blurb = N_ ("A safetensors file of an adapter for several tasks, whose values this one starts from") },
  { "prompt_tuning_init_task", PEFT_FIELD_INT | PEFT_FIELD_NULL, "0", .minimum = 0, .maximum = MAX_TASKS,
    .group = "advanced", .nick = N_ ("Source task"),
    .blurb = N_ ("Number of the task in the source file to start from, for EXACT_SOURCE_TASK") },
  { "num_ranks", PEFT_FIELD_INT | PEFT_FIELD_NULL, "1", .minimum = 1, .maximum = 65536, .group = "basic",
    .nick = N_ ("Rank"), .blurb = N_ ("Rank of the matrix in which tasks differ") },
  { "num_tasks", PEFT_FIELD_INT | PEFT_FIELD_NULL, "1", .minimum = 1, .maximum = MAX_TASKS, .group = "basic",
    .nick = N_ ("Tasks"), .blurb = N_ ("Number of tasks; rows of the data name theirs as task_id, from 0") },
};
/* clang-format on */

static void
peft_multitask_prompt_tuning_config_class_init (PeftMultitaskPromptTuningConfigClass *klass)
{
  peft_config_class_set_fields (PEFT_CONFIG_CLASS (klass), "MULTITASK_PROMPT_TUNING", fields,
                                G_N_ELEMENTS (fields));
}

static void
peft_multitask_prompt_tuning_config_init (PeftMultitaskPromptTuningConfig *self)
{
}

typedef enum
{
  SOURCE_NONE,
  SOURCE_AVERAGE,
  SOURCE_EXACT,
  SOURCE_SHARED
} Source;

static Source
get_source (PeftConfig *config)
{
  const char *init = peft_config_get_string (config, "prompt_tuning_init");

  return g_str_equal (init, "AVERAGE_SOURCE_TASKS") ? SOURCE_AVERAGE
         : g_str_equal (init, "EXACT_SOURCE_TASK")  ? SOURCE_EXACT
         : g_str_equal (init, "ONLY_SOURCE_SHARED") ? SOURCE_SHARED
                                                    : SOURCE_NONE;
}

static gboolean
multitask_validate (PeftConfig *config, GError **error)
{
  const Source source = get_source (config);
  const char *path = peft_config_get_string (config, "prompt_tuning_init_state_dict_path");
  const char *message = NULL;

  if (!peft_prompt_validate_init (config, error))
    return FALSE;
  if (peft_config_get_int (config, "num_ranks") < 1 || peft_config_get_int (config, "num_tasks") < 1)
    message = _ ("num_ranks and num_tasks: expected numbers of at least 1");
  else if (source != SOURCE_NONE && path == NULL)
    message = _ ("prompt_tuning_init from a source needs prompt_tuning_init_state_dict_path");
  else if ((source == SOURCE_AVERAGE || source == SOURCE_EXACT)
           && peft_config_get_int (config, "num_tasks") != 1)
    message = _ ("num_tasks: expected 1 with prompt_tuning_init AVERAGE_SOURCE_TASKS or "
                 "EXACT_SOURCE_TASK, which make one task out of the source's");
  if (message != NULL)
    g_set_error_literal (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT, message);
  return message == NULL;
}

/* ---- Start from a source ------------------------------------------------------------------- */

/* A tensor of the source; shape[0] < 0: any. */
static float *
read_source (const PeftSafetensors *file, const char *name, guint n_dims, const gint64 *shape,
             guint64 *first, GError **error)
{
  const PeftTensorEntry *entry
      = peft_tensor_source_require (peft_safetensors_get_source (file), name, error);
  gboolean same;
  float *values;

  if (entry == NULL)
    return NULL;
  same = entry->n_dims == n_dims && peft_dtype_get_info (entry->dtype)->is_float
         && entry->shape[0] > 0;
  for (guint i = 0; same && i < n_dims; i++)
    same = shape[i] < 0 || entry->shape[i] == (guint64) shape[i];
  if (!same)
    {
      g_autofree char *found = peft_tensor_shape_to_string (entry->shape, entry->n_dims);
      g_autoptr (GString) wanted = g_string_new ("[");

      for (guint i = 0; i < n_dims; i++)
        if (shape[i] < 0)
          g_string_append_printf (wanted, "%s%s", i > 0 ? ", " : "", _ ("tasks"));
        else
          g_string_append_printf (wanted, "%s%" PRIi64, i > 0 ? ", " : "", shape[i]);
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH,
                   _ ("%s: tensor %s: expected floating-point numbers of the shape %s], found %s %s"),
                   entry->file, name, wanted->str, entry->type_name, found);
      return NULL;
    }
  values = g_try_new (float, peft_tensor_entry_get_n_values (entry));
  if (values == NULL)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY, _ ("%s: %s: no memory for %" PRIu64 " values"),
                   entry->file, name, peft_tensor_entry_get_n_values (entry));
      return NULL;
    }
  peft_dtype_get_info (entry->dtype)->to_f32 (entry->data, values,
                                              peft_tensor_entry_get_n_values (entry));
  *first = entry->shape[0];
  return values;
}

/* [tasks, n] → [n]: the mean, or that of one task. */
static float *
reduce_tasks (float *values, guint64 n_tasks, gsize n, gint64 task)
{
  float *out = g_new (float, n);

  for (gsize i = 0; i < n; i++)
    {
      double sum = 0;

      for (guint64 k = 0; task < 0 && k < n_tasks; k++)
        sum += values[k * n + i];
      out[i] = task >= 0 ? values[(guint64) task * n + i] : (float) (sum / (double) n_tasks);
    }
  g_free (values);
  return out;
}

static gboolean
check_task (const char *path, gint64 task, guint64 n_tasks, GError **error)
{
  if (task < (gint64) n_tasks)
    return TRUE;
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT,
               _ ("prompt_tuning_init_task: %s has the tasks 0 to %" PRIu64 ", found %" PRIi64), path,
               n_tasks - 1, task);
  return FALSE;
}

/* Replaces the values that the source has. */
static gboolean
read_start (PeftAdapter *adapter, float **shared, float **cols, float **rows, GError **error)
{
  const Source source = get_source (adapter->config);
  const char *path = peft_config_get_string (adapter->config, "prompt_tuning_init_state_dict_path");
  const gint64 n_virtual = peft_prompt_get_n_virtual (adapter), width = adapter->core->dims.hidden;
  const gint64 n_ranks = peft_config_get_int (adapter->config, "num_ranks");
  const gint64 task
      = source == SOURCE_EXACT ? peft_config_get_int (adapter->config, "prompt_tuning_init_task") : -1;
  const gint64 shared_shape[2] = { n_virtual, width };
  const gint64 cols_shape[3] = { -1, n_virtual, n_ranks }, rows_shape[3] = { -1, n_ranks, width };
  g_autoptr (PeftSafetensors) file = NULL;
  guint64 n_cols = 0, n_rows = 0, n = 0;

  if (!g_str_has_suffix (path, ".safetensors"))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("prompt_tuning_init_state_dict_path: %s: expected a .safetensors file; a pickle can run any "
                      "program while it is read"),
                   path);
      return FALSE;
    }
  file = peft_safetensors_open (path, error);
  if (file == NULL)
    return FALSE;
  g_free (*shared);
  *shared = read_source (file, PEFT_PROMPT_KEY, 2, shared_shape, &n, error);
  if (*shared == NULL || source == SOURCE_SHARED)
    return *shared != NULL;
  g_clear_pointer (cols, g_free);
  g_clear_pointer (rows, g_free);
  *cols = read_source (file, COLS_KEY, 3, cols_shape, &n_cols, error);
  if (*cols == NULL || !check_task (path, task, n_cols, error))
    return FALSE;
  *rows = read_source (file, ROWS_KEY, 3, rows_shape, &n_rows, error);
  if (*rows == NULL || !check_task (path, task, n_rows, error))
    return FALSE;
  *cols = reduce_tasks (*cols, n_cols, (gsize) (n_virtual * n_ranks), task);
  *rows = reduce_tasks (*rows, n_rows, (gsize) (n_ranks * width), task);
  return TRUE;
}

/* ---- The prompt ---------------------------------------------------------------------------- */

typedef struct
{
  PeftCoreHook parent;
  PeftParam *shared, *cols, *rows;
} MultitaskHook;

/* Of each line's task: [tasks, m, n] → [batch, m, n]. */
static PeftVar *
pick_tasks (PeftTape *tape, PeftParam *param, PeftTensor *task_ids)
{
  const gint64 flat[2] = { param->shape[0], param->shape[1] * param->shape[2] };
  const gint64 shape[3] = { task_ids->view.shape[0], param->shape[1], param->shape[2] };
  g_autoptr (PeftVar) all = peft_tape_param (tape, param);
  g_autoptr (PeftVar) table = peft_nn_reshape (tape, all, 2, flat);
  g_autoptr (PeftVar) picked = peft_nn_gather_rows (tape, table, task_ids);

  return peft_nn_reshape (tape, picked, 3, shape);
}

static PeftVar *
multitask_prompt (PeftCoreHook *hook, PeftTape *tape, const PeftForward *forward)
{
  MultitaskHook *self = (MultitaskHook *) hook;
  g_autoptr (PeftVar) shared = peft_tape_param (tape, self->shared);
  g_autoptr (PeftVar) cols = pick_tasks (tape, self->cols, forward->task_ids);
  g_autoptr (PeftVar) rows = pick_tasks (tape, self->rows, forward->task_ids);
  g_autoptr (PeftVar) task = peft_nn_matmul (tape, cols, rows, FALSE, FALSE);

  return peft_nn_mul (tape, task, shared);
}

static const PeftCoreHookClass multitask_hook_class = {
  .prompt = multitask_prompt,
  .free = (void (*) (PeftCoreHook *)) g_free,
};

static PeftParam *
add_task_param (PeftAdapter *adapter, const char *key, const gint64 *shape, float *initial)
{
  PeftParam *param = peft_adapter_add_core_param (adapter, key, 3, shape, TRUE, initial);

  param->name = g_strconcat (PEFT_PROMPT_NAME_PREFIX, key, NULL);
  return param;
}

static gboolean
multitask_declare (PeftAdapter *adapter, GError **error)
{
  PeftConfig *config = adapter->config;
  const gint64 n_virtual = peft_prompt_get_n_virtual (adapter), width = adapter->core->dims.hidden;
  const gint64 n_tasks = peft_config_get_int (config, "num_tasks");
  const gint64 n_ranks = peft_config_get_int (config, "num_ranks");
  const gint64 cols_shape[3] = { n_tasks, n_virtual, n_ranks };
  const gint64 rows_shape[3] = { n_tasks, n_ranks, width };
  g_autofree float *shared = NULL;
  g_autofree float *cols = NULL;
  g_autofree float *rows = NULL;
  MultitaskHook *hook;

  if (!peft_prompt_fill_config (adapter, error)
      || !peft_prompt_init_embeddings (adapter, &shared, error))
    return FALSE;
  cols = peft_init_normal (adapter, COLS_KEY, (gsize) (n_tasks * n_virtual * n_ranks), TASK_STD);
  rows = peft_init_normal (adapter, ROWS_KEY, (gsize) (n_tasks * n_ranks * width), TASK_STD);
  if (!adapter->loading && get_source (config) != SOURCE_NONE
      && !read_start (adapter, &shared, &cols, &rows, error))
    return FALSE;
  hook = g_new0 (MultitaskHook, 1);
  hook->parent.klass = &multitask_hook_class;
  hook->parent.n_virtual = n_virtual;
  hook->parent.n_tasks = n_tasks;
  hook->shared = peft_prompt_add_embeddings (adapter, g_steal_pointer (&shared));
  hook->cols = add_task_param (adapter, COLS_KEY, cols_shape, g_steal_pointer (&cols));
  hook->rows = add_task_param (adapter, ROWS_KEY, rows_shape, g_steal_pointer (&rows));
  adapter->core_hook = &hook->parent;
  return TRUE;
}

const PeftMethod peft_method_multitask_prompt_tuning = {
  .name = "MULTITASK_PROMPT_TUNING",
  .display_name = N_ ("Multitask prompt tuning"),
  .summary = N_ ("Trains one prompt that several tasks share, and a small matrix for each task"),
  .good_for = N_ ("Several related tasks with little data each, and a later task that starts from what they have in "
                  "common."),
  .cost = N_ ("As prompt tuning, and a few thousand parameters more for each task; cannot be merged."),
  .learning_rate = 3e-2,
  .presets = {
    { { "num_virtual_tokens", "8" } },
    { { "num_virtual_tokens", "20" } },
    { { "num_virtual_tokens", "100" }, { "num_ranks", "2" } },
  },
  .get_config_type = peft_multitask_prompt_tuning_config_get_type,
  .validate = multitask_validate,
  .declare = multitask_declare,
};
