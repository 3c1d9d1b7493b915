/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "compute/peft-backend.h"

/* One kernel call on a backend under test against the same call on the float64 reference.
 *
 * The call is described once: scalars in a parameter struct without views, and a ParityArg for every
 * view that is present. From these and the kernel table, both calls are built. On the backend
 * under test each argument lies in a buffer of its own, among sentinel bytes before, behind and in
 * the gaps between strides; afterwards only values of outputs may have changed. The reference gets the
 * inputs' very bits (so that rounding of inputs is no error) and gives its outputs in F64. */

typedef enum
{
  PARITY_PLAIN,      /* contiguous, aligned to 64 bytes */
  PARITY_OFFSET,     /* contiguous, aligned to one value (or block) only */
  PARITY_PADDED,     /* gaps between rows and between everything outside them */
  PARITY_TRANSPOSED, /* the first dim is innermost in memory */
  PARITY_SHARED      /* stride 0 in the first dim */
} ParityLayout;

typedef enum
{
  PARITY_NORMAL,   /* mean 0, deviation `scale` (1 when 0) */
  PARITY_POSITIVE, /* uniform in 0.5 … 2 */
  PARITY_INDEX,    /* integers 0 … limit - 1 */
  PARITY_LABEL,    /* the same, every third -1 */
  PARITY_SEGMENT,  /* integers -1 … limit - 1 that rise along the last dim */
  PARITY_DOMINANT, /* normal with a heavy diagonal: well conditioned, triangles, too */
  PARITY_PIVOT,    /* integers i … n - 1 in place i */
  PARITY_VALUES    /* `values`, row-major */
} ParityFill;

typedef struct
{
  const char *name; /* as in the kernel table */
  PeftDType dtype;  /* PARITY_REAL: the backend's real type */
  guint n_dims;
  gint64 shape[PEFT_MAX_DIMS];
  ParityLayout layout;
  ParityFill fill;
  double scale;
  gint64 limit;
  const double *values;
  const char *alias; /* an output in the memory of this earlier argument of the list */
} ParityArg;

#define PARITY_REAL PEFT_N_DTYPES

typedef enum
{
  PARITY_TAMPER_NONE,
  PARITY_TAMPER_VALUE, /* one value of the first output is changed by 1 % + 0.01 */
  PARITY_TAMPER_FRONT, /* the byte in front of the first output */
  PARITY_TAMPER_BACK,
  PARITY_TAMPER_GAP,
  PARITY_TAMPER_INPUT
} ParityTamper;

typedef struct
{
  PeftBackend *backend, *reference;
  /* The same backend with another number of threads, which must give the same bits; may be NULL. */
  PeftBackend *other_threads;
  PeftDType real; /* of PARITY_REAL */
  /* To prove that mistakes are found. */
  ParityTamper tamper;
  guint n_run, n_refused;
  double worst; /* largest error as a part of what is allowed */
} Parity;

typedef struct
{
  const char *label;
  gint64 reduction;  /* values that one output value sums over, at least 1 */
  gboolean optional; /* the backend may refuse it */
  gboolean bf16;     /* operands are rounded to bfloat16 on the way */
  double slack;      /* multiplies the tolerance; 0 means 1; say why */
} ParityOptions;

/* NULL: agrees. Otherwise what is wrong (g_free it). `params` has its views empty; `args` ends with
 * a NULL name. */
char *parity_compare (Parity *self, PeftKernel kernel, gconstpointer params, const ParityArg *args,
                      const ParityOptions *options);
/* The same, failing the running test. */
void parity_check (Parity *self, PeftKernel kernel, gconstpointer params, const ParityArg *args,
                   const ParityOptions *options);

/* Numbers for the values of an argument: depend on `stream` only. g_free it. */
double *parity_normal (guint stream, double scale, gint64 n);
