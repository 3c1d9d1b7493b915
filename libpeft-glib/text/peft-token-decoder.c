/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-token-decoder.h"

#include <inttypes.h>
#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "text/peft-byte-level.h"
#include "text/peft-regex.h"
#include "text/peft-text-json.h"
#include "text/peft-text-util.h"

#define REPLACEMENT "\xef\xbf\xbd"

typedef struct _Stage Stage;
typedef struct _Run Run;

/* A stage gets each token as one or more parts, each of whole characters, and an end. */
typedef struct
{
  const char *type;
  gboolean (*parse) (Stage *stage, const PeftJson *json, GError **error);
  void (*part) (Run *run, const char *text, gsize length);
  void (*end) (Run *run);
  void (*finish) (Run *run); /* no more tokens */
} StageClass;

struct _Stage
{
  const StageClass *klass;
  char *pattern; /* Replace with a string, BPEDecoder's suffix */
  gsize pattern_length;
  PeftRegex *regex; /* Replace with a regular expression */
  char *content;    /* what Replace puts in its place */
  gsize content_length;
  gunichar character; /* Strip, Metaspace */
  guint start, stop;  /* Strip */
  gboolean drop_first; /* Metaspace */
};

struct _PeftTokenDecoder
{
  GPtrArray *stages; /* Stage */
};

/* A stage at work. */
struct _Run
{
  const Stage *stage;
  Run *next;     /* NULL: the output */
  GString *held; /* of this token, or for the last stage what comes out */
  GString *bytes; /* of earlier tokens */
  guint64 n_tokens;
  guint count; /* Strip: characters taken from the start of this token */
  gboolean inside; /* Strip: something else came already */
  PeftRegexScratch *scratch;
  GError *error; /* the first one stays: nothing is right behind it */
};

struct _PeftDecoding
{
  Run *runs; /* one for each stage, and the output */
  guint n;
};

static void
send_part (Run *run, const char *text, gsize length)
{
  run = run->next;
  if (length == 0)
    return;
  if (run->stage == NULL)
    g_string_append_len (run->held, text, length);
  else
    run->stage->klass->part (run, text, length);
}

static void
send_end (Run *run)
{
  run = run->next;
  if (run->stage != NULL)
    run->stage->klass->end (run);
}

static void
send_finish (Run *run)
{
  run = run->next;
  if (run->stage != NULL)
    run->stage->klass->finish (run);
}

static void
hold_part (Run *run, const char *text, gsize length)
{
  g_string_append_len (run->held, text, length);
}

static gboolean
parse_nothing (Stage *stage, const PeftJson *json, GError **error)
{
  return TRUE;
}

/* Fuse: all tokens become one. */
static void
fuse_end (Run *run)
{
}

static void
fuse_finish (Run *run)
{
  send_end (run);
  send_finish (run);
}

/* What stands in for a missing decoder. */
static void
join_part (Run *run, const char *text, gsize length)
{
  if (run->n_tokens > 0 && !run->inside)
    send_part (run, " ", 1);
  run->inside = TRUE;
  send_part (run, text, length);
}

static void
join_end (Run *run)
{
  if (!run->inside && run->n_tokens > 0)
    send_part (run, " ", 1);
  run->inside = FALSE;
  run->n_tokens++;
}

/* ByteLevel: all tokens become one text of bytes. A token with a character that stands for no byte
 * is taken as it is. */
static void
byte_level_end (Run *run)
{
  gsize before = run->bytes->len;
  gsize used;

  for (gsize i = 0; i < run->held->len; i += peft_text_char_length (run->held->str + i))
    {
      int byte = peft_byte_level_decode (g_utf8_get_char (run->held->str + i));

      if (byte < 0)
        {
          g_string_truncate (run->bytes, before);
          g_string_append_len (run->bytes, run->held->str, run->held->len);
          break;
        }
      g_string_append_c (run->bytes, (char) byte);
    }
  g_string_truncate (run->held, 0);
  used = peft_text_append_lossy (run->held, (const guint8 *) run->bytes->str, run->bytes->len,
                                 FALSE);
  g_string_erase (run->bytes, 0, used);
  send_part (run, run->held->str, run->held->len);
  g_string_truncate (run->held, 0);
}

static void
byte_level_finish (Run *run)
{
  peft_text_append_lossy (run->held, (const guint8 *) run->bytes->str, run->bytes->len, TRUE);
  send_part (run, run->held->str, run->held->len);
  send_end (run);
  send_finish (run);
}

/* ByteFallback: neighbouring tokens <0x00> … <0xFF> become text together, or U+FFFD each where
 * together they are no UTF-8. So none of them is final before another token comes. */
static void
flush_bytes (Run *run)
{
  if (run->bytes->len == 0)
    return;
  if (peft_text_is_utf8 (run->bytes->str, run->bytes->len))
    {
      send_part (run, run->bytes->str, run->bytes->len);
      send_end (run);
    }
  else
    for (gsize i = 0; i < run->bytes->len; i++)
      {
        send_part (run, REPLACEMENT, strlen (REPLACEMENT));
        send_end (run);
      }
  g_string_truncate (run->bytes, 0);
}

static void
byte_fallback_end (Run *run)
{
  const char *text = run->held->str;

  if (run->held->len == 6 && strncmp (text, "<0x", 3) == 0 && text[5] == '>' &&
      g_ascii_isxdigit (text[3]) && g_ascii_isxdigit (text[4]))
    g_string_append_c (run->bytes, (char) (g_ascii_xdigit_value (text[3]) * 16 +
                                           g_ascii_xdigit_value (text[4])));
  else
    {
      flush_bytes (run);
      send_part (run, text, run->held->len);
      send_end (run);
    }
  g_string_truncate (run->held, 0);
}

static void
byte_fallback_finish (Run *run)
{
  flush_bytes (run);
  send_finish (run);
}

/* Replace */
static gboolean
parse_replace (Stage *stage, const PeftJson *json, GError **error)
{
  gboolean literal;
  const char *pattern = peft_text_json_pattern (json, &literal, &stage->pattern_length, error);
  const char *content =
      pattern == NULL ? NULL
                      : peft_text_json_string (json, "content", &stage->content_length, error);

  if (content == NULL)
    return FALSE;
  stage->content = g_memdup2 (content, stage->content_length + 1);
  if (literal && stage->pattern_length > 0)
    {
      stage->pattern = g_memdup2 (pattern, stage->pattern_length + 1);
      return TRUE;
    }
  stage->regex = peft_regex_new (pattern, stage->pattern_length, error);
  return stage->regex != NULL;
}

/* Sends what can no longer be part of a match. */
static void
replace_literal (Run *run)
{
  const Stage *stage = run->stage;
  const char *text = run->held->str;
  gsize length = run->held->len, done = 0, kept;
  const char *found;

  while ((found = memmem (text + done, length - done, stage->pattern, stage->pattern_length)))
    {
      send_part (run, text + done, found - text - done);
      send_part (run, stage->content, stage->content_length);
      done = found - text + stage->pattern_length;
    }
  kept = MIN (length - done, stage->pattern_length - 1);
  while (kept > 0 && memcmp (text + length - kept, stage->pattern, kept) != 0)
    kept--;
  send_part (run, text + done, length - kept - done);
  g_string_erase (run->held, 0, length - kept);
}

static void
replace_part (Run *run, const char *text, gsize length)
{
  g_string_append_len (run->held, text, length);
  if (run->stage->regex == NULL)
    replace_literal (run);
}

static void
replace_end (Run *run)
{
  PeftRegexCursor cursor = { 0, -1 };
  gsize start, end, done = 0;

  while (run->stage->regex != NULL &&
         peft_regex_next (run->stage->regex, run->scratch, run->held->str, run->held->len, &cursor,
                          &start, &end, run->error == NULL ? &run->error : NULL) > 0)
    {
      send_part (run, run->held->str + done, start - done);
      send_part (run, run->stage->content, run->stage->content_length);
      done = end;
    }
  send_part (run, run->held->str + done, run->held->len - done);
  g_string_truncate (run->held, 0);
  send_end (run);
}

/* Strip: up to `start` characters from the start of each token and `stop` from its end. */
static gboolean
read_count (const PeftJson *json, const char *name, guint *out, GError **error)
{
  gint64 value = 0;

  if (!peft_json_read_int (json, name, &value, error))
    return FALSE;
  if (value < 0 || value > PEFT_TOKEN_DECODER_MAX_COUNT)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                   _("%s: expected 0 to %u, found %" PRIi64), name,
                   PEFT_TOKEN_DECODER_MAX_COUNT, value);
      return FALSE;
    }
  *out = (guint) value;
  return TRUE;
}

static gboolean
parse_strip (Stage *stage, const PeftJson *json, GError **error)
{
  return peft_text_json_char (json, "content", &stage->character, error) &&
         read_count (json, "start", &stage->start, error) &&
         read_count (json, "stop", &stage->stop, error);
}

static void
strip_part (Run *run, const char *text, gsize length)
{
  const Stage *stage = run->stage;

  for (gsize i = 0; i < length;)
    {
      gsize n = peft_text_char_length (text + i);
      gboolean same = g_utf8_get_char (text + i) == stage->character;

      if (!run->inside && same && run->count < stage->start)
        run->count++;
      else if (same && stage->stop > 0)
        {
          run->inside = TRUE;
          g_string_append_len (run->held, text + i, n);
        }
      else
        {
          run->inside = TRUE;
          send_part (run, run->held->str, run->held->len);
          g_string_truncate (run->held, 0);
          send_part (run, text + i, n);
        }
      i += n;
    }
}

static void
strip_end (Run *run)
{
  gsize n = run->held->len > 0 ? peft_text_char_length (run->held->str) : 1;
  gsize kept = run->held->len / n;

  kept -= MIN (kept, run->stage->stop);
  send_part (run, run->held->str, kept * n);
  g_string_truncate (run->held, 0);
  run->inside = FALSE;
  run->count = 0;
  send_end (run);
}

static gboolean
parse_metaspace (Stage *stage, const PeftJson *json, GError **error)
{
  const char *scheme = NULL;
  gboolean prefix;

  if (!peft_text_json_char (json, "replacement", &stage->character, error) ||
      !peft_json_read_string (json, "prepend_scheme", &scheme, error) ||
      !peft_text_json_boolean (json, "add_prefix_space", TRUE, &prefix, error))
    return FALSE;
  stage->drop_first = scheme != NULL ? strcmp (scheme, "never") != 0 : prefix;
  return TRUE;
}

static void
metaspace_part (Run *run, const char *text, gsize length)
{
  gsize done = 0;

  for (gsize i = 0; i < length;)
    {
      gsize n = peft_text_char_length (text + i);

      if (g_utf8_get_char (text + i) == run->stage->character)
        {
          send_part (run, text + done, i - done);
          if (run->n_tokens > 0 || !run->stage->drop_first)
            send_part (run, " ", 1);
          done = i + n;
        }
      i += n;
    }
  send_part (run, text + done, length - done);
}

static void
metaspace_end (Run *run)
{
  run->n_tokens++;
  send_end (run);
}

/* BPEDecoder: the suffix becomes a space, but for the last token's, which goes. */
static gboolean
parse_bpe (Stage *stage, const PeftJson *json, GError **error)
{
  const char *suffix = peft_text_json_string (json, "suffix", &stage->pattern_length, error);

  if (suffix == NULL)
    return FALSE;
  stage->pattern = g_memdup2 (suffix, stage->pattern_length + 1);
  return TRUE;
}

static void
bpe_flush (Run *run, const char *content)
{
  const char *text = run->bytes->str;
  gsize length = run->bytes->len, done = 0;
  const char *found;

  if (run->n_tokens == 0)
    return;
  while (run->stage->pattern_length > 0 &&
         (found = memmem (text + done, length - done, run->stage->pattern,
                          run->stage->pattern_length)))
    {
      send_part (run, text + done, found - text - done);
      send_part (run, content, strlen (content));
      done = found - text + run->stage->pattern_length;
    }
  send_part (run, text + done, length - done);
  send_end (run);
}

static void
bpe_end (Run *run)
{
  bpe_flush (run, " ");
  run->n_tokens++;
  g_string_assign (run->bytes, "");
  g_string_append_len (run->bytes, run->held->str, run->held->len);
  g_string_truncate (run->held, 0);
}

static void
bpe_finish (Run *run)
{
  bpe_flush (run, "");
  send_finish (run);
}

static const StageClass classes[] = {
  { "BPEDecoder", parse_bpe, hold_part, bpe_end, bpe_finish },
  { "ByteFallback", parse_nothing, hold_part, byte_fallback_end, byte_fallback_finish },
  { "ByteLevel", parse_nothing, hold_part, byte_level_end, byte_level_finish },
  { "Fuse", parse_nothing, send_part, fuse_end, fuse_finish },
  { "Metaspace", parse_metaspace, metaspace_part, metaspace_end, send_finish },
  { "Replace", parse_replace, replace_part, replace_end, send_finish },
  { "Strip", parse_strip, strip_part, strip_end, send_finish },
};
static const StageClass join_class = { NULL, NULL, join_part, join_end, fuse_finish };

static void
stage_free (gpointer data)
{
  Stage *stage = data;

  g_free (stage->pattern);
  g_free (stage->content);
  peft_regex_free (stage->regex);
  g_free (stage);
}

static Stage *
add_stage (PeftTokenDecoder *self, const StageClass *klass)
{
  Stage *stage = g_new0 (Stage, 1);

  stage->klass = klass;
  g_ptr_array_add (self->stages, stage);
  return stage;
}

static const StageClass *
find_class (const char *type)
{
  for (gsize i = 0; i < G_N_ELEMENTS (classes); i++)
    if (strcmp (type, classes[i].type) == 0)
      return &classes[i];
  return NULL;
}

static gboolean
add_stages (PeftTokenDecoder *self, const PeftJson *json, guint depth, GError **error)
{
  const char *type = peft_text_json_type (json, error);
  const StageClass *klass;
  PeftJson *parts;

  if (type == NULL)
    return FALSE;
  if (self->stages->len >= PEFT_TEXT_MAX_PARTS)
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_LIMIT, _("at most %u parts are allowed"),
                   PEFT_TEXT_MAX_PARTS);
      return FALSE;
    }
  klass = find_class (type);
  if (klass != NULL)
    return klass->parse (add_stage (self, klass), json, error);
  if (strcmp (type, "Sequence") != 0)
    {
      peft_text_json_unknown (type, _("decoder"), error);
      return FALSE;
    }
  parts = peft_text_json_parts (json, "decoders", depth, error);
  if (parts == NULL)
    return FALSE;
  for (gsize i = 0; i < peft_json_get_length (parts); i++)
    if (!add_stages (self, peft_json_get_element (parts, i), depth + 1, error))
      {
        g_prefix_error (error, "decoders[%zu]: ", i);
        return FALSE;
      }
  return TRUE;
}

PeftTokenDecoder *
peft_token_decoder_new_from_json (const PeftJson *json, GError **error)
{
  g_autoptr (PeftTokenDecoder) self = g_new0 (PeftTokenDecoder, 1);

  self->stages = g_ptr_array_new_with_free_func (stage_free);
  if (json == NULL || peft_json_get_kind (json) == PEFT_JSON_NULL)
    add_stage (self, &join_class);
  else if (!add_stages (self, json, 0, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
peft_token_decoder_free (PeftTokenDecoder *self)
{
  if (self == NULL)
    return;
  g_ptr_array_unref (self->stages);
  g_free (self);
}

void
peft_token_decoder_add_clean_up (PeftTokenDecoder *self)
{
  static const char *const pairs[][2] = {
    { " .", "." },     { " ?", "?" },   { " !", "!" },   { " ,", "," },     { " ' ", "'" },
    { " n't", "n't" }, { " 'm", "'m" }, { " 's", "'s" }, { " 've", "'ve" }, { " 're", "'re" },
  };

  add_stage (self, find_class ("Fuse"));
  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++)
    {
      Stage *stage = add_stage (self, find_class ("Replace"));

      stage->pattern = g_strdup (pairs[i][0]);
      stage->pattern_length = strlen (stage->pattern);
      stage->content = g_strdup (pairs[i][1]);
      stage->content_length = strlen (stage->content);
    }
}

PeftDecoding *
peft_decoding_new (const PeftTokenDecoder *decoder)
{
  PeftDecoding *self = g_new0 (PeftDecoding, 1);

  self->n = decoder->stages->len + 1;
  self->runs = g_new0 (Run, self->n);
  for (guint i = 0; i < self->n; i++)
    {
      Run *run = &self->runs[i];

      run->held = g_string_new (NULL);
      run->bytes = g_string_new (NULL);
      if (i + 1 == self->n)
        break;
      run->stage = decoder->stages->pdata[i];
      run->next = run + 1;
      if (run->stage->regex != NULL)
        run->scratch = peft_regex_scratch_new ();
    }
  return self;
}

void
peft_decoding_free (PeftDecoding *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->n; i++)
    {
      g_string_free (self->runs[i].held, TRUE);
      g_string_free (self->runs[i].bytes, TRUE);
      peft_regex_scratch_free (self->runs[i].scratch);
      g_clear_error (&self->runs[i].error);
    }
  g_free (self->runs);
  g_free (self);
}

static gboolean
take_output (PeftDecoding *self, GString *out, GError **error)
{
  GString *made = self->runs[self->n - 1].held;

  for (guint i = 0; i < self->n; i++)
    if (self->runs[i].error != NULL)
      {
        g_propagate_error (error, g_error_copy (self->runs[i].error));
        return FALSE;
      }
  g_string_append_len (out, made->str, made->len);
  g_string_truncate (made, 0);
  return TRUE;
}

gboolean
peft_decoding_push (PeftDecoding *self, const char *token, gsize length, GString *out,
                    GError **error)
{
  Run source = { .next = self->runs };

  send_part (&source, token, length);
  send_end (&source);
  return take_output (self, out, error);
}

gboolean
peft_decoding_finish (PeftDecoding *self, GString *out, GError **error)
{
  Run source = { .next = self->runs };

  send_finish (&source);
  return take_output (self, out, error);
}
