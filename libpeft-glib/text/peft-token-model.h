/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-json.h"
#include "text/peft-vocab.h"

/* The "model" of a tokenizer.json: splits a piece of text into tokens. A kind of model is one file
 * with its class and one line in the table of peft-token-model.c. */

typedef struct
{
  gint32 id;
  guint32 length; /* bytes of the piece that it covers */
} PeftToken;

typedef struct _PeftTokenModel PeftTokenModel;

typedef struct
{
  const char *type; /* in the file */
  PeftTokenModel *(*new_from_json) (const PeftJson *json, GError **error);
  void (*free) (PeftTokenModel *self);
  /* What splitting needs besides the model: one for each thread. */
  gpointer (*scratch_new) (const PeftTokenModel *self);
  void (*scratch_free) (gpointer scratch);
  /* Appends PeftToken; text is not empty. */
  void (*split) (const PeftTokenModel *self, gpointer scratch, const char *text, gsize length,
                 GArray *tokens);
} PeftTokenModelClass;

struct _PeftTokenModel
{
  const PeftTokenModelClass *klass;
  PeftVocab *vocab;
  gint32 unk_id; /* -1: none */
};

PeftTokenModel *peft_token_model_new_from_json (const PeftJson *json, GError **error);
void peft_token_model_free (PeftTokenModel *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftTokenModel, peft_token_model_free)
