/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "methods/peft-method.h"

/* A safetensors file of everything that is trained: the values under peft's parameter names, and the optimiser's
 * m and v as two flat arrays "optimizer.m" and "optimizer.v". In the backend's real type, so that
 * nothing is lost. */

gboolean peft_training_state_save (PeftAdapter *adapter, const char *path, GError **error);
/* Nothing is changed unless all of it fits. */
gboolean peft_training_state_load (PeftAdapter *adapter, const char *path, gboolean with_moments,
                                   GError **error);
