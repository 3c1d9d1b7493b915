/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-error.h"

G_DEFINE_QUARK (peft-error-quark, peft_error)
