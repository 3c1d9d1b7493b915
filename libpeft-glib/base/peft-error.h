/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "base/peft-version-macros.h"

G_BEGIN_DECLS

/**
 * PeftError:
 * @PEFT_ERROR_FAILED: an operation failed for a reason with no code of its own
 * @PEFT_ERROR_INVALID_ARGUMENT: a setting has a value that makes no sense
 * @PEFT_ERROR_NOT_FOUND: a file, tensor, module or name does not exist
 * @PEFT_ERROR_INVALID_FILE: a file is truncated, malformed or contradicts itself
 * @PEFT_ERROR_INVALID_DATA: a data set row cannot be used
 * @PEFT_ERROR_SHAPE_MISMATCH: a tensor has another shape than its place asks for
 * @PEFT_ERROR_UNSUPPORTED: valid, but something this version does not do
 * @PEFT_ERROR_IO: reading or writing failed (disk full, permissions)
 * @PEFT_ERROR_NOT_FINITE: a loss, gradient or weight is infinite or not a number
 * @PEFT_ERROR_OUT_OF_MEMORY: the device or the machine lacks the memory
 * @PEFT_ERROR_DEVICE: a compute device is missing or failed
 * @PEFT_ERROR_BUSY: another operation runs on the same model
 * @PEFT_ERROR_LIMIT: a named limit (nesting, steps, output size) was crossed
 *
 * Error codes of the `PEFT_ERROR` domain.
 *
 * Messages name the file, the tensor or field, what was expected and what was found.
 *
 * Since: 1.0
 */
typedef enum
{
  PEFT_ERROR_FAILED,
  PEFT_ERROR_INVALID_ARGUMENT,
  PEFT_ERROR_NOT_FOUND,
  PEFT_ERROR_INVALID_FILE,
  PEFT_ERROR_INVALID_DATA,
  PEFT_ERROR_SHAPE_MISMATCH,
  PEFT_ERROR_UNSUPPORTED,
  PEFT_ERROR_IO,
  PEFT_ERROR_NOT_FINITE,
  PEFT_ERROR_OUT_OF_MEMORY,
  PEFT_ERROR_DEVICE,
  PEFT_ERROR_BUSY,
  PEFT_ERROR_LIMIT
} PeftError;

#define PEFT_ERROR (peft_error_quark ())

PEFT_AVAILABLE_IN_1_0
GQuark peft_error_quark (void);

G_END_DECLS
