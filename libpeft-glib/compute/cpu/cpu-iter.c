/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "compute/cpu/cpu-iter.h"

static gboolean
can_merge (const CpuIter *self, guint dim)
{
  for (guint v = 0; v < self->n_views; v++)
    if (self->views[v].stride[dim] != self->views[v].stride[dim + 1] * self->shape[dim + 1])
      return FALSE;
  return TRUE;
}

static void
remove_dim (CpuIter *self, guint dim)
{
  for (guint i = dim; i + 1 < self->n_dims; i++)
    {
      self->shape[i] = self->shape[i + 1];
      for (guint v = 0; v < self->n_views; v++)
        self->views[v].stride[i] = self->views[v].stride[i + 1];
    }
  self->n_dims--;
}

void
cpu_iter_init (CpuIter *self, const PeftView *const *views, guint n_views)
{
  const PeftView *out = views[n_views - 1];

  self->n_dims = out->n_dims;
  self->n_views = n_views;
  for (guint i = 0; i < out->n_dims; i++)
    self->shape[i] = out->shape[i];
  for (guint v = 0; v < n_views; v++)
    {
      const PeftView *view = views[v];
      self->views[v].data = cpu_view_data (view);
      for (guint i = 0; i < out->n_dims; i++)
        {
          gint from = (gint) i - (gint) (out->n_dims - view->n_dims);
          gboolean is_broadcast = from < 0 || (view->shape[from] == 1 && out->shape[i] != 1);
          self->views[v].stride[i] = is_broadcast ? 0 : view->stride[from];
        }
    }
  if (self->n_dims == 0)
    {
      self->n_dims = 1;
      self->shape[0] = 1;
      for (guint v = 0; v < n_views; v++)
        self->views[v].stride[0] = 1;
    }
  for (guint i = self->n_dims; i-- > 0;)
    if (self->shape[i] == 1 && self->n_dims > 1)
      remove_dim (self, i);
  for (guint i = self->n_dims - 1; i-- > 0;)
    if (can_merge (self, i))
      {
        /* The inner dim's stride stays. */
        self->shape[i + 1] *= self->shape[i];
        remove_dim (self, i);
      }
  self->n_rows = 1;
  for (guint i = 0; i + 1 < self->n_dims; i++)
    self->n_rows *= self->shape[i];
  for (guint v = 0; v < n_views; v++)
    self->views[v].row = (PeftView){
      .dtype = views[v]->dtype,
      .n_dims = 1,
      .shape = { self->shape[self->n_dims - 1] },
      .stride = { self->views[v].stride[self->n_dims - 1] },
    };
}
