/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "compute/cpu/cpu-private.h"

/* What this backend takes. Rows are converted to float32 on the way where they are stored as
 * something else, so floating arguments may have any floating type, except these: */
static const struct
{
  PeftKernel kernel;
  const char *name; /* NULL: every argument that is no index */
} only_f32[] = {
  { PEFT_KERNEL_RMS_NORM, "rstd" },
  { PEFT_KERNEL_RMS_NORM_BACKWARD, "rstd" },
  { PEFT_KERNEL_RMS_NORM_BACKWARD, "dweight" },
  { PEFT_KERNEL_ROPE, "cos_sin" },
  { PEFT_KERNEL_ATTENTION, "lse" },
  { PEFT_KERNEL_ATTENTION_BACKWARD, "lse" },
  { PEFT_KERNEL_ATTENTION_BACKWARD, "delta" },
  { PEFT_KERNEL_CROSS_ENTROPY, "logits" },
  { PEFT_KERNEL_CROSS_ENTROPY, "loss" },
  { PEFT_KERNEL_SUM_SQUARES, "x" },
  { PEFT_KERNEL_ADAMW, NULL },
  { PEFT_KERNEL_LU_FACTOR, NULL },
  { PEFT_KERNEL_LU_SOLVE, NULL },
  { PEFT_KERNEL_TRIANGULAR_SOLVE, NULL },
  { PEFT_KERNEL_FFT, NULL },
};

/* Longest head: what a panel of the micro-kernels holds. */
#define MAX_HEAD_DIM 512

static gboolean
refuse (GError **error, PeftKernel kernel, const char *what)
{
  g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
               _ ("The cpu backend's kernel “%s” does not support %s"),
               peft_kernel_get_info (kernel)->name, what);
  return FALSE;
}

static gboolean
must_be_f32 (PeftKernel kernel, const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (only_f32); i++)
    if (only_f32[i].kernel == kernel
        && (only_f32[i].name == NULL || g_str_equal (only_f32[i].name, name)))
      return TRUE;
  return FALSE;
}

static gboolean
check_attention (PeftKernel kernel, const PeftAttentionParams *p, GError **error)
{
  if (p->soft_cap != 0)
    return refuse (error, kernel, "soft_cap");
  if (p->bias.buffer != NULL)
    return refuse (error, kernel, "bias");
  if (p->slopes.buffer != NULL)
    return refuse (error, kernel, "slopes");
  if (p->cross)
    return refuse (error, kernel, "cross");
  if (p->q.shape[3] > MAX_HEAD_DIM)
    return refuse (error, kernel, _ ("heads of more than 512 values"));
  return TRUE;
}

static gboolean
check_matmul (PeftBackend *backend, const PeftMatmulParams *p, GError **error)
{
  const PeftView *b = &p->b;
  guint d = b->n_dims - 2;

  if (p->compute == PEFT_COMPUTE_BF16 && !backend->has_bf16)
    return refuse (error, PEFT_KERNEL_MATMUL, _ ("products in bfloat16 on this processor"));
  if (b->shape[d + 1] > 1 && b->stride[d + 1] != 1 && b->shape[d] > 1 && b->stride[d] != 1)
    return refuse (error, PEFT_KERNEL_MATMUL, _ ("a second matrix with gaps in both dimensions"));
  return TRUE;
}

gboolean
cpu_supports (PeftBackend *backend, PeftKernel kernel, gconstpointer params, GError **error)
{
  const PeftKernelInfo *info = peft_kernel_get_info (kernel);

  for (const PeftKernelArg *arg = info->args; arg->use != PEFT_ARG_END; arg++)
    {
      const PeftView *view = peft_kernel_arg_get_view (arg, params);
      if (view->buffer == NULL || !peft_dtype_get_info (view->dtype)->is_float
          || view->dtype == PEFT_DTYPE_F32 || !must_be_f32 (kernel, arg->name))
        continue;
      g_set_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED,
                   _ ("The cpu backend's kernel “%s” needs “%s” as F32, not %s"), info->name,
                   arg->name, peft_dtype_get_info (view->dtype)->name);
      return FALSE;
    }
  if (kernel == PEFT_KERNEL_MATMUL)
    return check_matmul (backend, params, error);
  if (kernel == PEFT_KERNEL_ATTENTION)
    return check_attention (kernel, params, error);
  if (kernel == PEFT_KERNEL_ATTENTION_BACKWARD)
    return check_attention (kernel, &((const PeftAttentionBackwardParams *) params)->forward,
                            error);
  return TRUE;
}
