/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>

#include "base/peft-json.h"
#include "models/peft-core.h"

/* The trained model stories260K against the float64 results that lie beside it. */

#define N_GREEDY 100

static char *
find_stories (void)
{
  const char *shared = g_getenv ("PEFT_SHARED");
  g_autofree char *path
      = shared != NULL ? g_build_filename (shared, "models", "stories260k", NULL)
                       : g_build_filename (g_getenv ("PEFT_TEST_ROOT"), "..", "shared", "models",
                                           "stories260k", NULL);

  return g_file_test (path, G_FILE_TEST_IS_DIR) ? g_steal_pointer (&path) : NULL;
}

static PeftTensor *
ints (PeftCore *core, guint n_dims, const gint64 *shape, const gint32 *values)
{
  g_autoptr (GError) error = NULL;
  PeftTensor *tensor = peft_tensor_new_on (core->backend, PEFT_DTYPE_I32, n_dims, shape, &error);

  g_assert_no_error (error);
  peft_tensor_upload_i32 (tensor, values);
  return tensor;
}

/* Logits of the last position; with a cache only ids from `start` on are run. */
static void
last_logits (PeftCore *core, PeftArena *arena, PeftKvCache *cache, const gint32 *ids, gint64 start,
             gint64 n, float *out)
{
  g_autoptr (GError) error = NULL;
  PeftTapeOptions options = { .arena = arena, .compute = core->compute };
  g_autoptr (PeftTape) tape = peft_tape_new (&options);
  gint64 length = n - start, last = length - 1, one = 1;
  g_autofree gint32 *positions = g_new (gint32, length);
  g_autoptr (PeftTensor) id_tensor = ints (core, 1, &length, ids + start);
  g_autoptr (PeftTensor) row = ints (core, 1, &one, (gint32[]){ last });
  PeftForward forward = { .batch = 1, .length = length, .ids = id_tensor, .cache = cache, .max_position = n };
  g_autoptr (PeftVar) hidden = NULL;
  g_autoptr (PeftVar) picked = NULL;
  g_autoptr (PeftVar) logits = NULL;

  for (gint64 i = 0; i < length; i++)
    positions[i] = start + i;
  forward.positions = ints (core, 2, (gint64[]){ 1, length }, positions);
  hidden = peft_core_forward (core, tape, &forward);
  picked = peft_nn_gather_rows (tape, hidden, row);
  logits = peft_core_head (tape, &picked, core);
  g_assert_true (peft_tape_check (tape, &error));
  g_assert_no_error (error);
  peft_tensor_download_f32 (logits->value, out);
  peft_tensor_unref (forward.positions);
}

static gint32
argmax (const float *values, gsize n)
{
  gsize best = 0;

  for (gsize i = 1; i < n; i++)
    if (values[i] > values[best])
      best = i;
  return best;
}

static void
check_line (PeftCore *core, PeftArena *arena, PeftJson *line, gboolean greedy)
{
  g_autoptr (GError) error = NULL;
  const PeftJson *input = peft_json_get_member (line, "input_ids");
  const PeftJson *expected = peft_json_get_member (line, "logits_last");
  const PeftJson *next = peft_json_get_member (line, "greedy_ids");
  g_autoptr (PeftKvCache) cache = NULL;
  gint32 ids[512];
  float logits[512];
  gsize n = peft_json_get_length (input);
  gint64 value;

  for (gsize i = 0; i < n; i++)
    {
      peft_json_get_int (peft_json_get_element (input, i), &value);
      ids[i] = value;
    }
  last_logits (core, arena, NULL, ids, 0, n, logits);
  for (gsize i = 0; i < 512; i++)
    {
      double want;

      peft_json_get_double (peft_json_get_element (expected, i), &want);
      g_assert_cmpfloat_with_epsilon (logits[i], want, 1e-4);
    }
  if (!greedy)
    return;
  cache = peft_kv_cache_new (core, 1, n + N_GREEDY, &error);
  g_assert_no_error (error);
  for (gsize i = 0; i < N_GREEDY; i++)
    {
      last_logits (core, arena, cache, ids, i == 0 ? 0 : n - 1, n, logits);
      peft_json_get_int (peft_json_get_element (next, i), &value);
      g_assert_cmpint (argmax (logits, 512), ==, value);
      ids[n++] = value;
    }
}

static void
test_stories (gconstpointer device)
{
  g_autofree char *folder = find_stories ();
  g_autofree char *lines_path = NULL;
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftBackend) backend = NULL;
  g_autoptr (PeftCore) core = NULL;
  g_autoptr (PeftArena) arena = NULL;

  if (folder == NULL)
    {
      g_test_skip ("shared/models/stories260k is not there");
      return;
    }
  backend = peft_backend_open (device, 2, &error);
  g_assert_no_error (error);
  core = peft_core_load (folder, backend, PEFT_LOAD_FLOAT32, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (peft_core_get_n_parameters (core), ==, 260032);
  arena = peft_arena_new (backend, 64 << 20, &error);
  g_assert_no_error (error);
  lines_path = g_build_filename (folder, "reference.jsonl", NULL);
  g_file_get_contents (lines_path, &text, NULL, &error);
  g_assert_no_error (error);
  lines = g_strsplit (g_strchomp (text), "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_autoptr (PeftJson) line = peft_json_parse (lines[i], -1, 0, &error);

      g_assert_no_error (error);
      check_line (core, arena, line, g_str_equal (device, "cpu") || i == 0);
    }
  g_assert_cmpuint (peft_arena_get_in_use (arena), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/Peft/Llama/stories260k/reference", "reference", test_stories);
  g_test_add_data_func ("/Peft/Llama/stories260k/cpu", "cpu", test_stories);
  return g_test_run ();
}
