# SPDX-License-Identifier: LGPL-2.1-or-later
"""P-tuning as peft's, with both encoders, and training that goes on from checkpoints."""

import json
import shutil

import pytest
import torch
from conftest import assert_logits, batch, forward, load_oracle, run, shared
from method_checks import WEIGHTS, make_adapter
from peft import PromptEncoderConfig
from prompt_checks import check_forward, check_generate, check_ours_to_peft, check_steps, parameters, write_state
from safetensors.torch import load_file

STATE = "training_state.safetensors"

VARIANTS = {
    "mlp": ("llama", dict(num_virtual_tokens=5)),
    "mlp-narrow": ("qwen2", dict(num_virtual_tokens=4, encoder_hidden_size=20, modules_to_save=["lm_head"])),
    "lstm": ("qwen3", dict(num_virtual_tokens=6, encoder_reparameterization_type="LSTM", encoder_hidden_size=16)),
    "lstm-deep": ("mistral-window", dict(num_virtual_tokens=14, encoder_reparameterization_type="LSTM", encoder_num_layers=3,
                                         encoder_hidden_size=24)),
    "lstm-one": ("llama", dict(num_virtual_tokens=1, encoder_reparameterization_type="LSTM", encoder_num_layers=1)),
}


def tune(name, p, noise):
    # Strong enough for gradients to reach the LSTM's first layer.
    return 0.05 * noise if "lm_head" in name else 0.4 * noise


def make(folder, adapter, fields):
    model = make_adapter(folder, adapter, PromptEncoderConfig, fields, tune=tune)
    write_state(model, adapter / STATE)
    return model


@pytest.mark.parametrize("variant", VARIANTS)
def test_peft_to_ours(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make(folder, adapter, fields)
    # The file alone has the same logits as the encoder.
    ids, _ = batch()
    state = tmp_path / STATE
    (adapter / STATE).rename(state)
    with torch.no_grad():
        assert_logits(forward(tmp_path, folder, {"input_ids": ids}, adapter)["logits"], model(input_ids=ids).logits)
    check_forward(tmp_path, folder, model, adapter, state=state)


@pytest.mark.parametrize("variant", VARIANTS)
def test_ours_to_peft(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    ours = check_ours_to_peft(tmp_path, model_folder(family), PromptEncoderConfig, "P_TUNING", fields, tune=tune)
    # A checkpoint has what peft calls its parameters.
    model = make_adapter(model_folder(family), tmp_path / "again", PromptEncoderConfig, fields)
    state = load_file(ours / "checkpoints/step-2" / STATE)
    expected = {name: p.shape for name, p in parameters(model).items() if name.startswith("prompt_encoder")}
    assert {k: v.shape for k, v in state.items() if k.startswith("prompt_encoder")} == expected


@pytest.mark.parametrize("variant", VARIANTS)
def test_steps(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make(folder, adapter, fields)
    check_steps(tmp_path, folder, model, adapter, rate=2e-3)


def train(folder, data, out, *args, check=True):
    return run("train", "--model", folder, "--data", data, "--output", out, "--no-shuffle", "--batch-size", 1, "--learning-rate", 0.01,
               "--schedule", "constant", "--warmup-ratio", 0, "--dtype", "float32", "--save-every", 2, *args, check=check)


@pytest.mark.parametrize("encoder", ["MLP", "LSTM"])
def test_going_on(tmp_path, model_folder, encoder):
    """Interrupted and resumed: the same bits. From a checkpoint's folder: the encoder goes on. From the stored form: refused."""
    folder = model_folder("llama")
    ids, _ = batch(rows=4)
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps({"input_ids": row.tolist()}) + "\n" for row in ids))
    new = ["--method", "P_TUNING", "--set", "num_virtual_tokens=3", "--set", "encoder_hidden_size=12", "--set",
           f"encoder_reparameterization_type={encoder}", "--set", "encoder_dropout=0.2"]
    logs = {}
    for name, args in (("whole", [*new, "--max-steps", 4]), ("part", [*new, "--max-steps", 4])):
        train(folder, data, tmp_path / name, *args, "--log-json", tmp_path / f"{name}.jsonl")
    shutil.rmtree(tmp_path / "part/checkpoints/step-4")
    train(folder, data, tmp_path / "part", *new, "--max-steps", 4, "--resume", "--log-json", tmp_path / "part.jsonl")
    whole, part = (load_file(tmp_path / n / WEIGHTS)["prompt_embeddings"] for n in ("whole", "part"))
    assert torch.equal(whole, part)

    checkpoint = tmp_path / "whole/checkpoints/step-2"
    train(folder, data, tmp_path / "on", "--adapter", checkpoint, "--max-steps", 2, "--learning-rate", 0)
    kept, before = (load_file(p / STATE) for p in (tmp_path / "on/checkpoints/step-2", checkpoint))
    assert all(torch.equal(kept[k], before[k]) for k in before if k.startswith("prompt_encoder"))
    stored = load_file(checkpoint / WEIGHTS)["prompt_embeddings"]
    assert torch.allclose(load_file(tmp_path / "on" / WEIGHTS)["prompt_embeddings"], stored, atol=1e-6)
    train(folder, data, tmp_path / "further", "--adapter", checkpoint, "--max-steps", 2)
    assert not torch.allclose(load_file(tmp_path / "further" / WEIGHTS)["prompt_embeddings"], stored, atol=1e-4)

    result = train(folder, data, tmp_path / "no", "--adapter", tmp_path / "whole", "--max-steps", 1, check=False)
    assert result.returncode == 1 and "encoder" in result.stderr and STATE in result.stderr, result.stderr
    target = tmp_path / "input.safetensors"
    from safetensors.torch import save_file

    save_file({"input_ids": ids, "labels": ids.clone()}, target)
    result = run("forward", "--model", folder, "--adapter", tmp_path / "whole", "--input", target, "--output", tmp_path / "o",
                 "--gradients", check=False)
    assert result.returncode == 1 and "--state" in result.stderr, result.stderr


@pytest.mark.parametrize("encoder", ["MLP", "LSTM"])
def test_generate(tmp_path, encoder):
    if shared() is None:
        pytest.skip("shared/models/stories260k is not there")
    folder, adapter = shared() / "models/stories260k", tmp_path / "adapter"
    fields = dict(num_virtual_tokens=6, encoder_hidden_size=32, encoder_reparameterization_type=encoder)
    model = make_adapter(folder, adapter, PromptEncoderConfig, fields, tune=lambda n, p, noise: 1.0 * noise)
    prompts = ["Once upon a time there was", "The cat", "Lily and Tom went to the park and"]
    check_generate(tmp_path, folder, model, adapter, prompts)
    write_state(model, adapter / STATE)  # now the encoder runs
    check_generate(tmp_path, folder, model, adapter, prompts)
