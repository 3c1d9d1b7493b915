/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <string.h>

#include "train/peft-metrics.h"

static gboolean
is_article (const char *word)
{
  return g_str_equal (word, "a") || g_str_equal (word, "an") || g_str_equal (word, "the");
}

/* The words that are compared. */
static GStrv
split_words (const char *text)
{
  g_autofree char *lower = g_utf8_strdown (text, -1);
  g_autoptr (GString) plain = g_string_new (NULL);
  g_autoptr (GStrvBuilder) words = g_strv_builder_new ();
  g_auto (GStrv) parts = NULL;

  for (const char *p = lower; *p != '\0'; p = g_utf8_next_char (p))
    if (g_unichar_isspace (g_utf8_get_char (p)))
      g_string_append_c (plain, ' ');
    else if (!g_ascii_ispunct (*p))
      g_string_append_len (plain, p, g_utf8_next_char (p) - p);
  parts = g_strsplit (plain->str, " ", -1);
  for (char **part = parts; *part != NULL; part++)
    if (**part != '\0' && !is_article (*part))
      g_strv_builder_add (words, *part);
  return g_strv_builder_end (words);
}

static gboolean
is_same (const char *text, const char *answer)
{
  g_auto (GStrv) mine = split_words (text);
  g_auto (GStrv) right = split_words (answer);

  return g_strv_equal ((const char *const *) mine, (const char *const *) right);
}

/* Words that both have, as often as both have them. */
static guint
count_common (GStrv mine, GStrv right)
{
  const guint n = g_strv_length (right);
  g_autofree gboolean *taken = g_new0 (gboolean, MAX (n, 1));
  guint common = 0;

  for (char **word = mine; *word != NULL; word++)
    for (guint i = 0; i < n; i++)
      if (!taken[i] && g_str_equal (*word, right[i]))
        {
          taken[i] = TRUE;
          common++;
          break;
        }
  return common;
}

static double
word_f1 (const char *text, const char *answer)
{
  g_auto (GStrv) mine = split_words (text);
  g_auto (GStrv) right = split_words (answer);
  const guint n = g_strv_length (mine), m = g_strv_length (right);

  if (n == 0 || m == 0)
    return n == m;
  return 2.0 * count_common (mine, right) / (n + m);
}

gboolean
peft_answer_is_exact (const char *text, const char *const *answers)
{
  if (answers[0] == NULL)
    return is_same (text, "");
  for (; *answers != NULL; answers++)
    if (is_same (text, *answers))
      return TRUE;
  return FALSE;
}

double
peft_answer_get_f1 (const char *text, const char *const *answers)
{
  double best = 0;

  if (answers[0] == NULL)
    return word_f1 (text, "");
  for (; *answers != NULL; answers++)
    best = MAX (best, word_f1 (text, *answers));
  return best;
}

gboolean
peft_answer_find (const float *logits, guint32 length, const PeftSpan *spans, guint32 *start,
                  guint32 *end, double *score)
{
  gboolean found = FALSE;

  for (guint32 i = 0; i < length; i++)
    for (guint32 j = i; j < length && j < i + PEFT_ANSWER_MAX_TOKENS; j++)
      {
        const double sum = (double) logits[2 * i] + logits[2 * j + 1];

        if (spans != NULL && (spans[i].end <= spans[i].start || spans[j].end <= spans[j].start))
          continue;
        if (found && sum <= *score)
          continue;
        *start = i;
        *end = j;
        *score = sum;
        found = TRUE;
      }
  return found;
}
