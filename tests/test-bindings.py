#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Uses the library from Python as a program would, and runs the example.

usage: test-bindings.py PROJECT_ROOT

Without python3-gi, or without the model of the shared folder, it is skipped (status 77).
"""
import json
import os
import subprocess
import sys
import tempfile

SKIP = 77

try:
    import gi

    gi.require_version("Peft", "1.0")
    from gi.repository import GLib, Gio, Peft
except (ImportError, ValueError) as error:
    print(f"skipped: {error}")
    sys.exit(SKIP)

ROOT = sys.argv[1]
SHARED = os.environ.get("PEFT_SHARED") or os.path.join(ROOT, "..", "shared")
MODEL = os.path.join(SHARED, "models", "stories260k")
ROWS = [
    "Once upon a time there was a little cat. The cat liked to sing in the garden.",
    "One day a big dog came to the park. The dog wanted to play with the ball.",
    "Lily had a red hat. She wore the hat every day and she was happy.",
]


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def test_errors():
    try:
        Peft.BaseModel.load("/nowhere", None, Peft.LoadDType.AUTO, None)
    except GLib.Error as error:
        expect(error.matches(Peft.Error.quark(), Peft.Error.NOT_FOUND), error)
        expect("/nowhere" in error.message, error)
    else:
        raise AssertionError("a model that is not there was loaded")


def test_config():
    config = Peft.LoraConfig(r=4, target_modules=GLib.Variant("as", ["q_proj"]))
    expect(json.loads(config.to_json())["target_modules"] == ["q_proj"], config.to_json())
    expect(config.props.lora_alpha == 8, "peft's default of lora_alpha")


def test_async():
    loop = GLib.MainLoop()
    seen = {"steps": [], "tokens": []}

    def trained(trainer, result):
        seen["result"] = trainer.train_finish(result)
        generator.generate_async(["Once"], None, generated)

    def generated(generator, result):
        seen["answers"] = generator.generate_finish(result)
        loop.quit()

    base = Peft.BaseModel.load(MODEL, None, Peft.LoadDType.FLOAT32, None)
    model = Peft.Model.new(base)
    model.add_adapter("default", Peft.LoraConfig(), 1)
    data = "".join(json.dumps({"text": row}) + "\n" for row in ROWS)
    dataset = Peft.Dataset.new_from_text("rows", data, None)
    trainer = Peft.Trainer(model=model, dataset=dataset, max_steps=5)
    trainer.connect("progress", lambda _, progress: seen["steps"].append(progress.step))
    generator = Peft.Generator(model=model, max_new_tokens=8)
    generator.connect("token", lambda _, prompt, token, text: seen["tokens"].append(text))
    trainer.train_async(None, trained)
    loop.run()
    expect(seen["steps"] == sorted(set(seen["steps"])) and seen["steps"][-1] == 5, seen["steps"])
    expect(seen["result"].steps == 5, seen["result"].steps)
    answer = seen["answers"][0]
    expect("".join(seen["tokens"]) == answer.get_text(), seen["tokens"])
    expect(json.loads(answer.to_json())["ids"] == list(answer.get_ids()), answer.to_json())
    logits = model.forward([1, 403, 407], None)
    expect(logits.get_shape() == [3, base.get_vocab_size()], logits.get_shape())
    cancelled = Gio.Cancellable()
    cancelled.cancel()
    try:
        trainer.train(cancelled)
    except GLib.Error as error:
        expect(error.matches(Gio.io_error_quark(), Gio.IOErrorEnum.CANCELLED), error)
    else:
        raise AssertionError("a cancelled run went on")


def test_example(folder):
    rows = os.path.join(folder, "rows.jsonl")
    output = os.path.join(folder, "adapter")
    with open(rows, "w", encoding="utf-8") as file:
        for row in ROWS * 4:
            file.write(json.dumps({"text": row}) + "\n")
    example = os.path.join(ROOT, "examples", "finetune.py")
    run = subprocess.run(
        [sys.executable, example, MODEL, rows, output], check=True, capture_output=True, text=True
    )
    expect("step 20/20" in run.stdout, run.stdout)
    expect(os.path.exists(os.path.join(output, "adapter_model.safetensors")), os.listdir(folder))


def main():
    test_errors()
    test_config()
    if not os.path.exists(MODEL):
        print(f"skipped: {MODEL} is not there")
        return SKIP
    with tempfile.TemporaryDirectory() as folder:
        test_async()
        test_example(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
