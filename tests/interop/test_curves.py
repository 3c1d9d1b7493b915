# SPDX-License-Identifier: LGPL-2.1-or-later
"""Twenty optimiser steps from the same start and data order follow peft's losses."""

import json

import pytest
import torch
from conftest import batch, load_oracle, run
from peft import PeftModel
from test_lora import ALL, make_adapter
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

STEPS = 20
RATE = 2e-3


def peft_curve(folder, adapter, rows, batch_size, accumulation, schedule, weight_decay, max_norm, learning_rate):
    model = PeftModel.from_pretrained(load_oracle(folder), adapter, is_trainable=True).train()
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups = [{"params": [p for n, p in named if not (n.endswith("bias") or "norm" in n)], "weight_decay": weight_decay},
              {"params": [p for n, p in named if n.endswith("bias") or "norm" in n], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=learning_rate)
    scheduler = {
        "constant": lambda: torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0),
        "linear": lambda: get_linear_schedule_with_warmup(optimizer, 3, STEPS),
        "cosine": lambda: get_cosine_schedule_with_warmup(optimizer, 3, STEPS),
    }[schedule]()
    per_step, losses, norms = batch_size * accumulation, [], []
    for step in range(STEPS):
        start = step * per_step
        chunk = [rows[(start + i) % len(rows)] for i in range(per_step)]
        labelled = sum(len(r) - 1 for r in chunk)
        optimizer.zero_grad()
        total = 0.0
        for row in chunk:
            ids = torch.tensor([row])
            loss = model(input_ids=ids, labels=ids).loss * (len(row) - 1) / labelled
            loss.backward()
            total += loss.item()
        norms.append(torch.nn.utils.clip_grad_norm_([p for _, p in named], max_norm or 1e9).item())
        optimizer.step()
        scheduler.step()
        losses.append(total)
    return losses, norms


@pytest.mark.parametrize("family,schedule,accumulation,weight_decay,max_norm", [
    ("llama", "constant", 1, 0.0, 0.0),
    ("mistral-window", "linear", 2, 0.1, 1.0),
    ("qwen2", "cosine", 1, 0.0, 1.0),
    ("qwen3", "cosine", 2, 0.05, 0.5),
])
def test_curve(tmp_path, model_folder, family, schedule, accumulation, weight_decay, max_norm):
    folder, adapter, out = model_folder(family), tmp_path / "start", tmp_path / "out"
    # Weaker than elsewhere: with strong adapters two float32 programs drift apart within a few steps, whoever they are.
    make_adapter(folder, adapter, dict(r=4, lora_alpha=8, target_modules=ALL), strength=0.1)
    ids, _ = batch(seed=9, rows=8, length=24)
    # Rows of different lengths, so that means over rows and over tokens differ.
    rows = [row[: 24 - 2 * i].tolist() for i, row in enumerate(ids)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps({"input_ids": r}) + "\n" for r in rows))
    log = tmp_path / "log.jsonl"
    run("train", "--model", folder, "--data", data, "--output", out, "--adapter", adapter, "--no-shuffle",
        "--batch-size", 2, "--gradient-accumulation", accumulation, "--max-steps", STEPS, "--learning-rate", RATE,
        "--schedule", schedule, *(["--warmup-ratio", 0] if schedule == "constant" else ["--warmup-steps", 3]), "--weight-decay", weight_decay,
        "--max-grad-norm", max_norm, "--dtype", "float32", "--log-json", log)
    steps = [json.loads(line) for line in log.read_text().splitlines()]
    ours = [s for s in steps if "step" in s and "loss" in s and not s.get("eval")]
    losses, norms = peft_curve(folder, adapter, rows, 2, accumulation, schedule, weight_decay, max_norm, RATE)
    assert [s["step"] for s in ours] == list(range(1, STEPS + 1))
    assert abs(losses[-1] - losses[0]) >= 0.05 * losses[0] or min(losses) <= 0.95 * losses[0]
    for i, s in enumerate(ours):
        assert abs(s["loss"] - losses[i]) <= 1e-3 * losses[i], f"step {i + 1}: {s['loss']} and {losses[i]}"
        assert abs(s["grad_norm"] - norms[i]) <= 5e-3 * norms[i], f"step {i + 1}: norm {s['grad_norm']} and {norms[i]}"
