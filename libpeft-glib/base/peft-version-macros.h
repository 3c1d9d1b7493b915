/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* The library is built with hidden visibility: a public function carries the release it came with. */
#define PEFT_AVAILABLE_IN_1_0 __attribute__ ((visibility ("default"))) extern
