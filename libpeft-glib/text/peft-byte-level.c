/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text/peft-byte-level.h"

static struct
{
  gunichar chars[256];
  gint16 bytes[PEFT_BYTE_LEVEL_MAX_CHAR + 1];
} table;

static void
table_init (void)
{
  static gsize ready;

  if (g_once_init_enter (&ready))
    {
      gunichar next = 0x100;

      for (gsize i = 0; i < G_N_ELEMENTS (table.bytes); i++)
        table.bytes[i] = -1;
      for (guint b = 0; b < 256; b++)
        {
          gboolean printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;

          table.chars[b] = printable ? b : next++;
          table.bytes[table.chars[b]] = (gint16) b;
        }
      g_once_init_leave (&ready, 1);
    }
}

int
peft_byte_level_encode (guint8 byte, char out[2])
{
  gunichar c;

  table_init ();
  c = table.chars[byte];
  if (c < 0x80)
    {
      out[0] = (char) c;
      return 1;
    }
  out[0] = (char) (0xc0 | (c >> 6));
  out[1] = (char) (0x80 | (c & 0x3f));
  return 2;
}

int
peft_byte_level_decode (gunichar c)
{
  table_init ();
  return c <= PEFT_BYTE_LEVEL_MAX_CHAR ? table.bytes[c] : -1;
}
