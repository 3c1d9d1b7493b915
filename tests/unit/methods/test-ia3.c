/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/peft-atomic-file.h"
#include "tiny-model.h"

/* Several (IA)³ adapters at a time, on the float64 reference backend. */

#define MODULES "\"target_modules\":[\"q_proj\",\"v_proj\",\"down_proj\"],\"feedforward_modules\":[\"down_proj\"]"

static PeftAdapter *
make_adapter (PeftCore *core, const char *name, float step)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftConfig) config = peft_config_new_from_json ("{\"peft_type\":\"IA3\"," MODULES "}", -1, &error);
  PeftAdapter *adapter = NULL;

  g_assert_no_error (error);
  adapter = peft_adapter_new (core, config, name, 1, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < peft_param_set_get_n (adapter->params); i++)
    {
      PeftParam *param = peft_param_set_get (adapter->params, i);
      g_autofree float *values = peft_param_dup_values (param);

      for (gint64 j = 0; j < param->shape[0] * param->shape[1]; j++)
        values[j] += step * (float) ((j * 7 + i) % 5 - 1);
      peft_param_upload (param, values);
    }
  return adapter;
}

/* Vectors multiply, each weighed as 1 + w (l - 1); biases too; a merged model says the same. */
static void
test_together (void)
{
  const TinyOptions options = { .biases = TRUE };
  g_autofree char *folder = tiny_write (&options);
  g_autofree char *output = g_dir_make_tmp ("peft-ia3-XXXXXX", NULL);
  g_autoptr (PeftCore) core = tiny_load (folder);
  g_autoptr (PeftAdapter) first = make_adapter (core, "first", 0.2f);
  g_autoptr (PeftAdapter) second = make_adapter (core, "second", -0.3f);
  g_autoptr (GPtrArray) both = g_ptr_array_new ();
  g_autofree double *base = tiny_logits (core, FALSE);
  g_autofree double *one = NULL, *together = NULL, *product = NULL, *merged = NULL;
  g_autoptr (GError) error = NULL;

  peft_adapter_set_active (first, TRUE, 1);
  one = tiny_logits (core, FALSE);
  peft_adapter_set_active (second, TRUE, 0.5);
  together = tiny_logits (core, FALSE);
  g_assert_cmpfloat (tiny_largest_difference (base, one, TINY_LOGITS), >, 0.01);
  g_assert_cmpfloat (tiny_largest_difference (one, together, TINY_LOGITS), >, 0.01);

  g_ptr_array_add (both, first);
  g_ptr_array_add (both, second);
  g_assert_true (peft_core_save_merged (core, both, output, PEFT_N_DTYPES, NULL, &error));
  g_assert_no_error (error);
  {
    g_autoptr (PeftCore) whole = tiny_load (output);
    merged = tiny_logits (whole, FALSE);
  }
  g_assert_cmpfloat (tiny_largest_difference (together, merged, TINY_LOGITS), <, 1e-5 * tiny_largest (merged, TINY_LOGITS));

  /* The product of the two, in one adapter. */
  for (guint i = 0; i < peft_param_set_get_n (first->params); i++)
    {
      PeftParam *a = peft_param_set_get (first->params, i), *b = peft_param_set_get (second->params, i);
      g_autofree float *x = peft_param_dup_values (a);
      g_autofree float *y = peft_param_dup_values (b);

      for (gint64 j = 0; j < a->shape[0] * a->shape[1]; j++)
        x[j] *= 1 + 0.5f * (y[j] - 1);
      peft_param_upload (a, x);
    }
  peft_adapter_set_active (second, FALSE, 1);
  product = tiny_logits (core, FALSE);
  g_assert_cmpfloat (tiny_largest_difference (together, product, TINY_LOGITS), <, 1e-5 * tiny_largest (product, TINY_LOGITS));
  peft_adapter_set_active (first, FALSE, 1);
  peft_remove_tree (output, NULL);
  peft_remove_tree (folder, NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Ia3/together", test_together);
  return g_test_run ();
}
