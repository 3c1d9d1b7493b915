# SPDX-License-Identifier: LGPL-2.1-or-later
"""Multitask prompt tuning as peft's."""

import json

import pytest
import torch
from conftest import batch, forward, load_oracle, run, shared
from method_checks import WEIGHTS, check_save_stable, make_adapter, train
from peft import MultitaskPromptTuningConfig, get_peft_model
from prompt_checks import TASKS, check_forward, check_generate, check_ours_to_peft, check_steps
from safetensors.torch import load_file, save_file

VARIANTS = {
    "plain": ("llama", dict(num_virtual_tokens=5, num_tasks=2)),
    "ranks": ("qwen3", dict(num_virtual_tokens=3, num_tasks=3, num_ranks=4)),
    "window": ("mistral-window", dict(num_virtual_tokens=9, num_tasks=2, num_ranks=2, modules_to_save=["lm_head"])),
}


def tune(name, p, noise):
    return 0.05 * noise if "lm_head" in name else 0.5 * noise


@pytest.mark.parametrize("variant", VARIANTS)
def test_peft_to_ours(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make_adapter(folder, adapter, MultitaskPromptTuningConfig, fields, tune=tune)
    check_forward(tmp_path, folder, model, adapter, tasks=TASKS)
    # Both lines may be of the same task.
    check_forward(tmp_path, folder, model, adapter, tasks=torch.tensor([1, 1]))


@pytest.mark.parametrize("variant", VARIANTS)
def test_ours_to_peft(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    check_ours_to_peft(tmp_path, model_folder(family), MultitaskPromptTuningConfig, "MULTITASK_PROMPT_TUNING", fields, tasks=TASKS)


def test_save_stable(tmp_path, model_folder):
    """With one task, rows need not name it."""
    folder, adapter = model_folder("llama"), tmp_path / "adapter"
    make_adapter(folder, adapter, MultitaskPromptTuningConfig, dict(num_virtual_tokens=4), tune=tune)
    check_save_stable(tmp_path, folder, adapter)


@pytest.mark.parametrize("variant", VARIANTS)
def test_steps(tmp_path, model_folder, variant):
    family, fields = VARIANTS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make_adapter(folder, adapter, MultitaskPromptTuningConfig, fields, tune=tune)
    check_steps(tmp_path, folder, model, adapter, tasks=2)


def test_generate(tmp_path):
    if shared() is None:
        pytest.skip("shared/models/stories260k is not there")
    folder, adapter = shared() / "models/stories260k", tmp_path / "adapter"
    model = make_adapter(folder, adapter, MultitaskPromptTuningConfig, dict(num_virtual_tokens=6, num_tasks=2), tune=lambda n, p, noise: 3 * noise)
    for task in (0, 1):
        check_generate(tmp_path, folder, model, adapter, ["Once upon a time there was", "The cat", "Lily and Tom went to the park and"], task)
    for args, words in (([], ["2 tasks", "task-id"]), (["--task-id", 2], ["from 0 to 1"])):
        result = run("generate", "--model", folder, "--adapter", adapter, "--prompt", "The cat", *args, check=False)
        assert result.returncode == 1 and all(w in result.stderr for w in words), result.stderr


SOURCE = dict(num_virtual_tokens=5, num_tasks=3, num_ranks=2)


@pytest.mark.parametrize("init", ["AVERAGE_SOURCE_TASKS", "EXACT_SOURCE_TASK", "ONLY_SOURCE_SHARED"])
def test_source(tmp_path, model_folder, init):
    folder, source, out = model_folder("llama"), tmp_path / "source", tmp_path / "out"
    make_adapter(folder, source, MultitaskPromptTuningConfig, SOURCE, tune=tune)
    fields = dict(num_virtual_tokens=5, num_ranks=2, prompt_tuning_init=init, prompt_tuning_init_task=2,
                  prompt_tuning_init_state_dict_path=str(source / WEIGHTS))
    train(tmp_path, folder, out, "MULTITASK_PROMPT_TUNING", fields, steps=1, rate=0)
    ours = load_file(out / WEIGHTS)
    encoder = get_peft_model(load_oracle(folder), MultitaskPromptTuningConfig(task_type="CAUSAL_LM", **fields)).prompt_encoder["default"]
    assert torch.equal(ours["prompt_embeddings"], encoder.embedding.weight)
    if init != "ONLY_SOURCE_SHARED":
        assert torch.allclose(ours["prefix_task_cols"], encoder.prefix_task_cols, atol=1e-7)
        assert torch.allclose(ours["prefix_task_rows"], encoder.prefix_task_rows, atol=1e-7)
    else:
        assert 0.01 < ours["prefix_task_rows"].std() < 0.03


def test_refused(tmp_path, model_folder):
    folder, adapter = model_folder("llama"), tmp_path / "adapter"
    make_adapter(folder, adapter, MultitaskPromptTuningConfig, SOURCE, tune=tune)
    ids, _ = batch()
    data = tmp_path / "rows.jsonl"

    def fails(*words, args, row=None):
        data.write_text(json.dumps({"input_ids": ids[0].tolist(), **(row or {})}) + "\n")
        result = run(*args, check=False)
        assert result.returncode in (1, 2) and all(w in result.stderr for w in words), result.stderr

    train_args = ["train", "--model", folder, "--data", data, "--output", tmp_path / "out"]
    fails("task_id", "0 to 2", args=[*train_args, "--adapter", adapter])
    fails("task_id", "0 to 2", "found 3", args=[*train_args, "--adapter", adapter], row={"task_id": 3})
    fails("task_id", args=["evaluate", "--model", folder, "--adapter", adapter, "--data", data])
    new = [*train_args, "--method", "MULTITASK_PROMPT_TUNING", "--set", "num_virtual_tokens=5"]
    fails("prompt_tuning_init_state_dict_path", args=[*new, "--set", "prompt_tuning_init=AVERAGE_SOURCE_TASKS"])
    fails("pickle", ".safetensors", args=[*new, "--set", "prompt_tuning_init=AVERAGE_SOURCE_TASKS", "--set",
                                          "prompt_tuning_init_state_dict_path=source.bin"])
    source = ["--set", f"prompt_tuning_init_state_dict_path={adapter / WEIGHTS}"]
    fails("num_tasks", args=[*new, "--set", "prompt_tuning_init=EXACT_SOURCE_TASK", "--set", "num_tasks=2", *source])
    fails("prompt_tuning_init_task", "0 to 2", args=[*new, "--set", "prompt_tuning_init=EXACT_SOURCE_TASK", "--set", "num_ranks=2",
                                                     "--set", "prompt_tuning_init_task=3", *source])
    fails("prefix_task_cols", "[tasks, 5, 1]", args=[*new, "--set", "prompt_tuning_init=EXACT_SOURCE_TASK", *source])
    target = tmp_path / "input.safetensors"
    save_file({"input_ids": ids, "task_ids": torch.tensor([0, 5])}, target)
    fails("task_ids", args=["forward", "--model", folder, "--adapter", adapter, "--input", target, "--output", tmp_path / "o"])
    fails("no tasks", args=["forward", "--model", folder, "--input", target, "--output", tmp_path / "o"])


def test_task_of_data(tmp_path, model_folder):
    """A column of the name that holds no number means nothing to other methods."""
    folder, out = model_folder("llama"), tmp_path / "out"
    ids, _ = batch()
    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"input_ids": ids[0].tolist(), "task_id": "HumanEval/0"}) + "\n")
    run("train", "--model", folder, "--data", data, "--output", out, "--method", "MULTITASK_PROMPT_TUNING", "--set", "num_virtual_tokens=2",
        "--max-steps", 1)
