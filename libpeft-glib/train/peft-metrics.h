/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-json.h"
#include "data/peft-data-encoded.h"

/* How good predictions are. */

/* Counts of classes; precision, recall and F1 are scikit-learn's: 0 where nothing can be divided, the macro mean over the
 * classes that occur among labels or predictions. */
typedef struct
{
  guint32 n_classes;
  guint64 *hits;      /* [n_classes] */
  guint64 *predicted; /* [n_classes] */
  guint64 *actual;    /* [n_classes] */
  guint64 total, correct;
} PeftClassMetrics;

PeftClassMetrics *peft_class_metrics_new (guint32 n_classes);
void peft_class_metrics_free (PeftClassMetrics *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PeftClassMetrics, peft_class_metrics_free)
void peft_class_metrics_add (PeftClassMetrics *self, guint32 actual, guint32 predicted);
double peft_class_metrics_get_f1 (const PeftClassMetrics *self, guint32 class);
double peft_class_metrics_get_macro_f1 (const PeftClassMetrics *self);
/* skipped: a class that does not count by itself, as "outside" does not for tokens; -1: all count. */
double peft_class_metrics_get_micro_f1 (const PeftClassMetrics *self, gint32 skipped);
/* outside: the name of the class that micro F1 leaves out; NULL: none. */
PeftJson *peft_class_metrics_to_json (const PeftClassMetrics *self, const char *const *labels,
                                      const char *outside);

/* SQuAD's: texts in lower case without punctuation and articles; F1 over words; the best of several right answers. No right
 * answer: an empty text is right. Rajpurkar et al., arXiv:1606.05250. */
gboolean peft_answer_is_exact (const char *text, const char *const *answers);
double peft_answer_get_f1 (const char *text, const char *const *answers);

/* The most probable span of at most PEFT_ANSWER_MAX_TOKENS tokens, by the sum of its logits, [length, 2]. spans: what of the
 * row is the context (NULL: all). FALSE: there is no token of it. */
#define PEFT_ANSWER_MAX_TOKENS 30
gboolean peft_answer_find (const float *logits, guint32 length, const PeftSpan *spans, guint32 *start,
                           guint32 *end, double *score);
