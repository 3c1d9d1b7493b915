# SPDX-License-Identifier: LGPL-2.1-or-later
"""LLaMA-Adapter's adaption prompt as peft's."""

import json

import pytest
import torch
from conftest import assert_logits, batch, forward, load_oracle, run, shared
from method_checks import (check_manifest, check_ours_to_peft, check_peft_to_ours, check_save_stable, check_steps, make_adapter,
                           train)
from peft import AdaptionPromptConfig, PeftModel, get_peft_model
from prompt_checks import check_generate
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

VARIANTS = {
    "plain": ("llama", {}, dict(adapter_len=4, adapter_layers=2)),
    "all": ("llama-bias-tied", {}, dict(adapter_len=1, adapter_layers=3)),
    "mistral": ("mistral-window", dict(head_dim=12), dict(adapter_len=7, adapter_layers=1)),
    "named": ("llama", dict(num_key_value_heads=4), dict(adapter_len=3, adapter_layers=2, target_modules="self_attn")),
}


def tune(name, p, noise):
    return 0.5 + 0.2 * noise if "gate" in name else 0.3 * noise


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_ways(tmp_path, model_folder, variant):
    family, model_fields, fields = VARIANTS[variant]
    folder, adapter = model_folder(family, **model_fields), tmp_path / "adapter"
    model = make_adapter(folder, adapter, AdaptionPromptConfig, fields, tune=tune)
    check_peft_to_ours(tmp_path, folder, model, adapter)
    check_ours_to_peft(tmp_path, folder, AdaptionPromptConfig, "ADAPTION_PROMPT", fields, tune=tune)


@pytest.mark.parametrize("variant", ["plain", "mistral"])
def test_steps(tmp_path, model_folder, variant):
    family, model_fields, fields = VARIANTS[variant]
    folder, adapter = model_folder(family, **model_fields), tmp_path / "adapter"
    make_adapter(folder, adapter, AdaptionPromptConfig, fields, tune=tune)
    check_steps(tmp_path, folder, adapter, rate=1e-2)
    check_save_stable(tmp_path, folder, adapter)


def test_generate(tmp_path):
    if shared() is None:
        pytest.skip("shared/models/stories260k is not there")
    folder, adapter = shared() / "models/stories260k", tmp_path / "adapter"
    model = make_adapter(folder, adapter, AdaptionPromptConfig, dict(adapter_len=5, adapter_layers=4), tune=tune)
    check_generate(tmp_path, folder, model, adapter, ["Once upon a time there was", "The cat", "Lily and Tom went to the park and"])


def test_16_bits(tmp_path, model_folder):
    """peft keeps the tensors in the type of the model's weights."""
    fields, ours, peft = dict(adapter_len=4, adapter_layers=2), tmp_path / "ours", tmp_path / "peft"
    folder = model_folder("llama", dtype=torch.bfloat16)
    train(tmp_path, folder, ours, "ADAPTION_PROMPT", fields)
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    get_peft_model(base, AdaptionPromptConfig(task_type="CAUSAL_LM", **fields)).save_pretrained(peft)
    check_manifest(ours, peft)
    assert load_file(ours / "adapter_model.safetensors").popitem()[1].dtype == torch.bfloat16
    ids, _ = batch()
    loaded = PeftModel.from_pretrained(load_oracle(folder), ours).eval()
    with torch.no_grad():
        assert_logits(forward(tmp_path, folder, {"input_ids": ids}, ours)["logits"], loaded(input_ids=ids).logits)


def test_refusals(tmp_path, model_folder):
    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"input_ids": [3, 4, 5, 6]}) + "\n")
    for family, sets, message in (("qwen2", ["adapter_len=4", "adapter_layers=2"], "found 'qwen2'"),
                                  ("llama", ["adapter_len=4", "adapter_layers=9"], "the model has 3 layers, found 9"),
                                  ("llama", ["adapter_len=4", "adapter_layers=2", "target_modules=attn"], "matches no attention block"),
                                  ("llama", ["adapter_len=4"], "adapter_layers: expected a number")):
        result = run("train", "--model", model_folder(family), "--data", data, "--output", tmp_path / "out", "--method",
                     "ADAPTION_PROMPT", *[a for s in sets for a in ("--set", s)], check=False)
        assert result.returncode in (1, 2) and message in result.stderr, result.stderr


def test_merging_is_refused(tmp_path, model_folder):
    folder, adapter = model_folder("llama"), tmp_path / "adapter"
    make_adapter(folder, adapter, AdaptionPromptConfig, dict(adapter_len=4, adapter_layers=2), tune=tune)
    result = run("merge", "--model", folder, "--adapter", adapter, "--output", tmp_path / "merged", check=False)
    assert result.returncode == 1 and "cannot be merged" in result.stderr and not (tmp_path / "merged").exists()
