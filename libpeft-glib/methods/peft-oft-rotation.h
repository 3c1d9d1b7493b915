/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-method.h"

/* The rotations of one layer: skew-symmetric matrices, the orthogonal ones that belong to them, and their
 * product with rows. Cayley: R = (I − Q)(I + Q)⁻¹. Cayley–Neumann with t terms (Qiu et al., "Orthogonal
 * finetuning made scalable", arXiv:2506.19847): R = I + 2Q + … + 2Q^(t−2) + Q^(t−1), near the inverse of that. */

/* On the backend, for one block size: where an element of Q is in its triangle, its sign; I. */
typedef struct
{
  PeftTensor *index, *sign, *identity;
} PeftOftConstants;

typedef struct
{
  PeftParam *param; /* [1 or blocks, block (block − 1) / 2]: the strict upper triangles, row by row */
  gint64 block, n_blocks;
  gboolean shared;  /* one matrix for all blocks */
  gboolean neumann;
  guint n_terms;
  gboolean constrained;
  double radius;    /* of Q's Frobenius norm, when constrained */
  const PeftOftConstants *constants; /* the adapter's, in method_data */
} PeftOftRotation;

gboolean peft_oft_rotation_init (PeftOftRotation *self, PeftAdapter *adapter, PeftParam *param,
                                 gint64 block, gint64 n_blocks, GError **error);
/* x [rows, blocks · block] with every block times R. */
PeftVar *peft_oft_rotate (const PeftOftRotation *self, PeftTape *tape, PeftVar *x);
/* Scales down matrices that are too long, when constrained. */
void peft_oft_rotation_project (const PeftOftRotation *self);
/* R on the host: [1 or blocks, block, block]. */
double *peft_oft_rotation_read (const PeftOftRotation *self);
