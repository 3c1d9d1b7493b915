#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Builds peft-glib and fine-tunes the little model of data/demo with LoRA, showing its answers before
# and after. With --model MODEL (a folder or a .gguf file) it does the same with another model.
set -eu
cd "$(dirname "$0")/.."

model=data/demo/model
if [ "${1:-}" = --model ]; then
  model=$2
fi

tools/install-dependencies.sh
if [ ! -f build/demo/build.ninja ]; then
  meson setup build/demo --buildtype=release -Dintrospection=disabled -Dapp=disabled -Ddocs=disabled >build-demo.log 2>&1 || {
    cat build-demo.log >&2
    exit 1
  }
  rm -f build-demo.log
fi
ninja -C build/demo >build/demo/ninja.log 2>&1 || {
  cat build/demo/ninja.log >&2
  exit 1
}

peft=build/demo/cli/peft-glib
output=build/demo-adapter
rm -rf "$output"

answers () {
  "$peft" generate --model "$model" --prompts data/demo/questions.txt --as-chat --max-new-tokens 48 "$@"
}

echo "== The base model's answers"
answers
echo
echo "== Fine-tuning with LoRA on data/demo/instructions.jsonl"
"$peft" train --model "$model" --data data/demo/instructions.jsonl --output "$output" \
  --method LORA --set r=16 --set lora_alpha=32 --set 'target_modules="all-linear"' \
  --learning-rate 3e-3 --epochs 8 --batch-size 16
echo
echo "== The fine-tuned model's answers to the same questions"
answers --adapter "$output"
echo
echo "The adapter is in $output (adapter_config.json, adapter_model.safetensors)."
