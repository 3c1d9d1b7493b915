/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <inttypes.h>
#include <errno.h>
#include <glib/gi18n-lib.h>
#include <string.h>

#include "formats/peft-safetensors-writer.h"
#include "formats/peft-safetensors.h"
#include "methods/peft-adapter-private.h"
#include "methods/peft-adapter-task.h"
#include "methods/peft-config-private.h"
#include "methods/peft-pattern.h"
#include "methods/peft-weight-tying.h"

/* Adapters from and to folders in the layout of the Python library peft. */

#define CONFIG_FILE "adapter_config.json"
#define WEIGHTS_FILE "adapter_model.safetensors"
#define PICKLE_FILE "adapter_model.bin"
#define MAX_LISTED 5

/* Names under which peft looks for embeddings among the targets. */
static gboolean
is_embedding_name (const char *name)
{
  return g_str_equal (name, "embed_tokens") || g_str_equal (name, "lm_head");
}

static gboolean
targets_embeddings (PeftAdapter *self)
{
  const PeftJson *targets;
  g_autoptr (PeftPattern) pattern = NULL;

  if (self->method->slot_kinds == 0)
    return FALSE;
  targets = peft_config_get_json (self->config, "target_modules");
  if (peft_json_get_kind (targets) == PEFT_JSON_ARRAY)
    {
      for (gsize i = 0; i < peft_json_get_length (targets); i++)
        if (is_embedding_name (peft_json_get_string (peft_json_get_element (targets, i))))
          return TRUE;
      return FALSE;
    }
  pattern = peft_pattern_new (peft_json_get_string (targets), PEFT_PATTERN_FULL, NULL);
  for (guint i = 0; pattern != NULL && i < self->core->slots->len; i++)
    {
      const char *path = ((PeftSlot *) self->core->slots->pdata[i])->path;
      const char *dot = strrchr (path, '.');
      gboolean matched = FALSE;

      if (is_embedding_name (dot != NULL ? dot + 1 : path)
          && peft_pattern_test (pattern, path, &matched, NULL) && matched)
        return TRUE;
    }
  return FALSE;
}

/* With trained token rows peft never saves the table. */
static gboolean
trains_token_rows (PeftAdapter *self)
{
  static const char field[] = "trainable_token_indices";

  return peft_config_class_find_field (PEFT_CONFIG_GET_CLASS (self->config), field) != NULL
         && peft_json_get_kind (peft_config_get_json (self->config, field)) != PEFT_JSON_NULL;
}

gboolean
peft_adapter_saves_base (PeftAdapter *self, PeftSlot *slot)
{
  return (slot == self->core->embedding || slot == self->core->head)
         && !trains_token_rows (self)
         && peft_adapter_has_hook (self, slot) && targets_embeddings (self);
}

static char *
base_key (PeftSlot *slot)
{
  return g_strconcat (PEFT_ADAPTER_PREFIX, slot->path, PEFT_BASE_LAYER ".weight", NULL);
}

/* ---- Saving -------------------------------------------------------------------------------- */

PeftDType
peft_slot_get_file_dtype (PeftSlot *slot)
{
  PeftDType dtype = slot->weight->view.dtype;

  return dtype == PEFT_DTYPE_F16 || dtype == PEFT_DTYPE_BF16 ? dtype : PEFT_DTYPE_F32;
}

static GHashTable *
list_base_weights (PeftAdapter *self)
{
  GHashTable *weights = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  PeftSlot *slots[] = { self->core->embedding, self->core->head };

  for (guint i = 0; i < G_N_ELEMENTS (slots); i++)
    if (slots[i] != NULL && peft_adapter_saves_base (self, slots[i]))
      {
        g_autofree char *key = base_key (slots[i]);

        if (peft_param_set_find (self->params, key) == NULL)
          g_hash_table_insert (weights, g_steal_pointer (&key), slots[i]);
      }
  return weights;
}

static gboolean
declare_tensor (PeftSafetensorsWriter *writer,
                const char *key,
                PeftDType dtype,
                const gint64 *shape,
                guint n_dims,
                GError **error)
{
  guint64 unsigned_shape[PEFT_MAX_DIMS];

  for (guint i = 0; i < n_dims; i++)
    unsigned_shape[i] = (guint64) shape[i];
  return peft_safetensors_writer_add (writer, key, dtype, unsigned_shape, n_dims, error);
}

static gboolean
write_tensor (PeftAdapter *self,
              PeftSafetensorsWriter *writer,
              const PeftTensorEntry *entry,
              GHashTable *base_weights,
              GHashTable *exported,
              GError **error)
{
  const PeftAdapterTensor *own = g_hash_table_lookup (exported, entry->name);
  PeftParam *param = peft_param_set_find (self->params, entry->name);
  PeftSlot *slot = g_hash_table_lookup (base_weights, entry->name);
  guint64 n = peft_tensor_entry_get_n_values (entry);
  g_autofree float *values = NULL;
  g_autofree guint8 *converted = NULL;
  guint64 n_bytes;

  if (own != NULL)
    return peft_safetensors_writer_write (writer, entry->name, own->values, n * sizeof (float),
                                          error);
  if (param != NULL)
    values = peft_param_dup_values (param);
  else
    values = peft_slot_read (slot, slot->weight, NULL, error);
  if (values == NULL)
    return FALSE;
  if (entry->dtype == PEFT_DTYPE_F32)
    return peft_safetensors_writer_write (writer, entry->name, values, n * sizeof (float), error);
  peft_dtype_bytes (entry->dtype, n, &n_bytes);
  converted = g_malloc (n_bytes);
  peft_dtype_get_info (entry->dtype)->from_f32 (values, converted, n);
  return peft_safetensors_writer_write (writer, entry->name, converted, n_bytes, error);
}

/* extra: PeftAdapterTensor, in place of parameters with their keys. */
static gboolean
save_weights (PeftAdapter *self, const char *path, GPtrArray *extra, GError **error)
{
  g_autoptr (PeftSafetensorsWriter) writer = peft_safetensors_writer_new ();
  g_autoptr (GHashTable) base_weights = list_base_weights (self);
  g_autoptr (GHashTable) exported = g_hash_table_new (g_str_hash, g_str_equal);
  GHashTableIter iter;
  gpointer key, value;

  for (guint i = 0; i < extra->len; i++)
    {
      PeftAdapterTensor *tensor = extra->pdata[i];

      g_hash_table_insert (exported, tensor->key, tensor);
      if (!declare_tensor (writer, tensor->key, PEFT_DTYPE_F32, tensor->shape, tensor->n_dims,
                           error))
        return FALSE;
    }
  for (guint i = 0; i < peft_param_set_get_n (self->params); i++)
    {
      PeftParam *param = peft_param_set_get (self->params, i);

      if (param->saved && !g_hash_table_contains (exported, param->key)
          && !declare_tensor (writer, param->key, param->file_dtype, param->shape, param->n_dims,
                              error))
        return FALSE;
    }
  g_hash_table_iter_init (&iter, base_weights);
  while (g_hash_table_iter_next (&iter, &key, &value))
    {
      PeftSlot *slot = value;

      if (!declare_tensor (writer, key, peft_slot_get_file_dtype (slot), slot->weight->view.shape,
                           slot->weight->view.n_dims, error))
        return FALSE;
    }
  peft_safetensors_writer_set_metadata (writer, "format", "pt");
  if (!peft_safetensors_writer_begin (writer, path, error))
    return FALSE;
  for (gsize i = 0; i < peft_safetensors_writer_get_n_tensors (writer); i++)
    if (!write_tensor (self, writer, peft_safetensors_writer_get_entry (writer, i), base_weights,
                       exported, error))
      return FALSE;
  return peft_safetensors_writer_commit (writer, error);
}

static gboolean
save (PeftAdapter *self, const char *folder, gboolean convert, GError **error)
{
  g_autoptr (GPtrArray) extra
      = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_adapter_tensor_free);
  g_autoptr (PeftConfig) converted = NULL;
  g_autofree char *weights = g_build_filename (folder, WEIGHTS_FILE, NULL);
  g_autofree char *config = g_build_filename (folder, CONFIG_FILE, NULL);

  if (self->method == NULL)
    return peft_adapter_save_full (self, folder, PEFT_N_DTYPES, error);
  if (g_mkdir_with_parents (folder, 0777) != 0)
    {
      int number = errno;

      g_set_error (error, PEFT_ERROR, PEFT_ERROR_IO, _ ("%s: cannot make the folder: %s"), folder,
                   g_strerror (number));
      return FALSE;
    }
  if ((self->method->export != NULL && !self->method->export (self, extra, error))
      || (convert && self->method->convert != NULL
          && !self->method->convert (self, extra, &converted, error)))
    return FALSE;
  peft_weight_tying_export (self, extra);
  return save_weights (self, weights, extra, error)
         && peft_config_save (converted != NULL ? converted : self->config, config, error)
         && peft_adapter_task_save_labels (self->core, folder, error);
}

gboolean
peft_adapter_save (PeftAdapter *self, const char *folder, GError **error)
{
  return save (self, folder, TRUE, error);
}

gboolean
peft_adapter_save_unconverted (PeftAdapter *self, const char *folder, GError **error)
{
  return save (self, folder, FALSE, error);
}

gboolean
peft_adapter_save_full (PeftAdapter *self, const char *folder, PeftDType dtype, GError **error)
{
  g_autoptr (GPtrArray) adapters = g_ptr_array_new ();

  g_return_val_if_fail (self->method == NULL, FALSE);

  g_ptr_array_add (adapters, self);
  return peft_core_save_merged (self->core, adapters, folder, dtype, NULL, error);
}

/* ---- Loading ------------------------------------------------------------------------------- */

/* The folder itself, or the subfolder that peft gives to an adapter with another name. */
char *
peft_adapter_find_folder (const char *folder, const char *name)
{
  g_autofree char *config = g_build_filename (folder, CONFIG_FILE, NULL);
  g_autofree char *inner = g_build_filename (folder, name, NULL);
  g_autofree char *inner_config = g_build_filename (inner, CONFIG_FILE, NULL);

  if (!g_file_test (config, G_FILE_TEST_EXISTS) && g_file_test (inner_config, G_FILE_TEST_EXISTS))
    return g_steal_pointer (&inner);
  return g_strdup (folder);
}

static PeftSafetensors *
open_weights (const char *folder, GError **error)
{
  g_autofree char *weights = g_build_filename (folder, WEIGHTS_FILE, NULL);
  g_autofree char *pickle = g_build_filename (folder, PICKLE_FILE, NULL);

  if (!g_file_test (weights, G_FILE_TEST_EXISTS) && g_file_test (pickle, G_FILE_TEST_EXISTS))
    {
      g_set_error (
          error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
          _ ("%s: a pickle file, which can run any program while it is read; save the adapter "
             "as %s"),
          pickle, WEIGHTS_FILE);
      return NULL;
    }
  return peft_safetensors_open (weights, error);
}

static gboolean
is_readable (const PeftTensorEntry *entry)
{
  return entry->dtype == PEFT_DTYPE_F32 || entry->dtype == PEFT_DTYPE_F16
         || entry->dtype == PEFT_DTYPE_BF16 || entry->dtype == PEFT_DTYPE_F64;
}

/* rows, columns … as the model has them. */
static gboolean
check_entry (const PeftTensorEntry *entry, const gint64 *shape, guint n_dims, GError **error)
{
  gboolean same = entry->n_dims == n_dims;

  for (guint i = 0; same && i < n_dims; i++)
    same = entry->shape[i] == (guint64) shape[i];
  if (!same)
    {
      guint64 expected[PEFT_MAX_DIMS];
      g_autofree char *wanted = NULL;
      g_autofree char *found = peft_tensor_shape_to_string (entry->shape, entry->n_dims);

      for (guint i = 0; i < n_dims; i++)
        expected[i] = (guint64) shape[i];
      wanted = peft_tensor_shape_to_string (expected, n_dims);
      g_set_error (
          error, PEFT_ERROR, PEFT_ERROR_SHAPE_MISMATCH,
          _ ("%s: %s: the model and the configuration ask for the shape %s, found %s; is this an "
             "adapter of another model?"),
          entry->file, entry->name, wanted, found);
      return FALSE;
    }
  if (!is_readable (entry))
    {
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("%s: %s: expected the type F32, F16 or BF16, found %s"), entry->file,
                   entry->name, entry->type_name);
      return FALSE;
    }
  return TRUE;
}

/* Releases of peft before 0.6 had no base layer below an adapted one. */
static const PeftTensorEntry *
find_entry (PeftTensorSource *source, const char *key)
{
  const PeftTensorEntry *entry = peft_tensor_source_lookup (source, key);
  g_autofree char *old = NULL;

  if (entry == NULL && g_str_has_suffix (key, PEFT_BASE_LAYER ".bias"))
    {
      old = g_strndup (key, strlen (key) - strlen (PEFT_BASE_LAYER ".bias"));
      g_autofree char *old_key = g_strconcat (old, ".bias", NULL);
      entry = peft_tensor_source_lookup (source, old_key);
    }
  return entry;
}

static float *
decode_entry (const PeftTensorEntry *entry, GError **error)
{
  guint64 n = peft_tensor_entry_get_n_values (entry);
  float *values = g_try_new (float, MAX (n, 1));

  if (values == NULL)
    g_set_error (error, PEFT_ERROR, PEFT_ERROR_OUT_OF_MEMORY,
                 _ ("%s: %s: no memory for %" PRIu64 " values"), entry->file, entry->name,
                 n);
  else
    peft_dtype_get_info (entry->dtype)->to_f32 (entry->data, values, n);
  return values;
}

/* The base weight in the file, when it is another than the model's. */
static gboolean
adopt_base_weight (PeftAdapter *self, PeftSlot *slot, const PeftTensorEntry *entry, GError **error)
{
  g_autofree float *theirs = NULL;
  g_autofree float *ours = NULL;
  PeftAdapterOverride *override;
  PeftSlot *head = self->core->head;

  if (!check_entry (entry, slot->weight->view.shape, slot->weight->view.n_dims, error))
    return FALSE;
  theirs = decode_entry (entry, error);
  ours = theirs != NULL ? peft_slot_read (slot, slot->weight, NULL, error) : NULL;
  if (ours == NULL)
    return FALSE;
  if (memcmp (theirs, ours, peft_tensor_entry_get_n_values (entry) * sizeof (float)) == 0)
    return TRUE;
  override = peft_adapter_get_override (self, slot);
  override->weight = peft_param_set_add (self->params, entry->name, slot->weight->view.n_dims,
                                         slot->weight->view.shape, FALSE, NULL);
  override->weight->trainable = FALSE;
  peft_adapter_note (self, g_strdup_printf (_ ("%s: the file brings its own weights"), slot->path));
  /* In peft the two are one tensor. */
  if (slot == self->core->embedding && head != NULL && head->tied
      && peft_adapter_get_override (self, head)->weight == NULL)
    peft_adapter_get_override (self, head)->weight = override->weight;
  return TRUE;
}

/* Of a tied head that is trained with the embedding, the file has a copy. */
static gboolean
has_trained_weight (PeftAdapter *self, PeftSlot *slot)
{
  PeftAdapterOverride *override = peft_adapter_find_override (self, slot);

  return override != NULL && override->weight != NULL && override->weight->trainable;
}

static gboolean
adopt_base_weights (PeftAdapter *self, PeftTensorSource *source, GError **error)
{
  PeftSlot *slots[] = { self->core->embedding, self->core->head };

  for (guint i = 0; i < G_N_ELEMENTS (slots); i++)
    {
      g_autofree char *adapted = NULL;
      g_autofree char *plain = NULL;
      const PeftTensorEntry *entry;

      if (slots[i] == NULL)
        continue;
      adapted = base_key (slots[i]);
      plain = g_strconcat (PEFT_ADAPTER_PREFIX, slots[i]->path, ".weight", NULL);
      entry = peft_tensor_source_lookup (source, adapted);
      if (entry == NULL && peft_param_set_find (self->params, plain) == NULL
          && !has_trained_weight (self, slots[i]))
        entry = peft_tensor_source_lookup (source, plain);
      if (entry != NULL && !adopt_base_weight (self, slots[i], entry, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
check_tensors (PeftAdapter *self, PeftTensorSource *source, GError **error)
{
  for (guint i = 0; i < peft_param_set_get_n (self->params); i++)
    {
      PeftParam *param = peft_param_set_get (self->params, i);
      const PeftTensorEntry *entry = find_entry (source, param->key);

      if (!param->saved)
        continue;
      if (entry == NULL)
        {
          g_set_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_FILE,
                       _ ("%s: the tensor %s is missing, which the configuration asks for"),
                       peft_tensor_source_get_name (source), param->key);
          return FALSE;
        }
      if (!check_entry (entry, param->shape, param->n_dims, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
upload_tensors (PeftAdapter *self, PeftTensorSource *source, GError **error)
{
  for (guint i = 0; i < peft_param_set_get_n (self->params); i++)
    {
      PeftParam *param = peft_param_set_get (self->params, i);
      g_autofree float *values = NULL;

      if (!param->saved)
        continue;
      values = decode_entry (find_entry (source, param->key), error);
      if (values == NULL)
        return FALSE;
      peft_param_upload (param, values);
    }
  return TRUE;
}

/* Tensors that have no place in the model. */
static void
note_unexpected (PeftAdapter *self, PeftTensorSource *source)
{
  g_autoptr (GHashTable) used = g_hash_table_new (NULL, NULL);
  g_autoptr (GString) names = g_string_new (NULL);
  guint n = 0;
  PeftSlot *slots[] = { self->core->embedding, self->core->head };

  for (guint i = 0; i < peft_param_set_get_n (self->params); i++)
    g_hash_table_add (used,
                      (gpointer) find_entry (source, peft_param_set_get (self->params, i)->key));
  for (guint i = 0; i < G_N_ELEMENTS (slots); i++)
    {
      g_autofree char *key = slots[i] != NULL ? base_key (slots[i]) : NULL;
      const char *infix = key != NULL ? strstr (key, PEFT_BASE_LAYER ".weight") : NULL;
      g_autofree char *plain
          = infix != NULL ? g_strdup_printf ("%.*s.weight", (int) (infix - key), key) : NULL;

      if (key == NULL)
        continue;
      g_hash_table_add (used, (gpointer) peft_tensor_source_lookup (source, key));
      g_hash_table_add (used, (gpointer) peft_tensor_source_lookup (source, plain));
    }
  for (gsize i = 0; i < peft_tensor_source_get_n (source); i++)
    {
      const PeftTensorEntry *entry = peft_tensor_source_get (source, i);

      if (g_hash_table_contains (used, entry))
        continue;
      if (n++ < MAX_LISTED)
        g_string_append_printf (names, "%s%s", names->len > 0 ? ", " : "", entry->name);
    }
  if (n > MAX_LISTED)
    g_string_append (names, ", ...");
  if (n > 0)
    peft_adapter_note (
        self, g_strdup_printf (g_dngettext (GETTEXT_PACKAGE,
                                            "%u tensor of the file has no place in the model "
                                            "and was ignored: %s",
                                            "%u tensors of the file have no place in the "
                                            "model and were ignored: %s",
                                            n),
                               n, names->str));
}

static PeftAdapter *
load (PeftCore *core, const char *folder, const char *name, gboolean stored_form, GError **error)
{
  g_autofree char *found = peft_adapter_find_folder (folder, name);
  g_autoptr (PeftConfig) config = peft_config_load (found, error);
  g_autoptr (PeftSafetensors) weights = NULL;
  g_autoptr (PeftAdapter) self = NULL;
  PeftTensorSource *source;

  if (config == NULL)
    return NULL;
  self = peft_adapter_declare (core, config, name, 0, TRUE, stored_form, error);
  if (self == NULL)
    {
      g_prefix_error (error, "%s/%s: ", found, CONFIG_FILE);
      return NULL;
    }
  weights = open_weights (found, error);
  if (weights == NULL)
    return NULL;
  source = peft_safetensors_get_source (weights);
  /* Shapes first: memory is taken for what the file really holds. */
  if (!check_tensors (self, source, error) || !adopt_base_weights (self, source, error)
      || !peft_param_set_allocate (self->params, error) || !upload_tensors (self, source, error)
      || (self->method->prepare != NULL && !self->method->prepare (self, error)))
    return NULL;
  /* What is trained makes the tensors of the stored form: here they are not loaded, but nor are they unknown. */
  if (stored_form)
    note_unexpected (self, source);
  self->loading = FALSE;
  self->folder = g_strdup (found);
  return g_steal_pointer (&self);
}

PeftAdapter *
peft_adapter_load (PeftCore *core, const char *folder, const char *name, GError **error)
{
  return load (core, folder, name, TRUE, error);
}

PeftAdapter *
peft_adapter_load_trainable (PeftCore *core, const char *folder, const char *name, GError **error)
{
  return load (core, folder, name, FALSE, error);
}
