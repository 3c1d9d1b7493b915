/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "train/peft-generate-pass.h"

#include <string.h>

#include "nn/peft-nodes.h"

struct _PeftGeneratePass
{
  PeftCore *core;
  PeftKvCache *cache;
  gint64 batch, capacity; /* of the cache */
  PeftArena *arena;
  gsize reserved;
  PeftBackend *plan;
  GHashTable *planned; /* 4 · length + 2 · virtual + cached → peak; for the current batch */
  PeftTensor *ids, *positions, *segments, *k_segments, *last_rows, *task_ids;
  gint32 *host_segments; /* [batch, capacity] of what the cache holds */
  gint32 *packed;        /* the first columns of them */
};

PeftGeneratePass *
peft_generate_pass_new (PeftCore *core)
{
  PeftGeneratePass *self = g_new0 (PeftGeneratePass, 1);

  self->core = peft_core_ref (core);
  self->plan = peft_plan_backend_new (core->backend);
  self->planned = g_hash_table_new (NULL, NULL);
  return self;
}

static void
clear_tensors (PeftGeneratePass *self)
{
  g_clear_pointer (&self->ids, peft_tensor_unref);
  g_clear_pointer (&self->positions, peft_tensor_unref);
  g_clear_pointer (&self->segments, peft_tensor_unref);
  g_clear_pointer (&self->k_segments, peft_tensor_unref);
  g_clear_pointer (&self->last_rows, peft_tensor_unref);
  g_clear_pointer (&self->task_ids, peft_tensor_unref);
}

void
peft_generate_pass_free (PeftGeneratePass *self)
{
  clear_tensors (self);
  g_clear_pointer (&self->cache, peft_kv_cache_free);
  g_clear_pointer (&self->arena, peft_arena_unref);
  g_hash_table_unref (self->planned);
  peft_backend_unref (self->plan);
  g_free (self->host_segments);
  g_free (self->packed);
  peft_core_unref (self->core);
  g_free (self);
}

static PeftTensor *
part_of (PeftTensor *tensor, guint n_dims, gint64 d0, gint64 d1)
{
  const gint64 shape[2] = { d0, d1 };
  PeftView view;

  peft_view_init (&view, tensor->view.buffer, tensor->view.offset, PEFT_DTYPE_I32, n_dims, shape);
  return peft_tensor_derive (tensor, &view);
}

typedef struct
{
  PeftTensor *ids, *positions, *segments, *k_segments, *last_rows, *task_ids;
} PassTensors;

/* Tokens that the cache has, behind what an adapter puts in front. */
static gint64
count_past (PeftGeneratePass *self, const PeftGenerateShape *shape)
{
  return shape->cached ? MAX (peft_kv_cache_get_length (self->cache) - peft_core_get_n_prefix (self->core), 0) : 0;
}

/* The same for planning and for real. Returns the logits of the last rows, NULL with an error. */
static PeftTensor *
forward (PeftGeneratePass *self, PeftArena *arena, const PassTensors *t,
         const PeftGenerateShape *shape, gboolean padded, gint64 max_position, GError **error)
{
  const gint64 length = shape->length;
  const gboolean has_tasks = self->core->hook != NULL && self->core->hook->n_tasks > 0;
  const PeftTapeOptions options = { .arena = arena, .compute = self->core->compute };
  const gint64 keys = count_past (self, shape) + length;
  g_autoptr (PeftTensor) ids = part_of (t->ids, 1, self->batch * (length - shape->n_virtual), 0);
  g_autoptr (PeftTensor) positions = part_of (t->positions, 2, self->batch, length);
  g_autoptr (PeftTensor) segments = padded ? part_of (t->segments, 2, self->batch, length) : NULL;
  g_autoptr (PeftTensor) k_segments = padded ? part_of (t->k_segments, 2, self->batch, keys) : NULL;
  const PeftForward call = {
    .batch = self->batch,
    .length = length,
    .n_virtual = shape->n_virtual,
    .ids = ids,
    .task_ids = has_tasks ? t->task_ids : NULL,
    .positions = positions,
    .segments = segments,
    .k_segments = k_segments,
    .cache = shape->cached ? self->cache : NULL,
    .max_position = max_position,
  };
  g_autoptr (PeftTape) tape = peft_tape_new (&options);
  g_autoptr (PeftVar) hidden = peft_core_forward (self->core, tape, &call);
  g_autoptr (PeftVar) last = peft_nn_gather_rows (tape, hidden, t->last_rows);
  g_autoptr (PeftVar) logits = NULL;

  g_clear_pointer (&hidden, peft_var_unref);
  logits = peft_core_head (tape, &last, self->core);
  if (!peft_tape_check (tape, error) || !peft_backend_sync (tape->backend, error))
    return NULL;
  return peft_tensor_ref (logits->value);
}

static gboolean
allocate_tensors (PassTensors *t, PeftBackend *backend, gint64 batch, gint64 n_tokens,
                  gint64 n_keys, GError **error)
{
  const struct
  {
    PeftTensor **tensor;
    gint64 length;
  } wanted[] = {
    { &t->ids, n_tokens }, { &t->positions, n_tokens }, { &t->segments, n_tokens },
    { &t->k_segments, n_keys }, { &t->last_rows, batch }, { &t->task_ids, batch },
  };

  for (guint i = 0; i < G_N_ELEMENTS (wanted); i++)
    {
      *wanted[i].tensor = peft_tensor_new_on (backend, PEFT_DTYPE_I32, 1, &wanted[i].length, error);
      if (*wanted[i].tensor == NULL)
        return FALSE;
    }
  return TRUE;
}

static void
free_tensors (PassTensors *t)
{
  g_clear_pointer (&t->ids, peft_tensor_unref);
  g_clear_pointer (&t->positions, peft_tensor_unref);
  g_clear_pointer (&t->segments, peft_tensor_unref);
  g_clear_pointer (&t->k_segments, peft_tensor_unref);
  g_clear_pointer (&t->last_rows, peft_tensor_unref);
  g_clear_pointer (&t->task_ids, peft_tensor_unref);
}

/* Measures a pass; the cache's memory is not the arena's, so how full it is does not
 * matter. */
static gboolean
plan_shape (PeftGeneratePass *self, const PeftGenerateShape *shape, gsize *peak, GError **error)
{
  const gint64 length = shape->length;
  gpointer key
      = GSIZE_TO_POINTER (4 * length + (shape->n_virtual > 0 ? 2 : 0) + (shape->cached ? 1 : 0));
  gpointer known = g_hash_table_lookup (self->planned, key);
  gint64 before = peft_kv_cache_get_length (self->cache);
  PassTensors tensors = { NULL };
  g_autoptr (PeftArena) arena = NULL;
  g_autoptr (PeftTensor) logits = NULL;

  if (known != NULL)
    {
      *peak = MAX (*peak, GPOINTER_TO_SIZE (known));
      return TRUE;
    }
  arena = peft_arena_new (self->plan, 0, error);
  if (arena == NULL)
    return FALSE;
  peft_kv_cache_set_length (self->cache, 0);
  if (allocate_tensors (&tensors, self->plan, self->batch, self->batch * length,
                        self->batch * length, error))
    logits = forward (self, arena, &tensors, shape, TRUE, length, error);
  free_tensors (&tensors);
  peft_kv_cache_set_length (self->cache, before);
  if (logits == NULL)
    return FALSE;
  g_hash_table_insert (self->planned, key, GSIZE_TO_POINTER (peft_arena_get_peak (arena)));
  *peak = MAX (*peak, peft_arena_get_peak (arena));
  return TRUE;
}

static gboolean
grow_cache (PeftGeneratePass *self, gint64 batch, gint64 capacity, gboolean *kept, GError **error)
{
  PassTensors tensors = { NULL };

  *kept = self->cache != NULL && batch == self->batch && capacity <= self->capacity;
  if (*kept)
    return TRUE;
  g_clear_pointer (&self->cache, peft_kv_cache_free);
  clear_tensors (self);
  g_hash_table_remove_all (self->planned);
  self->batch = self->capacity = 0;
  self->cache = peft_kv_cache_new (self->core, batch, capacity, error);
  if (self->cache == NULL)
    return FALSE;
  if (!allocate_tensors (&tensors, self->core->backend, batch, batch * capacity,
                         batch * capacity, error))
    {
      free_tensors (&tensors);
      g_clear_pointer (&self->cache, peft_kv_cache_free);
      return FALSE;
    }
  self->ids = tensors.ids;
  self->positions = tensors.positions;
  self->segments = tensors.segments;
  self->k_segments = tensors.k_segments;
  self->last_rows = tensors.last_rows;
  self->task_ids = tensors.task_ids;
  self->batch = batch;
  self->capacity = capacity;
  self->host_segments = g_renew (gint32, self->host_segments, batch * capacity);
  self->packed = g_renew (gint32, self->packed, batch * capacity);
  return TRUE;
}

gboolean
peft_generate_pass_reserve (PeftGeneratePass *self, gint64 batch, gint64 capacity, gboolean *kept,
                            GError **error)
{
  /* The table of rotations grows by itself, but not while tokens are waited for. */
  if (self->core->dims.rope.kind != PEFT_ROPE_DYNAMIC
      && !peft_core_prepare_rope (self->core, capacity, error))
    return FALSE;
  return grow_cache (self, batch, capacity, kept, error);
}

gboolean
peft_generate_pass_plan (PeftGeneratePass *self, const PeftGenerateShape *shape, GError **error)
{
  gsize peak = self->reserved;

  if (!plan_shape (self, shape, &peak, error))
    return FALSE;
  if (peak == self->reserved)
    return TRUE;
  g_clear_pointer (&self->arena, peft_arena_unref);
  self->reserved = 0;
  self->arena = peft_arena_new (self->core->backend, peak, error);
  if (self->arena == NULL)
    return FALSE;
  self->reserved = peak;
  return TRUE;
}

void
peft_generate_pass_reset (PeftGeneratePass *self)
{
  g_hash_table_remove_all (self->planned);
}

PeftKvCache *
peft_generate_pass_get_cache (PeftGeneratePass *self)
{
  return self->cache;
}

void
peft_generate_pass_cut (PeftGeneratePass *self, gint64 length)
{
  if (self->cache != NULL)
    peft_kv_cache_set_length (self->cache, length);
}

static void
upload (PeftTensor *tensor, const gint32 *values, gsize n)
{
  peft_buffer_upload (tensor->view.buffer, tensor->view.offset, values, n * sizeof (gint32));
}

/* Which keys each line sees: those of the cache and the new ones, without gaps between the lines. */
static void
upload_key_segments (PeftGeneratePass *self, gint64 past, gint64 length)
{
  for (gint64 b = 0; b < self->batch; b++)
    memcpy (self->packed + b * (past + length), self->host_segments + b * self->capacity,
            (past + length) * sizeof (gint32));
  upload (self->k_segments, self->packed, self->batch * (past + length));
}

gboolean
peft_generate_pass_run (PeftGeneratePass *self, const PeftGenerateShape *shape, const gint32 *ids,
                        const gint32 *positions, const gint32 *segments, gboolean padded,
                        gint32 task, float *logits, GError **error)
{
  const PassTensors tensors = {
    self->ids, self->positions, self->segments, self->k_segments, self->last_rows, self->task_ids,
  };
  const gint64 length = shape->length;
  const gint64 past = count_past (self, shape);
  gint64 max_position = 1;
  g_autoptr (PeftTensor) result = NULL;

  g_assert (past + length <= self->capacity);
  for (gint64 i = 0; i < self->batch * length; i++)
    max_position = MAX (max_position, positions[i] + 1);
  upload (self->ids, ids, self->batch * (length - shape->n_virtual));
  upload (self->positions, positions, self->batch * length);
  upload (self->segments, segments, self->batch * length);
  for (gint64 b = 0; b < self->batch; b++)
    {
      memcpy (self->host_segments + b * self->capacity + past, segments + b * length,
              length * sizeof (gint32));
      self->packed[b] = (b + 1) * length - 1;
    }
  upload (self->last_rows, self->packed, self->batch);
  for (gint64 b = 0; b < self->batch; b++)
    self->packed[b] = task;
  upload (self->task_ids, self->packed, self->batch);
  if (padded)
    upload_key_segments (self, past, length);
  result = forward (self, self->arena, &tensors, shape, padded, max_position, error);
  if (result == NULL)
    return FALSE;
  if (logits != NULL)
    peft_tensor_download_f32 (result, logits);
  return TRUE;
}
