/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#define PEFT_GLIB_INSIDE

#include "base/peft-dtype-public.h"
#include "base/peft-error.h"
#include "base/peft-task.h"
#include "base/peft-version-macros.h"
#include "compute/peft-tensor-public.h"
#include "methods/peft-config-types.h"
#include "methods/peft-config.h"
#include "models/peft-load-dtype.h"
#include "peft-base-model.h"
#include "peft-dataset.h"
#include "peft-device.h"
#include "peft-enum-types.h"
#include "peft-evaluation-result.h"
#include "peft-generation-result.h"
#include "peft-generator.h"
#include "peft-inspect.h"
#include "peft-methods.h"
#include "peft-model.h"
#include "peft-token-stream.h"
#include "peft-tokenizer.h"
#include "peft-trainer.h"
#include "peft-training-progress.h"
#include "peft-training-result.h"
#include "peft-variant.h"
#include "peft-version.h"
#include "train/peft-checkpointing.h"

#undef PEFT_GLIB_INSIDE
