#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fine-tunes a model with LoRA on a few rows and lets it write.

usage: finetune.py MODEL DATA.jsonl OUTPUT_FOLDER [PROMPT]
"""
import sys
import gi

gi.require_version("Peft", "1.0")
from gi.repository import Peft

base = Peft.BaseModel.load(sys.argv[1], None, Peft.LoadDType.AUTO, None)
model = Peft.Model.new(base)
model.add_adapter("default", Peft.LoraConfig(r=8, lora_alpha=16), 42)
print(model.describe_parameters())

trainer = Peft.Trainer(model=model, dataset=Peft.Dataset.load([sys.argv[2]], None, None),
                       max_steps=20, batch_size=4, learning_rate=1e-3)
trainer.connect("progress", lambda _, p: print(f"step {p.step}/{p.total_steps} loss {p.loss:.4f}"))
result = trainer.train(None)
print(f"loss {result.first_loss:.4f} -> {result.loss:.4f} in {result.seconds:.1f} s")

generator = Peft.Generator(model=model, max_new_tokens=40)
for answer in generator.generate(sys.argv[4:] or ["Once upon a time"], None):
    print(answer.get_text())
model.save_adapter("default", sys.argv[3])
