#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes docs/methods.md: what `methods --json` says of every method, and what a run of 200 steps with its balanced preset measures.

    tools/make-methods-doc.py --peft-glib build/release/cli/peft-glib [--model PATH/stories260k] [--output docs/methods.md]

Without the model it says so and exits with status 77. A method whose loss does not fall by LEARNS of its first value is an error:
nothing is written.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

STEPS = 200
LEARNS = 0.15  # of the mean loss of the first ten steps, which the mean of the last ten must be below
SKIPPED = 77
ROOT = pathlib.Path(__file__).resolve().parents[1]
SHARED = pathlib.Path(os.environ.get("PEFT_SHARED", ROOT.parent / "shared"))


def run(binary, *args):
    result = subprocess.run([binary, *map(str, args)], capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"peft-glib {args[0]}: {result.stderr.strip()}")
    return result.stdout


def measure(binary, model, data, name):
    with tempfile.TemporaryDirectory() as folder:
        out, log = pathlib.Path(folder) / "out", pathlib.Path(folder) / "log.jsonl"
        run(binary, "train", "--model", model, "--data", data, "--output", out, "--method", name, "--preset", "balanced", "--max-steps", STEPS,
            "--batch-size", 4, "--dtype", "float32", "--log-json", log, "--quiet")
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        steps = [s for s in lines if "loss" in s and "step" in s and not s.get("eval")]
        done = lines[-1]
        mean = lambda part: sum(s["loss"] for s in part) / len(part)
        return {"parameters": done["trainable_parameters"], "file": (out / "adapter_model.safetensors").stat().st_size,
                "speed": sum(s["tokens"] for s in steps) / sum(s["tokens"] / s["tokens_per_second"] for s in steps),
                "memory": done["peak_memory_bytes"], "first": mean(steps[:10]), "last": mean(steps[-10:])}


def size(n):
    return f"{n / 1024:.0f} KiB" if n < 1 << 20 else f"{n / (1 << 20):.1f} MiB"


def presets(method):
    rows = method["presets"]
    text = lambda fields: ", ".join(f"`{k}` {json.dumps(v)}" for k, v in fields.items()) or "peft's defaults"
    return "\n".join(f"- {name}: {text(fields)}" for name, fields in rows.items())


def fields(method):
    lines = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for f in method["fields"]:
        if f["supported"] and f["group"] != "file":
            lines.append(f"| `{f['name']}` | {f['type'].replace('|', '/')} | `{json.dumps(f['default'])}` | {f['description']} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--peft-glib", required=True)
    parser.add_argument("--model", default=SHARED / "models/stories260k", help="folder of stories260K")
    parser.add_argument("--data", default=ROOT / "data/demo/instructions.jsonl")
    parser.add_argument("--output", default=ROOT / "docs/methods.md", type=pathlib.Path)
    args = parser.parse_args()
    if not pathlib.Path(args.model).is_dir():
        print(f"skipped: {args.model} is not there; --model says where stories260K is", file=sys.stderr)
        sys.exit(SKIPPED)
    methods = json.loads(run(args.peft_glib, "methods", "--json"))["methods"]
    table, sections, failed = [], [], []
    for method in methods:
        m = measure(args.peft_glib, args.model, args.data, method["name"])
        print(f"{method['name']}: {m['first']:.3f} → {m['last']:.3f}", file=sys.stderr)
        if not m["last"] <= (1 - LEARNS) * m["first"]:
            failed.append(method["name"])
        table.append(f"| [{method['display_name']}](#{method['name'].lower()}) | {m['parameters']:,} | {size(m['file'])} | {m['speed']:,.0f} | "
                     f"{size(m['memory'])} | {m['first']:.2f} | {m['last']:.2f} | {method['learning_rate']:g} |")
        sections.append(f"## {method['name']}\n{method['display_name']}. {method['summary']}.\n\n**Good for:** {method['good_for']}\n\n"
                        f"**Costs:** {method['cost']}\n\nLearning rate: {method['learning_rate']:g}. Presets:\n{presets(method)}\n\n{fields(method)}\n")
    if failed:
        sys.exit(f"these did not learn: {', '.join(failed)}")
    args.output.write_text(f"""# Methods
Written by `tools/make-methods-doc.py`; the sections are what `peft-glib methods` says. Changes belong there.

{STEPS} steps of 4 rows of data/demo/instructions.jsonl on stories260K (260 thousand parameters, so that sizes are small and adapters large beside it), in
float32, with each method's balanced preset and learning rate. Loss is the mean of the first and of the last ten steps; memory the peak of the process. Speeds
on so small a model say little: see bench/RESULTS.md.

| method | trained parameters | file | tokens/s | memory | loss at first | after {STEPS} steps | learning rate |
|---|---|---|---|---|---|---|---|
""" + "\n".join(table) + "\n\n" + "\n".join(sections))


if __name__ == "__main__":
    main()
