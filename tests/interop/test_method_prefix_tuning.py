# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prefix tuning as peft's."""

import json

import pytest
import torch
from conftest import assert_logits, batch, forward, load_oracle, run, shared
from method_checks import check_save_stable, make_adapter
from peft import PrefixTuningConfig
from prompt_checks import check_forward, check_ours_to_peft, check_steps, write_state

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


def stories():
    if shared() is None:
        pytest.skip("shared/models/stories260k is not there")
    return shared() / "models/stories260k"


def test_generate(tmp_path):
    """Greedy tokens of peft's forward, taken step by step with the positions of the mask: its generate has other positions for padded
    lines (peft 0.21 with transformers 5)."""
    folder, adapter, file = stories(), tmp_path / "adapter", tmp_path / "prompts.txt"
    model = make_adapter(folder, adapter, PrefixTuningConfig, dict(num_virtual_tokens=6), tune=lambda n, p, noise: 0.5 * noise - p)
    story = "Once upon a time there was a little girl. She went to the park. " * 20
    for texts in (["Once upon a time there was"], ["Once upon a time there was", "The cat", "Lily and Tom went to the park and"],
                  [story, "The cat"]):
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


def test_merging_is_refused(tmp_path, model_folder):
    folder, adapter = model_folder("llama"), tmp_path / "adapter"
    make_adapter(folder, adapter, PrefixTuningConfig, dict(num_virtual_tokens=5), tune=tune)
    result = run("merge", "--model", folder, "--adapter", adapter, "--output", tmp_path / "merged", check=False)
    assert result.returncode == 1 and "cannot be merged" in result.stderr and not (tmp_path / "merged").exists()
