# SPDX-License-Identifier: LGPL-2.1-or-later
"""OFT between peft and us, both directions."""

import json

import pytest
from conftest import batch, run
from method_checks import (check_merge, check_ours_to_peft, check_peft_to_ours, check_save_stable, check_steps, make_adapter)
from peft import OFTConfig
from safetensors.torch import save_file

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ALL = ATTENTION + ["gate_proj", "up_proj", "down_proj"]

VARIANTS = {
    "series": ("llama", dict(oft_block_size=8, target_modules=ALL)),
    "exact": ("qwen3", dict(oft_block_size=4, target_modules=ATTENTION, use_cayley_neumann=False)),
    "blocks": ("qwen2", dict(r=6, oft_block_size=0, target_modules=["q_proj", "v_proj"], num_cayley_neumann_terms=3)),
    "moved": ("mistral-window", dict(oft_block_size=7, target_modules=ALL, num_cayley_neumann_terms=7)),
    "shared": ("llama-bias-tied", dict(oft_block_size=16, target_modules=ALL, block_share=True, bias="oft_only")),
    "constrained": ("llama", dict(oft_block_size=8, target_modules=ATTENTION, coft=True, eps=1.0)),
    "embedding": ("llama", dict(oft_block_size=8, target_modules=["embed_tokens", "up_proj"])),
    "two-terms": ("qwen2", dict(oft_block_size=4, target_modules=ATTENTION, num_cayley_neumann_terms=2, init_weights=False)),
}


def tune(name, p, noise):
    return (0.1 if "oft" in name else 0.05) * noise


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_ways(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make_adapter(folder, adapter, OFTConfig, fields, tune=tune)
    check_peft_to_ours(tmp_path, folder, model, adapter)
    check_merge(tmp_path, folder, model, adapter, relative=1e-3)
    check_ours_to_peft(tmp_path, folder, OFTConfig, "OFT", fields, rate=0.02, tune=tune)


@pytest.mark.parametrize("variant", ["series", "exact", "constrained"])
def test_steps(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    make_adapter(folder, adapter, OFTConfig, fields, tune=tune)
    check_steps(tmp_path, folder, adapter)
    if variant != "constrained":  # where loading shortens what is too long
        check_save_stable(tmp_path, folder, adapter)


def test_refusals(tmp_path, model_folder):
    folder, data = model_folder("llama"), tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"input_ids": [3, 4, 5, 6]}) + "\n")
    for sets, message in ((["r=4", "oft_block_size=8"], "expected one of them to be 0"), (["oft_block_size=1"], "blocks of size 1")):
        result = run("train", "--model", folder, "--data", data, "--output", tmp_path / "out", "--method", "OFT",
                     *[a for s in sets for a in ("--set", s)], check=False)
        assert result.returncode in (1, 2) and message in result.stderr, result.stderr


def test_old_file(tmp_path, model_folder):
    """A file of peft before 0.14 has no block size; its tensors mean something else."""
    folder, adapter = model_folder("llama"), tmp_path / "adapter"
    make_adapter(folder, adapter, OFTConfig, dict(oft_block_size=8, target_modules=["q_proj"]))
    config = json.loads((adapter / "adapter_config.json").read_text())
    del config["oft_block_size"]
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "r": 6}))
    ids, _ = batch()
    save_file({"input_ids": ids}, tmp_path / "input.safetensors")
    result = run("forward", "--model", folder, "--adapter", adapter, "--input", tmp_path / "input.safetensors", "--output",
                 tmp_path / "output.safetensors", check=False)
    assert result.returncode == 1 and "oft_block_size" in result.stderr, result.stderr
