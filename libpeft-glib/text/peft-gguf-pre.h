/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* What tokenizer.ggml.pre of a GGUF file stands for: the parts of the tokenizer.json of the models
 * that it names. */
typedef struct
{
  const char *names;         /* separated by spaces */
  const char *pre_tokenizer; /* JSON */
  const char *normalizer;    /* JSON, NULL: none */
  gboolean add_bos;          /* where tokenizer.ggml.add_bos_token is absent */
  gboolean ignore_merges;
} PeftGgufPre;

/* NULL when unknown. */
const PeftGgufPre *peft_gguf_pre_find (const char *name);
