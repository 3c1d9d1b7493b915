/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-memory.h"

#include <glib/gi18n-lib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/peft-error.h"

/* ---- The machine --------------------------------------------------------------------------- */

static guint64
read_limit (const char *path)
{
  g_autofree char *text = NULL;
  guint64 value = G_MAXUINT64;

  if (g_file_get_contents (path, &text, NULL, NULL)
      && g_ascii_string_to_unsigned (g_strstrip (text), 10, 0, G_MAXUINT64, &value, NULL))
    return value;
  return G_MAXUINT64;
}

/* Pages of files in the group count as used there, though they can be taken back. */
static guint64
group_available (const char *folder)
{
  g_autofree char *max = g_build_filename (folder, "memory.max", NULL);
  g_autofree char *current = g_build_filename (folder, "memory.current", NULL);
  g_autofree char *stat = g_build_filename (folder, "memory.stat", NULL);
  g_autofree char *text = NULL;
  guint64 limit = read_limit (max), used = read_limit (current), cache = 0;
  const char *line;

  if (limit == G_MAXUINT64 || used == G_MAXUINT64)
    return G_MAXUINT64;
  if (g_file_get_contents (stat, &text, NULL, NULL)
      && (line = strstr (text, "\ninactive_file ")) != NULL)
    cache = g_ascii_strtoull (line + strlen ("\ninactive_file "), NULL, 10);
  used -= MIN (cache, used);
  return limit - MIN (used, limit);
}

/* Of this process's control group (version 2) and those that it is in. */
static guint64
groups_available (void)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  guint64 available = G_MAXUINT64;

  if (!g_file_get_contents ("/proc/self/cgroup", &text, NULL, NULL))
    return available;
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_autofree char *path = NULL;

      if (!g_str_has_prefix (lines[i], "0::/"))
        continue;
      path = g_strdup (lines[i] + strlen ("0::"));
      for (;;)
        {
          g_autofree char *folder = g_build_filename ("/sys/fs/cgroup", path, NULL);
          char *slash = strrchr (path, '/');

          available = MIN (available, group_available (folder));
          if (slash == NULL)
            break;
          *slash = '\0';
        }
    }
  return available;
}

guint64
peft_memory_get_available (void)
{
  g_autofree char *text = NULL;
  long pages = sysconf (_SC_AVPHYS_PAGES), size = sysconf (_SC_PAGESIZE);
  guint64 available = pages > 0 && size > 0 ? (guint64) pages * (guint64) size : 0;
  const char *line;

  /* Free pages alone leave out what the page cache would give back. */
  if (g_file_get_contents ("/proc/meminfo", &text, NULL, NULL)
      && (line = strstr (text, "MemAvailable:")) != NULL)
    available = g_ascii_strtoull (line + strlen ("MemAvailable:"), NULL, 10) * 1024;
  return MIN (available, groups_available ());
}

guint64
peft_memory_get_peak (void)
{
  struct rusage usage;

  return getrusage (RUSAGE_SELF, &usage) == 0 ? (guint64) usage.ru_maxrss * 1024 : 0;
}

/* ---- Choosing ------------------------------------------------------------------------------ */

static gboolean
measure (PeftEngine *engine, guint32 length, gsize n_state, guint32 batch,
         gboolean checkpointing, PeftMemoryPlan *plan, GError **error)
{
  const PeftPass pass = {
    .batch = batch, .length = length, .n_labels = batch * length,
    .gradients = TRUE, .checkpointing = checkpointing, .training = TRUE, .extra_loss = TRUE,
  };
  return peft_engine_measure (engine, &pass, n_state, plan, error);
}

gboolean
peft_memory_choose (PeftEngine *engine, guint32 length, gsize n_state, guint64 available,
                    guint32 *batch_size, guint32 *micro_batch, PeftCheckpointing *checkpointing,
                    PeftMemoryPlan *plan, GError **error)
{
  const guint64 budget = (guint64) (available * PEFT_MEMORY_SHARE);
  const guint32 wished = *batch_size > 0 ? *batch_size : PEFT_MEMORY_AUTO_BATCH;
  const gboolean first = *checkpointing == PEFT_CHECKPOINTING_ON;
  const gboolean last = *checkpointing != PEFT_CHECKPOINTING_OFF;
  guint32 largest = *micro_batch;
  gboolean found = FALSE;

  if (largest == 0)
    largest = MAX (PEFT_MEMORY_MICRO_TOKENS / MAX (length, 1), 1);
  largest = MIN (largest, wished);

  for (gboolean on = first; on <= last && !found; on++)
    for (guint32 micro = largest;; micro = (micro + 1) / 2)
      {
        if (!measure (engine, length, n_state, micro, on, plan, error))
          return FALSE;
        /* A micro-batch that was asked for is taken when it fits at all. */
        found = plan->total <= (*micro_batch > 0 && on == last ? available : budget);
        if (found || micro == 1 || *micro_batch > 0)
          {
            largest = found ? micro : largest;
            *checkpointing = on ? PEFT_CHECKPOINTING_ON : PEFT_CHECKPOINTING_OFF;
            break;
          }
      }
  if (!found && plan->total > available)
    {
      g_autofree char *needed = g_format_size_full (plan->total, G_FORMAT_SIZE_IEC_UNITS);
      g_autofree char *there = g_format_size_full (available, G_FORMAT_SIZE_IEC_UNITS);

      g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY,
                   _ ("rows of %u tokens need %s of memory, of which %s are available; a smaller "
                      "maximum length or rank needs less"),
                   length, needed, there);
      return FALSE;
    }
  if (!found && *micro_batch == 0)
    largest = 1;
  *micro_batch = largest;
  if (*batch_size == 0)
    *batch_size = PEFT_MEMORY_AUTO_BATCH;
  return TRUE;
}
