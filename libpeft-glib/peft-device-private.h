/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "compute/peft-backend.h"
#include "peft-device.h"

/* A backend of its own: backends are used by one thread at a time. */
PeftBackend *peft_device_open_backend (PeftDevice *self, GError **error);
