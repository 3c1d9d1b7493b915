/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "parity.h"

#include <math.h>
#include <string.h>
#include "parity-memory.h"

/* Where values are about 1, as all inputs here are:
 * - elementwise: a few float32 roundings (2⁻²⁴ = 6e-8 each), and vector versions of exp, tanh and the
 *   like that are good to 4 units in the last place;
 * - reduction: a plain float32 sum of n random terms errs by about n · 2⁻²⁵ at 3 deviations, n ≤ 300 in the
 *   tests: below 4e-6 · √n · (1 + |r|);
 * - bfloat16: each operand errs by up to 2⁻⁸, 1.6e-3 rms, a product of normals by 2.3e-3. Such products
 *   have heavy tails: the largest of a million sums of few is 8 deviations away. */
static const struct
{
  double absolute, relative;
} tolerances[] = {
  [PEFT_TOLERANCE_EXACT] = { 0, 0 },
  [PEFT_TOLERANCE_ELEMENTWISE] = { 1e-6, 1e-6 },
  [PEFT_TOLERANCE_REDUCTION] = { 4e-6, 4e-6 },
  [PEFT_TOLERANCE_BF16] = { 2e-2, 1e-2 },
};

/* Half a unit in the last place of what an output is rounded to. */
static double
rounding_of (PeftDType dtype)
{
  switch ((int) dtype)
    {
    case PEFT_DTYPE_F16:
      return 0x1p-11;
    case PEFT_DTYPE_BF16:
      return 0x1p-8;
    default:
      return 0;
    }
}

typedef struct
{
  const ParityArg *arg;
  const PeftKernelArg *row;
  ParityMemory before;  /* as uploaded to the backend under test */
  ParityMemory after;   /* as found afterwards */
  PeftBuffer *tested, *expected;
  PeftView expected_view;
  guint owner; /* index of the argument whose memory this one shares; its own otherwise */
} Operand;

static void
operand_clear (Operand *self)
{
  parity_memory_clear (&self->before);
  parity_memory_clear (&self->after);
  g_clear_pointer (&self->tested, peft_buffer_unref);
  g_clear_pointer (&self->expected, peft_buffer_unref);
}

static const PeftKernelArg *
find_row (PeftKernel kernel, const char *name)
{
  for (const PeftKernelArg *row = peft_kernel_get_info (kernel)->args; row->use != PEFT_ARG_END;
       row++)
    if (g_str_equal (row->name, name))
      return row;
  g_error ("kernel %s has no argument %s", peft_kernel_get_info (kernel)->name, name);
}

static void
place (gpointer params, const PeftKernelArg *row, const PeftView *view, PeftBuffer *buffer)
{
  PeftView *slot = (PeftView *) ((char *) params + row->offset);

  *slot = *view;
  slot->buffer = buffer;
}

static PeftBuffer *
new_buffer (PeftBackend *backend, gconstpointer data, gsize size)
{
  g_autoptr (GError) error = NULL;
  PeftBuffer *buffer = peft_buffer_new (backend, size, &error);

  g_assert_no_error (error);
  peft_buffer_upload (buffer, 0, data, size);
  return buffer;
}

/* The reference's own copy: the same bits for inputs, dense F64 for what it writes. */
static void
make_expected (Parity *self, Operand *operand)
{
  if (operand->row->use == PEFT_ARG_IN || operand->before.view.dtype == PEFT_DTYPE_I32)
    {
      operand->expected_view = operand->before.view;
      operand->expected
          = new_buffer (self->reference, operand->before.bytes, operand->before.size);
    }
  else
    {
      g_autofree double *values = parity_memory_values (&operand->before);
      gint64 n = peft_view_n_values (&operand->before.view);

      peft_view_init (&operand->expected_view, NULL, 0, PEFT_DTYPE_F64,
                      operand->before.view.n_dims, operand->before.view.shape);
      operand->expected = new_buffer (self->reference, values, n * sizeof (double));
    }
}

static double *
expected_values (const Operand *operand)
{
  ParityMemory memory = { .view = operand->expected_view, .size = operand->expected->size };
  double *values;

  memory.bytes = g_malloc (MAX (memory.size, 1));
  parity_memory_find_offsets (&memory);
  peft_buffer_download (operand->expected, 0, memory.bytes, memory.size);
  values = parity_memory_values (&memory);
  parity_memory_clear (&memory);
  return values;
}

static gboolean
is_written (const Operand *operands, guint n, guint owner)
{
  for (guint i = 0; i < n; i++)
    if (operands[i].owner == owner && operands[i].row->use != PEFT_ARG_IN)
      return TRUE;
  return FALSE;
}

static void
tamper (Parity *self, Operand *operands, guint n)
{
  Operand *output = NULL, *input = NULL;

  for (guint i = 0; i < n; i++)
    if (operands[i].row->use == PEFT_ARG_IN)
      input = input ? input : &operands[i];
    else
      output = output ? output : &operands[i];
  switch (self->tamper)
    {
    case PARITY_TAMPER_NONE:
      break;
    case PARITY_TAMPER_VALUE:
      {
        gint64 last = peft_view_n_values (&output->after.view) - 1;
        float *value = (float *) (output->after.bytes + output->before.offsets[last]);
        *value += 0.01f + 0.01f * fabsf (*value);
        break;
      }
    case PARITY_TAMPER_FRONT:
      output->after.bytes[output->after.view.offset - 1] ^= 1;
      break;
    case PARITY_TAMPER_BACK:
      output->after.bytes[output->after.view.offset + peft_view_span (&output->after.view)] ^= 1;
      break;
    case PARITY_TAMPER_GAP:
      output->after.bytes[output->after.view.offset
                          + output->after.view.shape[output->after.view.n_dims - 1] * 4] ^= 1;
      break;
    case PARITY_TAMPER_INPUT:
      input->after.bytes[input->after.view.offset] ^= 1;
      break;
    }
}

static char *
compare_guards (const Operand *operands, guint n, guint index)
{
  const Operand *operand = &operands[index];
  g_autofree guint8 *owned = parity_memory_owned (&operand->before);
  gboolean written = is_written (operands, n, index);

  for (gsize i = 0; i < operand->before.size; i++)
    if (operand->before.bytes[i] != operand->after.bytes[i] && !(written && owned[i]))
      return g_strdup_printf ("%s: byte %" G_GSIZE_FORMAT " (values start at %" G_GSIZE_FORMAT
                              ", span %" G_GSIZE_FORMAT ") was changed",
                              operand->arg->name, i, operand->before.view.offset,
                              peft_view_span (&operand->before.view));
  return NULL;
}

static char *
compare_values (Parity *self, const PeftKernelInfo *info, const ParityOptions *options,
                const Operand *operand, const Operand *memory)
{
  ParityMemory found_memory = {
    .view = operand->before.view,
    .bytes = memory->after.bytes,
    .size = memory->after.size,
    .offsets = operand->before.offsets,
  };
  g_autofree double *expected = expected_values (operand);
  g_autofree double *found = parity_memory_values (&found_memory);
  gint64 n = peft_view_n_values (&operand->before.view);
  PeftToleranceClass class = options->bf16 ? PEFT_TOLERANCE_BF16 : info->tolerance;
  double slack = options->slack == 0 ? 1 : options->slack;
  double scale = slack * sqrt (MAX (options->reduction, 1));
  double rounding = rounding_of (operand->before.view.dtype);

  if (operand->before.view.dtype == PEFT_DTYPE_I32)
    scale = 0;
  for (gint64 i = 0; i < n; i++)
    {
      double allowed = scale
                       * (tolerances[class].absolute
                          + tolerances[class].relative * fabs (expected[i]));
      double error = fabs (found[i] - expected[i]);

      allowed += rounding * fabs (expected[i]);
      if (found[i] == expected[i]
          || (class == PEFT_TOLERANCE_EXACT && (float) found[i] == (float) expected[i]))
        continue;
      if (!(error <= allowed))
        return g_strdup_printf ("%s: value %" G_GINT64_FORMAT ": expected %.9g, found %.9g, "
                                "allowed difference %.3g", operand->arg->name, i, expected[i],
                                found[i], allowed);
      self->worst = MAX (self->worst, error / allowed);
    }
  return NULL;
}

/* The bytes of every operand after the call on `backend`. NULL: the bytes in `after` are the same. */
static char *
compare_threads (PeftBackend *backend, PeftKernel kernel, gconstpointer params,
                 const Operand *operands, guint n)
{
  g_autofree gpointer again = g_memdup2 (params, peft_kernel_get_info (kernel)->params_size);
  g_autoptr (GPtrArray) buffers
      = g_ptr_array_new_with_free_func ((GDestroyNotify) peft_buffer_unref);

  for (guint i = 0; i < n; i++)
    {
      const Operand *operand = &operands[i];
      PeftBuffer *shared = operand->owner < i ? buffers->pdata[operand->owner] : NULL;

      g_ptr_array_add (buffers,
                       shared ? peft_buffer_ref (shared)
                              : new_buffer (backend, operand->before.bytes, operand->before.size));
      place (again, operand->row, &operand->before.view, buffers->pdata[i]);
    }
  peft_backend_run (backend, kernel, again);
  for (guint i = 0; i < n; i++)
    if (operands[i].owner == i)
      {
        g_autofree guint8 *bytes = g_malloc (operands[i].before.size);

        peft_buffer_download (buffers->pdata[i], 0, bytes, operands[i].before.size);
        if (memcmp (bytes, operands[i].after.bytes, operands[i].before.size) != 0)
          return g_strdup_printf ("%s: the bits depend on the number of threads",
                                  operands[i].arg->name);
      }
  return NULL;
}

static char *
compare (Parity *self, PeftKernel kernel, gconstpointer params, const ParityArg *args,
         const ParityOptions *options, Operand *operands, guint n)
{
  const PeftKernelInfo *info = peft_kernel_get_info (kernel);
  g_autofree gpointer tested = g_memdup2 (params, info->params_size);
  g_autofree gpointer expected = g_memdup2 (params, info->params_size);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < n; i++)
    {
      Operand *operand = &operands[i];
      PeftDType dtype = args[i].dtype == PARITY_REAL ? self->real : args[i].dtype;

      operand->arg = &args[i];
      operand->row = find_row (kernel, args[i].name);
      operand->owner = i;
      for (guint j = 0; j < i && args[i].alias; j++)
        if (g_str_equal (args[j].name, args[i].alias))
          operand->owner = j;
      g_assert (!args[i].alias || operand->owner < i);
      /* The same values and, as layouts are equal, the same places. */
      parity_memory_init (&operand->before, args[i].alias ? &args[operand->owner] : &args[i],
                          dtype, 10 * kernel + operand->owner);
      if (operand->owner == i)
        operand->tested = new_buffer (self->backend, operand->before.bytes, operand->before.size);
      make_expected (self, operand);
      place (tested, operand->row, &operand->before.view, operands[operand->owner].tested);
      place (expected, operand->row, &operand->expected_view, operand->expected);
    }

  if (!peft_backend_supports (self->backend, kernel, tested, &error))
    {
      self->n_refused++;
      return options->optional ? NULL : g_strdup_printf ("refused: %s", error->message);
    }
  self->n_run++;
  peft_backend_run (self->reference, kernel, expected);
  peft_backend_run (self->backend, kernel, tested);
  if (!peft_backend_sync (self->backend, &error))
    return g_strdup_printf ("failed: %s", error->message);

  for (guint i = 0; i < n; i++)
    if (operands[i].owner == i)
      {
        operands[i].after = operands[i].before;
        operands[i].after.bytes = g_malloc (operands[i].before.size);
        operands[i].after.offsets = NULL;
        peft_buffer_download (operands[i].tested, 0, operands[i].after.bytes,
                              operands[i].before.size);
      }
  if (self->other_threads)
    {
      char *message = compare_threads (self->other_threads, kernel, tested, operands, n);
      if (message)
        return message;
    }
  tamper (self, operands, n);
  for (guint i = 0; i < n; i++)
    {
      char *message = NULL;

      if (operands[i].owner == i)
        message = compare_guards (operands, n, i);
      if (message == NULL && operands[i].row->use != PEFT_ARG_IN)
        message = compare_values (self, info, options, &operands[i], &operands[operands[i].owner]);
      if (message)
        return message;
    }
  return NULL;
}

char *
parity_compare (Parity *self, PeftKernel kernel, gconstpointer params, const ParityArg *args,
                const ParityOptions *options)
{
  g_autofree Operand *operands = NULL;
  char *message;
  guint n = 0;

  while (args[n].name)
    n++;
  operands = g_new0 (Operand, n);
  message = compare (self, kernel, params, args, options, operands, n);
  for (guint i = 0; i < n; i++)
    operand_clear (&operands[i]);
  return message;
}

void
parity_check (Parity *self, PeftKernel kernel, gconstpointer params, const ParityArg *args,
              const ParityOptions *options)
{
  g_autofree char *message = parity_compare (self, kernel, params, args, options);

  if (message)
    {
      g_test_message ("%s %s: %s", peft_kernel_get_info (kernel)->name,
                      options->label ? options->label : "", message);
      g_test_fail ();
    }
}
