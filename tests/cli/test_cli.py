#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command as a user meets it: what each subcommand prints and writes, exit statuses, signals.

usage: test_cli.py PEFT-GLIB   (needs nothing but Python's standard library)
"""

import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import tiny_model

BINARY = sys.argv.pop(1) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else os.environ["PEFT_GLIB"]
SUBCOMMANDS = ["devices", "methods", "inspect", "train", "generate", "chat", "evaluate", "merge", "tokenize", "template", "forward", "bench"]
ENV = {**os.environ, "LC_ALL": "C", "OMP_NUM_THREADS": "1", "HF_HOME": "/nonexistent"}


def start(*args, **kw):
    return subprocess.Popen([BINARY, *map(str, args)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV, **kw)


class Cli(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.work = pathlib.Path(cls.temporary.name)
        cls.model = cls.work / "model"
        cls.vocab = tiny_model.write(cls.model)
        cls.data = cls.work / "rows.jsonl"
        rows = [{"prompt": f"number {i}?", "completion": f" the {i * i}"} for i in range(12)]
        cls.data.write_text("".join(json.dumps(r) + "\n" for r in rows))
        cls.adapter = cls.work / "adapter"
        cls.train_log = cls.work / "train.jsonl"
        cls.trained = subprocess.run(
            [BINARY, "train", "--model", cls.model, "--data", cls.data, "--output", cls.adapter, "--method", "LORA", "--set", "r=4", "--set",
             "target_modules=all-linear", "--max-steps", "12", "--batch-size", "4", "--learning-rate", "0.02", "--log-json", cls.train_log,
             "--sample-prompt", "number 3?", "--sample-tokens", "4"], capture_output=True, env=ENV, timeout=120)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def run_ok(self, *args, stdin=b""):
        result = self.run_any(*args, stdin=stdin)
        self.assertEqual(result.returncode, 0, f"{args}: {result.stderr.decode()}")
        return result.stdout.decode()

    def run_any(self, *args, stdin=b""):
        return subprocess.run([BINARY, *map(str, args)], input=stdin, capture_output=True, env=ENV, timeout=120)

    def assert_fails(self, status, words, *args, stdin=b""):
        result = self.run_any(*args, stdin=stdin)
        self.assertEqual(result.returncode, status, f"{args}: {result.stderr.decode()}")
        self.assertEqual(result.stdout, b"")
        lines = [line for line in result.stderr.decode().splitlines() if line.startswith("peft-glib: ")]
        self.assertEqual(len(lines), 1, result.stderr.decode())
        for word in words:
            self.assertIn(word, lines[0])

    # ---- Help and usage

    def test_version(self):
        self.assertRegex(self.run_ok("--version"), r"^peft-glib \d+\.\d+\.\d+\n$")

    def test_help(self):
        listed = self.run_ok("--help")
        for name in SUBCOMMANDS:
            self.assertRegex(listed, rf"(?m)^  {name} +\S")
            self.assertIn(f"peft-glib {name}", self.run_ok(name, "--help"))

    def test_help_of_settings(self):
        text = self.run_ok("train", "--help")
        for option in ["--epochs=N", "--no-shuffle", "--batch-size=N", "--learning-rate=X", "--sample-prompt=TEXT", "--checkpointing=CHOICE",
                       "(default: 0.03)", "(default: auto)"]:
            self.assertIn(option, text)
        self.assertNotIn("(null)", text)

    def test_wrong_usage(self):
        train = ["train", "--model", "x", "--data", "y", "--output", "z"]
        for args, words in [
            ([], ["subcommand"]), (["frobnicate"], ["frobnicate"]), (["serve"], ["serve"]), (["train"], ["--model"]),
            (["generate", "--model", "x"], ["--prompt"]), (["forward", "--nonsense"], ["--nonsense"]),
            (["tokenize"], ["--model"]), (["inspect"], ["argument"]), (["inspect", "a", "b"], ["b"]),
            (["evaluate", "--model", "x", "--data", "y", "--loss-on", "some"], ["--loss-on", "some"]),
            (["merge", "--model", "x", "--output", "y", "--format", "zip"], ["--format", "zip"]),
            (["forward", "--model", "x", "--input", "y", "--output", "z", "--dtype", "float31"], ["--dtype", "float31"]),
            (["bench", "--only", "nothing"], ["--only", "nothing"]),
            (["generate", "--model", "x", "--prompt", "y", "--temperature", "0"], ["--temperature", "above 0"]),
            (["generate", "--model", "x", "--prompt", "y", "--top-p", "2"], ["--top-p", "0 to 1"]),
            ([*train, "--epochs", "many"], ["--epochs", "many"]), ([*train, "--batch-size", "0"], ["--batch-size", "auto"]),
            ([*train, "--batch-size", "1.5"], ["--batch-size"]), ([*train, "--learning-rate", "-1"], ["--learning-rate", "-1"]),
            ([*train, "--learning-rate", "nan"], ["--learning-rate", "nan"]), ([*train, "--warmup-steps", "-1"], ["--warmup-steps"]),
            ([*train, "--schedule", "zigzag"], ["zigzag", "cosine"]), ([*train, "--optimizer", "magic"], ["magic", "adamw"]),
            ([*train, "--checkpointing", "maybe"], ["--checkpointing", "maybe", "auto"]),
            ([*train, "--method", "WIZARDRY"], ["WIZARDRY", "LORA"]), ([*train, "--set", "rank=8"], ["rank"]),
            ([*train, "--set", "r"], ["FIELD=VALUE"]), ([*train, "--preset", "huge"], ["huge", "quick"]),
            ([*train, "--method", "LORA", "--config", "c"], ["--config"]), ([*train, "--threads", "-2"], ["--threads"]),
        ]:
            with self.subTest(args=args):
                self.assert_fails(2, words, *args)

    def test_failures(self):
        for args, words in [
            (["inspect", self.work / "nothing"], ["nothing"]), (["methods", "WIZARDRY"], ["WIZARDRY"]),
            (["tokenize", "--model", self.work / "nothing"], ["nothing"]),
            (["generate", "--model", self.model, "--prompt", "x", "--device", "cuda"], ["cuda"]),
            (["generate", "--model", self.model, "--prompt", "x", "--adapter", self.model], ["adapter_config.json"]),
            (["train", "--model", self.model, "--data", self.work / "no.jsonl", "--output", self.work / "never"], ["no.jsonl"]),
            (["train", "--model", self.model, "--data", self.data, "--output", self.work / "never", "--quantize", "nf4"], ["nf4"]),
            (["merge", "--model", self.model, "--adapter", self.adapter, "--output", self.work / "never", "--format", "gguf"], ["gguf"]),
        ]:
            with self.subTest(args=args):
                self.assert_fails(1, words, *args)
        self.assertFalse((self.work / "never").exists())

    def test_full_output(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("/dev/full is not there")
        with open("/dev/full", "wb") as full:
            result = subprocess.run([BINARY, "methods", "--json"], stdout=full, stderr=subprocess.PIPE, env=ENV)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"standard output", result.stderr)

    # ---- Lists

    def test_devices(self):
        devices = json.loads(self.run_ok("devices", "--json"))["devices"]
        self.assertLessEqual({"cpu", "reference"}, {d["name"] for d in devices})
        self.assertIn("cpu", self.run_ok("devices"))

    def test_methods(self):
        methods = json.loads(self.run_ok("methods", "--json"))["methods"]
        self.assertIn("LORA", [m["name"] for m in methods])
        for method in methods:
            with self.subTest(method=method["name"]):
                for member in ("display_name", "summary", "good_for", "cost"):
                    self.assertTrue(method[member])
                self.assertTrue(0 < method["learning_rate"] < 1)
                self.assertEqual(list(method["presets"]), ["quick", "balanced", "thorough"])
                fields = [field["name"] for field in method["fields"]]
                for preset in method["presets"].values():
                    self.assertLessEqual(set(preset), set(fields))
        brief = self.run_ok("methods")
        for method in methods:
            self.assertIn(f"{method['name']} ", brief)
            self.assertIn(method["summary"], brief)
        lora = next(m for m in methods if m["name"] == "LORA")
        text = self.run_ok("methods", "lora")
        places = [text.index(words) for words in (lora["summary"], lora["good_for"], lora["cost"], "learning_rate", "balanced", "\nfields",
                                                  "use_dora")]
        self.assertEqual(places, sorted(places))

    def test_inspect(self):
        model = json.loads(self.run_ok("inspect", self.model, "--json"))
        self.assertEqual((model["kind"], model["model_type"], model["layers"]), ("model", "llama", tiny_model.LAYERS))
        adapter = json.loads(self.run_ok("inspect", self.adapter, "--json"))
        self.assertEqual((adapter["kind"], adapter["peft_type"]), ("adapter", "LORA"))
        self.assertEqual(json.loads(self.run_ok("inspect", self.data, "--json"))["kind"], "data")
        run = json.loads(self.run_ok("inspect", self.model, "--json", "--method", "LORA", "--data", self.data, "--batch-size", 3))["run"]
        self.assertEqual((run["batch_size"], run["total_steps"]), (3, 12))
        self.assertGreater(run["memory"]["total"], model["bytes"])
        self.assertGreater(json.loads(self.run_ok("inspect", self.data, "--json", "--model", self.model))["run"]["total_steps"], 0)
        self.assertIn("MiB", self.run_ok("inspect", self.model, "--max-length", 64))

    # ---- Text

    def test_tokenize(self):
        ids = [int(i) for i in self.run_ok("tokenize", "--model", self.model, stdin="the thin 狐 x\n".encode()).split()]
        self.assertLess(len(ids), len("the thin 狐 x\n".encode()))
        text = self.run_ok("tokenize", "--model", self.model, "--decode", stdin=" ".join(map(str, ids)).encode())
        self.assertEqual(text, "the thin 狐 x\n")
        lines = ["a b", "line\nfeed", "狐狸", ""]
        out = self.run_ok("tokenize", "--model", self.model, "--json", stdin="".join(json.dumps(t) + "\n" for t in lines).encode())
        back = self.run_ok("tokenize", "--model", self.model, "--json", "--decode", stdin=out.encode())
        self.assertEqual([json.loads(t) for t in back.splitlines()], lines)
        self.assert_fails(1, ["token id", "x1"], "tokenize", "--model", self.model, "--decode", stdin=b"3 x1")
        self.assert_fails(1, ["line 2"], "tokenize", "--model", self.model, "--json", "--decode", stdin=b"\n[\n")

    def test_template(self):
        messages = json.dumps([{"role": "user", "content": "hé"}]).encode()
        text = self.run_ok("template", "--model", self.model, "--add-generation-prompt", stdin=messages)
        self.assertEqual(text, "<s>[user] hé\n[assistant] ")
        self.assertEqual(json.loads(self.run_ok("template", "--model", self.model, "--json", stdin=messages)), "<s>[user] hé\n")

    def test_generate(self):
        one = json.loads(self.run_ok("generate", "--model", self.model, "--prompt", "the", "--max-new-tokens", 6, "--json"))
        self.assertEqual(set(one), {"prompt_ids", "ids", "text", "finish"})
        self.assertIn(one["finish"], ["length", "eos"])
        self.assertLessEqual(len(one["ids"]), 6)
        plain = self.run_ok("generate", "--model", self.model, "--prompt", "the", "--max-new-tokens", 6)
        self.assertEqual(plain, one["text"] + "\n")
        self.assertEqual(self.run_ok("generate", "--model", self.model, "--prompt", "the", "--max-new-tokens", 6, "--stream"), plain)
        prompts = self.work / "prompts.txt"
        prompts.write_text("the\n\"two\\nlines\"\n")
        lines = self.run_ok("generate", "--model", self.model, "--prompts", prompts, "--max-new-tokens", 6, "--json").splitlines()
        self.assertEqual(len(lines), 2)
        self.assertEqual(json.loads(lines[0])["ids"], one["ids"])
        sampled = [self.run_ok("generate", "--model", self.model, "--prompt", "the", "--do-sample", "--temperature", 2, "--seed", s) for s in (1, 1, 2)]
        self.assertEqual(sampled[0], sampled[1])
        self.assertNotEqual(sampled[0], sampled[2])
        chat = self.work / "chat.json"
        chat.write_text(json.dumps([{"role": "user", "content": "the"}]))
        by_file = json.loads(self.run_ok("generate", "--model", self.model, "--chat", chat, "--max-new-tokens", 3, "--json"))
        by_option = json.loads(self.run_ok("generate", "--model", self.model, "--prompt", "the", "--as-chat", "--max-new-tokens", 3, "--json"))
        self.assertEqual(by_file, by_option)
        self.assertEqual(by_file["prompt_ids"][0], 0)
        with_system = json.loads(self.run_ok("generate", "--model", self.model, "--prompt", "the", "--system", "be", "--max-new-tokens", 3, "--json"))
        self.assertGreater(len(with_system["prompt_ids"]), len(by_option["prompt_ids"]))

    def test_chat(self):
        out = self.run_ok("chat", "--model", self.model, "--max-new-tokens", 4, stdin=b"the\n/reset\nthe\n/system in\n\n/quit\nnever\n")
        first = self.run_ok("generate", "--model", self.model, "--prompt", "the", "--as-chat", "--max-new-tokens", 4)
        self.assertEqual(out, first + first)

    # ---- Training and what is made of it

    def test_train(self):
        self.assertEqual(self.trained.returncode, 0, self.trained.stderr.decode())
        self.assertEqual(self.trained.stdout, b"")
        self.assertIn("sample at step", self.trained.stderr.decode())
        names = {p.name for p in self.adapter.iterdir()}
        self.assertLessEqual({"adapter_config.json", "adapter_model.safetensors", "README.md"}, names)
        config = json.loads((self.adapter / "adapter_config.json").read_text())
        self.assertEqual((config["r"], config["peft_type"]), (4, "LORA"))
        log = [json.loads(line) for line in self.train_log.read_text().splitlines()]
        steps = log[:-1]
        self.assertEqual([s["step"] for s in steps], list(range(1, 13)))
        self.assertLess(steps[-1]["loss"], steps[0]["loss"])
        self.assertEqual(steps[0]["learning_rate"], 0)
        self.assertTrue(all(math.isfinite(s["loss"]) and s["grad_norm"] > 0 and s["tokens"] > 0 for s in steps))
        self.assertEqual((log[-1]["done"], log[-1]["steps"]), (True, 12))
        values = tiny_model.load_safetensors(self.adapter / "adapter_model.safetensors")
        self.assertEqual(len(values), 2 * 7 * tiny_model.LAYERS)
        self.assertTrue(all(any(v) for _, _, v in values.values()))

    def test_train_continues_an_adapter(self):
        log = self.work / "more.jsonl"
        self.run_ok("train", "--model", self.model, "--data", self.data, "--output", self.work / "more", "--adapter", self.adapter, "--max-steps", 2,
                    "--batch-size", 4, "--log-json", log, "--quiet")
        before = json.loads(self.train_log.read_text().splitlines()[0])["loss"]
        self.assertLess(json.loads(log.read_text().splitlines()[0])["loss"], before)

    def test_train_full_and_evaluate_while_training(self):
        log = self.work / "full.jsonl"
        self.run_ok("train", "--model", self.model, "--data", self.data, "--output", self.work / "full", "--method", "full", "--max-steps", 4,
                    "--batch-size", 4, "--eval-fraction", 0.25, "--eval-every", 2, "--log-json", log)
        evaluations = [e for e in map(json.loads, log.read_text().splitlines()) if e.get("eval")]
        self.assertEqual([e["step"] for e in evaluations], [2, 4])
        self.run_ok("generate", "--model", self.work / "full", "--prompt", "the", "--max-new-tokens", 2)

    def test_evaluate(self):
        base = json.loads(self.run_ok("evaluate", "--model", self.model, "--data", self.data, "--json"))
        tuned = json.loads(self.run_ok("evaluate", "--model", self.model, "--adapter", self.adapter, "--data", self.data, "--json"))
        self.assertLess(tuned["loss"], base["loss"])
        self.assertAlmostEqual(base["perplexity"], math.exp(base["loss"]), places=3)
        self.assertEqual(base["rows"], 12)
        self.assertIn("perplexity", self.run_ok("evaluate", "--model", self.model, "--data", self.data))

    def forward(self, name, *args):
        source, target = self.work / f"{name}-in.safetensors", self.work / f"{name}-out.safetensors"
        ids = [5, 9, 70, 80, 12, 40]
        tiny_model.save_safetensors(source, {"input_ids": ("I64", [1, 6], tiny_model.integers(ids)), "labels": ("I64", [1, 6], tiny_model.integers(ids))})
        self.run_ok("forward", "--input", source, "--output", target, "--dtype", "float32", *args)
        return tiny_model.load_safetensors(target)

    def test_forward_and_merge(self):
        out = self.forward("adapted", "--model", self.model, "--adapter", self.adapter, "--gradients")
        self.assertEqual(out["logits"][1], [1, 6, self.vocab])
        keys = set(tiny_model.load_safetensors(self.adapter / "adapter_model.safetensors"))
        self.assertEqual({k.removeprefix("grad.") for k in out if k.startswith("grad.")}, keys)
        base = self.forward("base", "--model", self.model)
        self.assertGreater(max(abs(a - b) for a, b in zip(out["logits"][2], base["logits"][2])), 0.01)
        self.run_ok("merge", "--model", self.model, "--adapter", self.adapter, "--output", self.work / "merged")
        merged = self.forward("merged", "--model", self.work / "merged")
        self.assertLess(max(abs(a - b) for a, b in zip(out["logits"][2], merged["logits"][2])), 1e-4)
        half = self.forward("half", "--model", self.model, "--adapter", f"{self.adapter}=0.5")
        self.assertGreater(max(abs(a - b) for a, b in zip(out["logits"][2], half["logits"][2])), 0.001)

    def test_bench(self):
        out = json.loads(self.run_ok("bench", "--model", self.model, "--json", "--batch-size", 1, "--length", 8, "--steps", 1, "--decode-tokens", 4, "--profile"))
        self.assertGreater(out["matmul"]["float32_gflops"], 0)
        for part in ("train", "prefill", "decode"):
            self.assertGreater(out[part]["tokens_per_second"], 0)
            self.assertGreater(out[part]["gflops"], 0)
            self.assertIn("matmul", [k["kernel"] for k in out[part]["kernels"]])

    # ---- Signals

    def interrupt(self, number, log, *more):
        out = self.work / "interrupted"
        process = start("train", "--model", self.model, "--data", self.data, "--output", out, "--max-steps", 10 ** 6, "--batch-size", 2, "--log-json",
                        log, "--threads", 1, *more)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None and (not log.exists() or log.read_bytes().count(b"\n") < 3):
            time.sleep(0.02)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
        return process.returncode, errors.decode(), out

    def steps(self, log):
        return {e["step"]: e["loss"] for e in map(json.loads, log.read_text().splitlines()) if "grad_norm" in e}

    def test_signals_and_resume(self):
        first, second, third = (self.work / f"signal-{i}.jsonl" for i in range(3))
        status, errors, out = self.interrupt(signal.SIGINT, first)
        self.assertEqual(status, 130, errors)
        self.assertIn("peft-glib: ", errors)
        done = max(self.steps(first))
        self.assertEqual([p.name.split("-")[-1] for p in (out / "checkpoints").iterdir()], [str(done)])
        status, errors, _ = self.interrupt(signal.SIGTERM, second, "--resume")
        self.assertEqual(status, 143, errors)
        self.assertEqual(min(self.steps(second)), done + 1)
        # The same steps without an interruption.
        status, errors, _ = self.interrupt(signal.SIGTERM, third)
        shared = set(self.steps(third)) & (set(self.steps(first)) | set(self.steps(second)))
        self.assertTrue(shared)
        self.assertTrue(all(self.steps(third)[s] == {**self.steps(first), **self.steps(second)}[s] for s in shared))

    def test_signal_while_reading(self):
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            process = start("tokenize", "--model", self.model)
            time.sleep(0.5)
            process.send_signal(number)
            self.assertEqual(process.wait(timeout=30), status)
            process.communicate()


if __name__ == "__main__":
    unittest.main(verbosity=1)
