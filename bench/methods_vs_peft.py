#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Training speed of every method: ours against the same method in peft on PyTorch, and against our own LoRA.

A random model of SmolLM2-135M's shape, length 512, batch 4; float32 against exact mode, bfloat16 autocast against fast mode.
A method's four settings run one after the other, LoRA's again after every few methods, so that drift of the machine shows.

    bench/methods_vs_peft.py --peft-glib build/release/cli/peft-glib [--methods "LORA;OFT"] [--steps 2] [--json FILE]
"""

import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

from train_vs_peft import LENGTH, SHAPE, TARGETS, cpu, make_model, memory, watch

BATCH = 4
ADAPTED = {"target_modules": TARGETS}

# label: (peft_type, fields)
METHODS = {
    "LORA": ("LORA", dict(r=16, lora_alpha=32, **ADAPTED)),
    "LORA, DoRA": ("LORA", dict(r=16, lora_alpha=32, use_dora=True, **ADAPTED)),
    "LORA, OLoRA": ("LORA", dict(r=16, lora_alpha=32, init_lora_weights="olora", **ADAPTED)),
    "ADALORA": ("ADALORA", dict(init_r=16, target_r=8, lora_alpha=32, total_step=1000, **ADAPTED)),
    "IA3": ("IA3", dict(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"])),
    "LOHA": ("LOHA", dict(r=16, alpha=16, **ADAPTED)),
    "LOKR": ("LOKR", dict(r=16, alpha=16, **ADAPTED)),
    "OFT": ("OFT", dict(oft_block_size=32, **ADAPTED)),
    "PROMPT_TUNING": ("PROMPT_TUNING", dict(num_virtual_tokens=20)),
    "MULTITASK_PROMPT_TUNING": ("MULTITASK_PROMPT_TUNING", dict(num_virtual_tokens=20, num_tasks=1)),
    "P_TUNING": ("P_TUNING", dict(num_virtual_tokens=20, encoder_hidden_size=576)),
    "PREFIX_TUNING": ("PREFIX_TUNING", dict(num_virtual_tokens=20)),
    "ADAPTION_PROMPT": ("ADAPTION_PROMPT", dict(adapter_len=10, adapter_layers=30)),
}


def torch_worker(folder, mode, peft_type, fields, steps):
    import torch
    from peft import get_peft_config, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(os.cpu_count())
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = get_peft_model(model, get_peft_config({"peft_type": peft_type, "task_type": "CAUSAL_LM", **fields}))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    ids = torch.randint(0, SHAPE["vocab_size"], (BATCH, LENGTH), generator=torch.Generator().manual_seed(1))
    inputs = {"task_ids": torch.zeros(BATCH, dtype=torch.long)} if peft_type == "MULTITASK_PROMPT_TUNING" else {}
    seconds = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mode == "bf16"):
            loss = model(input_ids=ids, labels=ids, **inputs).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        if peft_type == "ADALORA":
            model.base_model.update_and_allocate(len(seconds))
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": statistics.median(seconds[1:]), **memory("self")}))


def run_torch(folder, mode, method, steps):
    peft_type, fields = METHODS[method]
    process = subprocess.Popen([sys.executable, __file__, "--worker", folder, mode, peft_type, json.dumps(fields), str(steps)],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               env={**os.environ, "OMP_NUM_THREADS": str(os.cpu_count()), "HF_HUB_OFFLINE": "1"})
    top = watch(process)
    out = process.stdout.read()
    return {**json.loads(out), **top} if process.returncode == 0 else None


def run_ours(binary, folder, dtype, method, steps, work):
    peft_type, fields = METHODS[method]
    rng, data, log = random.Random(1), work / "rows.jsonl", work / "log.jsonl"
    task = {"task_id": 0} if peft_type == "MULTITASK_PROMPT_TUNING" else {}
    data.write_text("".join(json.dumps({"input_ids": [rng.randrange(SHAPE["vocab_size"]) for _ in range(LENGTH)], **task}) + "\n"
                            for _ in range(BATCH)))
    sets = [arg for key, value in fields.items() if key != "total_step" for arg in ("--set", f"{key}={json.dumps(value)}")]
    process = subprocess.Popen([binary, "train", "--model", folder, "--data", str(data), "--output", str(work / "out"), "--method",
                                peft_type, *sets, "--batch-size", str(BATCH), "--max-steps", str(steps + 1), "--learning-rate", "1e-4",
                                "--schedule", "constant", "--warmup-ratio", "0", "--dtype", dtype, "--log-json", str(log), "--quiet"],
                               stdout=subprocess.DEVNULL)
    top = watch(process)
    if process.returncode:
        sys.exit(f"peft-glib failed with status {process.returncode} at {method}")
    logged = [s for s in map(json.loads, log.read_text().splitlines()) if "tokens_per_second" in s]
    return {"seconds": statistics.median(s["tokens"] / s["tokens_per_second"] for s in logged[1:]), **top}


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--worker":
        return torch_worker(sys.argv[2], sys.argv[3], sys.argv[4], json.loads(sys.argv[5]), int(sys.argv[6]))
    parser = argparse.ArgumentParser()
    parser.add_argument("--peft-glib", required=True)
    parser.add_argument("--methods", help="labels separated by semicolons; all")
    parser.add_argument("--steps", type=int, default=2, help="timed steps a setting, after one that is not")
    parser.add_argument("--no-peft", action="store_true", help="only against our own LoRA")
    parser.add_argument("--json")
    args = parser.parse_args()
    chosen = args.methods.split(";") if args.methods else list(METHODS)
    print(f"{cpu()}; load {os.getloadavg()[0]:.2f}; batch {BATCH}, length {LENGTH}, {args.steps} timed steps")
    print("| method | mode | tokens/s | peft | speed | of our LoRA | peak MiB | peft | memory |\n|---|---|---|---|---|---|---|---|---|")
    results, lora = [], {}
    with tempfile.TemporaryDirectory() as temporary:
        import torch

        work = pathlib.Path(temporary)
        make_model(work / "fp32", torch.float32)
        make_model(work / "bf16", torch.bfloat16)
        for index, method in enumerate(chosen):
            for mode, folder, dtype in (("exact", "fp32", "float32"), ("fast", "bf16", "auto")):
                if method != "LORA" and (mode not in lora or index % 4 == 0):
                    lora[mode] = run_ours(args.peft_glib, str(work / folder), dtype, "LORA", args.steps, work)
                ours = run_ours(args.peft_glib, str(work / folder), dtype, method, args.steps, work)
                if method == "LORA":
                    lora[mode] = ours
                theirs = None if args.no_peft else run_torch(str(work / "fp32"), "fp32" if mode == "exact" else "bf16", method, args.steps)
                rate = BATCH * LENGTH / ours["seconds"]
                row = {"method": method, "mode": mode, "tokens_per_second": rate, "of_lora": lora[mode]["seconds"] / ours["seconds"],
                       "peak": ours["peak"], "ours": ours, "peft": theirs}
                results.append(row)
                other = (f"{BATCH * LENGTH / theirs['seconds']:.0f} | {theirs['seconds'] / ours['seconds']:.2f}" if theirs else " | " if args.no_peft else "fails | ")
                mem = f"{theirs['peak']:.0f} | {ours['peak'] / theirs['peak']:.2f}" if theirs else " | "
                print(f"| {method} | {mode} | {rate:.0f} | {other} | {row['of_lora']:.2f} | {ours['peak']:.0f} | {mem} |", flush=True)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps({"cpu": cpu(), "results": results}, indent=2))


if __name__ == "__main__":
    main()
