/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "models/peft-core.h"
#include "text/peft-tokenizer-core.h"

/* Text out of a model: key-value cache, batches of prompts, greedy or by chance. */

typedef struct
{
  guint64 max_new_tokens;    /* 128 */
  guint64 max_length;        /* prompt and new tokens together; 0: none */
  gboolean do_sample;
  double temperature;        /* 1 */
  guint32 top_k;             /* 0: off */
  double top_p;              /* 1: off */
  double min_p;              /* 0: off */
  double repetition_penalty; /* 1: off */
  const gint32 *eos_ids;
  gsize n_eos_ids;
  const char *const *stop;   /* (nullable) NULL-terminated; need a tokenizer */
  guint64 seed;
  gint64 task;               /* of adapters that have several; -1: none given */
  gboolean no_cache;         /* every token by a pass over everything: for tests */
} PeftGenerateOptions;

void peft_generate_options_init (PeftGenerateOptions *self);

typedef struct
{
  const gint32 *ids;
  gsize n_ids;
} PeftPrompt;

typedef enum
{
  PEFT_FINISH_LENGTH,
  PEFT_FINISH_EOS,
  PEFT_FINISH_STOP
} PeftFinish;
const char *peft_finish_get_name (PeftFinish finish); /* "eos", "length", "stop" */

typedef struct
{
  gint32 *ids; /* new ones; an eos that ended it is the last */
  gsize n_ids;
  char *text;  /* without special tokens, cut before a stop string; NULL: no tokenizer */
  PeftFinish finish;
} PeftGenerated;
void peft_generated_free (PeftGenerated *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftGenerated, peft_generated_free)

/* For each new token of each prompt, in the calling thread. text: what has become final, possibly ""; once more
 * with id -1 for what is left at the end. FALSE stops generating for all, as if the length were reached. */
typedef gboolean (*PeftGenerateFunc) (guint prompt, gint32 id, const char *text, gpointer data);

/* Memory that is kept from call to call: a conversation's common beginning is not computed again (one
 * prompt at a time; not across changes of adapters or weights: call reset). */
typedef struct _PeftGenerate PeftGenerate;
PeftGenerate *peft_generate_new (PeftCore *core, PeftTokenizerCore *tokenizer);
void peft_generate_free (PeftGenerate *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftGenerate, peft_generate_free)
void peft_generate_reset (PeftGenerate *self);

/* → PeftGenerated for each prompt, in order. */
GPtrArray *peft_generate_run (PeftGenerate *self, const PeftPrompt *prompts, guint n_prompts,
                              const PeftGenerateOptions *options, PeftGenerateFunc func,
                              gpointer data, GCancellable *cancellable, GError **error);

/* Tokens and seconds of the last run, for reports. */
typedef struct
{
  guint64 prompt_tokens, new_tokens, reused_tokens;
  double prefill_seconds, decode_seconds;
} PeftGenerateStats;
void peft_generate_get_stats (PeftGenerate *self, PeftGenerateStats *stats);

/* eos ids and, when asked for, sampling fields out of FOLDER/generation_config.json; eos ids go to the array. A file
 * that is not there is no error. */
gboolean peft_generate_read_config (const char *folder, GArray *eos_ids,
                                    PeftGenerateOptions *sampling, GError **error);
