/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "text/peft-token-model.h"

#include <glib/gi18n-lib.h>

#include "base/peft-error.h"
#include "text/peft-bpe.h"
#include "text/peft-text-json.h"

static const PeftTokenModelClass *const classes[] = {
  &peft_bpe_class,
};

PeftTokenModel *
peft_token_model_new_from_json (const PeftJson *json, GError **error)
{
  /* Files of the first releases do not say what they are; they are BPE when there are merges. */
  const char *type = peft_json_get_member (json, "type") == NULL &&
                             peft_json_get_member (json, "merges") != NULL
                         ? "BPE"
                         : peft_text_json_type (json, error);

  if (type == NULL)
    return NULL;
  for (gsize i = 0; i < G_N_ELEMENTS (classes); i++)
    if (strcmp (type, classes[i]->type) == 0)
      return classes[i]->new_from_json (json, error);
  peft_text_json_unknown (type, _("model"), error);
  return NULL;
}

void
peft_token_model_free (PeftTokenModel *self)
{
  if (self != NULL)
    self->klass->free (self);
}
