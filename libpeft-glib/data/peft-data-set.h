/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-json.h"
#include "base/peft-task.h"

/* Rows of training data as they were read, before any tokenizer. Reference counted; a set that
 * peft_data_read () returned is not changed any more, so threads may read it at the same time. */

/* How the rows of a file are written. One file has one form. */
typedef enum
{
  PEFT_DATA_FORM_MESSAGES,          /* messages: role and content */
  PEFT_DATA_FORM_CONVERSATIONS,     /* ShareGPT: from and value */
  PEFT_DATA_FORM_PROMPT_COMPLETION, /* two texts, or two lists of messages */
  PEFT_DATA_FORM_INSTRUCTION,       /* instruction or question, its input, and an answer */
  PEFT_DATA_FORM_TEXT,
  PEFT_DATA_FORM_INPUT_IDS,
  PEFT_DATA_FORM_CLASSIFIED, /* a text, or two, and their class */
  PEFT_DATA_FORM_TAGGED,     /* tokens and the class of each */
  PEFT_DATA_FORM_QUESTION,   /* question, context and where in it the answers are */
  PEFT_DATA_N_FORMS
} PeftDataForm;

/* What a row is after reading. */
typedef enum
{
  PEFT_DATA_KIND_TEXT,        /* text[0] */
  PEFT_DATA_KIND_PAIR,        /* text[0] and text[1] follow each other as they are */
  PEFT_DATA_KIND_INSTRUCTION, /* text[0] is what a user says, text[1] the answer */
  PEFT_DATA_KIND_CHAT,        /* text[0]: JSON list of messages; text[1]: JSON object of further
                                 template variables (tools, documents), or NULL */
  PEFT_DATA_KIND_IDS,
  PEFT_DATA_KIND_LABELLED /* text[0]: JSON object, see peft-data-labelled.h */
} PeftDataKind;

/* One block of memory. mask is NULL when all of it is 1. */
typedef struct
{
  guint32 length;
  gint32 *ids;
  gint32 *labels;
  guint8 *mask;
} PeftDataIds;

typedef struct
{
  union
  {
    const char *text[2];
    PeftDataIds *ids;
  };
  guint32 file;     /* index into the set's files */
  guint32 number;   /* of the row in its file, from 1 */
  guint32 line;     /* where it starts, from 1 */
  guint32 n_prompt; /* CHAT: messages before the completion; 0 when the file does not say */
  guint8 form;      /* PeftDataForm */
  guint8 kind;      /* PeftDataKind */
  gint32 task;      /* task_id, for methods with several tasks; -1: none */
} PeftDataRow;

typedef struct _PeftDataSet PeftDataSet;

PeftDataSet *peft_data_set_ref (PeftDataSet *self);
void peft_data_set_unref (PeftDataSet *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftDataSet, peft_data_set_unref)

/* What the rows were read for. */
PeftTask peft_data_set_get_task (const PeftDataSet *self);
guint peft_data_set_get_n_rows (const PeftDataSet *self);
const PeftDataRow *peft_data_set_get_row (const PeftDataSet *self, guint index);

guint peft_data_set_get_n_files (const PeftDataSet *self);
const char *peft_data_set_get_path (const PeftDataSet *self, guint file);
/* "json", "jsonl", "csv", "text": what the content is, whatever the file is called. */
const char *peft_data_set_get_format (const PeftDataSet *self, guint file);
PeftDataForm peft_data_set_get_form (const PeftDataSet *self, guint file);
guint peft_data_set_get_n_file_rows (const PeftDataSet *self, guint file);
/* Columns that no row of the file used, in the order found, NULL-terminated. */
const char *const *peft_data_set_get_unused_columns (const PeftDataSet *self, guint file);

/* The row as a JSON object with the usual names (messages, prompt and completion, instruction and
 * output, text, input_ids), for previews. */
PeftJson *peft_data_set_row_to_json (const PeftDataSet *self, guint index);
/* A new set with that row alone, which keeps its place in its file for messages. */
PeftDataSet *peft_data_set_dup_row (const PeftDataSet *self, guint index);
/* "FILE: row N (line L)": how messages name a row. */
char *peft_data_set_describe_row (const PeftDataSet *self, guint index);

/* "messages", "conversations", "prompt-completion", … */
const char *peft_data_form_get_name (PeftDataForm form);
