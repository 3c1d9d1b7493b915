# SPDX-License-Identifier: LGPL-2.1-or-later
"""HRA between peft and us, both directions."""

import json

import pytest
import torch
from conftest import assert_logits, batch, forward, load_oracle, run
from method_checks import (check_merge, check_ours_to_peft, check_peft_to_ours, check_save_stable, check_steps, make_adapter, train)
from peft import HRAConfig, PeftModel
from safetensors.torch import load_file

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ALL = ATTENTION + ["gate_proj", "up_proj", "down_proj"]

VARIANTS = {
    "plain": ("llama", dict(target_modules=ALL)),
    "odd": ("qwen3", dict(r=3, target_modules=ATTENTION)),
    "single": ("mistral-window", dict(r=1, target_modules=["q_proj", "down_proj"])),
    "orthogonal": ("qwen2", dict(r=6, apply_GS=True, target_modules=["q_proj", "v_proj"])),
    "biases": ("llama-bias-tied", dict(r=4, target_modules=ALL, bias="hra_only", modules_to_save=["input_layernorm"])),
    "all-biases": ("qwen2", dict(r=2, target_modules=["up_proj"], bias="all", layers_to_transform=[1])),
    "random": ("llama", dict(r=4, target_modules=ATTENTION, init_weights=False, exclude_modules=["model.layers.0.self_attn.k_proj"])),
}


def tune(name, p, noise):
    return (0.2 if "hra" in name else 0.05) * noise


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_ways(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make_adapter(folder, adapter, HRAConfig, fields, tune=tune)
    check_peft_to_ours(tmp_path, folder, model, adapter)
    check_merge(tmp_path, folder, model, adapter)
    check_ours_to_peft(tmp_path, folder, HRAConfig, "HRA", fields, tune=tune)


@pytest.mark.parametrize("variant", ["plain", "orthogonal"])
def test_steps(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    make_adapter(folder, adapter, HRAConfig, fields, tune=tune)
    check_steps(tmp_path, folder, adapter)
    check_save_stable(tmp_path, folder, adapter)


@pytest.mark.parametrize("r,changed", [(4, False), (3, True)])
def test_start(tmp_path, model_folder, r, changed):
    """Pairs of reflections leave the model as it is; an odd number does not."""
    folder, out = model_folder("llama"), tmp_path / "out"
    train(tmp_path, folder, out, "HRA", dict(r=r, target_modules=["q_proj"]), steps=1, rate=0)
    for u in load_file(out / "adapter_model.safetensors").values():
        assert torch.equal(u[:, 0], u[:, 1]) != changed
    ids, _ = batch()
    with torch.no_grad():
        base = load_oracle(folder)(input_ids=ids).logits
    ours = forward(tmp_path, folder, {"input_ids": ids}, out)["logits"]
    if changed:
        assert (ours - base).abs().max() > 1e-3
    else:
        assert_logits(ours, base)


def test_two(tmp_path, model_folder):
    """With two adapters the order counts: as in peft, and the same after merging."""
    folder, first, second, merged = model_folder("llama"), tmp_path / "first", tmp_path / "second", tmp_path / "merged"
    make_adapter(folder, first, HRAConfig, dict(r=4, target_modules=ATTENTION), tune=tune)
    make_adapter(folder, second, HRAConfig, dict(r=3, target_modules=ALL), tune=tune, seed=6)
    model = PeftModel.from_pretrained(load_oracle(folder), first, adapter_name="first")
    model.load_adapter(second, adapter_name="second")
    model.base_model.set_adapter(["first", "second"])
    ids, _ = batch()
    with torch.no_grad():
        expected = model.eval()(input_ids=ids).logits
    assert_logits(forward(tmp_path, folder, {"input_ids": ids}, extra=("--adapter", first, "--adapter", second))["logits"], expected)
    run("merge", "--model", folder, "--adapter", first, "--adapter", second, "--output", merged)
    assert_logits(forward(tmp_path, merged, {"input_ids": ids})["logits"], expected)


def test_refusals(tmp_path, model_folder):
    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"input_ids": [3, 4, 5, 6]}) + "\n")
    for sets, message in ((["r=0"], "r: "), (["r=5000", "apply_GS=true"], "orthogonal reflections")):
        result = run("train", "--model", model_folder("llama"), "--data", data, "--output", tmp_path / "out", "--method", "HRA",
                     *[a for s in sets for a in ("--set", s)], check=False)
        assert result.returncode in (1, 2) and message in result.stderr, result.stderr
