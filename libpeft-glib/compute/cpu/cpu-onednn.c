/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-onednn.h"

#include <dnnl.h>
#include <omp.h>
#include <string.h>

/* Written for oneDNN 2.6 (descriptors are structs, operations have descriptors) and 3.x. */

/* Products kept; a training step has about 30 kinds. Creating one takes milliseconds. */
#define MAX_PRODUCTS 512

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t Desc;
#else
typedef dnnl_memory_desc_t *Desc;
#endif

enum
{
  ARG_A,
  ARG_B,
  ARG_C,
  ARG_SCRATCH,
  ARG_BIAS,
  N_ARGS
};

static const int arg_names[N_ARGS]
    = { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD, DNNL_ARG_BIAS };

struct _CpuOnednn
{
  dnnl_engine_t engine;
  guint n_threads;
  GHashTable *products; /* CpuOnednnKey → CpuOnednnProduct */
};

struct _CpuOnednnProduct
{
  CpuOnednnKey key;
  dnnl_primitive_t primitive; /* NULL: there is no fast one */
  gsize scratch;
  guint n_threads;
  dnnl_stream_t *streams;          /* [n_threads] */
  dnnl_memory_t (*memory)[N_ARGS]; /* [n_threads] */
};

static Desc
desc_new (gint64 rows, gint64 columns, dnnl_data_type_t type, gint64 row_stride,
          gint64 column_stride)
{
  dnnl_dims_t dims = { rows, columns }, strides = { row_stride, column_stride };
#if DNNL_VERSION_MAJOR >= 3
  Desc desc = NULL;
  dnnl_memory_desc_create_with_strides (&desc, 2, dims, type, strides);
#else
  Desc desc = g_new0 (dnnl_memory_desc_t, 1);
  dnnl_memory_desc_init_by_strides (desc, 2, dims, type, strides);
#endif
  return desc;
}

static void
desc_free (Desc desc)
{
#if DNNL_VERSION_MAJOR >= 3
  if (desc != NULL)
    dnnl_memory_desc_destroy (desc);
#else
  g_free (desc);
#endif
}

/* User scratchpad; alpha and the old c as operations on the sums before they are stored. */
static dnnl_primitive_attr_t
attributes_new (const CpuOnednnKey *key)
{
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_post_ops_t ops = NULL;

  dnnl_primitive_attr_create (&attributes);
  dnnl_primitive_attr_set_scratchpad_mode (attributes, dnnl_scratchpad_mode_user);
  dnnl_post_ops_create (&ops);
#if DNNL_VERSION_MAJOR >= 3
  if (key->alpha != 1)
    dnnl_post_ops_append_eltwise (ops, dnnl_eltwise_linear, key->alpha, 0);
  if (key->accumulate)
    dnnl_post_ops_append_sum (ops, 1, 0, dnnl_data_type_undef);
#else
  if (key->alpha != 1)
    dnnl_post_ops_append_eltwise (ops, 1, dnnl_eltwise_linear, key->alpha, 0);
  if (key->accumulate)
    dnnl_post_ops_append_sum (ops, 1);
#endif
  dnnl_primitive_attr_set_post_ops (attributes, ops);
  dnnl_post_ops_destroy (ops);
  return attributes;
}

static dnnl_primitive_desc_t
primitive_desc_new (dnnl_engine_t engine, const CpuOnednnKey *key, Desc a, Desc b, Desc c,
                    Desc bias)
{
  dnnl_primitive_attr_t attributes = attributes_new (key);
  dnnl_primitive_desc_t desc = NULL;

#if DNNL_VERSION_MAJOR >= 3
  dnnl_matmul_primitive_desc_create (&desc, engine, a, b, bias, c, attributes);
#else
  dnnl_matmul_desc_t operation;
  if (dnnl_matmul_desc_init (&operation, a, b, bias, c) == dnnl_success)
    dnnl_primitive_desc_create (&desc, &operation, attributes, engine, NULL);
#endif
  dnnl_primitive_attr_destroy (attributes);
  return desc;
}

/* oneDNN falls back to a naive loop, a thousand times slower, where the blocked one lacks something
 * (2.6: rows of c with gaps). */
static gboolean
is_blocked (dnnl_primitive_desc_t desc)
{
  const char *name = NULL;

  return desc != NULL
         && dnnl_primitive_desc_query (desc, dnnl_query_impl_info_str, 0, &name) == dnnl_success
         && g_str_has_prefix (name, "brg");
}

static void
product_create_memory (CpuOnednnProduct *self, dnnl_engine_t engine, dnnl_primitive_desc_t desc,
                       Desc a, Desc b, Desc c, Desc bias)
{
  self->streams = g_new0 (dnnl_stream_t, self->n_threads);
  self->memory = g_malloc0 (self->n_threads * sizeof *self->memory);
#if DNNL_VERSION_MAJOR >= 3
  const_dnnl_memory_desc_t scratch
      = dnnl_primitive_desc_query_md (desc, dnnl_query_scratchpad_md, 0);
  const_dnnl_memory_desc_t descs[N_ARGS] = { a, b, c, scratch, bias };
#else
  const dnnl_memory_desc_t *scratch
      = dnnl_primitive_desc_query_md (desc, dnnl_query_scratchpad_md, 0);
  const dnnl_memory_desc_t *descs[N_ARGS] = { a, b, c, scratch, bias };
#endif
  self->scratch = dnnl_memory_desc_get_size (scratch);
  for (guint thread = 0; thread < self->n_threads; thread++)
    {
      dnnl_stream_create (&self->streams[thread], engine, dnnl_stream_default_flags);
      for (guint i = 0; i < N_ARGS; i++)
        if (descs[i] != NULL)
          dnnl_memory_create (&self->memory[thread][i], descs[i], engine, DNNL_MEMORY_NONE);
    }
}

static void
product_free (CpuOnednnProduct *self)
{
  for (guint thread = 0; self->primitive != NULL && thread < self->n_threads; thread++)
    {
      for (guint i = 0; i < N_ARGS; i++)
        if (self->memory[thread][i] != NULL)
          dnnl_memory_destroy (self->memory[thread][i]);
      dnnl_stream_destroy (self->streams[thread]);
    }
  g_free (self->memory);
  g_free (self->streams);
  g_clear_pointer (&self->primitive, dnnl_primitive_destroy);
  g_free (self);
}

static CpuOnednnProduct *
product_new (CpuOnednn *onednn, const CpuOnednnKey *key)
{
  CpuOnednnProduct *self = g_new0 (CpuOnednnProduct, 1);
  dnnl_data_type_t type = key->bf16 ? dnnl_bf16 : dnnl_f32;
  Desc a = desc_new (key->m, key->k, type, key->a_stride, 1);
  Desc b = desc_new (key->k, key->n, type, key->trans_b ? 1 : key->b_stride,
                     key->trans_b ? key->b_stride : 1);
  Desc c = desc_new (key->m, key->n, key->c_bf16 ? dnnl_bf16 : dnnl_f32, key->n, 1);
  Desc bias = key->bias == 0
                  ? NULL
                  : desc_new (1, key->n, key->bias == 2 ? dnnl_bf16 : dnnl_f32, key->n, 1);
  dnnl_primitive_desc_t desc = primitive_desc_new (onednn->engine, key, a, b, c, bias);

  self->key = *key;
  self->n_threads = onednn->n_threads;
  if (is_blocked (desc) && dnnl_primitive_create (&self->primitive, desc) == dnnl_success)
    product_create_memory (self, onednn->engine, desc, a, b, c, bias);
  else
    self->primitive = NULL;
  if (desc != NULL)
    dnnl_primitive_desc_destroy (desc);
  desc_free (a);
  desc_free (b);
  desc_free (c);
  desc_free (bias);
  return self;
}

static guint
key_hash (gconstpointer data)
{
  const guint8 *bytes = data;
  guint hash = 2166136261u;

  for (gsize i = 0; i < sizeof (CpuOnednnKey); i++)
    hash = (hash ^ bytes[i]) * 16777619u;
  return hash;
}

static gboolean
key_equal (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, sizeof (CpuOnednnKey)) == 0;
}

CpuOnednn *
cpu_onednn_new (const char *isa, guint n_threads)
{
  static const struct
  {
    const char *name;
    dnnl_cpu_isa_t limit;
  } limits[] = {
    { "avx2", dnnl_cpu_isa_avx2 },
    { "avx512", dnnl_cpu_isa_avx512_core },
    { "avx512bf16", (dnnl_cpu_isa_t) 0 /* all, AMX as well */ },
  };
  static const char *limited_to = NULL;
  static GMutex lock;
  CpuOnednn *self;
  gboolean is_limit;

  g_mutex_lock (&lock);
  for (guint i = 0; limited_to == NULL && i < G_N_ELEMENTS (limits); i++)
    if (g_str_equal (limits[i].name, isa)
        && (limits[i].limit == 0 || dnnl_set_max_cpu_isa (limits[i].limit) == dnnl_success))
      limited_to = limits[i].name;
  /* One process, one limit: oneDNN takes no second one. */
  is_limit = g_strcmp0 (limited_to, isa) == 0;
  g_mutex_unlock (&lock);
  if (!is_limit)
    return NULL;
  self = g_new0 (CpuOnednn, 1);
  if (dnnl_engine_create (&self->engine, dnnl_cpu, 0) != dnnl_success)
    {
      g_free (self);
      return NULL;
    }
  self->n_threads = n_threads;
  self->products
      = g_hash_table_new_full (key_hash, key_equal, NULL, (GDestroyNotify) product_free);
  return self;
}

void
cpu_onednn_free (CpuOnednn *self)
{
  g_hash_table_unref (self->products);
  dnnl_engine_destroy (self->engine);
  g_free (self);
}

CpuOnednnProduct *
cpu_onednn_get (CpuOnednn *self, const CpuOnednnKey *key)
{
  CpuOnednnProduct *product = g_hash_table_lookup (self->products, key);

  if (product == NULL)
    {
      int threads = omp_get_max_threads ();
      if (g_hash_table_size (self->products) >= MAX_PRODUCTS)
        g_hash_table_remove_all (self->products);
      omp_set_num_threads (1);
      product = product_new (self, key);
      omp_set_num_threads (threads);
      g_hash_table_insert (self->products, &product->key, product);
    }
  return product->primitive != NULL ? product : NULL;
}

gsize
cpu_onednn_product_scratch (const CpuOnednnProduct *product)
{
  return product->scratch;
}

void
cpu_onednn_product_run (const CpuOnednnProduct *self, guint thread, gconstpointer a,
                        gconstpointer b, gpointer c, gconstpointer bias, gpointer scratch)
{
  void *data[N_ARGS] = { (void *) a, (void *) b, c, scratch, (void *) bias };
  dnnl_exec_arg_t args[N_ARGS];
  int n_args = 0, threads = omp_get_max_threads ();

  for (guint i = 0; i < N_ARGS; i++)
    if (self->memory[thread][i] != NULL)
      {
        dnnl_memory_set_data_handle (self->memory[thread][i], data[i]);
        args[n_args++] = (dnnl_exec_arg_t){ arg_names[i], self->memory[thread][i] };
      }
  /* The calling thread may be the application's. */
  omp_set_num_threads (1);
  dnnl_primitive_execute (self->primitive, self->streams[thread], n_args, args);
  dnnl_stream_wait (self->streams[thread]);
  omp_set_num_threads (threads);
}
