/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-method.h"

/* A random model of a few hundred weights on the reference backend, in a temporary folder. */

#define TINY_VOCAB 32
#define TINY_HIDDEN 16
#define TINY_LAYERS 2
#define TINY_IDS 12
#define TINY_LOGITS (TINY_IDS * TINY_VOCAB)

typedef struct
{
  gboolean tied;
  gboolean biases; /* a Qwen 2: q, k and v have biases */
  PeftDType dtype; /* of the file; F64 (0) stands for F32 */
} TinyOptions;

char *
tiny_write (const TinyOptions *options);
PeftCore *
tiny_load (const char *folder);
/* [TINY_IDS, TINY_VOCAB] of a fixed row of ids; with training, dropout is on. */
double *
tiny_logits (PeftCore *core, gboolean training);
/* Σ logits ⊙ fixed weights, and its gradients where the parameters train. */
double
tiny_loss (PeftCore *core, gboolean gradients);
/* Normal values of that size in every trainable parameter. */
void
tiny_randomise (PeftAdapter *adapter, double std);
double
tiny_largest_difference (const double *a, const double *b, gsize n);
double
tiny_largest (const double *a, gsize n);
PeftConfig *
tiny_config (const char *members);
PeftAdapter *
tiny_adapter (PeftCore *core, const char *members);
