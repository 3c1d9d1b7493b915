# SPDX-License-Identifier: LGPL-2.1-or-later
"""The trainer is killed at random moments and goes on as if nothing had happened; so it does with another
number of threads."""

import json
import signal

import pytest
from conftest import batch, run

STEPS = 7
POINTS = ["load", "step", "checkpoint-write", "checkpoint-rename"]


def command(folder, data, out, log, *more):
    return ["train", "--model", folder, "--data", data, "--output", out, "--method", "LORA", "--set", "r=4", "--set",
            'target_modules="all-linear"', "--set", "lora_dropout=0.1", "--max-steps", STEPS, "--batch-size", 2,
            "--gradient-accumulation", 2, "--learning-rate", 0.01, "--save-every", 1, "--log-json", log, "--dtype", "float32", *more]


def losses(log):
    """step → loss and gradient norm as hexadecimal floats."""
    out = {}
    for line in log.read_text().splitlines():
        entry = json.loads(line)
        if "step" in entry and "grad_norm" in entry:
            out[entry["step"]] = (float(entry["loss"]).hex(), float(entry["grad_norm"]).hex())
    return out


@pytest.fixture(scope="module")
def setup(tmp_path_factory, model_folder):
    folder, work = model_folder("llama"), tmp_path_factory.mktemp("kill")
    ids, _ = batch(seed=4, rows=11, length=18)
    data = work / "rows.jsonl"
    data.write_text("".join(json.dumps({"input_ids": row[: 18 - i].tolist()}) + "\n" for i, row in enumerate(ids)))
    run(*command(folder, data, work / "whole", work / "whole.jsonl", "--threads", 1))
    whole = losses(work / "whole.jsonl")
    assert sorted(whole) == list(range(1, STEPS + 1))
    return folder, data, work, whole


def test_threads(setup):
    folder, data, work, whole = setup
    run(*command(folder, data, work / "two", work / "two.jsonl", "--threads", 2))
    assert losses(work / "two.jsonl") == whole
    assert (work / "two/adapter_model.safetensors").read_bytes() == (work / "whole/adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("occurrence", range(1, 6))
def test_kill_and_resume(setup, tmp_path, point, occurrence):
    folder, data, _, whole = setup
    out, log = tmp_path / "out", tmp_path / "log.jsonl"
    killed = 0
    # A run may pass a point fewer times than asked for; then an earlier one is meant, and for points passed once the kill
    # strikes again on the resumed run.
    for attempt in range(1, occurrence + 1):
        at = occurrence if point != "load" else 1
        more = ["--resume"] if attempt > 1 else []
        result = run(*command(folder, data, out, tmp_path / f"killed-{attempt}.jsonl", *more), check=False,
                     env={"PEFT_TEST_KILL": f"{point}:{at}"})
        killed += result.returncode == -signal.SIGKILL
        if point != "load" or result.returncode == 0:
            break
    assert killed >= 1, f"never killed at {point}:{occurrence}: exit {result.returncode}: {result.stderr}"
    whole_ones = [int(p.name.split("-")[-1]) for p in (out / "checkpoints").glob("*") if ".incomplete-" not in p.name]
    run(*command(folder, data, out, log, "--resume"))
    resumed = losses(log)
    assert resumed and max(resumed) == STEPS
    assert min(resumed) == max(whole_ones, default=0) + 1
    # Each step leaves a checkpoint, and those points are passed twice for each, before and after.
    if point != "load":
        assert min(resumed) >= (occurrence if point == "step" else (occurrence + 1) // 2)
    for step, value in resumed.items():
        assert value == whole[step], f"step {step} after {point}:{occurrence}"
    assert (out / "adapter_model.safetensors").read_bytes() == (setup[2] / "whole/adapter_model.safetensors").read_bytes()
    assert not [p for p in out.rglob("*") if ".incomplete-" in p.name]


def test_damaged_checkpoints_are_passed_over(setup, tmp_path):
    folder, data, _, whole = setup
    out, log = tmp_path / "out", tmp_path / "log.jsonl"
    run(*command(folder, data, out, tmp_path / "first.jsonl", "--keep", 9), check=False,
        env={"PEFT_TEST_KILL": "step:6"})
    checkpoints = sorted((out / "checkpoints").iterdir(), key=lambda p: int(p.name.split("-")[-1]))
    assert len(checkpoints) >= 3
    biggest = max(checkpoints[-1].iterdir(), key=lambda p: p.stat().st_size)
    with biggest.open("r+b") as f:
        f.truncate(biggest.stat().st_size // 2)
    second = max(checkpoints[-2].iterdir(), key=lambda p: p.stat().st_size)
    content = bytearray(second.read_bytes())
    content[len(content) // 2] ^= 0x40
    second.write_bytes(content)
    result = run(*command(folder, data, out, log, "--resume"))
    resumed = losses(log)
    assert min(resumed) == int(checkpoints[-3].name.split("-")[-1]) + 1
    for step, value in resumed.items():
        assert value == whole[step]
    assert checkpoints[-1].name in result.stderr
