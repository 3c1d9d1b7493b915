# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prompt tuning as peft's."""

import json

import pytest
import torch
from conftest import batch, load_oracle, run, shared
from method_checks import WEIGHTS, check_save_stable, make_adapter, train
from peft import PromptTuningConfig, get_peft_model
from prompt_checks import check_forward, check_generate, check_ours_to_peft, check_steps
from safetensors.torch import load_file

VARIANTS = {
    "plain": ("llama", dict(num_virtual_tokens=5)),
    "window": ("mistral-window", dict(num_virtual_tokens=9, prompt_tuning_init="SAMPLE_VOCAB")),
    "one": ("qwen3", dict(num_virtual_tokens=1)),
    "modules-to-save": ("qwen2", dict(num_virtual_tokens=4, modules_to_save=["lm_head"])),
}


def tune(name, p, noise):
    return 0.05 * noise if "lm_head" in name else 0.5 * noise


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("masked", [False, True])
def test_peft_to_ours(tmp_path, model_folder, variant, masked):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make_adapter(folder, adapter, PromptTuningConfig, fields, tune=tune)
    check_forward(tmp_path, folder, model, adapter, masked=masked)


@pytest.mark.parametrize("variant", VARIANTS)
def test_ours_to_peft(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    ours = check_ours_to_peft(tmp_path, model_folder(family), PromptTuningConfig, "PROMPT_TUNING", fields)
    check_save_stable(tmp_path, model_folder(family), ours)


@pytest.mark.parametrize("variant", ["plain", "modules-to-save"])
def test_steps(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make_adapter(folder, adapter, PromptTuningConfig, fields, tune=tune)
    check_steps(tmp_path, folder, model, adapter)


def stories():
    if shared() is None:
        pytest.skip("shared/models/stories260k is not there")
    return shared() / "models/stories260k"


@pytest.mark.parametrize("extra", [[], ["--threads", "1"]])
def test_generate(tmp_path, extra):
    folder, adapter = stories(), tmp_path / "adapter"
    model = make_adapter(folder, adapter, PromptTuningConfig, dict(num_virtual_tokens=6), tune=lambda n, p, noise: 3 * noise)
    check_generate(tmp_path, folder, model, adapter, ["Once upon a time there was", "The cat", "Lily and Tom went to the park and"],
                   extra=extra)


def test_long_prompt(tmp_path):
    """More than one chunk of the prefill."""
    folder, adapter = stories(), tmp_path / "adapter"
    model = make_adapter(folder, adapter, PromptTuningConfig, dict(num_virtual_tokens=6), tune=lambda n, p, noise: 3 * noise)
    text = "Once upon a time there was a little girl. She went to the park. " * 30
    check_generate(tmp_path, folder, model, adapter, [text, "The cat"])


def test_text_initialisation(tmp_path):
    folder, out = stories(), tmp_path / "out"
    for n in (3, 40):
        fields = dict(num_virtual_tokens=n, prompt_tuning_init="TEXT", prompt_tuning_init_text="Tell a happy story about a dog:",
                      tokenizer_name_or_path=str(folder))
        train(tmp_path, folder, out, "PROMPT_TUNING", fields, steps=1, rate=0)
        torch.manual_seed(0)
        model = get_peft_model(load_oracle(folder), PromptTuningConfig(task_type="CAUSAL_LM", **fields))
        expected = model.prompt_encoder["default"].embedding.weight.detach()
        ours = load_file(out / WEIGHTS)["prompt_embeddings"]
        assert torch.equal(ours, expected)
        # peft reads the file only where the tokenizer is named.
        del fields["tokenizer_name_or_path"]
        train(tmp_path, folder, out, "PROMPT_TUNING", fields, steps=1, rate=0)
        assert torch.equal(load_file(out / WEIGHTS)["prompt_embeddings"], expected)
        assert json.loads((out / "adapter_config.json").read_text())["tokenizer_name_or_path"]


def test_vocabulary_initialisation(tmp_path, model_folder):
    folder, out = model_folder("llama"), tmp_path / "out"
    train(tmp_path, folder, out, "PROMPT_TUNING", dict(num_virtual_tokens=12, prompt_tuning_init="SAMPLE_VOCAB"), steps=1, rate=0)
    table = load_oracle(folder).get_input_embeddings().weight
    found = [(table - row).abs().amax(dim=1).min().item() for row in load_file(out / WEIGHTS)["prompt_embeddings"]]
    assert max(found) == 0


def test_refused(tmp_path, model_folder):
    folder, adapter = model_folder("llama"), tmp_path / "adapter"
    make_adapter(folder, adapter, PromptTuningConfig, dict(num_virtual_tokens=3))
    ids, _ = batch()
    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"input_ids": ids[0].tolist()}) + "\n")

    def fails(*words, args):
        result = run(*args, check=False)
        assert result.returncode in (1, 2) and all(w in result.stderr for w in words), result.stderr

    fails("PROMPT_TUNING", args=["merge", "--model", folder, "--adapter", adapter, "--output", tmp_path / "merged"])
    train_args = ["train", "--model", folder, "--data", data, "--output", tmp_path / "out"]
    fails("packing", "virtual tokens", args=[*train_args, "--adapter", adapter, "--packing"])
    fails("num_virtual_tokens", args=[*train_args, "--method", "PROMPT_TUNING"])
    fails("prompt_tuning_init_text", args=[*train_args, "--method", "PROMPT_TUNING", "--set", "num_virtual_tokens=2", "--set",
                                           "prompt_tuning_init=TEXT"])
    fails("token_dim", "48", args=[*train_args, "--method", "PROMPT_TUNING", "--set", "num_virtual_tokens=2", "--set", "token_dim=7"])
    other = model_folder("llama", hidden_size=32)
    fails("another model", args=["train", "--model", other, "--data", data, "--output", tmp_path / "out", "--adapter", adapter])
