# SPDX-License-Identifier: LGPL-2.1-or-later
"""AdaLoRA between peft and us, both directions; its ranks over a run."""

import json
import os
import subprocess

import pytest
import torch
from conftest import assert_logits, batch, forward, load_oracle, run
from method_checks import (check_merge, check_ours_to_peft, check_peft_to_ours, check_save_stable, check_steps, make_adapter, train)
from peft import AdaLoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ALL = ATTENTION + ["gate_proj", "up_proj", "down_proj"]

VARIANTS = {
    "plain": ("llama", dict(init_r=4, target_r=4, lora_alpha=8, target_modules=ALL, total_step=2)),
    "defaults": ("mistral-window", dict(target_modules=["q_proj", "v_proj"], target_r=12, total_step=2)),
    "weight": ("qwen2", dict(init_r=6, target_r=6, lora_alpha=32, orth_reg_weight=0.1, target_modules=ATTENTION, total_step=2)),
    "random": ("qwen3", dict(init_r=3, target_r=3, target_modules=["q_proj", "down_proj"], init_lora_weights=False, total_step=2)),
    "biases": ("llama-bias-tied", dict(init_r=4, target_r=4, lora_alpha=16, target_modules=ATTENTION, bias="lora_only", total_step=2)),
}


def tune(name, p, noise):
    return (0.5 if "lora_E" in name else 0.2 if "lora_" in name else 0.05) * noise


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_ways(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make_adapter(folder, adapter, AdaLoraConfig, fields, tune=tune)
    check_peft_to_ours(tmp_path, folder, model, adapter, extra_loss=True)
    check_merge(tmp_path, folder, model, adapter, relative=1e-3)
    check_ours_to_peft(tmp_path, folder, AdaLoraConfig, "ADALORA", fields, tune=tune, loss=False)  # peft asks for a trainable adapter there


def orthogonality(model):
    """The term that peft adds to the loss."""
    config, total, n = model.peft_config["default"], 0.0, 0
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_A" in name or "lora_B" in name:
                product = p @ p.T if "lora_A" in name else p.T @ p
                total, n = total + torch.norm(product - torch.eye(len(product))).item(), n + 1
    return config.orth_reg_weight * total / n


@pytest.mark.parametrize("variant", ["plain", "weight"])
def test_steps(tmp_path, model_folder, variant):
    """With a first rank equal to the last nothing is dropped."""
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    make_adapter(folder, adapter, AdaLoraConfig, fields, tune=tune)
    before = {}
    check_steps(tmp_path, folder, adapter, extra_loss=lambda model: before["term"],
                before_step=lambda model, step: before.update(term=orthogonality(model)))
    check_save_stable(tmp_path, folder, adapter, ignored=["total_step"])


def test_pruned(tmp_path, model_folder):
    """A run drops ranks; peft reads what is left, and we read what peft writes of it."""
    folder, ours, again = model_folder("llama"), tmp_path / "ours", tmp_path / "again"
    fields = dict(init_r=4, target_r=1, tinit=2, tfinal=5, deltaT=2, lora_alpha=16, target_modules=["q_proj", "v_proj", "down_proj"])
    train(tmp_path, folder, ours, "ADALORA", fields, steps=20, rate=0.02)
    pattern = json.loads((ours / "adapter_config.json").read_text())["rank_pattern"]
    left = {key: sum(value) for key, value in pattern.items()}
    assert len(left) == 9 and sum(left.values()) == 9 and 0 in left.values(), left
    for key, tensor in load_file(ours / "adapter_model.safetensors").items():
        rank = left[key.removeprefix("base_model.model.").rsplit(".", 1)[0] + ".lora_E"]
        assert tensor.shape[1 if key.endswith("lora_B") else 0] == rank, key
    model = PeftModel.from_pretrained(load_oracle(folder), ours).eval()
    ids, _ = batch()
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        assert (expected - load_oracle(folder)(input_ids=ids).logits).abs().max() > 0.1
    assert_logits(forward(tmp_path, folder, {"input_ids": ids}, ours)["logits"], expected)
    model.save_pretrained(again)
    assert_logits(forward(tmp_path, folder, {"input_ids": ids}, again)["logits"], expected)


def test_resume(tmp_path, model_folder):
    """Interrupted in the middle of the schedule, the run ends with the same ranks and values."""
    folder = model_folder("qwen2")
    fields = dict(init_r=4, target_r=2, tinit=2, tfinal=4, lora_alpha=16, target_modules=["q_proj", "v_proj"])
    train(tmp_path, folder, tmp_path / "whole", "ADALORA", fields, steps=16, extra=["--save-every", 6])
    ids = {"PEFT_TEST_KILL": "step:9"}
    args = ["train", "--model", folder, "--data", tmp_path / "rows.jsonl", "--output", tmp_path / "parts", "--method", "ADALORA",
            *[a for k, v in fields.items() for a in ("--set", f"{k}={json.dumps(v)}")], "--max-steps", 16, "--batch-size", 2,
            "--learning-rate", 0.05, "--schedule", "constant", "--warmup-ratio", 0, "--dtype", "float32", "--save-every", 6]
    assert run(*args, check=False, env=ids).returncode != 0
    run(*args, "--resume")
    whole, parts = (load_file(tmp_path / f / "adapter_model.safetensors") for f in ("whole", "parts"))
    assert whole.keys() == parts.keys() and all(torch.equal(whole[k], parts[k]) for k in whole)
    read = lambda f: json.loads((tmp_path / f / "adapter_config.json").read_text())["rank_pattern"]
    assert read("whole") == read("parts")


def test_run(tmp_path, model_folder):
    """A whole run with clipped gradients drops the ranks that peft's drops, with its losses."""
    folder, adapter, ours, data = model_folder("qwen2"), tmp_path / "adapter", tmp_path / "ours", tmp_path / "rows.jsonl"
    fields = dict(init_r=4, target_r=1, tinit=3, tfinal=4, deltaT=3, lora_alpha=16, target_modules=ATTENTION, total_step=20)
    make_adapter(folder, adapter, AdaLoraConfig, fields, tune=tune)
    rows = batch(seed=9, rows=4, length=20)[0]
    data.write_text("".join(json.dumps({"input_ids": row.tolist()}) + "\n" for row in rows))
    run("train", "--model", folder, "--data", data, "--output", ours, "--adapter", adapter, "--no-shuffle", "--batch-size", 1,
        "--max-steps", 20, "--learning-rate", 3e-3, "--schedule", "constant", "--warmup-ratio", 0, "--max-grad-norm", 0.5,
        "--dtype", "float32", "--log-json", tmp_path / "log.jsonl")
    losses = [s["loss"] for s in map(json.loads, (tmp_path / "log.jsonl").read_text().splitlines()) if "step" in s and "loss" in s]
    model = PeftModel.from_pretrained(load_oracle(folder), adapter, is_trainable=True).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3, weight_decay=0.0)
    for step in range(20):
        optimizer.zero_grad()
        term, row = orthogonality(model), rows[step % 4: step % 4 + 1]
        loss = model(input_ids=row, labels=row).loss
        loss.backward()
        assert torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 0.5) > 0.5
        optimizer.step()
        model.base_model.update_and_allocate(step + 1)
        expected = loss.item() - term
        assert abs(losses[step] - expected) <= 1e-3 * expected, step
    pattern = json.loads((ours / "adapter_config.json").read_text())["rank_pattern"]
    assert pattern == {k.removesuffix(".default"): v for k, v in model.peft_config["default"].rank_pattern.items()}
    assert sum(sum(v) for v in pattern.values()) == len(pattern)


def test_best_amid_the_schedule(tmp_path, model_folder):
    """The best adapter is of a step between two droppings: the file computes what that step's checkpoint does."""
    folder, out, data, log = model_folder("llama"), tmp_path / "out", tmp_path / "rows.jsonl", tmp_path / "log.jsonl"
    ids, _ = batch(rows=4)
    data.write_text("".join(json.dumps({"input_ids": row.tolist()}) + "\n" for row in ids))
    fields = dict(init_r=4, target_r=1, deltaT=4, lora_alpha=16, target_modules=["q_proj", "v_proj"])
    run("train", "--model", folder, "--data", data, "--output", out, "--method", "ADALORA",
        *[a for k, v in fields.items() for a in ("--set", f"{k}={json.dumps(v)}")], "--max-steps", 20, "--batch-size", 2,
        "--learning-rate", 0.05, "--schedule", "constant", "--warmup-ratio", 0, "--dtype", "float32", "--eval-fraction", 0.5,
        "--eval-every", 7, "--keep-best", "--log-json", log)
    evaluations = [line for line in map(json.loads, log.read_text().splitlines()) if line.get("eval")]
    best = min(evaluations, key=lambda line: line["loss"])["step"]
    assert best in (7, 14)
    expected = forward(tmp_path, folder, {"input_ids": ids}, out / "checkpoints" / f"step-{best}")["logits"]
    assert_logits(forward(tmp_path, folder, {"input_ids": ids}, out)["logits"], expected)
    pattern = json.loads((out / "adapter_config.json").read_text())["rank_pattern"]
    assert pattern is None or sum(map(sum, pattern.values())) > len(pattern)


def test_going_on(tmp_path, model_folder):
    """What is left of an adapter, layers without a rank included, is trained on and loses further ranks."""
    folder, first, second = model_folder("llama"), tmp_path / "first", tmp_path / "second"
    fields = dict(init_r=4, target_r=1, tinit=2, tfinal=5, lora_alpha=0, target_modules=["q_proj", "v_proj", "down_proj"])
    train(tmp_path, folder, first, "ADALORA", fields, steps=20, rate=0.02)
    config = json.loads((first / "adapter_config.json").read_text())
    before = config["rank_pattern"]
    assert [] in [[i for i, left in enumerate(v) if left] for v in before.values()]
    (first / "adapter_config.json").write_text(json.dumps(config | dict(target_r=0)))
    result = run("train", "--model", folder, "--data", tmp_path / "rows.jsonl", "--output", second, "--adapter", first, "--max-steps", 30,
                 "--batch-size", 2, "--learning-rate", 0.02, "--dtype", "float32", "--keep-best", "--eval-fraction", 0.5, "--eval-every", 9)
    assert "total_step = 20: the run's 30 steps" in result.stderr + result.stdout
    after = json.loads((second / "adapter_config.json").read_text())["rank_pattern"]
    assert before.keys() == after.keys() and before != after
    assert all(b or not a for k in before for a, b in zip(after[k], before[k]))
    assert any(map(any, after.values()))
    ids, _ = batch()
    with torch.no_grad():
        expected = PeftModel.from_pretrained(load_oracle(folder), second).eval()(input_ids=ids).logits
        assert (expected - load_oracle(folder)(input_ids=ids).logits).abs().max() > 0.1
    assert_logits(forward(tmp_path, folder, {"input_ids": ids}, second)["logits"], expected)


@pytest.mark.parametrize("fields,steps,message", [
    (dict(init_r=4, target_r=8), 9, "target_r: expected at most init_r"),
    (dict(tinit=4, tfinal=6), 9, "at least 11 steps, found 9"),
    (dict(tinit=0, tfinal=6), 7, "at least 8 steps, found 7"),
    (dict(beta1=1.0), 9, "beta1 and beta2: expected numbers between 0 and 1"),
])
def test_refusals(tmp_path, model_folder, fields, steps, message):
    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"input_ids": [3, 4, 5, 6]}) + "\n")
    sets = [a for k, v in fields.items() for a in ("--set", f"{k}={json.dumps(v)}")]
    result = run("train", "--model", model_folder("llama"), "--data", data, "--output", tmp_path / "out", "--method", "ADALORA", *sets,
                 "--max-steps", steps, check=False)
    assert result.returncode in (1, 2) and message in result.stderr, result.stderr


@pytest.mark.parametrize("pattern,message", [
    ({"model.layers.0.self_attn.q_proj.lora_E": [True]}, "expected a list of 3 values true or false"),
    ({"model.layers.0.self_attn.q_proj.lora_E": [1, 0, 1]}, "expected a list of 3 values true or false"),
    ({"model.layers.7.self_attn.q_proj.lora_E": [True] * 3}, "found 'model.layers.7.self_attn.q_proj.lora_E'"),
])
def test_broken_patterns(tmp_path, model_folder, pattern, message):
    folder, adapter = model_folder("llama"), tmp_path / "adapter"
    make_adapter(folder, adapter, AdaLoraConfig, dict(init_r=3, target_r=3, target_modules=["q_proj"], total_step=2), tune=tune)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | dict(rank_pattern=pattern)))
    result = run("merge", "--model", folder, "--adapter", adapter, "--output", tmp_path / "merged", check=False)
    assert result.returncode in (1, 2) and message in result.stderr, result.stderr


@pytest.mark.parametrize("tinit,tfinal,interval,betas", [(10, 30, 1, (0.85, 0.85)), (0, 0, 7, (0.9, 0.7))])
def test_schedule(tmp_path, model_folder, tinit, tfinal, interval, betas):
    """200 steps of peft, parameters and gradients recorded; on the same ones ours has the same budgets and drops the same ranks.
    Scores are distinct here; equal ones at the threshold are dropped together, by peft and by us. Then peft's file."""
    driver = os.environ.get("PEFT_RANKS_DRIVER")
    if driver is None:
        pytest.skip("PEFT_RANKS_DRIVER does not name the program")
    torch.manual_seed(3)
    config = AdaLoraConfig(task_type="CAUSAL_LM", init_r=5, target_r=2, tinit=tinit, tfinal=tfinal, deltaT=interval, total_step=200,
                           beta1=betas[0], beta2=betas[1], lora_alpha=16, target_modules=["q_proj", "v_proj"])
    model = get_peft_model(load_oracle(model_folder("llama")), config).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    allocator, ids, expected, record = model.base_model.rankallocator, batch(rows=4, length=12)[0], [], {}
    names = sorted({n.rsplit(".lora_", 1)[0] for n, _ in model.named_parameters() if "lora_" in n})
    parameters = dict(model.named_parameters())
    for step in range(1, 201):
        optimizer.zero_grad()
        row = ids[step % 4: step % 4 + 1]
        model(input_ids=row, labels=row).loss.backward()
        optimizer.step()
        for i, name in enumerate(names):
            for part in "AEB":
                p = parameters[f"{name}.lora_{part}.default"]
                record.setdefault(f"{i}.{part}.p", []).append(p.detach().clone())
                record.setdefault(f"{i}.{part}.g", []).append(p.grad.clone())
        model.base_model.update_and_allocate(step)
        budget, masked = allocator.budget_schedule(step)
        left = torch.cat([parameters[f"{n}.lora_E.default"].flatten() for n in names]) != 0
        expected.append(f"{budget} " + ("".join(str(int(b)) for b in left) if masked or step == 200 - tfinal else "-"))
    save_file({k: torch.stack(v) for k, v in record.items()}, tmp_path / "steps.safetensors")
    args = [driver, tmp_path / "steps.safetensors", 5, 2, tinit, tfinal, interval, 200, *betas]
    ours = subprocess.run([str(a) for a in args], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(set(expected)) > 15 and ours == expected, [(i, a, b) for i, (a, b) in enumerate(zip(ours, expected)) if a != b][:5]
    # The file that peft writes of the ranks that are left.
    model.save_pretrained(tmp_path / "peft")
    with torch.no_grad():
        logits = model.eval()(input_ids=ids).logits
    assert json.loads((tmp_path / "peft" / "adapter_config.json").read_text())["rank_pattern"]
    assert_logits(forward(tmp_path, model_folder("llama"), {"input_ids": ids}, tmp_path / "peft")["logits"], logits)
