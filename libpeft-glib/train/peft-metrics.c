/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-metrics.h"

PeftClassMetrics *
peft_class_metrics_new (guint32 n_classes)
{
  PeftClassMetrics *self = g_new0 (PeftClassMetrics, 1);

  self->n_classes = n_classes;
  self->hits = g_new0 (guint64, MAX (n_classes, 1));
  self->predicted = g_new0 (guint64, MAX (n_classes, 1));
  self->actual = g_new0 (guint64, MAX (n_classes, 1));
  return self;
}

void
peft_class_metrics_free (PeftClassMetrics *self)
{
  g_free (self->hits);
  g_free (self->predicted);
  g_free (self->actual);
  g_free (self);
}

void
peft_class_metrics_add (PeftClassMetrics *self, guint32 actual, guint32 predicted)
{
  self->total++;
  self->actual[actual]++;
  self->predicted[predicted]++;
  if (actual != predicted)
    return;
  self->hits[actual]++;
  self->correct++;
}

static double
divide (guint64 part, guint64 whole)
{
  return whole > 0 ? (double) part / (double) whole : 0;
}

/* 2 · tp / (2 · tp + fp + fn) */
static double
f1 (guint64 hits, guint64 predicted, guint64 actual)
{
  return divide (2 * hits, predicted + actual);
}

double
peft_class_metrics_get_f1 (const PeftClassMetrics *self, guint32 class)
{
  return f1 (self->hits[class], self->predicted[class], self->actual[class]);
}

double
peft_class_metrics_get_macro_f1 (const PeftClassMetrics *self)
{
  guint64 n = 0;
  double sum = 0;

  for (guint32 i = 0; i < self->n_classes; i++)
    if (self->actual[i] + self->predicted[i] > 0)
      {
        sum += peft_class_metrics_get_f1 (self, i);
        n++;
      }
  return n > 0 ? sum / (double) n : 0;
}

double
peft_class_metrics_get_micro_f1 (const PeftClassMetrics *self, gint32 skipped)
{
  guint64 hits = 0, predicted = 0, actual = 0;

  for (guint32 i = 0; i < self->n_classes; i++)
    if ((gint32) i != skipped)
      {
        hits += self->hits[i];
        predicted += self->predicted[i];
        actual += self->actual[i];
      }
  return f1 (hits, predicted, actual);
}

PeftJson *
peft_class_metrics_to_json (const PeftClassMetrics *self, const char *const *labels,
                            const char *outside)
{
  PeftJson *json = peft_json_new_object (), *classes = peft_json_new_object ();
  gint32 skipped = -1;

  for (guint32 i = 0; i < self->n_classes; i++)
    {
      PeftJson *one = peft_json_new_object ();

      peft_json_set (one, "precision", peft_json_new_double (divide (self->hits[i], self->predicted[i])));
      peft_json_set (one, "recall", peft_json_new_double (divide (self->hits[i], self->actual[i])));
      peft_json_set (one, "f1", peft_json_new_double (peft_class_metrics_get_f1 (self, i)));
      peft_json_set (one, "support", peft_json_new_uint (self->actual[i]));
      peft_json_set (classes, labels[i], one);
      if (outside != NULL && g_str_equal (labels[i], outside))
        skipped = (gint32) i;
    }
  peft_json_set (json, "f1_macro", peft_json_new_double (peft_class_metrics_get_macro_f1 (self)));
  peft_json_set (json, "f1_micro", peft_json_new_double (peft_class_metrics_get_micro_f1 (self, skipped)));
  peft_json_set (json, "classes", classes);
  return json;
}
