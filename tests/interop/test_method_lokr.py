# SPDX-License-Identifier: LGPL-2.1-or-later
"""LoKr between peft and us, both directions."""

import pytest
from conftest import batch, forward
from method_checks import (check_merge, check_ours_to_peft, check_peft_to_ours, check_save_stable, check_steps, make_adapter)
from peft import LoKrConfig

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ALL = ATTENTION + ["gate_proj", "up_proj", "down_proj"]

VARIANTS = {
    "plain": ("llama", dict(r=4, alpha=8, target_modules=ALL)),
    "defaults": ("mistral-window", dict(target_modules=["q_proj", "v_proj"])),
    "factor": ("qwen2", dict(r=2, alpha=4, target_modules=ALL, decompose_factor=4)),
    "both": ("qwen3", dict(r=1, alpha=2, target_modules=ATTENTION, decompose_both=True, rank_pattern={"q_proj": 2},
                           alpha_pattern={"v_proj": 3})),
    "lycoris": ("llama-bias-tied", dict(r=2, alpha=2, target_modules=ALL, init_weights="lycoris", decompose_factor=3)),
    "random": ("llama", dict(r=3, alpha=6, target_modules=["q_proj", "up_proj"], init_weights=False, modules_to_save=["input_layernorm"])),
}


def tune(name, p, noise):
    return (0.25 if "lokr" in name else 0.05) * noise


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_ways(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make_adapter(folder, adapter, LoKrConfig, fields, tune=tune)
    check_peft_to_ours(tmp_path, folder, model, adapter)
    check_merge(tmp_path, folder, model, adapter)
    check_ours_to_peft(tmp_path, folder, LoKrConfig, "LOKR", fields, tune=tune)


@pytest.mark.parametrize("variant", ["plain", "factor"])
def test_steps(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    make_adapter(folder, adapter, LoKrConfig, fields, tune=tune)
    check_steps(tmp_path, folder, adapter)
    check_save_stable(tmp_path, folder, adapter)


def test_dropouts(tmp_path, model_folder):
    folder, adapter = model_folder("llama"), tmp_path / "adapter"
    make_adapter(folder, adapter, LoKrConfig, dict(r=4, alpha=8, target_modules=ALL, rank_dropout=0.4, module_dropout=0.3), tune=tune)
    ids, _ = batch()
    still = forward(tmp_path, folder, {"input_ids": ids}, adapter)["logits"]
    one = forward(tmp_path, folder, {"input_ids": ids}, adapter, extra=["--train-mode"])["logits"]
    again = forward(tmp_path, folder, {"input_ids": ids}, adapter, extra=["--train-mode"])["logits"]
    other = forward(tmp_path, folder, {"input_ids": ids}, adapter, extra=["--train-mode", "--seed", 7])["logits"]
    assert (one == again).all() and (one - still).abs().max() > 1e-3 and (one - other).abs().max() > 1e-3
