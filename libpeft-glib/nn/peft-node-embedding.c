/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "nn/peft-nodes.h"

typedef struct
{
  double scale;
} GatherState;

static void
gather_backward (PeftTape *tape, PeftNode *node)
{
  GatherState *state = node->state;
  PeftScatterAddRowsParams params = {
    .ids = *peft_node_saved (tape, node, 0),
    .x = *peft_node_grad_output (node, 0),
    .scale = state->scale,
  };
  gboolean accumulate;

  if (!peft_node_grad_input (tape, node, 0, &params.table, &accumulate))
    return;
  if (!accumulate)
    {
      PeftFillParams fill = { .x = params.table };
      peft_tape_run (tape, PEFT_KERNEL_FILL, &fill);
    }
  peft_tape_run (tape, PEFT_KERNEL_SCATTER_ADD_ROWS, &params);
}

static const PeftNodeClass gather_class = { .name = "gather-rows", .backward = gather_backward };

PeftVar *
peft_nn_embedding (PeftTape *tape, PeftTensor *ids, PeftVar *table, double scale)
{
  const gint64 shape[2] = { ids->view.shape[0], table->value->view.shape[1] };
  PeftTensor *out = peft_tape_alloc (tape, tape->backend->real, 2, shape);
  PeftGatherRowsParams params
      = { .table = table->value->view, .ids = ids->view, .out = out->view, .scale = scale };
  GatherState state = { scale };
  PeftNode *node;
  PeftVar *var;

  peft_tape_run (tape, PEFT_KERNEL_GATHER_ROWS, &params);
  var = peft_tape_emit (tape, &gather_class, out, &table, 1, &state, sizeof state, &node);
  peft_node_save_tensor (node, ids);
  return var;
}

PeftVar *
peft_nn_gather_rows (PeftTape *tape, PeftVar *x, PeftTensor *ids)
{
  return peft_nn_embedding (tape, ids, x, 1);
}
