/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "text/peft-template.h"

/* Which bytes of a rendered conversation the assistant wrote, for losses that leave out the rest.
 *
 * variables is an object with `messages`, whatever else the template takes (tools, bos_token, …), and
 * add_generation_prompt is set as needed here. Refusals are PEFT_ERROR_INVALID_DATA and name the
 * message, counted from 0, and where texts part. */

/* The whole conversation; *spans takes a new array of PeftTextSpan, one for each piece of assistant
 * text, in order. With {% generation %} blocks they say what it is. Without, it is what message i adds:
 * the conversation before it with the generation prompt must begin the conversation up to it, which
 * must begin the whole. The end marker that the template puts after an answer is part of it then. */
char *peft_assistant_mask_render (PeftTemplate *template, const PeftJson *variables, GArray **spans,
                                  GError **error);

/* The same with only the last message counted, which must be the assistant's. */
char *peft_assistant_mask_render_completion (PeftTemplate *template, const PeftJson *variables,
                                             PeftTextSpan *span, GError **error);
