# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is written: greedy ids against transformers' generate, and stories260K against its reference file."""

import json

import pytest
import torch
from conftest import assert_logits, forward, load_oracle, run, shared
from test_tokenizer import TOKENIZERS

PROMPTS = ["The quick brown fox", "naïve 狐狸 text", "def f(x):\n    return", "1 2 3"]
NEW = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model_folder):
    """A random model with a tokenizer, whose end-of-text id is one that greedy decoding reaches."""
    tok = TOKENIZERS["llama3"]()
    source = model_folder("llama", vocab_size=tok.get_vocab_size())
    out = tmp_path_factory.mktemp("writer") / "model"
    model = load_oracle(source)
    model.save_pretrained(out)
    tok.save(str(out / "tokenizer.json"))
    ids = torch.tensor([tok.encode(PROMPTS[0]).ids])
    written = model.generate(ids, max_new_tokens=NEW, do_sample=False, eos_token_id=None, pad_token_id=0)[0, ids.shape[1]:].tolist()
    ends = [written[10], 3]
    (out / "generation_config.json").write_text(json.dumps({"eos_token_id": ends, "pad_token_id": 0, "do_sample": True, "temperature": 0.01}))
    return out, tok, ends


def ours(out, *args):
    return [json.loads(line) for line in run("generate", "--model", out, "--json", "--dtype", "float32", *args).stdout.splitlines()]


def theirs(out, ids, ends, **more):
    model = load_oracle(out)
    with torch.no_grad():
        full = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.int64), max_new_tokens=NEW, do_sample=False,
                              temperature=None, eos_token_id=ends, pad_token_id=0, **more)
    return full[0, len(ids):].tolist()


@pytest.mark.parametrize("more,args", [
    ({}, []),
    ({"repetition_penalty": 1.3}, ["--repetition-penalty", 1.3]),
])
def test_greedy(folder, more, args):
    out, tok, ends = folder
    finishes = set()
    for prompt in PROMPTS:
        (got,) = ours(out, "--prompt", prompt, "--max-new-tokens", NEW, *args)
        assert got["prompt_ids"] == tok.encode(prompt).ids
        assert got["ids"] == theirs(out, got["prompt_ids"], ends, **more)
        assert got["finish"] == ("eos" if got["ids"][-1] in ends else "length")
        assert got["text"] == tok.decode(got["ids"], skip_special_tokens=True)
        finishes.add(got["finish"])
    assert more or "eos" in finishes


def test_several_prompts_at_a_time(folder, tmp_path):
    """Prompts of different lengths in one batch give what each gives alone."""
    out = folder[0]
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("".join(json.dumps(p) + "\n" for p in PROMPTS))
    together = ours(out, "--prompts", prompts, "--max-new-tokens", NEW)
    assert [t["ids"] for t in together] == [ours(out, "--prompt", p, "--max-new-tokens", NEW)[0]["ids"] for p in PROMPTS]


def test_generation_config(folder):
    """Sampling fields count only when they are asked for; nearly cold sampling is greedy again."""
    out = folder[0]
    (plain,) = ours(out, "--prompt", PROMPTS[0], "--max-new-tokens", NEW)
    (cold,) = ours(out, "--prompt", PROMPTS[0], "--max-new-tokens", NEW, "--generation-config")
    assert cold["ids"] == plain["ids"]
    drawn = {tuple(ours(out, "--prompt", PROMPTS[0], "--max-new-tokens", NEW, "--do-sample", "--temperature", 3, "--seed", s)[0]["ids"]) for s in range(4)}
    assert len(drawn) == 4


def test_first_token_has_the_right_distribution(folder):
    """Draws of one token, top-k then top-p as in transformers, against the probabilities."""
    out, tok, _ = folder
    ids = tok.encode(PROMPTS[0]).ids
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    with torch.no_grad():
        scores = load_oracle(out)(torch.tensor([ids])).logits[:, -1]
    for warper in (TemperatureLogitsWarper(1.5), TopKLogitsWarper(8), TopPLogitsWarper(0.8)):
        scores = warper(None, scores)
    p = scores.softmax(-1)[0]
    n, counts = 150, {}
    for seed in range(n):
        (got,) = ours(out, "--prompt", PROMPTS[0], "--max-new-tokens", 1, "--do-sample", "--temperature", 1.5, "--top-k", 8, "--top-p", 0.8, "--seed", seed)
        counts[got["ids"][0]] = counts.get(got["ids"][0], 0) + 1
    assert all(p[i] > 0 for i in counts), "a token was drawn that the filters rule out"
    # Five standard deviations of each count.
    for i in range(len(p)):
        expected = n * p[i].item()
        assert abs(counts.get(i, 0) - expected) <= 5 * max(expected * (1 - p[i].item()), 1e-9) ** 0.5 + 1e-6


@pytest.mark.skipif(shared() is None, reason="shared/models/stories260k is not there")
def test_stories260k(tmp_path):
    model = shared() / "models/stories260k"
    lines = [json.loads(line) for line in (model / "reference.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) >= 8
    for case in lines:
        ids = torch.tensor([case["input_ids"]])
        out = forward(tmp_path, model, {"input_ids": ids, "labels": ids} if ids.shape[1] > 1 else {"input_ids": ids})
        logits = out["logits"][0, -1].double()
        assert (logits - torch.tensor(case["logits_last"], dtype=torch.float64)).abs().max() <= 1e-4
        assert_logits(out["logits"][0, -1], torch.tensor(case["logits_last"]))
        if case["nll_per_token"] is not None:
            assert abs(out["loss"].item() - case["nll_per_token"]) <= 1e-5
        (got,) = ours(model, "--prompt", case["prompt"], "--max-new-tokens", len(case["greedy_ids"]))
        assert got["prompt_ids"] == case["input_ids"]
        assert got["ids"] == case["greedy_ids"]
        assert got["text"].lstrip(" ") == case["greedy_text"].lstrip(" ")
