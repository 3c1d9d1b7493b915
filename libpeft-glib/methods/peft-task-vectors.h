/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Ways to make one array of numbers out of several. */

/* Keeps the (gsize) (density · n) values of the largest size. */
void peft_prune_by_size (float *values, gsize n, double density);
/* Keeps each value with the probability `density`, divided by it. */
void peft_prune_by_chance (float *values, gsize n, double density, guint64 seed, guint64 stream);
/* Σ weight · values, in `out`. */
void peft_sum_weighted (float *const *values, const double *weights, guint n_arrays, gsize n,
                        float *out);
/* For each number a sign is elected: that of the sum of the values (frequency: of their signs), 0 counting as +. The
 * mean of weight · value over those that have it (Yadav et al., arXiv:2306.01708). */
void peft_sum_elected (float *const *values, const double *weights, guint n_arrays, gsize n,
                       gboolean frequency, float *out);
/* Clamps both arrays to ± the quantile of their values together. */
void peft_clamp_to_quantile (float *a, gsize n_a, float *b, gsize n_b, double quantile);
