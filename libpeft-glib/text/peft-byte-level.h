/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* GPT-2's spelling of bytes as printable characters: the printable ones of Latin-1 stand for
 * themselves, the other 68 are U+0100 and up in order. */

#define PEFT_BYTE_LEVEL_MAX_CHAR 0x143u

/* The character of a byte as UTF-8, at most 2 bytes; returns its length. */
int peft_byte_level_encode (guint8 byte, char out[2]);
/* The byte of a character, -1 when it stands for none. */
int peft_byte_level_decode (gunichar c);

/* The pattern that GPT-2 cuts text with. */
#define PEFT_BYTE_LEVEL_PATTERN                                                                  \
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
