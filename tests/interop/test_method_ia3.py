# SPDX-License-Identifier: LGPL-2.1-or-later
"""(IA)³ between peft and us, both directions."""

import json

import pytest
import torch
from conftest import assert_logits, batch, forward, load_oracle, run
from method_checks import (check_merge, check_ours_to_peft, check_peft_to_ours, check_save_stable, check_steps, make_adapter, train)
from peft import IA3Config, PeftModel

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]

VARIANTS = {
    "defaults": ("llama", dict()),
    "usual": ("qwen3", dict()),
    "biases": ("llama-bias-tied", dict(target_modules=ATTENTION + ["down_proj"], feedforward_modules=["down_proj", "o_proj"])),
    "outputs": ("qwen2", dict(target_modules=["q_proj", "v_proj"], feedforward_modules=[])),
    "patterns": ("mistral-window", dict(target_modules=r".*\.(k_proj|up_proj|down_proj)", feedforward_modules=r".*\.[12]\..*down_proj",
                                        modules_to_save=["input_layernorm"])),
    "random": ("llama", dict(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"],
                             exclude_modules=["model.layers.0.self_attn.k_proj"], init_ia3_weights=False)),
}


def tune(name, p, noise):
    return 0.2 * noise if "ia3" in name else 0.05 * noise


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_ways(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make_adapter(folder, adapter, IA3Config, fields, tune=tune)
    check_peft_to_ours(tmp_path, folder, model, adapter)
    check_merge(tmp_path, folder, model, adapter)
    check_ours_to_peft(tmp_path, folder, IA3Config, "IA3", fields, tune=tune)


@pytest.mark.parametrize("variant", ["defaults", "biases"])
def test_steps(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    make_adapter(folder, adapter, IA3Config, fields, tune=tune)
    check_steps(tmp_path, folder, adapter, rate=1e-2)
    check_save_stable(tmp_path, folder, adapter)


def test_usual_names_among_targets(tmp_path, model_folder):
    """Without feedforward_modules the targets decide which of the usual ones there are; peft can read the file."""
    for targets, inner in ((["q_proj", "v_proj"], []), (["k_proj", "mlp.down_proj"], ["mlp.down_proj"])):
        out = tmp_path / str(len(inner))
        train(tmp_path, model_folder("llama"), out, "IA3", dict(target_modules=targets))
        assert json.loads((out / "adapter_config.json").read_text())["feedforward_modules"] == inner
        ids, _ = batch()
        with torch.no_grad():
            expected = PeftModel.from_pretrained(load_oracle(model_folder("llama")), out).eval()(input_ids=ids).logits
        assert_logits(forward(tmp_path, model_folder("llama"), {"input_ids": ids}, out)["logits"], expected)


def test_refusal(tmp_path, model_folder):
    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"input_ids": [3, 4, 5, 6]}) + "\n")
    result = run("train", "--model", model_folder("llama"), "--data", data, "--output", tmp_path / "out", "--method", "IA3", "--set",
                 'target_modules=["q_proj"]', "--set", 'feedforward_modules=["down_proj"]', check=False)
    assert result.returncode in (1, 2) and "also in target_modules, found 'down_proj'" in result.stderr, result.stderr
