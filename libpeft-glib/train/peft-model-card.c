/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-model-card.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/peft-atomic-file.h"
#include "base/peft-json.h"

/* The card is written for the Hugging Face Hub, in English whatever the user's language. */

/* As a YAML string: JSON strings are. */
static void
append_quoted (GString *out, const char *text)
{
  g_autoptr (PeftJson) json = peft_json_new_string (text);
  g_autofree char *quoted = peft_json_to_string (json, PEFT_JSON_WRITE_COMPACT);

  g_string_append (out, quoted);
}

static void
append_row (GString *out, const char *name, double value)
{
  if (isnan (value))
    return;
  g_string_append_printf (out, "| %s | ", name);
  peft_json_append_double (out, value);
  g_string_append (out, " |\n");
}

static void
append_count (GString *out, const char *name, guint64 value)
{
  g_string_append_printf (out, "| %s | %" PRIu64 " |\n", name, value);
}

/* One row a task: the Hub's name for it, transformers' class. */
static const struct
{
  const char *pipeline, *auto_class;
} tasks[] = {
  [PEFT_TASK_CAUSAL_LM] = { "text-generation", "AutoModelForCausalLM" },
  [PEFT_TASK_SEQ_CLS] = { "text-classification", "AutoModelForSequenceClassification" },
  [PEFT_TASK_TOKEN_CLS] = { "token-classification", "AutoModelForTokenClassification" },
  [PEFT_TASK_QUESTION_ANS] = { "question-answering", "AutoModelForQuestionAnswering" },
  [PEFT_TASK_FEATURE_EXTRACTION] = { "feature-extraction", "AutoModel" },
};

static void
append_header (GString *out, PeftAdapter *adapter, const char *base)
{
  g_string_append (out, "---\nbase_model: ");
  append_quoted (out, base);
  g_string_append_printf (out, "\nlibrary_name: %s\npipeline_tag: %s\ntags:\n- peft-glib\n",
                          adapter->method != NULL ? "peft" : "transformers",
                          tasks[adapter->core->task].pipeline);
  if (adapter->method != NULL)
    {
      g_autofree char *tag = g_ascii_strdown (adapter->method->name, -1);
      g_string_append_printf (out, "- %s\n", tag);
    }
  g_string_append (out, "---\n\n");
}

static void
append_training (GString *out, PeftAdapter *adapter, const PeftTrainOptions *o,
                 const PeftTrainResult *r)
{
  g_string_append (out, "## Training\n\n| | |\n|---|---|\n");
  g_string_append_printf (out, "| method | %s |\n",
                          adapter->method != NULL ? adapter->method->name : "all weights");
  for (const char *const *name = o->data_names; name != NULL && *name != NULL; name++)
    g_string_append_printf (out, "| data | `%s` |\n", *name);
  append_count (out, "rows", peft_encoded_set_get_n_rows (o->train));
  append_count (out, "optimizer steps", r->steps);
  append_count (out, "batch size", r->batch_size);
  append_count (out, "gradient accumulation", o->accumulation);
  append_row (out, "learning rate", r->learning_rate);
  g_string_append_printf (out, "| schedule | %s |\n| optimizer | %s |\n", o->schedule, o->optimizer);
  append_row (out, "weight decay", o->weight_decay);
  append_row (out, "largest gradient norm", o->max_grad_norm);
  append_count (out, "seed", o->seed);
  append_count (out, "trained parameters", r->trainable_parameters);
  append_count (out, "all parameters", r->all_parameters);
  append_row (out, "loss of the first step", r->first_loss);
  append_row (out, "loss of the last step", r->loss);
  append_row (out, "evaluation loss", r->eval_loss);
  append_row (out, "best evaluation loss", r->best_loss);
}

static void
append_labels (GString *out, PeftAdapter *adapter)
{
  GStrv labels = adapter->core->labels;

  if (labels == NULL)
    return;
  g_string_append (out, "\n## Classes\n\n| | |\n|---|---|\n");
  for (guint i = 0; labels[i] != NULL; i++)
    g_string_append_printf (out, "| %u | `%s` |\n", i, labels[i]);
}

static void
append_use (GString *out, PeftAdapter *adapter, const char *base, const char *folder)
{
  const char *model_class = tasks[adapter->core->task].auto_class;

  g_string_append_printf (out, "\n## Use\n\n```python\nfrom transformers import %s, AutoTokenizer\n", model_class);
  if (adapter->method != NULL)
    {
      g_string_append_printf (out, "from peft import PeftModel\n\nmodel = %s.from_pretrained(", model_class);
      append_quoted (out, base);
      if (adapter->core->labels != NULL)
        g_string_append_printf (out, ", num_labels=%u", g_strv_length (adapter->core->labels));
      g_string_append (out, ")\nmodel = PeftModel.from_pretrained(model, ");
      append_quoted (out, folder);
      g_string_append (out, ")\ntokenizer = AutoTokenizer.from_pretrained(");
      append_quoted (out, base);
    }
  else
    {
      g_string_append_printf (out, "\nmodel = %s.from_pretrained(", model_class);
      append_quoted (out, folder);
      g_string_append (out, ")\ntokenizer = AutoTokenizer.from_pretrained(");
      append_quoted (out, folder);
    }
  g_string_append (out, ")\n```\n");
  if (adapter->core->task != PEFT_TASK_CAUSAL_LM)
    return;
  g_string_append (out, "\nOr on the command line:\n\n```\npeft-glib generate --model ");
  if (adapter->method != NULL)
    g_string_append_printf (out, "%s --adapter %s", base, folder);
  else
    g_string_append (out, folder);
  g_string_append (out, " --prompt \"Hello\"\n```\n");
}

gboolean
peft_model_card_write (PeftAdapter *adapter, const PeftTrainOptions *options,
                       const PeftTrainResult *result, GError **error)
{
  const char *base = options->base_name != NULL ? options->base_name : adapter->core->path;
  g_autofree char *path = g_build_filename (options->output, "README.md", NULL);
  g_autofree char *title = g_path_get_basename (options->output);
  g_autoptr (GString) out = g_string_new (NULL);

  append_header (out, adapter, base);
  g_string_append_printf (out, "# %s\n\n", title);
  if (adapter->method != NULL)
    g_string_append_printf (out, "An adapter (%s) for `%s`, trained with peft-glib.\n\n",
                            adapter->method->name, base);
  else
    g_string_append_printf (out, "`%s`, all weights trained with peft-glib.\n\n", base);
  append_training (out, adapter, options, result);
  append_labels (out, adapter);
  append_use (out, adapter, base, title);
  return peft_atomic_write (path, out->str, out->len, error);
}
