#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Training speed and memory: ours against peft on PyTorch, side by side in one run.

LoRA r=16 on all seven linears of a random model of SmolLM2-135M's shape, length 512, batches 1 and 4. PyTorch runs in float32
and under bfloat16 autocast, with two threads and with one, and the best setting is what we are measured against. Runs are
interleaved; figures are medians. Memory is the process's peak resident set, file-backed pages shown apart.

    bench/train_vs_peft.py --peft-glib build/release/cli/peft-glib [--runs 5] [--batches 1,4] [--json FILE]
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

LENGTH = 512
SHAPE = dict(hidden_size=576, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3, intermediate_size=1536,
             vocab_size=49152, tie_word_embeddings=True, max_position_embeddings=2048)
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def make_model(folder, dtype):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**SHAPE)).to(dtype).save_pretrained(folder)


def torch_worker(folder, mode, threads, batch, steps):
    """Runs in a process of its own: seconds of each step after the first two, as JSON."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=TARGETS))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    ids = torch.randint(0, SHAPE["vocab_size"], (batch, LENGTH), generator=torch.Generator().manual_seed(1))
    seconds = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mode == "bf16"):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": statistics.median(seconds[2:]), "loss": loss.item(), **memory("self")}))


def memory(pid):
    """Peak resident set, and what of the present one is anonymous and file-backed, in MiB."""
    fields = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    mib = lambda name: int(fields[name].split()[0]) / 1024
    return {"peak": mib("VmHWM"), "anonymous": mib("RssAnon"), "file": mib("RssFile") + mib("RssShmem")}


def watch(process):
    """The largest memory figures while a process runs."""
    top = {"peak": 0, "anonymous": 0, "file": 0}
    while process.poll() is None:
        try:
            now = memory(process.pid)
            top = {k: max(top[k], now[k]) for k in top}
        except (FileNotFoundError, KeyError, ProcessLookupError):
            pass
        time.sleep(0.05)
    return top


def run_torch(folder, mode, threads, batch, steps):
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen([sys.executable, __file__, "--worker", folder, mode, str(threads), str(batch), str(steps)],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)
    top = watch(process)
    return {**json.loads(process.stdout.read()), **top}


def run_ours(binary, folder, dtype, threads, batch, steps, work):
    data, log = work / "rows.jsonl", work / "log.jsonl"
    import random

    rng = random.Random(1)
    data.write_text("".join(json.dumps({"input_ids": [rng.randrange(SHAPE["vocab_size"]) for _ in range(LENGTH)]}) + "\n"
                            for _ in range(batch)))
    process = subprocess.Popen([binary, "train", "--model", folder, "--data", str(data), "--output", str(work / "out"), "--method",
                                "LORA", "--set", "r=16", "--set", "lora_alpha=32", "--set", f"target_modules={json.dumps(TARGETS)}",
                                "--batch-size", str(batch), "--max-steps", str(steps + 2), "--learning-rate", "1e-4", "--schedule",
                                "constant", "--warmup-ratio", "0", "--dtype", dtype, "--threads", str(threads), "--log-json", str(log), "--quiet"],
                               stdout=subprocess.DEVNULL)
    top = watch(process)
    if process.returncode:
        sys.exit(f"peft-glib failed with status {process.returncode}")
    steps_logged = [json.loads(line) for line in log.read_text().splitlines()]
    rates = [s["tokens"] / s["tokens_per_second"] for s in steps_logged if "tokens_per_second" in s]
    return {"seconds": statistics.median(rates[2:]), **top}


def cpu():
    info = pathlib.Path("/proc/cpuinfo").read_text()
    name = next((line.split(":", 1)[1].strip() for line in info.splitlines() if line.startswith("model name")), "unknown")
    flags = next((line for line in info.splitlines() if line.startswith("flags")), "")
    isa = [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in flags]
    return f"{name}, {os.cpu_count()} cores, {' '.join(isa)}"


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--worker":
        return torch_worker(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6]))
    parser = argparse.ArgumentParser()
    parser.add_argument("--peft-glib", required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="timed steps a run; the run's figure is their median")
    parser.add_argument("--batches", default="1,4")
    parser.add_argument("--threads", default="2,1", help="thread counts that PyTorch is tried with")
    parser.add_argument("--json")
    args = parser.parse_args()

    load = os.getloadavg()[0]
    print(f"{cpu()}; load {load:.2f}")
    if load > 0.5:
        print("warning: the machine is not quiet, figures will not mean much")
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        import torch

        work = pathlib.Path(temporary)
        make_model(work / "fp32", torch.float32)
        make_model(work / "bf16", torch.bfloat16)
        for batch in map(int, args.batches.split(",")):
            settings = [(f"torch {mode}, {t} threads", lambda m=mode, t=t: run_torch(str(work / "fp32"), m, t, batch, args.steps))
                        for mode in ("fp32", "bf16") for t in map(int, args.threads.split(","))]
            settings += [("ours float32", lambda: run_ours(args.peft_glib, str(work / "fp32"), "float32", 2, batch, args.steps, work)),
                         ("ours fast", lambda: run_ours(args.peft_glib, str(work / "bf16"), "auto", 2, batch, args.steps, work))]
            seen = {name: [] for name, _ in settings}
            for _ in range(args.runs):
                for name, call in settings:
                    seen[name].append(call())
            rows = {name: {"tokens_per_second": batch * LENGTH / statistics.median(r["seconds"] for r in runs),
                           "spread": (max(r["seconds"] for r in runs) / min(r["seconds"] for r in runs)),
                           **{k: statistics.median(r[k] for r in runs) for k in ("peak", "anonymous", "file")}}
                    for name, runs in seen.items()}
            for mode, ours in (("fp32", "ours float32"), ("bf16", "ours fast")):
                best = max((n for n in rows if n.startswith(f"torch {mode}")), key=lambda n: rows[n]["tokens_per_second"])
                rows[ours]["ratio"] = rows[ours]["tokens_per_second"] / rows[best]["tokens_per_second"]
                rows[ours]["memory_ratio"] = rows[ours]["peak"] / rows[best]["peak"]
                rows[ours]["against"] = best
            print(f"\nbatch {batch}, length {LENGTH}, median of {args.runs}")
            print(f"| setting | tokens/s | max/min | peak MiB | anonymous | file | speed ratio | memory ratio |\n|---|---|---|---|---|---|---|---|")
            for name, r in rows.items():
                ratio = f"{r['ratio']:.2f} × {r['against']} | {r['memory_ratio']:.2f}" if "ratio" in r else " | "
                print(f"| {name} | {r['tokens_per_second']:.0f} | {r['spread']:.2f} | {r['peak']:.0f} | {r['anonymous']:.0f} | {r['file']:.0f} | {ratio} |")
            results.append({"batch": batch, "rows": rows})
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps({"cpu": cpu(), "load": load, "results": results}, indent=2))


if __name__ == "__main__":
    main()
