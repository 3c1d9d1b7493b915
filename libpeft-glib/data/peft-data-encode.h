/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gio/gio.h>

#include "data/peft-data-encoded.h"
#include "text/peft-template.h"
#include "text/peft-tokenizer-core.h"

/* Rows to token ids and labels.
 *
 * Conversations are rendered by the chat template and encoded without the tokenizer's own special
 * tokens, as transformers does it. Instructions become a conversation of two turns where there is a
 * template; without one they are the instruction, a line feed and the answer, which a warning says.
 * Texts, and prompts with their completions, never go through the template: they are encoded with
 * the tokenizer's special tokens, the completion right behind the prompt, and get the end-of-text
 * token, as TRL has it. input_ids rows are used as they are.
 *
 * A token is labelled when the first byte that it came from is in a part that is learnt. */

typedef enum
{
  PEFT_DATA_LOSS_AUTO, /* completions, all turns of assistants, whole texts */
  PEFT_DATA_LOSS_ALL,
  PEFT_DATA_LOSS_COMPLETION, /* of a conversation: its last assistant turn */
  PEFT_DATA_LOSS_ASSISTANT
} PeftDataLossOn;

#define PEFT_DATA_DEFAULT_MAX_LENGTH 2048u

typedef void (*PeftDataProgressFunc) (guint32 done, guint32 total, gpointer user_data);

typedef struct
{
  PeftTokenizerCore *tokenizer; /* (nullable) needed by all but input_ids rows */
  PeftTemplate *chat_template;  /* (nullable) needed by conversations */
  PeftDataLossOn loss_on;
  guint32 max_length; /* 0: the default */
  guint32 vocab_size; /* of the model; 0: that of the tokenizer, or not known */
  /* Of rows with labels: */
  const char *const *labels; /* names of the classes */
  gint64 pad_id;             /* of the model; -1: none */
  PeftDataProgressFunc progress;
  gpointer user_data;
} PeftDataEncodeOptions;

/* Every row of the set. Errors name the file, the row and its line: a conversation without a
 * template or one that the template refuses, text without a tokenizer, an id beyond the vocabulary,
 * and as PEFT_ERROR_INVALID_DATA that no row has a labelled token. G_IO_ERROR_CANCELLED. */
PeftEncodedSet *
peft_data_encode (const PeftDataSet *set,
                  const PeftDataEncodeOptions *options,
                  GCancellable *cancellable,
                  GError **error);

/* "all", "completion", "assistant", "auto"; FALSE with PEFT_ERROR_INVALID_ARGUMENT for another. */
gboolean
peft_data_loss_on_parse (const char *text, PeftDataLossOn *out, GError **error);
