/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-math.h"
#include "compute/cpu/cpu-vec.h"

/* h = act (gate) ⊙ up, and its backward pass. */

#define FORWARD(act)                                                                               \
  CPU_SIMD                                                                                         \
  for (gint64 i = 0; i < n; i++)                                                                   \
    h[i] = cpu_##act (gate[i]) * up[i];                                                                  \
  break;

static void
gated_values (PeftActivation activation, const float *restrict gate, const float *restrict up,
              float *restrict h, gint64 n)
{
  switch (activation)
    {
    case PEFT_ACTIVATION_SILU:
      FORWARD (silu)
    case PEFT_ACTIVATION_GELU:
      FORWARD (gelu)
    case PEFT_ACTIVATION_GELU_TANH:
      FORWARD (gelu_tanh)
    case PEFT_ACTIVATION_RELU:
      FORWARD (relu)
    }
}

static void
gated_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const PeftGatedParams *p = data;
  gint64 width = p->h.shape[1];
  float gate_buffer[CPU_CHUNK], up_buffer[CPU_CHUNK], h_buffer[CPU_CHUNK];

  for (gint64 row = begin; row < end; row++)
    {
      const void *gate_row = cpu_view_row (&p->gate, row), *up_row = cpu_view_row (&p->up, row);
      void *h_row = cpu_view_row (&p->h, row);
      for (gint64 j = 0; j < width; j += CPU_CHUNK)
        {
          gint64 n = MIN (CPU_CHUNK, width - j);
          gated_values (p->activation, cpu_row_in (&p->gate, gate_row, j, n, gate_buffer),
                        cpu_row_in (&p->up, up_row, j, n, up_buffer), h_buffer, n);
          cpu_from_f32 (p->h.dtype, h_buffer,
                        (guint8 *) h_row + j * (gint64) cpu_plain_size (p->h.dtype), 1, n);
        }
    }
}

void
CPU_FN (cpu_gated) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftGatedParams *p = params;
  cpu_run_range (self, p->h.shape[0], cpu_rows_step (p->h.shape[1]), gated_range, p);
}

#define BACKWARD(act)                                                                              \
  CPU_SIMD                                                                                         \
  for (gint64 i = 0; i < n; i++)                                                                   \
    {                                                                                              \
      float g = gate[i], d = dh[i];                                                                \
      dgate[i] = d * up[i] * cpu_##act##_derivative (g);                                                 \
      dup[i] = d * cpu_##act (g);                                                                        \
    }                                                                                              \
  break;

static void
backward_values (PeftActivation activation, const float *restrict dh, const float *restrict gate,
                 const float *restrict up, float *restrict dgate, float *restrict dup, gint64 n)
{
  switch (activation)
    {
    case PEFT_ACTIVATION_SILU:
      CPU_SIMD
      for (gint64 i = 0; i < n; i++)
        {
          float g = gate[i], d = dh[i], rest, s = cpu_sigmoid_pair (g, &rest);
          dgate[i] = d * up[i] * s * (1.0f + g * rest);
          dup[i] = d * g * s;
        }
      break;
    case PEFT_ACTIVATION_GELU:
      BACKWARD (gelu)
    case PEFT_ACTIVATION_GELU_TANH:
      BACKWARD (gelu_tanh)
    case PEFT_ACTIVATION_RELU:
      BACKWARD (relu)
    }
}

static void
backward_range (PeftCpuBackend *self, gconstpointer data, gint64 begin, gint64 end, guint thread)
{
  const PeftGatedBackwardParams *p = data;
  gint64 width = p->dh.shape[1];
  float dh_buffer[CPU_CHUNK], gate_buffer[CPU_CHUNK], up_buffer[CPU_CHUNK];
  float dgate[CPU_CHUNK], dup[CPU_CHUNK];

  for (gint64 row = begin; row < end; row++)
    {
      const void *dh_row = cpu_view_row (&p->dh, row);
      const void *gate_row = cpu_view_row (&p->gate, row), *up_row = cpu_view_row (&p->up, row);
      guint8 *dgate_row = cpu_view_row (&p->dgate, row), *dup_row = cpu_view_row (&p->dup, row);
      for (gint64 j = 0; j < width; j += CPU_CHUNK)
        {
          gint64 n = MIN (CPU_CHUNK, width - j);
          /* The outputs may be the memory of the inputs: through buffers. */
          backward_values (p->activation, cpu_row_in (&p->dh, dh_row, j, n, dh_buffer),
                           cpu_row_in (&p->gate, gate_row, j, n, gate_buffer),
                           cpu_row_in (&p->up, up_row, j, n, up_buffer), dgate, dup, n);
          cpu_from_f32 (p->dgate.dtype, dgate,
                        dgate_row + j * (gint64) cpu_plain_size (p->dgate.dtype), 1, n);
          cpu_from_f32 (p->dup.dtype, dup, dup_row + j * (gint64) cpu_plain_size (p->dup.dtype), 1,
                        n);
        }
    }
}

void
CPU_FN (cpu_gated_backward) (PeftCpuBackend *self, gconstpointer params)
{
  const PeftGatedBackwardParams *p = params;
  cpu_run_range (self, p->dh.shape[0], cpu_rows_step (p->dh.shape[1]), backward_range, p);
}
