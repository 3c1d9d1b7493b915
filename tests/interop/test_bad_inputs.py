# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bad input gives exit status 1 and one line that says what is wrong; what was there before stays."""

import json
import resource
import shutil
import struct
import subprocess

import pytest
import torch
from conftest import BINARY, batch, run
from safetensors.torch import load_file, save_file

MODEL = "model.safetensors"


def header_of(path):
    data = path.read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + n]), data[8 + n:]


def write_raw(path, header, body):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def edit_header(change):
    def apply(folder):
        header, body = header_of(folder / MODEL)
        result = change(header)
        write_raw(folder / MODEL, header if result is None else result, body)
    return apply


def edit_config(change):
    def apply(folder):
        config = json.loads((folder / "config.json").read_text())
        change(config)
        (folder / "config.json").write_text(json.dumps(config))
    return apply


def truncate(n):
    def apply(folder):
        data = (folder / MODEL).read_bytes()
        (folder / MODEL).write_bytes(data[:n] if n >= 0 else data[:len(data) + n])
    return apply


def edit_tensors(change):
    def apply(folder):
        tensors = load_file(folder / MODEL)
        change(tensors)
        save_file(tensors, folder / MODEL, {"format": "pt"})
    return apply


Q = "model.layers.0.self_attn.q_proj.weight"


def gguf(version=3, tensors=0, keys=0, body=b"", magic=b"GGUF"):
    return magic + struct.pack("<IQQ", version, tensors, keys) + body


def gstr(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def setitem(key, value):
    return lambda d: d.__setitem__(key, value)


# name: what to do to a good model folder, words that the message must hold
MODELS = {
    "no-config": (lambda f: (f / "config.json").unlink(), ["config.json"]),
    "config-truncated": (lambda f: (f / "config.json").write_text('{"model_type": "llama", '), ["config.json", "line 1"]),
    "config-not-object": (lambda f: (f / "config.json").write_text("[1]"), ["config.json", "object", "array"]),
    "config-no-type": (edit_config(lambda c: c.pop("model_type")), ["model_type"]),
    "architecture": (edit_config(setitem("model_type", "alien")), ["model_type", "alien", "llama"]),
    "hidden-string": (edit_config(setitem("hidden_size", "big")), ["hidden_size", "integer", "string"]),
    "hidden-zero": (edit_config(setitem("hidden_size", 0)), ["hidden_size", "0"]),
    "hidden-huge": (edit_config(setitem("hidden_size", 2**62)), ["hidden_size", str(2**62)]),
    "layers-negative": (edit_config(setitem("num_hidden_layers", -3)), ["num_hidden_layers", "-3"]),
    "heads-zero": (edit_config(setitem("num_attention_heads", 0)), ["num_attention_heads"]),
    "kv-heads": (edit_config(setitem("num_key_value_heads", 3)), ["num_key_value_heads", "3"]),
    "head-dim-odd": (edit_config(setitem("head_dim", 11)), ["head_dim", "even", "11"]),
    "activation": (edit_config(setitem("hidden_act", "xyz")), ["hidden_act", "xyz"]),
    "rope": (edit_config(lambda c: (c.pop("rope_parameters", None), c.__setitem__("rope_scaling", {"rope_type": "spiral"}))), ["rope_scaling", "spiral"]),
    "quantized": (edit_config(setitem("quantization_config", {"quant_method": "gptq"})), ["quantization_config"]),
    "no-weights": (lambda f: (f / MODEL).unlink(), [MODEL]),
    "empty-weights": (truncate(0), [MODEL]),
    "seven-bytes": (truncate(7), [MODEL]),
    "header-cut": (truncate(40), [MODEL]),
    "data-cut": (truncate(-4), [MODEL]),
    "header-length": (lambda f: (f / MODEL).write_bytes(struct.pack("<Q", 2**63) + b"{}"), [MODEL, "header"]),
    "header-not-json": (lambda f: write_raw(f / MODEL, b"{not json", b""), [MODEL]),
    "header-array": (lambda f: write_raw(f / MODEL, b"[]      ", b""), [MODEL]),
    "header-duplicate": (lambda f: write_raw(f / MODEL, b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}', b""), [MODEL, "a"]),
    "dtype": (edit_header(lambda h: h[Q].__setitem__("dtype", "Q17")), [Q, "Q17"]),
    "shape-overflow": (edit_header(lambda h: h[Q].__setitem__("shape", [2**62, 2**62])), [Q]),
    "shape-negative": (edit_header(lambda h: h[Q].__setitem__("shape", [-1, 48])), [Q]),
    "offsets-overlap": (edit_header(lambda h: h[Q].__setitem__("data_offsets", [h[Q]["data_offsets"][0] - 4, h[Q]["data_offsets"][1] - 4])), [MODEL]),
    "offsets-beyond": (edit_header(lambda h: h[Q].__setitem__("data_offsets", [h[Q]["data_offsets"][0], 2**61])), [Q]),
    "offsets-backwards": (edit_header(lambda h: h[Q].__setitem__("data_offsets", h[Q]["data_offsets"][::-1])), [Q]),
    "tensor-missing": (edit_tensors(lambda t: t.pop(Q)), [Q, "missing"]),
    "tensor-shape": (edit_tensors(lambda t: t.__setitem__(Q, torch.zeros(48, 47))), [Q, "[48, 48]", "[48, 47]"]),
    "tensor-integers": (edit_tensors(lambda t: t.__setitem__(Q, torch.zeros(48, 48, dtype=torch.int32))), [Q, "I32"]),
    "shard-missing": (lambda f: ((f / MODEL).unlink(), (f / (MODEL + ".index.json")).write_text(json.dumps({"weight_map": {Q: "model-00001-of-00002.safetensors"}}))), ["model-00001-of-00002.safetensors"]),
    "shard-outside": (lambda f: ((f / MODEL).unlink(), (f / (MODEL + ".index.json")).write_text(json.dumps({"weight_map": {Q: "../../etc/passwd"}}))), ["passwd"]),
    "index-no-map": (lambda f: ((f / MODEL).unlink(), (f / (MODEL + ".index.json")).write_text("{}")), ["weight_map"]),
}

GGUFS = {
    "empty": (b"", ["GGUF"]),
    "magic": (gguf(magic=b"GGML"), ["GGUF"]),
    "version-1": (gguf(version=1), ["version", "1"]),
    "version-99": (gguf(version=99), ["version", "99"]),
    "counts": (gguf(tensors=2**60, keys=2**60), ["x.gguf"]),
    "no-architecture": (gguf(), ["general.architecture"]),
    "key-cut": (gguf(keys=1, body=struct.pack("<Q", 2**40) + b"abc"), ["x.gguf"]),
    "architecture": (gguf(keys=1, body=gstr("general.architecture") + struct.pack("<I", 8) + gstr("alien")), ["alien", "llama"]),
    "no-tensors": (gguf(keys=1, body=gstr("general.architecture") + struct.pack("<I", 8) + gstr("llama")), ["token_embd.weight"]),
    "value-type": (gguf(keys=1, body=gstr("k") + struct.pack("<I", 77) + bytes(16)), ["k", "77"]),
    "nested-arrays": (gguf(keys=1, body=gstr("k") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 40), ["k"]),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), ["x.gguf"]),
}

# name: file name, content, words
DATA = {
    "missing": ("d.jsonl", None, ["d.jsonl"]),
    "empty": ("d.jsonl", "", ["d.jsonl"]),
    "not-json": ("d.jsonl", '{"input_ids": [3, 4]}\n{"input_ids": [3,\n', ["d.jsonl", "2"]),
    "not-objects": ("d.jsonl", "3\n4\n", ["d.jsonl"]),
    "unknown-form": ("d.jsonl", '{"alpha": 1, "beta": 2}\n', ["d.jsonl", "alpha"]),
    "preferences": ("d.jsonl", '{"prompt": "a", "chosen": "b", "rejected": "c"}\n', ["d.jsonl", "chosen"]),
    "ids-range": ("d.jsonl", '{"input_ids": [3, 4, 97]}\n', ["d.jsonl", "97"]),
    "ids-negative": ("d.jsonl", '{"input_ids": [3, -4]}\n', ["d.jsonl", "-4"]),
    "ids-float": ("d.jsonl", '{"input_ids": [3, 4.5]}\n', ["d.jsonl", "input_ids"]),
    "labels-length": ("d.jsonl", '{"input_ids": [3, 4, 5], "labels": [3, 4]}\n', ["d.jsonl", "labels"]),
    "all-masked": ("d.jsonl", '{"input_ids": [3, 4, 5], "labels": [-100, -100, -100]}\n', ["d.jsonl"]),
    "text-without-tokenizer": ("d.jsonl", '{"text": "hello"}\n', ["tokenizer"]),
    "invalid-utf8": ("d.jsonl", b'{"text": "\xff\xfe"}\n', ["d.jsonl"]),
    "csv-columns": ("d.csv", "prompt,completion\na,b,c\n", ["d.csv", "2"]),
}

HERE = {m["name"] for m in json.loads(run("methods", "--json").stdout)["methods"]}
NOT_HERE = next(name for name in ("BOFT", "C3A", "FOURIERFT", "POLY", "VBLORA", "XLORA") if name not in HERE)
ADAPTERS = {
    "no-config": (lambda f: (f / "adapter_config.json").unlink(), ["adapter_config.json"]),
    "no-weights": (lambda f: (f / "adapter_model.safetensors").unlink(), ["adapter_model.safetensors"]),
    "unknown-type": (lambda f: edit_json(f, peft_type="WIZARDRY"), ["peft_type", "WIZARDRY"]),
    "known-type": (lambda f: edit_json(f, peft_type=NOT_HERE), [NOT_HERE]),
    "rank-string": (lambda f: edit_json(f, r="eight"), ["r", "eight"]),
    "rank-zero": (lambda f: edit_json(f, r=0), ["r", "0"]),
    "rank-other": (lambda f: edit_json(f, r=5), ["lora_A", "[5, 48]", "[4, 48]"]),
    "targets-nothing": (lambda f: edit_json(f, target_modules=["q_prooj"]), ["q_prooj", "q_proj"]),
    "bad-regex": (lambda f: edit_json(f, target_modules="(unclosed"), ["target_modules"]),
    "cut": (lambda f: (f / "adapter_model.safetensors").write_bytes((f / "adapter_model.safetensors").read_bytes()[:-8]), ["adapter_model.safetensors"]),
    "key-missing": (lambda f: drop_key(f), ["lora_A"]),
}


def edit_json(folder, **changes):
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config.update(changes)
    path.write_text(json.dumps(config))


def drop_key(folder):
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, path)


def assert_refused(result, words):
    assert result.returncode == 1, f"exit {result.returncode}: {result.stderr}"
    lines = [line for line in result.stderr.splitlines() if line.startswith("peft-glib: ")]
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0], f"{word!r} is not in {lines[0]!r}"


@pytest.fixture
def model(tmp_path, model_folder):
    return shutil.copytree(model_folder("llama"), tmp_path / "model")


@pytest.fixture(scope="module")
def good_adapter(tmp_path_factory, model_folder):
    out = tmp_path_factory.mktemp("adapter") / "good"
    data = out.parent / "rows.jsonl"
    data.write_text(json.dumps({"input_ids": batch()[0][0].tolist()}) + "\n")
    run("train", "--model", model_folder("llama"), "--data", data, "--output", out, "--method", "LORA", "--set", "r=4", "--set",
        'target_modules=["q_proj","v_proj"]', "--max-steps", 1)
    return out


def run_forward(tmp_path, model, *more):
    source = tmp_path / "in.safetensors"
    save_file({"input_ids": batch()[0]}, source)
    target = tmp_path / "out.safetensors"
    target.write_text("earlier")
    result = run("forward", "--model", model, "--input", source, "--output", target, *more, check=False)
    assert target.read_text() == "earlier"
    return result


@pytest.mark.parametrize("name", MODELS)
def test_model(tmp_path, model, name):
    spoil, words = MODELS[name]
    spoil(model)
    assert_refused(run_forward(tmp_path, model), words)


@pytest.mark.parametrize("name", GGUFS)
def test_gguf(tmp_path, name):
    content, words = GGUFS[name]
    (tmp_path / "x.gguf").write_bytes(content)
    assert_refused(run_forward(tmp_path, tmp_path / "x.gguf"), words)


@pytest.mark.parametrize("name", DATA)
def test_data(tmp_path, model, name):
    file, content, words = DATA[name]
    path = tmp_path / file
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    out = tmp_path / "out"
    assert_refused(run("train", "--model", model, "--data", path, "--output", out, "--method", "LORA", "--max-steps", 1, check=False), words)
    assert not (out / "adapter_model.safetensors").exists()


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapter(tmp_path, model, good_adapter, name):
    adapter = shutil.copytree(good_adapter, tmp_path / "adapter")
    spoil, words = ADAPTERS[name]
    spoil(adapter)
    assert_refused(run_forward(tmp_path, model, "--adapter", adapter), words)


def test_adapter_of_another_model(tmp_path, model_folder, good_adapter):
    other = model_folder("llama", hidden_size=64)
    assert_refused(run_forward(tmp_path, other, "--adapter", good_adapter), ["lora_A", "[4, 64]", "[4, 48]"])


def test_nan_weights_stop_training(tmp_path, model):
    edit_tensors(lambda t: t[Q].view(-1).__setitem__(7, float("nan")))(model)
    data = tmp_path / "d.jsonl"
    data.write_text(json.dumps({"input_ids": batch()[0][0].tolist()}) + "\n")
    result = run("train", "--model", model, "--data", data, "--output", tmp_path / "out", "--method", "LORA", "--max-steps", 2, check=False)
    assert_refused(result, ["step 1", Q])


def test_nan_adapter_is_not_merged(tmp_path, model, good_adapter):
    adapter = shutil.copytree(good_adapter, tmp_path / "adapter")
    tensors = load_file(adapter / "adapter_model.safetensors")
    key = sorted(tensors)[0]
    tensors[key].view(-1)[0] = float("inf")
    save_file(tensors, adapter / "adapter_model.safetensors")
    out = tmp_path / "merged"
    assert_refused(run("merge", "--model", model, "--adapter", adapter, "--output", out, check=False), [key.rsplit(".", 2)[0].removeprefix("base_model.model.")])
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.parametrize("what", ["merge", "train"])
def test_full_disk(tmp_path, model, good_adapter, what):
    """RLIMIT_FSIZE plays the full disk; the file that was there keeps its bytes."""
    out = tmp_path / "out"
    out.mkdir()
    name = MODEL if what == "merge" else "adapter_model.safetensors"
    (out / name).write_bytes(b"earlier")
    data = tmp_path / "d.jsonl"
    data.write_text(json.dumps({"input_ids": batch()[0][0].tolist()}) + "\n")
    command = {
        "merge": ["merge", "--model", model, "--adapter", good_adapter, "--output", out],
        "train": ["train", "--model", model, "--data", data, "--output", out, "--method", "LORA", "--max-steps", 1, "--save-every", 1],
    }[what]
    result = subprocess.run([BINARY, *map(str, command)], capture_output=True, text=True, timeout=120,
                            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)))
    assert result.returncode == 1, result.stderr
    assert "File too large" in result.stderr
    assert (out / name).read_bytes() == b"earlier"


USAGE = [
    [], ["frobnicate"], ["train"], ["train", "--model", "x"], ["train", "--model", "x", "--data", "y", "--output", "z", "--epochs", "many"],
    ["generate", "--model", "x"], ["forward", "--nonsense"], ["train", "--model", "x", "--data", "y", "--output", "z", "--schedule", "zigzag"],
]


@pytest.mark.parametrize("args", USAGE, ids=lambda a: " ".join(a) or "nothing")
def test_usage(args):
    assert run(*args, check=False).returncode == 2


@pytest.mark.parametrize("option,words", [
    (["--set", "r=0"], ["r", "0"]),
    (["--set", "rank=8"], ["rank", "r"]),
    (["--set", "lora_dropout=1.5"], ["lora_dropout", "1.5"]),
    (["--set", "target_modules=[\"nothing\"]"], ["nothing"]),
    (["--method", "WIZARDRY"], ["WIZARDRY", "LORA"]),
    (["--learning-rate", "-1"], ["learning-rate", "-1"]),
    (["--device", "cuda"], ["cuda"]),
    (["--batch-size", "0"], ["batch-size"]),
])
def test_settings(tmp_path, model, option, words):
    data = tmp_path / "d.jsonl"
    data.write_text(json.dumps({"input_ids": batch()[0][0].tolist()}) + "\n")
    method = [] if "--method" in option else ["--method", "LORA"]
    result = run("train", "--model", model, "--data", data, "--output", tmp_path / "out", "--max-steps", 1, *method, *option, check=False)
    assert result.returncode in (1, 2)
    text = result.stderr
    assert all(w in text for w in words), text
