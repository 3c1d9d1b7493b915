# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prefix tuning as peft's."""

import json
import shutil

import pytest
import torch
from conftest import assert_logits, batch, forward, load_oracle, run, shared
from method_checks import check_save_stable, make_adapter
from peft import PrefixTuningConfig, get_peft_model
from peft.tuners.cartridge.utils import initialize_kv_prefix_from_text
from prompt_checks import check_forward, check_ours_to_peft, check_steps, write_state
from safetensors.torch import load_file
from transformers import AutoTokenizer

VARIANTS = {
    "plain": ("llama", dict(num_virtual_tokens=5)),
    "window": ("mistral-window", dict(num_virtual_tokens=9)),
    "zero": ("qwen3", dict(num_virtual_tokens=3, init_weights="zero")),
    "modules-to-save": ("qwen2", dict(num_virtual_tokens=1, modules_to_save=["lm_head"])),
}
PROJECTIONS = {
    "projection": ("llama", dict(num_virtual_tokens=4, prefix_projection=True)),
    "width": ("qwen2", dict(num_virtual_tokens=6, prefix_projection=True, encoder_hidden_size=16)),
}


def tune(name, p, noise):
    return 0.05 * noise if "lm_head" in name or "transform" in name else 0.5 * noise


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("masked", [False, True])
def test_peft_to_ours(tmp_path, model_folder, variant, masked):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make_adapter(folder, adapter, PrefixTuningConfig, fields, tune=tune)
    check_forward(tmp_path, folder, model, adapter, masked=masked, virtual=False)


@pytest.mark.parametrize("variant", PROJECTIONS)
def test_projection(tmp_path, model_folder, variant):
    """The network's own gradients, by `forward --state`."""
    family, fields = PROJECTIONS[variant]
    folder, adapter, state = model_folder(family), tmp_path / "adapter", tmp_path / "state.safetensors"
    model = make_adapter(folder, adapter, PrefixTuningConfig, fields, tune=tune)
    write_state(model, state)
    check_forward(tmp_path, folder, model, adapter, state=state, virtual=False)
    ids, _ = batch()
    with torch.no_grad():
        assert_logits(forward(tmp_path, folder, {"input_ids": ids}, adapter)["logits"], model(input_ids=ids).logits)


@pytest.mark.parametrize("variant", [*VARIANTS, *PROJECTIONS])
def test_ours_to_peft(tmp_path, model_folder, variant):
    family, fields = {**VARIANTS, **PROJECTIONS}[variant]
    ours = check_ours_to_peft(tmp_path, model_folder(family), PrefixTuningConfig, "PREFIX_TUNING", fields)
    if variant in VARIANTS:
        check_save_stable(tmp_path, model_folder(family), ours)


@pytest.mark.parametrize("variant", ["plain", "modules-to-save"])
def test_steps(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make_adapter(folder, adapter, PrefixTuningConfig, fields, tune=tune)
    check_steps(tmp_path, folder, model, adapter)


def test_checkpointing(tmp_path, model_folder):
    """peft refuses it; here it changes nothing."""
    folder, adapter = model_folder("llama"), tmp_path / "adapter"
    make_adapter(folder, adapter, PrefixTuningConfig, dict(num_virtual_tokens=5), tune=tune)
    ids, _ = batch()
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"input_ids": {row.tolist()}}}\n' for row in ids))
    outputs = []
    for mode in ("on", "off"):
        out = tmp_path / mode
        run("train", "--model", folder, "--data", tmp_path / "rows.jsonl", "--output", out, "--adapter", adapter, "--max-steps", 3,
            "--learning-rate", 0.01, "--checkpointing", mode, "--dtype", "float32")
        outputs.append((out / "adapter_model.safetensors").read_bytes())
    assert outputs[0] == outputs[1]


def test_packing(tmp_path, model_folder):
    """Every row of a packed line sees the prefix, and nothing else of what is in front of it."""
    folder, adapter = model_folder("llama"), tmp_path / "adapter"
    make_adapter(folder, adapter, PrefixTuningConfig, dict(num_virtual_tokens=5), tune=tune)
    ids, _ = batch()
    rows = [ids[0, :11].tolist(), ids[1, :7].tolist(), ids[1, 7:].tolist()]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"input_ids": row}) + "\n" for row in rows))
    found = []
    for extra in (["--batch-size", 3], ["--batch-size", 1, "--packing", "--max-length", 32]):
        out, log = tmp_path / f"out{len(found)}", tmp_path / "log.jsonl"
        run("train", "--model", folder, "--data", tmp_path / "rows.jsonl", "--output", out, "--adapter", adapter, "--max-steps", 2,
            "--learning-rate", 0.01, "--optimizer", "sgd", "--max-grad-norm", 0, "--no-shuffle", "--dtype", "float32", "--log-json", log,
            *extra)
        losses = [s["loss"] for s in map(json.loads, log.read_text().splitlines()) if "step" in s and "loss" in s]
        found.append((torch.tensor(losses), load_file(out / "adapter_model.safetensors")["prompt_embeddings"]))
    start = load_file(adapter / "adapter_model.safetensors")["prompt_embeddings"]
    assert (found[0][1] - start).abs().max() > 1e-3
    assert (found[0][0] - found[1][0]).abs().max() < 1e-5
    assert (found[0][1] - found[1][1]).abs().max() < 1e-5
    result = run("train", "--model", model_folder("mistral-window"), "--data", tmp_path / "rows.jsonl", "--output", tmp_path / "never",
                 "--method", "PREFIX_TUNING", "--set", "num_virtual_tokens=2", "--packing", check=False)
    assert result.returncode == 1 and "window" in result.stderr


def stories():
    if shared() is None:
        pytest.skip("shared/models/stories260k is not there")
    return shared() / "models/stories260k"


@pytest.mark.parametrize("window", [None, 8])
def test_generate(tmp_path, window):
    """Greedy tokens of peft's forward, taken step by step with the positions of the mask: its generate has other positions for padded
    lines (peft 0.21 with transformers 5)."""
    folder, adapter, file = stories(), tmp_path / "adapter", tmp_path / "prompts.txt"
    if window is not None:
        folder = shutil.copytree(folder, tmp_path / "model")
        config = json.loads((folder / "config.json").read_text())
        config.update(model_type="mistral", architectures=["MistralForCausalLM"], sliding_window=window)
        (folder / "config.json").write_text(json.dumps(config))
    model = make_adapter(folder, adapter, PrefixTuningConfig, dict(num_virtual_tokens=6), tune=lambda n, p, noise: 0.5 * noise - p)
    story = "Once upon a time there was a little girl. She went to the park. " * 20
    cases = [["Once upon a time there was"], ["Once upon a time there was", "The cat", "Lily and Tom went to the park and"]]
    for texts in cases + ([[story, "The cat"]] if window is None else []):
        file.write_text("".join(json.dumps(t) + "\n" for t in texts))
        out = run("generate", "--model", folder, "--adapter", adapter, "--prompts", file, "--max-new-tokens", 12, "--dtype", "float32",
                  "--json").stdout
        ours = [json.loads(line) for line in out.splitlines()]
        longest = max(len(o["prompt_ids"]) for o in ours)
        ids = torch.zeros(len(ours), longest, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, line, o in zip(ids, mask, ours):
            row[longest - len(o["prompt_ids"]):] = torch.tensor(o["prompt_ids"])
            line[longest - len(o["prompt_ids"]):] = 1
        with torch.no_grad():
            plain = load_oracle(folder)(input_ids=ids, attention_mask=mask).logits[:, -1]
            assert (model(input_ids=ids, attention_mask=mask).logits[:, -1] - plain).abs().max() > 0.5
            for _ in range(12):
                positions = (mask.cumsum(1) - 1).clamp(min=0)
                new = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, -1].argmax(-1)
                ids, mask = torch.cat((ids, new[:, None]), 1), torch.cat((mask, torch.ones_like(new)[:, None]), 1)
        for row, o in zip(ids, ours):
            assert o["ids"] == row[longest: longest + len(o["ids"])].tolist()


TEMPLATE = "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}</s>{% endfor %}"
TEXT = "Once upon a time there was a little girl who lived in a small house near the park. Her name was Lily."


@pytest.mark.parametrize("template", [None, TEMPLATE])
@pytest.mark.parametrize("n", [1, 17])
def test_from_text(tmp_path, template, n):
    """As peft's initialize_kv_prefix_from_text, with and without a chat template."""
    folder = tmp_path / "model"
    shutil.copytree(stories(), folder)
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    (tmp_path / "rows.jsonl").write_text('{"text": "The cat sat on the mat."}\n')
    out = tmp_path / "out"
    run("train", "--model", folder, "--data", tmp_path / "rows.jsonl", "--output", out, "--method", "PREFIX_TUNING", "--set",
        f"num_virtual_tokens={n}", "--prefix-text", TEXT, "--max-steps", 1, "--learning-rate", 0, "--dtype", "float32")
    ours = load_file(out / "adapter_model.safetensors")["prompt_embeddings"]
    base, tokenizer = load_oracle(folder), AutoTokenizer.from_pretrained(folder)
    text = TEXT if template is None else f"<s>system: {TEXT}</s>"
    ids = tokenizer(text, add_special_tokens=template is None, return_tensors="pt").input_ids
    with torch.no_grad():
        whole = base(input_ids=ids).logits[:, n:]
    # The model behaves as if it had read the beginning.
    assert_logits(forward(tmp_path, folder, {"input_ids": ids[:, n:].contiguous()}, out)["logits"], whole)
    model = get_peft_model(base, PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=n))
    theirs = initialize_kv_prefix_from_text(model, tokenizer, text=TEXT)
    assert theirs.abs().max() > 0.5
    assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max()


def test_from_text_refusals(tmp_path):
    folder = stories()
    (tmp_path / "rows.jsonl").write_text('{"text": "The cat sat on the mat."}\n')

    def fails(message, *args, method="PREFIX_TUNING", code=1):
        result = run("train", "--model", folder, "--data", tmp_path / "rows.jsonl", "--output", tmp_path / "never", "--method", method,
                     "--prefix-text", "The cat", *args, check=False)
        assert result.returncode == code and message in result.stderr, result.stderr

    fails("has 4 tokens, and num_virtual_tokens is 40", "--set", "num_virtual_tokens=40")
    fails("prefix_projection", "--set", "num_virtual_tokens=2", "--set", "prefix_projection=true")
    fails("expected an adapter of the method PREFIX_TUNING, found LORA", method="LORA")
    fails("--prefix-text is for", method="full", code=2)


def test_merging_is_refused(tmp_path, model_folder):
    folder, adapter = model_folder("llama"), tmp_path / "adapter"
    make_adapter(folder, adapter, PrefixTuningConfig, dict(num_virtual_tokens=5), tune=tune)
    result = run("merge", "--model", folder, "--adapter", adapter, "--output", tmp_path / "merged", check=False)
    assert result.returncode == 1 and "cannot be merged" in result.stderr and not (tmp_path / "merged").exists()
