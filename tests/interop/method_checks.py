# SPDX-License-Identifier: LGPL-2.1-or-later
"""What every method must do, for tests that give variants of it: (family, peft config class, fields) each.

A test file of a method lists VARIANTS and calls these checks; what is particular to the method it adds by itself.
"""

import json
import re

import torch
from conftest import assert_gradient, assert_logits, batch, forward, load_oracle, run
from peft import PeftModel, get_peft_model
from safetensors.torch import load_file

WEIGHTS = "adapter_model.safetensors"
IGNORED_FIELDS = ("peft_version", "base_model_name_or_path", "task_type", "auto_mapping", "revision")


def key_of(parameter):
    """peft's parameter name → the key in the adapter's file."""
    name = re.sub(r"\.modules_to_save\.default", "", parameter)
    return re.sub(r"\.default(?=\.|$)", "", name)


def make_adapter(folder, out, config_class, fields, seed=5, strength=0.1, tune=None):
    """An adapter of random tensors, saved by peft. tune(name, p, noise) → what to add to a parameter, for methods in which `strength`
    for all would be too strong (torch's own float32 gradients must be good) or too weak (the logits must move by 0.1)."""
    torch.manual_seed(seed)
    config = config_class(task_type="CAUSAL_LM", **fields)
    model = get_peft_model(load_oracle(folder), config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad:
                noise = torch.randn(p.shape, generator=generator)
                p.add_(tune(name, p, noise) if tune else strength * noise)
    model.save_pretrained(out)
    return model.eval()


def check_peft_to_ours(tmp_path, folder, model, adapter, moved=0.1, gradients=True, key=key_of, extra_loss=False):
    """Logits, loss and every gradient as peft's. extra_loss: peft's loss has a term that `forward` does not report."""
    ids, labels = batch()
    with torch.no_grad():
        base = load_oracle(folder)(input_ids=ids).logits
    result = model(input_ids=ids, labels=labels)
    logits = result.logits[:, -base.shape[1]:]
    assert (logits - base).abs().max() >= moved
    ours = forward(tmp_path, folder, {"input_ids": ids, "labels": labels}, adapter, gradients=gradients)
    assert_logits(ours["logits"], result.logits.detach())
    if not extra_loss:
        assert abs(ours["loss"].item() - result.loss.item()) <= 1e-5
    if not gradients:
        return
    result.loss.backward()
    keys, compared = set(load_file(adapter / WEIGHTS)), 0
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        assert key(name) in keys, f"{key(name)} is not in peft's file"
        if p.grad is None or p.grad.abs().max() < 1e-12:
            assert ours["grad." + key(name)].abs().max() < 1e-6
        else:
            assert_gradient(key(name), ours["grad." + key(name)], p.grad)
        compared += 1
    assert compared > 0


def check_merge(tmp_path, folder, model, adapter, relative=1e-4):
    """`merge` writes the model that the adapter makes, as peft's merge_and_unload."""
    merged = tmp_path / "merged"
    ids, _ = batch()
    run("merge", "--model", folder, "--adapter", adapter, "--output", merged)
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        limit = relative * max(1.0, expected.abs().max().item())
        assert (load_oracle(merged)(input_ids=ids).logits - expected).abs().max() <= limit
        weights = model.merge_and_unload().state_dict()
    ours = forward(tmp_path, merged, {"input_ids": ids})["logits"]
    assert (ours - expected).abs().max() <= limit
    for name, tensor in load_file(merged / "model.safetensors").items():
        worst = (tensor.float() - weights[name]).abs().max()
        assert worst <= relative * max(weights[name].abs().max().item(), 1e-3), f"{name}: {worst}"


def train(tmp_path, folder, out, method, fields, steps=2, rate=0.05, extra=(), rows=2):
    ids, _ = batch(rows=rows)
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps({"input_ids": row.tolist()}) + "\n" for row in ids))
    sets = [arg for key, value in fields.items() for arg in ("--set", f"{key}={json.dumps(value)}")]
    return run("train", "--model", folder, "--data", data, "--output", out, "--method", method, *sets, "--max-steps", steps,
               "--batch-size", 2, "--learning-rate", rate, "--schedule", "constant", "--warmup-ratio", 0, "--dtype", "float32",
               *extra)


def check_config(ours, peft, ignored=()):
    """Ours has no field that peft's file lacks, and equal values."""
    config, reference = (json.loads((f / "adapter_config.json").read_text()) for f in (ours, peft))
    for key in config:
        if key in IGNORED_FIELDS or key in ignored:
            continue
        expected, found = reference.get(key), config[key]
        if isinstance(expected, list) and isinstance(found, list):
            expected, found = sorted(map(str, expected)), sorted(map(str, found))
        assert found == expected, f"{key}: {found!r}, peft has {expected!r}"


def check_manifest(ours, peft):
    mine, theirs = (load_file(f / WEIGHTS) for f in (ours, peft))
    assert {k: (v.shape, v.dtype) for k, v in mine.items()} == {k: (v.shape, v.dtype) for k, v in theirs.items()}


def check_ours_to_peft(tmp_path, folder, config_class, method, fields, steps=2, rate=0.05, ignored=(), tune=None, loss=True):
    """We train; peft loads the result and computes the same; its own file has the same keys, shapes, types and fields."""
    ours, peft = tmp_path / "ours", tmp_path / "peft"
    ids, labels = batch()
    train(tmp_path, folder, ours, method, fields, steps, rate)
    loaded = PeftModel.from_pretrained(load_oracle(folder), ours).eval()
    with torch.no_grad():
        theirs = loaded(input_ids=ids, labels=labels if loss else None)
    mine = forward(tmp_path, folder, {"input_ids": ids, "labels": labels}, ours)
    assert_logits(mine["logits"], theirs.logits)
    assert not loss or abs(mine["loss"].item() - theirs.loss.item()) <= 1e-5
    make_adapter(folder, peft, config_class, fields, tune=tune)
    check_manifest(ours, peft)
    check_config(ours, peft, ignored)


def check_steps(tmp_path, folder, adapter, steps=10, rate=2e-3, extra_loss=None, before_step=None):
    """Optimiser steps from the adapter's values follow peft's losses, over which the loss changes by at least 2 %."""
    ids, _ = batch(seed=9, rows=4, length=24)
    rows = [row[: 24 - 2 * i].tolist() for i, row in enumerate(ids)]
    data, log = tmp_path / "steps.jsonl", tmp_path / "log.jsonl"
    data.write_text("".join(json.dumps({"input_ids": r}) + "\n" for r in rows))
    run("train", "--model", folder, "--data", data, "--output", tmp_path / "steps", "--adapter", adapter, "--no-shuffle",
        "--batch-size", 1, "--max-steps", steps, "--learning-rate", rate, "--schedule", "constant", "--warmup-ratio", 0,
        "--max-grad-norm", 0, "--dtype", "float32", "--log-json", log)
    ours = [s for s in map(json.loads, log.read_text().splitlines()) if "step" in s and "loss" in s and not s.get("eval")]
    model = PeftModel.from_pretrained(load_oracle(folder), adapter, is_trainable=True).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate, weight_decay=0.0)
    losses = []
    for step in range(steps):
        row = torch.tensor([rows[step % len(rows)]])
        optimizer.zero_grad()
        if before_step:
            before_step(model, step)
        result = model(input_ids=row, labels=row)
        result.loss.backward()
        optimizer.step()
        losses.append(result.loss.item() - (extra_loss(model) if extra_loss else 0.0))
    assert max(losses) - min(losses) >= 0.02 * losses[0]
    for i, s in enumerate(ours):
        assert abs(s["loss"] - losses[i]) <= 1e-3 * losses[i], f"step {i + 1}: {s['loss']} and {losses[i]}"


def check_save_stable(tmp_path, folder, adapter, ignored=()):
    """Loading and writing again (train for no step is refused, so: zero learning rate) gives the same tensors, whatever the
    folder is called."""
    renamed, again = tmp_path / "renamed", tmp_path / "again"
    adapter.rename(renamed)
    ids, _ = batch(rows=1)
    data = tmp_path / "one.jsonl"
    data.write_text(json.dumps({"input_ids": ids[0].tolist()}) + "\n")
    run("train", "--model", folder, "--data", data, "--output", again, "--adapter", renamed, "--max-steps", 1,
        "--learning-rate", 0, "--dtype", "float32")
    mine, theirs = (load_file(f / WEIGHTS) for f in (again, renamed))
    assert mine.keys() == theirs.keys()
    for key in mine:
        assert torch.equal(mine[key], theirs[key].float()), key
    check_config(again, renamed, ignored=("inference_mode", *ignored))
