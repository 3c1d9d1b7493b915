/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* The cache that the Python library huggingface_hub keeps:
 * models--ORG--NAME/refs/REVISION holds a commit, snapshots/COMMIT the files. */

#define PEFT_HUB_DEFAULT_REVISION "main"
#define PEFT_HUB_MAX_ID_BYTES 256u

/* Is it "org/name" or "org/name@revision", in the letters that the Hub allows? */
gboolean peft_hub_is_id (const char *id);
/* HF_HUB_CACHE, else HF_HOME/hub, else huggingface/hub in the user's cache folder. */
char *peft_hub_cache_get_folder (void);
/* The snapshot's folder. PEFT_ERROR_NOT_FOUND says which part is missing. */
char *peft_hub_cache_find (const char *id, GError **error);
/* What a MODEL argument means: the path itself when it exists, else a Hub id in the cache. */
char *peft_hub_resolve (const char *model, GError **error);
