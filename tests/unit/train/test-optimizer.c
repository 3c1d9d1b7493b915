/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>

#include "base/peft-error.h"
#include "train/peft-optimizer.h"

/* Three clipped steps of torch.optim.AdamW (lr 0.05, betas 0.9 and 0.95, eps 1e-6, weight decay 0.1 on the first
 * tensor only) in float64. */

static const float start_decayed[] = { 0.5f, -1.25f, 2.0f, 0.125f };
static const float start_plain[] = { 1.0f, -0.5f, 0.25f };
static const double gradients[3][7] = {
  { 0.3, -2.0, 0.01, 1.5, 0.2, -0.1, 4.0 },
  { -0.4, 1.0, 0.02, 0.5, 0.1, -0.3, -2.0 },
  { 0.05, 0.25, -0.5, 0.75, 0.0, 0.6, 1.0 },
};
static const double norms[] = { 4.731817832503699, 2.3474241201793933, 1.4958275301651591 };
static const double end[] = {
  0.47778509515795087, -1.195443425062862, 1.9074811063498989, -0.022608210125649356,
  0.8608448659511929, -0.4282565168532261, 0.18913565368600604,
};

static void
run_steps (const char *device, double tolerance)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftBackend) backend = peft_backend_open (device, 1, &error);
  g_autoptr (PeftParamSet) set = NULL;
  const PeftOptimizer *adamw = peft_optimizer_require ("adamw", &error);
  const gint64 four = 4, three = 3;
  PeftParam *params[2];
  double values[7];

  g_assert_no_error (error);
  set = peft_param_set_new (backend);
  /* Declared in the other order than they lie in memory. */
  params[1] = peft_param_set_add (set, "plain", 1, &three, FALSE,
                                  g_memdup2 (start_plain, sizeof start_plain));
  params[0] = peft_param_set_add (set, "decayed", 1, &four, TRUE,
                                  g_memdup2 (start_decayed, sizeof start_decayed));
  peft_param_set_allocate (set, &error);
  g_assert_no_error (error);
  peft_param_set_begin_training (set, peft_param_set_get_n_trained (set), peft_param_set_get_n_trained (set), &error);
  g_assert_no_error (error);

  for (guint i = 0; i < 3; i++)
    {
      PeftOptimizerStep step = {
        .learning_rate = 0.05, .weight_decay = 0.1, .beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-6,
        .step = i + 1,
      };
      double norm;

      peft_tensor_upload_f64 (params[0]->grad, gradients[i]);
      peft_tensor_upload_f64 (params[1]->grad, gradients[i] + 4);
      norm = peft_param_set_grad_norm (set);
      g_assert_cmpfloat_with_epsilon (norm, norms[i], tolerance * 5);
      step.grad_scale = peft_optimizer_clip_scale (norm, 1.0);
      adamw->step (set, backend, &step);
    }
  peft_tensor_download_f64 (params[0]->value, values);
  peft_tensor_download_f64 (params[1]->value, values + 4);
  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    g_assert_cmpfloat_with_epsilon (values[i], end[i], tolerance);
}

static void
test_reference (void)
{
  run_steps ("reference", 1e-12);
}

static void
test_cpu (void)
{
  g_autoptr (PeftBackend) backend = peft_backend_open ("cpu", 1, NULL);

  if (backend == NULL)
    g_test_skip ("the cpu backend was not built");
  else
    run_steps ("cpu", 1e-6);
}

/* ---- Every optimiser ----------------------------------------------------------------------- */

/* Three steps in float64 of torch.optim's AdamW and SGD, transformers' Adafactor, peft's LoraFAOptimizer, Lion's formula, and
 * AdamW in the groups of peft's LoRA+: lr 0.05, betas 0.9 and 0.95, eps 1e-6, momentum 0.9, weight decay 0.1 but not on
 * the bias, gradients times 0.75, LoRA+ ratio 4 and embeddings' rate 0.01. */

#define N_PARAMS 4
#define N_VALUES 19

static const struct
{
  const char *name;
  guint n_dims;
  gint64 shape[2];
} shapes[N_PARAMS] = {
  { "x.lora_A.weight", 2, { 2, 3 } },
  { "x.lora_B.weight", 2, { 3, 2 } },
  { "x.lora_B.bias", 1, { 3 } },
  { "e.lora_embedding_B", 2, { 2, 2 } },
};

static const struct
{
  const char *path, *optimizer;
  PeftOptimizerStep own;
  double end[N_VALUES];
} cases[] = {
  { "adamw", "adamw", { 0 },
    {
      -1.1184037873900363, -0.25120010692975187, 0.06287743306997495, 0.5904469639879049,
      -0.49723471560223675, 0.06890190018781658, 0.4370575102442311, -0.6887422863159386,
      -0.08248907402902993, 0.19456580760280157, 0.7594759267671869, -0.3280488823495704,
      0.07062621138162004, 0.6164839612551449, -0.4906629570664045, -0.06720445356057864,
      0.2093742511344988, 0.7748498999987254, -0.31267520886731276 } },
  { "adafactor", "adafactor", { 0 },
    {
      -1.1248773259013127, -0.28073723577940013, 0.12701482797828442, 0.6263129941306483,
      -0.46815481392093794, 0.12620588590817863, 0.4898306750408997, -0.7377209546747923,
      -0.039872336289743404, 0.2396983620612616, 0.7415726181618161, -0.3541805039222103,
      0.14258739348268482, 0.6254766393411397, -0.48337253101151556, -0.06207279480140583,
      0.21940407261135864, 0.7835476622698179, -0.30891166613644316 } },
  { "adafactor-scaled", "adafactor", { .scale_parameter = TRUE },
    {
      -1.0678475413803765, -0.3317802660354025, 0.1446756512482339, 0.6764715942063372,
      -0.5445514382027246, 0.04294298757953317, 0.5324393980701096, -0.7650969356512716,
      -0.12119535763682152, 0.2816107161077362, 0.8158380232431529, -0.40825722474035403,
      0.16034892897150138, 0.6868331345703982, -0.5525219574434104, -0.13479052701007643,
      0.28257964189919316, 0.8541419922137559, -0.38270749047131847 } },
  { "sgd", "sgd", { 0 },
    {
      -1.1428446767578124, -0.28629124316406246, 0.154583376953125, 0.5954579970703124,
      -0.4769397275390625, -0.03606510742187499, 0.4763026943359376, -0.6705090927734375,
      -0.15522041015625, 0.28565420996093743, 0.726528830078125, -0.34586889453124997,
      0.171626953125, 0.62812890625, -0.48228125000000005, -0.1433048798828125,
      0.29756974023437505, 0.7384443603515626, -0.3339533642578125 } },
  { "nesterov", "sgd", { .nesterov = TRUE },
    {
      -1.207486473975586, -0.2316267176435547, 0.15043624338085937, 0.5324992044052734,
      -0.39684313322167974, -0.014780172197265623, 0.42923894466894524, -0.6414901117080077,
      -0.11804043193359372, 0.26402252909082025, 0.6460854901152344, -0.28325684751171876,
      0.1679408203125, 0.571566015625, -0.410225, -0.10771440595996093, 0.27434855506445316,
      0.656411516088867, -0.2729308215380859 } },
  { "lion", "lion", { 0 },
    {
      -1.1189343300781252, -0.25093541796875, 0.020058494140624994, 0.58955490625,
      -0.4972041367187501, 0.072292275390625, 0.43563695703125, -0.7511220859375,
      -0.081625673828125, 0.18936823828124996, 0.758864650390625, -0.32789439257812497,
      0.037500000000000006, 0.6156249999999999, -0.4906249999999999, -0.06623387890624999,
      0.20476003320312497, 0.7742564453124999, -0.31250259765625 } },
  { "loraplus", "loraplus", { 0 },
    {
      -1.1184037873900363, -0.25120010692975187, 0.06287743306997495, 0.5904469639879049,
      -0.49723471560223675, 0.06890190018781658, -0.023585787056118523, -0.3271194731522414,
      0.36405306972626883, -0.2438218417532112, 0.2820170788289306, 0.13157542332390507,
      -0.27999515447351986, 0.16906084502057978, -0.040776828265618154, -0.18831879090958478,
      0.329251589020037, 0.9048391143748372, -0.4374097163499292 } },
  { "lorafa", "lorafa", { 0 },
    {
      -0.984375, -0.40625, 0.171875, 0.75, -0.65625, -0.078125, 0.4706180062210205,
      -0.699320518876181, -0.08731271298746492, 0.23150471929255, 0.7620699537063955,
      -0.3323141668872306, 0.070629673493102, 0.6164846738729848, -0.4906636322330071,
      -0.06794746177324709, 0.21009913977568892, 0.7755937526254133, -0.3134214776379357 } },
};

/* Numbers that float32 holds exactly. */
static void
fill (double *out, gsize n, guint seed)
{
  for (gsize i = 0; i < n; i++)
    out[i] = ((double) ((i * 37 + seed * 101) % 127) - 63) / 64;
}

static void
check_case (const char *device, guint index, double tolerance)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftBackend) backend = peft_backend_open (device, 1, &error);
  g_autoptr (PeftParamSet) set = peft_param_set_new (backend);
  const PeftOptimizer *optimizer = peft_optimizer_require (cases[index].optimizer, &error);
  PeftParam *params[N_PARAMS];
  double values[N_VALUES];
  gsize n_m, n_v, at = 0;

  g_assert_no_error (error);
  for (guint i = 0; i < N_PARAMS; i++)
    params[i] = peft_param_set_add (set, shapes[i].name, shapes[i].n_dims, shapes[i].shape,
                                    shapes[i].n_dims > 1, NULL);
  params[1]->first_factor = params[0];
  params[1]->pair_scale = 2;
  g_assert_true (peft_param_set_allocate (set, &error));
  for (guint i = 0; i < N_PARAMS; i++)
    {
      fill (values, (gsize) peft_view_n_values (&params[i]->value->view), i);
      peft_tensor_upload_f64 (params[i]->value, values);
    }
  peft_optimizer_get_memory (optimizer, set, &n_m, &n_v);
  g_assert_true (peft_param_set_begin_training (set, n_m, n_v, &error));
  g_assert_true (optimizer->begin == NULL || optimizer->begin (set, &error));
  for (guint step = 0; step < 3; step++)
    {
      PeftOptimizerStep now = cases[index].own;

      now.learning_rate = 0.05;
      now.schedule_factor = 0.5;
      now.embedding_rate = 0.02;
      now.factor_ratio = 4;
      now.momentum = 0.9;
      now.weight_decay = 0.1;
      now.beta1 = 0.9;
      now.beta2 = 0.95;
      now.epsilon = 1e-6;
      now.grad_scale = 0.75;
      now.step = step + 1;
      for (guint i = 0; i < N_PARAMS; i++)
        if (params[i]->grad != NULL)
          {
            fill (values, (gsize) peft_view_n_values (&params[i]->value->view), 10 * step + i + 5);
            peft_tensor_upload_f64 (params[i]->grad, values);
          }
      optimizer->step (set, backend, &now);
    }
  for (guint i = 0; i < N_PARAMS; i++)
    {
      peft_tensor_download_f64 (params[i]->value, values);
      for (gint64 j = 0; j < peft_view_n_values (&params[i]->value->view); j++)
        g_assert_cmpfloat_with_epsilon (values[j], cases[index].end[at++], tolerance);
    }
}

static void
test_case (gconstpointer data)
{
  const guint index = GPOINTER_TO_UINT (data);
  g_autoptr (PeftBackend) cpu = peft_backend_open ("cpu", 1, NULL);

  /* LoRA-FA inverts in float32 on every backend. */
  check_case ("reference", index, g_str_equal (cases[index].path, "lorafa") ? 1e-6 : 1e-12);
  if (cpu != NULL)
    check_case ("cpu", index, 2e-6);
}

/* What is kept from step to step, in values of a matrix [300, 400] with a bias. */
static void
test_memory (void)
{
  static const struct
  {
    const char *name;
    gsize n_m, n_v;
  } expected[] = {
    { "adamw", 120400, 120400 }, { "loraplus", 120400, 120400 }, { "sgd", 120400, 0 },
    { "lion", 120400, 65536 },   { "adafactor", 700 + 400, 120000 + 700 + 2 },
  };
  const gint64 shape[2] = { 300, 400 };
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftParamSet) set = peft_param_set_new (backend);

  peft_param_set_add (set, "weight", 2, shape, TRUE, NULL);
  peft_param_set_add (set, "bias", 1, shape + 1, FALSE, NULL);
  g_assert_true (peft_param_set_allocate (set, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (expected); i++)
    {
      gsize n_m, n_v;

      peft_optimizer_get_memory (peft_optimizer_require (expected[i].name, NULL), set, &n_m, &n_v);
      g_assert_cmpuint (n_m, ==, expected[i].n_m);
      g_assert_cmpuint (n_v, ==, expected[i].n_v);
    }
}

/* Nothing for the first factor: the second one's moments, its inverse, and room for its gradient. */
static void
test_memory_lorafa (void)
{
  const gint64 a[2] = { 4, 400 }, b[2] = { 300, 4 };
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftParamSet) set = peft_param_set_new (backend);
  PeftParam *first = peft_param_set_add (set, "lora_A", 2, a, TRUE, NULL);
  gsize n_m, n_v;

  peft_param_set_add (set, "lora_B", 2, b, TRUE, NULL)->first_factor = first;
  g_assert_true (peft_param_set_allocate (set, NULL));
  peft_optimizer_get_memory (peft_optimizer_require ("lorafa", NULL), set, &n_m, &n_v);
  g_assert_cmpuint (n_m, ==, 1200 + 16);
  g_assert_cmpuint (n_v, ==, 1200 + 1200);
}

static void
test_relative_rate (void)
{
  g_assert_cmpfloat (peft_optimizer_get_relative_rate (1), ==, 0.01);
  g_assert_cmpfloat (peft_optimizer_get_relative_rate (10000), ==, 0.01);
  g_assert_cmpfloat (peft_optimizer_get_relative_rate (40000), ==, 0.005);
}

static void
test_not_lora (void)
{
  const gint64 shape[2] = { 3, 4 };
  g_autoptr (GError) error = NULL;
  g_autoptr (PeftBackend) backend = peft_backend_open ("reference", 1, NULL);
  g_autoptr (PeftParamSet) set = peft_param_set_new (backend);

  peft_param_set_add (set, "weight", 2, shape, TRUE, NULL);
  g_assert_true (peft_param_set_allocate (set, NULL));
  g_assert_false (peft_optimizer_require ("lorafa", NULL)->begin (set, &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_UNSUPPORTED);
}

static void
test_clip (void)
{
  g_assert_cmpfloat (peft_optimizer_clip_scale (0.5, 1), ==, 1);
  g_assert_cmpfloat (peft_optimizer_clip_scale (4, 1), ==, 1 / (4 + 1e-6));
  g_assert_cmpfloat (peft_optimizer_clip_scale (1e9, 0), ==, 1);
}

static void
test_unknown (void)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (peft_optimizer_require ("adam", &error));
  g_assert_error (error, PEFT_ERROR, PEFT_ERROR_INVALID_ARGUMENT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/Peft/Optimizer/adamw-reference", test_reference);
  g_test_add_func ("/Peft/Optimizer/adamw-cpu", test_cpu);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path = g_strconcat ("/Peft/Optimizer/steps/", cases[i].path, NULL);
      g_test_add_data_func (path, GUINT_TO_POINTER (i), test_case);
    }
  g_test_add_func ("/Peft/Optimizer/memory", test_memory);
  g_test_add_func ("/Peft/Optimizer/memory-lorafa", test_memory_lorafa);
  g_test_add_func ("/Peft/Optimizer/relative-rate", test_relative_rate);
  g_test_add_func ("/Peft/Optimizer/not-lora", test_not_lora);
  g_test_add_func ("/Peft/Optimizer/clip", test_clip);
  g_test_add_func ("/Peft/Optimizer/unknown", test_unknown);
  return g_test_run ();
}
