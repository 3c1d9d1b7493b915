/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "text/peft-stream-decoder.h"
#include "text/peft-tokenizer-core.h"

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

/* A tokenizer.json, a byte 0xff, and a text: what loads encodes the text, with and without spans to
 * the same ids, and decodes them, in a stream and at once, to the same text. */
int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  const guint8 *mark = size > 0 ? memchr (data, 0xff, size) : NULL;
  gsize n_json = mark != NULL ? (gsize) (mark - data) : size;
  g_autofree char *json = g_strndup ((const char *) data, n_json);
  g_autofree char *text = mark != NULL ? g_memdup2 (mark + 1, size - n_json - 1) : NULL;
  gsize n_text = mark != NULL ? size - n_json - 1 : 0;
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftTokenizerCore) tokenizer =
      peft_tokenizer_core_new_from_text (json, (gssize) n_json, "input", &error);
  g_autoptr (GArray) ids = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autoptr (GArray) again = g_array_new (FALSE, FALSE, sizeof (gint32));
  g_autoptr (GArray) spans = g_array_new (FALSE, FALSE, sizeof (PeftSpan));
  g_autoptr (PeftStreamDecoder) stream = NULL;
  g_autoptr (GString) out = g_string_new (NULL);
  g_autofree char *whole = NULL;
  gsize length;

  g_assert_true ((tokenizer == NULL) == (error != NULL));
  if (tokenizer == NULL)
    {
      g_assert_true (g_utf8_validate (error->message, -1, NULL));
      return 0;
    }
  if (!peft_tokenizer_core_encode (tokenizer, text != NULL ? text : "", (gssize) n_text, TRUE, ids,
                                   spans, &error))
    {
      g_assert_cmpuint (ids->len + spans->len, ==, 0);
      return 0;
    }
  g_assert_cmpuint (ids->len, ==, spans->len);
  for (guint i = 0; i < spans->len; i++)
    {
      const PeftSpan *span = &g_array_index (spans, PeftSpan, i);

      g_assert_cmpuint (span->start, <=, span->end);
      g_assert_cmpuint (span->end, <=, n_text);
    }
  peft_tokenizer_core_encode (tokenizer, text != NULL ? text : "", (gssize) n_text, TRUE, again,
                              NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (ids->data, ids->len * sizeof (gint32), again->data,
                   again->len * sizeof (gint32));
  stream = peft_stream_decoder_new (tokenizer, FALSE);
  for (guint i = 0; i < ids->len; i++)
    if (!peft_stream_decoder_push (stream, g_array_index (ids, gint32, i), out, &error))
      return 0;
  if (!peft_stream_decoder_finish (stream, out, &error))
    return 0;
  whole = peft_tokenizer_core_decode (tokenizer, (const gint32 *) ids->data, ids->len, FALSE,
                                      &length, &error);
  g_assert_no_error (error);
  g_assert_cmpmem (out->str, out->len, whole, length);
  return 0;
}
