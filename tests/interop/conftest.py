# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fixtures: small random models by transformers, and the command under test.

PEFT_GLIB names the peft-glib binary; PEFT_SHARED a folder with models/ and corpus/ (else ../shared beside the project).
"""

import json
import os
import pathlib
import subprocess

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# A busy machine makes OpenMP's barriers very slow, and these models are tiny.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM, Qwen2Config,
                          Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM)

torch.set_num_threads(1)

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("PEFT_GLIB", str(ROOT / "build/test/cli/peft-glib"))

COMMON = dict(hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
              num_key_value_heads=2, vocab_size=97, max_position_embeddings=64, pad_token_id=0, bos_token_id=1,
              eos_token_id=2)

FAMILIES = {
    "llama": lambda **kw: LlamaForCausalLM(LlamaConfig(**{**COMMON, **kw})),
    "llama-bias-tied": lambda **kw: LlamaForCausalLM(
        LlamaConfig(**{**COMMON, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, **kw})),
    "mistral-window": lambda **kw: MistralForCausalLM(
        MistralConfig(**{**COMMON, "sliding_window": 7, "head_dim": 16, **kw})),
    "qwen2": lambda **kw: Qwen2ForCausalLM(Qwen2Config(**{**COMMON, **kw})),
    "qwen3": lambda **kw: Qwen3ForCausalLM(Qwen3Config(**{**COMMON, "head_dim": 16, **kw})),
}


def shared():
    path = pathlib.Path(os.environ.get("PEFT_SHARED", ROOT.parent / "shared"))
    return path if path.is_dir() else None


def randomize(model, seed=0, std=0.25):
    """Every parameter random, biases and norm weights too; logits of a standard deviation of at least 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            p.copy_(1 + 0.2 * noise if "norm" in name else std * noise)
        ids = torch.randint(3, 97, (2, 16), generator=generator)
        spread = model(input_ids=ids).logits.std()
        if spread < 1.2:
            model.get_output_embeddings().weight.mul_(1.2 / spread)
    return model


def build(family, seed=0, **kw):
    # A sliding window is an index-based mask in every attention implementation; eager is the plainest.
    model = FAMILIES[family](attn_implementation="eager", **kw)
    return randomize(model.eval().float(), seed)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A function: family → folder with config.json and model.safetensors."""
    made = {}

    def get(family, dtype=torch.float32, **kw):
        key = (family, dtype, json.dumps(kw, sort_keys=True))
        if key not in made:
            folder = tmp_path_factory.mktemp(family)
            build(family, **kw).to(dtype).save_pretrained(folder)
            made[key] = folder
        return made[key]

    return get


def load_oracle(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def run(*args, check=True, stdin=None, env=None, timeout=300):
    result = subprocess.run([BINARY, *map(str, args)], input=stdin, capture_output=True, text=True, timeout=timeout,
                            env={**os.environ, "LC_ALL": "C.UTF-8", **(env or {})})
    if check:
        assert result.returncode == 0, f"{args}: exit {result.returncode}: {result.stderr}"
    return result


def forward(tmp_path, model, tensors, adapter=None, gradients=False, dtype="float32", extra=()):
    """Our logits, loss and gradients."""
    source, target = tmp_path / "input.safetensors", tmp_path / "output.safetensors"
    save_file({k: v.clone() for k, v in tensors.items()}, source)
    args = ["forward", "--model", model, "--input", source, "--output", target, "--dtype", dtype, *extra]
    if adapter is not None:
        args += ["--adapter", adapter]
    if gradients:
        args += ["--gradients"]
    run(*args)
    return load_file(target)


def batch(seed=1, rows=2, length=20, vocab=97):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, vocab, (rows, length), generator=generator)
    labels = ids.clone()
    labels[0, :5] = -100
    return ids, labels


def assert_logits(ours, theirs):
    limit = 1e-4 * max(1.0, theirs.abs().max().item())
    worst = (ours.double() - theirs.double()).abs().max().item()
    assert worst <= limit, f"logits differ by {worst:.3g}, allowed {limit:.3g}"


def assert_gradient(name, ours, theirs):
    assert ours.shape == theirs.shape, f"{name}: {tuple(ours.shape)} and {tuple(theirs.shape)}"
    ours, theirs = ours.double(), theirs.double()
    peak = theirs.abs().max().item()
    assert peak >= 1e-3, f"{name}: the oracle's gradient only reaches {peak:.3g}"
    worst = (ours - theirs).abs().max().item()
    assert worst <= 1e-3 * peak, f"{name}: gradient differs by {worst:.3g}, allowed {1e-3 * peak:.3g}"
    distance = (ours - theirs).norm().item() / theirs.norm().item()
    assert distance <= 1e-4, f"{name}: gradient differs by {distance:.3g} relative, allowed 1e-4"
