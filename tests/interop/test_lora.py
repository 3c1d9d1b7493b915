# SPDX-License-Identifier: LGPL-2.1-or-later
"""LoRA adapters between peft and us, both directions: logits, loss, gradients, merged weights, files."""

import json
import re

import pytest
import torch
from conftest import assert_gradient, assert_logits, batch, forward, load_oracle, run
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ALL = ATTENTION + ["gate_proj", "up_proj", "down_proj"]

# family, LoraConfig fields
VARIANTS = {
    "plain": ("llama", dict(r=4, lora_alpha=8, target_modules=ALL)),
    "defaults": ("mistral-window", dict()),
    "one-rank": ("qwen3", dict(r=1, lora_alpha=3, target_modules=["v_proj"])),
    "rslora": ("qwen2", dict(r=4, lora_alpha=8, use_rslora=True, target_modules=ATTENTION)),
    "regex": ("llama", dict(r=3, lora_alpha=5, target_modules=r".*layers\.[12]\.(self_attn\.q_proj|mlp\.down_proj)")),
    "all-linear": ("qwen3", dict(r=2, lora_alpha=4, target_modules="all-linear")),
    "exclude": ("llama", dict(r=2, lora_alpha=4, target_modules=ALL, exclude_modules=["k_proj", "down_proj"])),
    "layers": ("mistral-window", dict(r=2, lora_alpha=4, target_modules=ATTENTION, layers_to_transform=[0, 2],
                                      layers_pattern="layers")),
    "patterns": ("llama", dict(r=4, lora_alpha=8, target_modules=ATTENTION, rank_pattern={"q_proj": 2, "layers.1.self_attn.v_proj": 6},
                               alpha_pattern={"v_proj": 3, "^model.layers.0.self_attn.o_proj": 16})),
    "lora-bias": ("llama-bias-tied", dict(r=4, lora_alpha=8, target_modules=ALL, lora_bias=True)),
    "bias-all": ("llama-bias-tied", dict(r=4, lora_alpha=8, target_modules=ATTENTION, bias="all")),
    "bias-lora-only": ("qwen2", dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "o_proj"], bias="lora_only")),
    "modules-to-save": ("llama", dict(r=4, lora_alpha=8, target_modules=["q_proj"], modules_to_save=["lm_head", "input_layernorm"])),
    "embedding": ("llama", dict(r=4, lora_alpha=8, target_modules=["embed_tokens", "v_proj"])),
    "embedding-and-head": ("qwen2", dict(r=3, lora_alpha=6, target_modules=["embed_tokens", "lm_head"])),
    "save-embedding": ("llama", dict(r=4, lora_alpha=8, target_modules=["v_proj"], modules_to_save=["embed_tokens"])),
}


def adapter_name(parameter):
    """peft's parameter name → the key in the adapter's file."""
    name = re.sub(r"\.modules_to_save\.default", "", parameter)
    return re.sub(r"\.default(?=\.|$)", "", name)


def make_adapter(folder, out, fields, seed=5, strength=0.3):
    """An adapter of random tensors. Factors have the deviation strength/√(scaling): much stronger adapters make models in which
    torch's own float32 gradients are off by more than the tolerance."""
    torch.manual_seed(seed)
    config = LoraConfig(task_type="CAUSAL_LM", **fields)
    model = get_peft_model(load_oracle(folder), config)
    strength /= (config.lora_alpha / (config.r ** 0.5 if config.use_rslora else config.r)) ** 0.5
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad:
                scale = strength if "lora_" in name else 0.05
                p.add_(scale * torch.randn(p.shape, generator=generator))
    model.save_pretrained(out)
    return model.eval()


@pytest.mark.parametrize("variant", VARIANTS)
def test_peft_to_ours(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make_adapter(folder, adapter, fields)
    ids, labels = batch()
    with torch.no_grad():
        base = load_oracle(folder)(input_ids=ids).logits
    result = model(input_ids=ids, labels=labels)
    assert (result.logits - base).abs().max() >= 0.1
    result.loss.backward()

    ours = forward(tmp_path, folder, {"input_ids": ids, "labels": labels}, adapter, gradients=True)
    assert_logits(ours["logits"], result.logits.detach())
    assert abs(ours["loss"].item() - result.loss.item()) <= 1e-5
    keys = set(load_file(adapter / "adapter_model.safetensors"))
    compared = 0
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        key = adapter_name(name)
        assert key in keys, f"{key} is not in peft's file"
        if p.grad is None or p.grad.abs().max() < 1e-12:
            assert ours["grad." + key].abs().max() < 1e-6
        else:
            assert_gradient(key, ours["grad." + key], p.grad)
        compared += 1
    assert compared > 0


@pytest.mark.parametrize("variant", VARIANTS)
def test_merge(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter, merged = model_folder(family), tmp_path / "adapter", tmp_path / "merged"
    model = make_adapter(folder, adapter, fields)
    ids, _ = batch()
    run("merge", "--model", folder, "--adapter", adapter, "--output", merged)
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        theirs = load_oracle(merged)(input_ids=ids).logits
        assert_logits(theirs, expected)
        weights = model.merge_and_unload().state_dict()
    ours = forward(tmp_path, merged, {"input_ids": ids})["logits"]
    assert_logits(ours, expected)
    for name, tensor in load_file(merged / "model.safetensors").items():
        reference = weights[name]
        limit = 1e-4 * max(reference.abs().max().item(), 1e-3)
        assert (tensor.float() - reference).abs().max() <= limit, name


@pytest.mark.parametrize("variant", VARIANTS)
def test_ours_to_peft(tmp_path, model_folder, variant):
    """We train two steps; peft loads the result and computes the same; its own file has the same keys."""
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "ours"
    ids, labels = batch()
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps({"input_ids": row.tolist()}) + "\n" for row in ids))
    sets = [arg for key, value in fields.items() for arg in ("--set", f"{key}={json.dumps(value)}")]
    run("train", "--model", folder, "--data", data, "--output", adapter, "--method", "LORA", *sets, "--max-steps", 2,
        "--batch-size", 2, "--learning-rate", 0.05, "--schedule", "constant", "--warmup-ratio", 0, "--dtype", "float32")
    loaded = PeftModel.from_pretrained(load_oracle(folder), adapter).eval()
    with torch.no_grad():
        theirs = loaded(input_ids=ids, labels=labels)
    ours = forward(tmp_path, folder, {"input_ids": ids, "labels": labels}, adapter)
    assert_logits(ours["logits"], theirs.logits)
    assert abs(ours["loss"].item() - theirs.loss.item()) <= 1e-5

    make_adapter(folder, tmp_path / "peft", fields)
    mine, peft = (load_file(tmp_path / f / "adapter_model.safetensors") for f in ("ours", "peft"))
    assert {k: (v.shape, v.dtype) for k, v in mine.items()} == {k: (v.shape, v.dtype) for k, v in peft.items()}
    config, reference = (json.loads((tmp_path / f / "adapter_config.json").read_text()) for f in ("ours", "peft"))
    for key in config:
        if key in ("peft_version", "base_model_name_or_path", "task_type", "auto_mapping", "revision"):
            continue
        expected, found = reference.get(key), config[key]
        if isinstance(expected, list) and isinstance(found, list):
            expected, found = sorted(map(str, expected)), sorted(map(str, found))
        assert found == expected, f"{key}: {found!r}, peft has {expected!r}"


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_dropout_is_off_outside_training(tmp_path, model_folder, family):
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make_adapter(folder, adapter, dict(r=4, lora_alpha=8, target_modules=ALL, lora_dropout=0.5))
    ids, _ = batch()
    ours = forward(tmp_path, folder, {"input_ids": ids}, adapter)["logits"]
    with torch.no_grad():
        assert_logits(ours, model(input_ids=ids).logits)
    dropped = forward(tmp_path, folder, {"input_ids": ids}, adapter, extra=["--train-mode"])["logits"]
    assert (dropped - ours).abs().max() > 1e-3


def test_initialisation(tmp_path, model_folder):
    """Kaiming-uniform A within 1/√in, zero B; gaussian A with a deviation of 1/r."""
    folder = model_folder("llama")
    ids, _ = batch()
    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"input_ids": ids[0].tolist()}) + "\n")
    for init, r in (("true", 8), ('"gaussian"', 8)):
        out = tmp_path / f"init-{r}-{len(init)}"
        run("train", "--model", folder, "--data", data, "--output", out, "--method", "LORA", "--set", f"r={r}", "--set",
            f"init_lora_weights={init}", "--set", f"target_modules={json.dumps(ALL)}", "--max-steps", 1,
            "--learning-rate", 0, "--dtype", "float32")
        tensors = load_file(out / "adapter_model.safetensors")
        a = torch.cat([v.flatten() for k, v in tensors.items() if "lora_A" in k and "down_proj" not in k])
        assert all(v.abs().max() == 0 for k, v in tensors.items() if "lora_B" in k)
        if init == "true":
            bound = 48 ** -0.5
            assert a.abs().max() <= bound and abs(a.std() - bound / 3 ** 0.5) < 0.02 * bound
        else:
            assert abs(a.std() - 1 / r) < 0.02 / r and abs(a.mean()) < 0.01


@pytest.mark.parametrize("fields", [dict(), dict(lora_dropout=0.0, use_rslora=True)])
def test_stories260k(tmp_path, fields):
    from conftest import shared

    if shared() is None:
        pytest.skip("shared/models/stories260k is not there")
    folder, adapter = shared() / "models/stories260k", tmp_path / "adapter"
    model = make_adapter(folder, adapter, dict(r=8, lora_alpha=16, target_modules=ALL, **fields), strength=0.1)
    ids, labels = batch(vocab=512, length=64)
    with torch.no_grad():
        assert (model(input_ids=ids).logits - load_oracle(folder)(input_ids=ids).logits).abs().max() >= 0.1
    result = model(input_ids=ids, labels=labels)
    result.loss.backward()
    ours = forward(tmp_path, folder, {"input_ids": ids, "labels": labels}, adapter, gradients=True)
    assert_logits(ours["logits"], result.logits.detach())
    assert abs(ours["loss"].item() - result.loss.item()) <= 1e-5
    for name, p in model.named_parameters():
        if p.requires_grad:
            assert_gradient(adapter_name(name), ours["grad." + adapter_name(name)], p.grad)
