/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "nn/peft-nodes.h"

/* Long short-term memory (Hochreiter and Schmidhuber, Neural Computation 9 (8), 1997, with the forget gate of Gers et
 * al., 2000), in the order of gates that torch has: i, f, g, o.
 *   c' = σ(f) c + σ(i) tanh (g),  h' = σ(o) tanh (c') */

/* Joins any number of parts, which are released. */
static PeftVar *
join (PeftTape *tape, PeftVar **parts, guint n, guint dim)
{
  while (n > 1)
    {
      guint joined = 0;

      for (guint start = 0; start < n; start += PEFT_NODE_MAX)
        {
          guint count = MIN (PEFT_NODE_MAX, n - start);
          PeftVar *out = peft_nn_concat (tape, parts + start, count, dim);

          for (guint i = 0; i < count; i++)
            peft_var_unref (parts[start + i]);
          parts[joined++] = out;
        }
      n = joined;
    }
  return parts[0];
}

/* gates [1, 4 · hidden]; *c is NULL before the first step. → h [1, hidden] */
static PeftVar *
step (PeftTape *tape, PeftVar *gates, gint64 hidden, PeftVar **c)
{
  g_autoptr (PeftVar) open = peft_nn_unary (tape, PEFT_UNARY_SIGMOID, gates);
  g_autoptr (PeftVar) i = peft_nn_slice (tape, open, 1, 0, hidden);
  g_autoptr (PeftVar) f = peft_nn_slice (tape, open, 1, hidden, hidden);
  g_autoptr (PeftVar) o = peft_nn_slice (tape, open, 1, 3 * hidden, hidden);
  g_autoptr (PeftVar) candidate = peft_nn_slice (tape, gates, 1, 2 * hidden, hidden);
  g_autoptr (PeftVar) g = peft_nn_unary (tape, PEFT_UNARY_TANH, candidate);
  g_autoptr (PeftVar) fresh = peft_nn_mul (tape, i, g);
  g_autoptr (PeftVar) squashed = NULL;

  if (*c != NULL)
    {
      g_autoptr (PeftVar) kept = peft_nn_mul (tape, f, *c);

      peft_var_unref (*c);
      *c = peft_nn_add (tape, kept, fresh);
    }
  else
    *c = peft_var_ref (fresh);
  squashed = peft_nn_unary (tape, PEFT_UNARY_TANH, *c);
  return peft_nn_mul (tape, o, squashed);
}

PeftVar *
peft_nn_lstm (PeftTape *tape, PeftVar *x, PeftVar *w_in, PeftVar *w_hidden, PeftVar *b_in,
              PeftVar *b_hidden, gboolean reverse)
{
  const gint64 length = peft_var_shape (x)[0], hidden = peft_var_shape (w_hidden)[1];
  g_autoptr (PeftVar) inputs = peft_nn_linear (tape, x, w_in, b_in, FALSE);
  g_autofree PeftVar **states = g_new (PeftVar *, length);
  g_autoptr (PeftVar) c = NULL;
  PeftVar *h = NULL;

  for (gint64 i = 0; i < length; i++)
    {
      gint64 t = reverse ? length - 1 - i : i;
      g_autoptr (PeftVar) input = peft_nn_slice (tape, inputs, 0, t, 1);
      /* The state before the first step is zero: its product is the bias alone. */
      g_autoptr (PeftVar) recurrent = h != NULL
                                          ? peft_nn_linear (tape, h, w_hidden, b_hidden, FALSE)
                                          : peft_var_ref (b_hidden);
      g_autoptr (PeftVar) gates = peft_nn_add (tape, input, recurrent);

      h = states[t] = step (tape, gates, hidden, &c);
    }
  return join (tape, states, (guint) length, 0);
}
