# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the methods with virtual tokens have in common, beside method_checks.py: their lines are longer than the text, peft does
not train on from a file, and some want to know the task of a line."""

import json

import torch
from conftest import assert_gradient, assert_logits, batch, forward, load_oracle, run
from method_checks import check_config, check_manifest, make_adapter
from peft import PeftModel
from safetensors.torch import save_file

TASKS = torch.tensor([1, 0])


def parameters(model):
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def key_of(parameter):
    name = parameter.replace(".modules_to_save.default", "")
    name = name.replace("prompt_encoder.default.", "")
    return "prompt_embeddings" if name == "embedding.weight" else name


def task_input(tasks):
    return {} if tasks is None else {"task_ids": tasks}


def check_forward(tmp_path, folder, model, adapter, tasks=None, state=None, masked=False, virtual=True):
    """Logits of virtual positions too (virtual: there are some), loss, gradients."""
    ids, labels = batch()
    labels[1, 0] = ids[1, 0]  # predicted by the last virtual token, if there are any
    inputs = {"input_ids": ids, "labels": labels, **task_input(tasks)}
    if masked:
        mask = torch.ones_like(ids)
        mask[0, :6] = 0
        labels[0, :7] = -100
        inputs["attention_mask"] = mask
    with torch.no_grad():
        base = load_oracle(folder)(input_ids=ids).logits
    result = model(**inputs)
    assert (result.logits.shape[1] > base.shape[1]) == virtual
    assert (result.logits[:, -base.shape[1]:] - base).abs().max() >= 0.1
    extra = ["--state", state] if state else []
    ours = forward(tmp_path, folder, inputs, adapter, gradients=True, extra=extra)
    if masked:  # what padding computes is nobody's business
        n = result.logits.shape[1] - base.shape[1]
        keep = torch.cat((torch.ones(2, n), mask), dim=1) == 1
        assert_logits(ours["logits"][keep], result.logits.detach()[keep])
    else:
        assert_logits(ours["logits"], result.logits.detach())
    assert abs(ours["loss"].item() - result.loss.item()) <= 1e-5
    model.zero_grad()
    result.loss.backward()
    for name, p in parameters(model).items():
        key = "grad." + (name if state else key_of(name))
        if p.grad is None or p.grad.abs().max() < 1e-12:
            assert ours[key].abs().max() < 1e-6
        else:
            assert_gradient(key, ours[key], p.grad)


def check_ours_to_peft(tmp_path, folder, config_class, method, fields, tasks=None, rate=0.05, tune=None):
    ours, peft = tmp_path / "ours", tmp_path / "peft"
    ids, labels = batch()
    data = tmp_path / "rows.jsonl"
    rows = [{"input_ids": r.tolist(), **({} if tasks is None else {"task_id": int(t)})}
            for r, t in zip(ids, TASKS if tasks is None else tasks)]
    data.write_text("".join(json.dumps(r) + "\n" for r in rows))
    sets = [arg for key, value in fields.items() for arg in ("--set", f"{key}={json.dumps(value)}")]
    run("train", "--model", folder, "--data", data, "--output", ours, "--method", method, *sets, "--max-steps", 2,
        "--batch-size", 2, "--learning-rate", rate, "--schedule", "constant", "--warmup-ratio", 0, "--dtype", "float32",
        "--save-every", 1)
    loaded = PeftModel.from_pretrained(load_oracle(folder), ours).eval()
    inputs = {"input_ids": ids, "labels": labels, **task_input(tasks)}
    with torch.no_grad():
        theirs = loaded(**inputs)
    mine = forward(tmp_path, folder, inputs, ours)
    assert_logits(mine["logits"], theirs.logits)
    assert abs(mine["loss"].item() - theirs.loss.item()) <= 1e-5
    make_adapter(folder, peft, config_class, fields, tune=tune)
    check_manifest(ours, peft)
    check_config(ours, peft)
    return ours


def write_state(model, path):
    save_file({name: p.detach().clone() for name, p in parameters(model).items()}, path)


def check_steps(tmp_path, folder, model, adapter, steps=10, rate=1e-2, tasks=None):
    """Optimiser steps follow those of the model in memory; peft's own loader cannot go on training."""
    ids, _ = batch(seed=9, rows=4, length=24)
    rows = [row[: 24 - 2 * i].tolist() for i, row in enumerate(ids)]
    names = [{} if tasks is None else {"task_id": i % tasks} for i in range(4)]
    data, log = tmp_path / "steps.jsonl", tmp_path / "log.jsonl"
    data.write_text("".join(json.dumps({"input_ids": r, **n}) + "\n" for r, n in zip(rows, names)))
    run("train", "--model", folder, "--data", data, "--output", tmp_path / "steps", "--adapter", adapter, "--no-shuffle",
        "--batch-size", 1, "--max-steps", steps, "--learning-rate", rate, "--schedule", "constant", "--warmup-ratio", 0,
        "--max-grad-norm", 0, "--dtype", "float32", "--log-json", log)
    ours = [s["loss"] for s in map(json.loads, log.read_text().splitlines()) if "step" in s and "loss" in s]
    optimizer = torch.optim.AdamW(list(parameters(model).values()), lr=rate, weight_decay=0.0)
    losses = []
    for step in range(steps):
        row = torch.tensor([rows[step % 4]])
        extra = {} if tasks is None else {"task_ids": torch.tensor([step % 4 % tasks])}
        optimizer.zero_grad()
        result = model(input_ids=row, labels=row, **extra)
        result.loss.backward()
        optimizer.step()
        losses.append(result.loss.item())
    assert max(losses) - min(losses) >= 0.02 * losses[0]
    assert len(ours) == steps
    for i, (mine, theirs) in enumerate(zip(ours, losses)):
        assert abs(mine - theirs) <= 1e-3 * theirs, f"step {i + 1}: {mine} and {theirs}"


def check_generate(tmp_path, folder, model, adapter, prompts, task=None, extra=()):
    """Greedy tokens as peft's generate, for one prompt and for a padded batch. folder has a tokenizer; prompts are texts, the
    shortest and the longest of which differ in tokens.

    Without peft's cache: peft 0.21 looks for it under the name that transformers 5 no longer uses, takes every step for the first and
    puts the virtual tokens in front of each new token."""
    for texts in ([prompts[0]], prompts):
        file = tmp_path / "prompts.txt"
        file.write_text("".join(json.dumps(t) + "\n" for t in texts))
        args = [] if task is None else ["--task-id", task]
        out = run("generate", "--model", folder, "--adapter", adapter, "--prompts", file, "--max-new-tokens", 12,
                  "--dtype", "float32", "--json", *args, *extra).stdout
        ours = [json.loads(line) for line in out.splitlines()]
        longest = max(len(o["prompt_ids"]) for o in ours)
        ids = torch.zeros(len(ours), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, o in enumerate(ours):
            n = len(o["prompt_ids"])
            ids[i, longest - n:] = torch.tensor(o["prompt_ids"])
            mask[i, longest - n:] = 1
        assert len(ours) == 1 or (mask == 0).any()
        tasks = {} if task is None else {"task_ids": torch.full((len(ours),), task)}
        with torch.no_grad():
            theirs = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=12, do_sample=False, pad_token_id=0,
                                    use_cache=False, **tasks)
            plain = load_oracle(folder).generate(input_ids=ids, attention_mask=mask, max_new_tokens=12, do_sample=False, pad_token_id=0)
        assert (theirs.shape != plain.shape) or (theirs != plain).any(), "the adapter changes no token"
        for i, o in enumerate(ours):
            expected = theirs[i, longest:].tolist()[: len(o["ids"])]
            assert o["ids"] == expected, f"{len(texts)} prompts, line {i}: {o['ids']} and {expected}"
            assert len(o["ids"]) == 12 or o["finish"] == "eos"
