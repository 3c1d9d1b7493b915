#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The recipe of data/demo: writes the texts, makes a random model, and trains it from scratch with our own command.
# Needs a built peft-glib (PEFT_GLIB) and a Python with tokenizers, numpy and safetensors (PYTHON).
set -eu
cd "$(dirname "$0")/.."
peft=${PEFT_GLIB:-build/demo/cli/peft-glib}
python=${PYTHON:-build/venv/bin/python}
work=${1:-build/demo-recipe}

rm -rf "$work"
mkdir -p "$work"
"$python" tools/make-demo-data.py "$work/data"
"$python" tools/make-demo-model.py "$work/data/corpus.txt" "$work/start"
"$peft" train --method full --model "$work/start" --data "$work/data/corpus.txt" --output "$work/trained" \
  --packing --max-length 256 --batch-size 16 --epochs 4 --learning-rate 2e-3 --schedule cosine --warmup-ratio 0.05 \
  --weight-decay 0.1 --adam-beta2 0.95 --dtype float32 --eval-fraction 0.01 --seed 20

# Half precision halves the file; the demo computes in float32 with these values.
"$peft" merge --model "$work/trained" --dtype bfloat16 --output "$work/model"
mkdir -p data/demo/model
cp "$work"/model/*.json "$work/model/model.safetensors" data/demo/model/
cp "$work/data/instructions.jsonl" "$work/data/held-out.jsonl" "$work/data/questions.txt" data/demo/
