/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nn/gradcheck.h"

#include "models/peft-slot.h"

/* Mixed batches: hooks that stand for adapters, each with lines of its own. */

#define LINES 6
#define LENGTH 2
#define IN 3
#define OUT 4

#define SHAPE(...) { .n_dims = G_N_ELEMENTS (((gint64[]){ __VA_ARGS__ })), .shape = { __VA_ARGS__ } }

typedef struct
{
  PeftSlotHook parent;
  PeftVar *matrix; /* [OUT, IN] */
  double factor;
} TestHook;

static PeftVar *
scale_input (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftVar *x)
{
  return peft_nn_scale (tape, x, ((TestHook *) hook)->factor);
}

static PeftVar *
get_matrix (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot)
{
  return peft_var_ref (((TestHook *) hook)->matrix);
}

static PeftVar *
multiply_output (PeftSlotHook *hook, PeftTape *tape, PeftSlot *slot, PeftVar *x, PeftVar *y)
{
  PeftVar *out = peft_nn_mul (tape, y, y);

  peft_var_unref (y);
  return out;
}

static const PeftSlotHookClass before_and_after = { .before = scale_input, .after = multiply_output };
static const PeftSlotHookClass with_delta = { .before = scale_input, .delta = get_matrix };

/* Where the lines of the two hooks are. */
typedef struct
{
  guint line[2], n_lines[2];
} Case;

/* The same with each hook alone on its lines. */
static PeftVar *
one_by_one (PeftTape *tape, PeftSlot *slot, TestHook *hooks, PeftVar *x, const Case *c)
{
  g_autoptr (GPtrArray) all = slot->hooks;
  PeftVar *parts[LINES];
  PeftVar *out;

  slot->hooks = g_ptr_array_new ();
  for (guint line = 0; line < LINES; line++)
    {
      g_autoptr (PeftVar) rows = peft_nn_slice (tape, x, 0, line * LENGTH, LENGTH);

      g_ptr_array_set_size (slot->hooks, 0);
      for (guint i = 0; i < 2; i++)
        if (line >= c->line[i] && line < c->line[i] + c->n_lines[i])
          {
            hooks[i].parent.of_lines = 0;
            g_ptr_array_add (slot->hooks, &hooks[i]);
          }
      parts[line] = peft_slot_linear (slot, tape, rows);
    }
  out = peft_nn_concat (tape, parts, LINES, 0);
  for (guint line = 0; line < LINES; line++)
    peft_var_unref (parts[line]);
  g_ptr_array_unref (slot->hooks);
  slot->hooks = g_steal_pointer (&all);
  return out;
}

/* leaves: x, the second hook's matrix where it has lines. */
static PeftVar *
mixed (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  const Case *c = data;
  const gint64 shape[2] = { OUT, IN };
  const float values[OUT * IN] = { 0.5f, -1, 2, 0.25f, 1, 0.125f, -0.5f, 1.5f, 0.75f, -2, 1, 0.5f };
  g_autoptr (PeftTensor) weight = peft_tape_alloc (tape, PEFT_DTYPE_F64, 2, shape);
  TestHook hooks[2] = {
    { { .klass = &before_and_after, .weight = 1 }, NULL, 1.5 },
    { { .klass = &with_delta, .weight = 1 }, c->n_lines[1] > 0 ? v[1] : NULL, -0.5 },
  };
  PeftSlot slot = {
    .kind = PEFT_SLOT_LINEAR, .in_features = IN, .out_features = OUT, .weight = weight,
    .hooks = g_ptr_array_new (),
  };
  double found[LINES * LENGTH * OUT], wanted[LINES * LENGTH * OUT];
  g_autoptr (PeftVar) y = NULL;
  g_autoptr (PeftVar) expected = NULL;

  peft_tensor_upload_f32 (weight, values);
  for (guint i = 0; i < 2; i++)
    {
      hooks[i].parent.line = c->line[i];
      hooks[i].parent.n_lines = c->n_lines[i];
      hooks[i].parent.of_lines = LINES;
      g_ptr_array_add (slot.hooks, &hooks[i]);
    }
  y = peft_slot_linear (&slot, tape, v[0]);
  expected = one_by_one (tape, &slot, hooks, v[0], c);
  g_ptr_array_unref (slot.hooks);
  peft_tensor_download_f64 (y->value, found);
  peft_tensor_download_f64 (expected->value, wanted);
  for (guint i = 0; i < G_N_ELEMENTS (found); i++)
    g_assert_cmpfloat_with_epsilon (found[i], wanted[i], 1e-12);
  return gradcheck_weigh (tape, y);
}

static void
test_mixed (void)
{
  static const Case cases[] = {
    { { 0, 2 }, { 2, 3 } }, /* at the start and in the middle; the last line has none */
    { { 4, 0 }, { 2, 1 } }, /* at the end, and before it */
    { { 0, 0 }, { 6, 0 } }, /* one has all lines, the other none */
    { { 3, 1 }, { 0, 5 } },
  };
  const GradcheckLeaf leaves[] = { SHAPE (LINES *LENGTH, IN), SHAPE (OUT, IN) };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *name = g_strdup_printf ("case %u", i);

      gradcheck_run (name, mixed, &cases[i], leaves, cases[i].n_lines[1] > 0 ? 2 : 1);
    }
}

/* Merged weights stand before the slot's own. */
static PeftVar *
merged (PeftTape *tape, PeftVar *const *v, gconstpointer data)
{
  const gint64 shape[2] = { OUT, IN };
  const float own[OUT * IN] = { 1 }, other[OUT * IN] = { 2, 3, 4 };
  g_autoptr (PeftTensor) weight = peft_tape_alloc (tape, PEFT_DTYPE_F64, 2, shape);
  g_autoptr (PeftTensor) changed = peft_tape_alloc (tape, PEFT_DTYPE_F64, 2, shape);
  PeftSlot slot = {
    .kind = PEFT_SLOT_LINEAR, .in_features = IN, .out_features = OUT, .weight = weight,
    .merged_weight = changed, .hooks = g_ptr_array_new (),
  };
  g_autoptr (PeftVar) y = NULL;
  double x[IN], found[OUT];

  peft_tensor_upload_f32 (weight, own);
  peft_tensor_upload_f32 (changed, other);
  y = peft_slot_linear (&slot, tape, v[0]);
  g_ptr_array_unref (slot.hooks);
  peft_tensor_download_f64 (v[0]->value, x);
  peft_tensor_download_f64 (y->value, found);
  g_assert_cmpfloat_with_epsilon (found[0], 2 * x[0] + 3 * x[1] + 4 * x[2], 1e-12);
  return gradcheck_weigh (tape, y);
}

static void
test_merged (void)
{
  const GradcheckLeaf leaves[] = { SHAPE (1, IN) };

  gradcheck_run ("merged", merged, NULL, leaves, 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/slot/mixed", test_mixed);
  g_test_add_func ("/slot/merged", test_merged);
  return g_test_run ();
}
