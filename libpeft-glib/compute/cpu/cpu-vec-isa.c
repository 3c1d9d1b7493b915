/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-vec.h"

/* The table of the instruction set that this file is compiled for. */

static gboolean
is_usable (void)
{
#if defined __AVX512F__
  __builtin_cpu_init ();
  return __builtin_cpu_supports ("avx512f") && __builtin_cpu_supports ("avx512bw")
         && __builtin_cpu_supports ("avx512vl") && __builtin_cpu_supports ("avx512dq")
         && __builtin_cpu_supports ("fma") && __builtin_cpu_supports ("avx2")
#if defined __AVX512BF16__
         && __builtin_cpu_supports ("avx512bf16")
#endif
      ;
#elif defined __AVX2__
  __builtin_cpu_init ();
  return __builtin_cpu_supports ("avx2") && __builtin_cpu_supports ("fma")
         && __builtin_cpu_supports ("bmi2");
#else
  return TRUE;
#endif
}

const CpuIsa CPU_FN (cpu_isa) = {
  .name = G_STRINGIFY (CPU_ISA),
  .is_usable = is_usable,
  .run = {
    [PEFT_KERNEL_MATMUL] = CPU_FN (cpu_matmul),
    [PEFT_KERNEL_GATHER_ROWS] = CPU_FN (cpu_gather_rows),
    [PEFT_KERNEL_SCATTER_ADD_ROWS] = CPU_FN (cpu_scatter_add_rows),
    [PEFT_KERNEL_RMS_NORM] = CPU_FN (cpu_rms_norm),
    [PEFT_KERNEL_RMS_NORM_BACKWARD] = CPU_FN (cpu_rms_norm_backward),
    [PEFT_KERNEL_ROPE] = CPU_FN (cpu_rope),
    [PEFT_KERNEL_ATTENTION] = CPU_FN (cpu_attention),
    [PEFT_KERNEL_ATTENTION_BACKWARD] = CPU_FN (cpu_attention_backward),
    [PEFT_KERNEL_GATED] = CPU_FN (cpu_gated),
    [PEFT_KERNEL_GATED_BACKWARD] = CPU_FN (cpu_gated_backward),
    [PEFT_KERNEL_DROPOUT] = CPU_FN (cpu_dropout),
    [PEFT_KERNEL_CROSS_ENTROPY] = CPU_FN (cpu_cross_entropy),
    [PEFT_KERNEL_SUM_SQUARES] = CPU_FN (cpu_sum_squares),
    [PEFT_KERNEL_ADAMW] = CPU_FN (cpu_adamw),
    [PEFT_KERNEL_FILL] = CPU_FN (cpu_fill),
    [PEFT_KERNEL_COPY] = CPU_FN (cpu_copy),
    [PEFT_KERNEL_UNARY] = CPU_FN (cpu_unary),
    [PEFT_KERNEL_UNARY_BACKWARD] = CPU_FN (cpu_unary_backward),
    [PEFT_KERNEL_BINARY] = CPU_FN (cpu_binary),
    [PEFT_KERNEL_REDUCE] = CPU_FN (cpu_reduce),
    [PEFT_KERNEL_SOFTMAX] = CPU_FN (cpu_softmax),
    [PEFT_KERNEL_SOFTMAX_BACKWARD] = CPU_FN (cpu_softmax_backward),
    [PEFT_KERNEL_LU_FACTOR] = cpu_lu_factor,
    [PEFT_KERNEL_LU_SOLVE] = cpu_lu_solve,
    [PEFT_KERNEL_TRIANGULAR_SOLVE] = cpu_triangular_solve,
    [PEFT_KERNEL_FFT] = cpu_fft,
  },
  .peak_f32 = CPU_FN (cpu_peak_f32),
#ifdef __AVX512BF16__
  .has_bf16 = TRUE,
  .peak_bf16 = CPU_FN (cpu_peak_bf16),
#endif
};
