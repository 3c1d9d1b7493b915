#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Decoding speed: ours against llama.cpp (llama-cpp-python, built from source), interleaved, medians.

    bench/decode_vs_llamacpp.py --peft-glib build/release/cli/peft-glib --model FILE.gguf [--runs 5] [--tokens 128]
"""

import argparse
import json
import os
import statistics
import subprocess
import time

from train_vs_peft import cpu

PROMPT = "The history of the lighthouse begins with"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peft-glib", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    from llama_cpp import Llama

    print(f"{cpu()}; load {os.getloadavg()[0]:.2f}")
    theirs = Llama(args.model, n_ctx=512, n_threads=args.threads, n_threads_batch=args.threads, verbose=False)
    ids = theirs.tokenize(PROMPT.encode())

    def llamacpp():
        theirs.reset()
        theirs.eval(ids)
        start = time.perf_counter()
        token = int(theirs.sample(temp=0.0))
        for _ in range(args.tokens):
            theirs.eval([token])
            token = int(theirs.sample(temp=0.0))
        return args.tokens / (time.perf_counter() - start)

    def ours():
        result = subprocess.run([args.peft_glib, "bench", "--json", "--model", args.model, "--decode-tokens", str(args.tokens), "--only", "decode",
                                 "--threads", str(args.threads)], capture_output=True, text=True, check=True)
        return json.loads(result.stdout)["decode"]["tokens_per_second"]

    seen = {"llama.cpp": [], "ours": []}
    for _ in range(args.runs):
        seen["llama.cpp"].append(llamacpp())
        seen["ours"].append(ours())
    medians = {name: statistics.median(values) for name, values in seen.items()}
    for name, values in seen.items():
        print(f"{name}: {medians[name]:.1f} tokens/s (from {min(values):.1f} to {max(values):.1f})")
    print(f"ratio {medians['ours'] / medians['llama.cpp']:.2f}")


if __name__ == "__main__":
    main()
