# SPDX-License-Identifier: LGPL-2.1-or-later
"""VeRA between peft and us, both directions."""

import json

import pytest
import torch
from conftest import batch, run
from method_checks import (WEIGHTS, check_merge, check_ours_to_peft, check_peft_to_ours, check_save_stable, check_steps, make_adapter,
                           train)
from peft import VeraConfig
from safetensors.torch import load_file, save_file

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ALL = ATTENTION + ["gate_proj", "up_proj", "down_proj"]

VARIANTS = {
    "defaults": ("llama", dict()),
    "sizes": ("qwen3", dict(r=16, target_modules=ALL, projection_prng_key=7)),
    "biases": ("llama-bias-tied", dict(r=8, target_modules=ALL, bias="vera_only", d_initial=0.3)),
    "all-biases": ("qwen2", dict(r=8, target_modules=["v_proj", "down_proj"], bias="all", vera_dropout=0.1)),
    "layers": ("mistral-window", dict(r=4, target_modules=["q_proj", "up_proj"], layers_to_transform=[0, 2],
                                      modules_to_save=["input_layernorm"])),
    "random": ("llama", dict(r=4, target_modules=ATTENTION, init_weights=False)),
}


def tune(name, p, noise):
    return {"vera_lambda_b": 0.5, "vera_lambda_d": 0.2}.get(name.split(".")[-2], 0.05) * noise


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_ways(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make_adapter(folder, adapter, VeraConfig, fields, tune=tune)
    check_peft_to_ours(tmp_path, folder, model, adapter)
    check_merge(tmp_path, folder, model, adapter)
    check_ours_to_peft(tmp_path, folder, VeraConfig, "VERA", fields, tune=tune)


@pytest.mark.parametrize("variant", ["sizes", "biases"])
def test_steps(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    make_adapter(folder, adapter, VeraConfig, fields, tune=tune)
    check_steps(tmp_path, folder, adapter, rate=1e-2)
    check_save_stable(tmp_path, folder, adapter)


def test_projections(tmp_path, model_folder):
    """They come from the key alone, spread as peft's, and training leaves them alone; the scales start as peft's."""
    def get(name, seed, rate=0, **fields):
        out = tmp_path / name
        train(tmp_path, model_folder("llama"), out, "VERA", dict(r=32, target_modules=ALL, **fields), rate=rate, extra=("--seed", seed))
        return load_file(out / WEIGHTS)

    first, other_seed, trained, other_key = get("a", 1), get("b", 2), get("c", 1, rate=0.1), get("d", 1, projection_prng_key=-3)
    for key, bound in (("base_model.vera_A", (6 / 80) ** 0.5), ("base_model.vera_B", (6 / 32) ** 0.5)):
        assert torch.equal(first[key], other_seed[key]) and torch.equal(first[key], trained[key])
        assert not torch.equal(first[key], other_key[key])
        assert 0.97 * bound <= first[key].abs().max() <= bound
        assert abs(first[key].std() / (bound / 3**0.5) - 1) < 0.05 and abs(first[key].mean()) < 0.05 * bound
    for key, values in first.items():
        if "lambda" in key:
            assert (values == (0.1 if key.endswith("_d") else 0.0)).all()
            assert not torch.equal(values, trained[key])


def test_dropout(tmp_path, model_folder):
    """It takes part in training."""
    results = []
    for p in (0.0, 0.5):
        out = tmp_path / str(p)
        train(tmp_path, model_folder("llama"), out, "VERA", dict(r=8, target_modules=ATTENTION, vera_dropout=p, init_weights=False))
        results.append(load_file(out / WEIGHTS))
    assert any(not torch.equal(results[0][k], results[1][k]) for k in results[0])


def test_without_projections(tmp_path, model_folder):
    """Neither trained nor loaded, since the matrices would have to come from torch."""
    folder, adapter, data = model_folder("llama"), tmp_path / "adapter", tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"input_ids": [3, 4, 5, 6]}) + "\n")
    make_adapter(folder, adapter, VeraConfig, dict(r=4, save_projection=False), tune=tune)
    ids, _ = batch()
    save_file({"input_ids": ids}, tmp_path / "input.safetensors")
    for args in (["train", "--data", data, "--output", tmp_path / "out", "--method", "VERA", "--set", "save_projection=false"],
                 ["forward", "--adapter", adapter, "--input", tmp_path / "input.safetensors", "--output", tmp_path / "output"]):
        result = run(*args, "--model", folder, check=False)
        assert result.returncode in (1, 2) and "save_projection" in result.stderr and "PyTorch" in result.stderr, result.stderr
