# SPDX-License-Identifier: LGPL-2.1-or-later
"""What can be done with several adapters, against peft."""

import json
import os
import pathlib
import subprocess

import pytest
import torch
from conftest import assert_logits, batch, forward, load_oracle, run
from method_checks import WEIGHTS, make_adapter
from peft import AdaLoraConfig, AdaptionPromptConfig, HRAConfig, IA3Config, LoHaConfig, LoKrConfig, LoraConfig, OFTConfig, PeftModel, VeraConfig, convert_to_lora
from safetensors.torch import load_file, save_file
from test_tokenizer import TOKENIZERS

DRIVER = pathlib.Path(__file__).with_name("verbs-driver.py")
SOURCES = (
    dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"]),
    dict(r=4, lora_alpha=4, target_modules=["q_proj", "k_proj", "down_proj"]),
    dict(r=4, lora_alpha=6, use_rslora=False, target_modules=["q_proj"]),
)
WEIGHTS_OF = [0.7, -0.4, 1.5]


def two_or_more(tmp_path, folder, config_class=LoraConfig, sources=SOURCES):
    folders = []
    for i, fields in enumerate(sources):
        make_adapter(folder, tmp_path / f"source-{i}", config_class, fields, seed=11 + i,
                     tune=(lambda n, p, noise: 0.3 * noise) if config_class is IA3Config else None, strength=0.2)
        folders.append(tmp_path / f"source-{i}")
    return folders


def load_all(folder, folders):
    model = PeftModel.from_pretrained(load_oracle(folder), folders[0], adapter_name="adapter-0")
    for i, path in enumerate(folders[1:], 1):
        model.load_adapter(path, adapter_name=f"adapter-{i}")
    return model.eval()


def drive(request):
    build = os.environ.get("PEFT_LIBRARY_FOLDER")
    if build is None:
        pytest.skip("PEFT_LIBRARY_FOLDER does not name the folder of the library and its typelib")
    result = subprocess.run(["/usr/bin/python3", str(DRIVER)], input=json.dumps(request), capture_output=True, text=True,
                            env={**os.environ, "GI_TYPELIB_PATH": build, "LD_LIBRARY_PATH": build, "LC_ALL": "C.UTF-8"})
    if "No module named 'gi'" in result.stderr:
        pytest.skip("no python3-gi")
    return result


def combine(folder, folders, output, **options):
    return drive({"model": str(folder), "adapters": [str(f) for f in folders], "combine": options, "output": str(output)})


def updates(path):
    """B·A times the scale, by module."""
    config, tensors = json.loads((path / "adapter_config.json").read_text()), load_file(path / WEIGHTS)
    scale = config["lora_alpha"] / (config["r"] ** 0.5 if config["use_rslora"] else config["r"])
    return {k.removesuffix(".lora_A.weight"): scale * tensors[k.replace("lora_A", "lora_B")] @ v for k, v in tensors.items() if "lora_A" in k}


KINDS = [("linear", 1.0), ("cat", 1.0), ("svd", 1.0), ("ties", 0.5), ("ties_svd", 0.3), ("magnitude_prune", 0.4), ("magnitude_prune_svd", 0.6),
         ("dare_linear", 1.0), ("dare_ties", 1.0), ("dare_linear_svd", 1.0), ("dare_ties_svd", 1.0)]


@pytest.mark.parametrize("kind,density,frequency", [(*k, False) for k in KINDS] + [(*k, True) for k in KINDS if "ties" in k[0]])
def test_weighted(tmp_path, model_folder, kind, density, frequency):
    folder = model_folder("llama")
    folders = two_or_more(tmp_path, folder)
    result = combine(folder, folders, tmp_path / "ours", weights=WEIGHTS_OF, type=kind, density=density, frequency=frequency)
    assert result.returncode == 0, result.stderr
    model = load_all(folder, folders)
    model.add_weighted_adapter(["adapter-0", "adapter-1", "adapter-2"], WEIGHTS_OF, "new", combination_type=kind, density=density,
                               majority_sign_method="frequency" if frequency else "total")
    model.save_pretrained(tmp_path / "peft", selected_adapters=["new"])
    mine, theirs = updates(tmp_path / "ours"), updates(tmp_path / "peft/new")
    assert mine.keys() == theirs.keys() and len(mine) == 12
    for key in mine:
        assert theirs[key].abs().max() > 1e-3
        assert (mine[key] - theirs[key]).abs().max() <= 1e-4 * max(1, theirs[key].abs().max()), key
    ids, _ = batch()
    model.set_adapter("new")
    with torch.no_grad():
        assert_logits(forward(tmp_path, folder, {"input_ids": ids}, tmp_path / "ours")["logits"], model(input_ids=ids).logits)


RSLORA = (dict(r=4, lora_alpha=8, use_rslora=True, target_modules=["q_proj", "down_proj"]), dict(r=2, lora_alpha=3, use_rslora=True, target_modules=["q_proj"]))
PATTERNS = (dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], rank_pattern={"v_proj": 6}, alpha_pattern={"q_proj": 3}),
            dict(r=2, lora_alpha=5, target_modules=["q_proj", "v_proj"], alpha_pattern={"layers.1.self_attn.v_proj": 9}))
EXPRESSIONS = (dict(r=4, target_modules=r".*\.(q|v)_proj"), dict(r=4, target_modules=r".*layers\.[01]\..*\.k_proj"))


@pytest.mark.parametrize("kind,rank,sources,weights", [("cat", None, RSLORA, [0.5, 1.5]), ("svd", None, RSLORA, [0.5, -1.5]), ("svd", 3, SOURCES[:2], [1, 1]),
                                                       ("cat", None, PATTERNS, [0.5, -2]), ("svd", None, PATTERNS, [0.5, -2]), ("ties_svd", 5, PATTERNS, [0.5, 2]),
                                                       ("linear", None, EXPRESSIONS, [0.3, 0.7]), ("svd", None, SOURCES[:1], [0.6])])
def test_weighted_of_other_forms(tmp_path, model_folder, kind, rank, sources, weights):
    """Ranks and scales of their own, expressions, one alone."""
    folder = model_folder("llama")
    folders = two_or_more(tmp_path, folder, sources=sources)
    result = combine(folder, folders, tmp_path / "ours", weights=weights, type=kind, rank=rank or 0, density=0.5)
    assert result.returncode == 0, result.stderr
    model = load_all(folder, folders)
    model.add_weighted_adapter([f"adapter-{i}" for i in range(len(folders))], weights, "new", combination_type=kind, svd_rank=rank, density=0.5)
    model.set_adapter("new")
    ids, _ = batch()
    with torch.no_grad():
        assert_logits(forward(tmp_path, folder, {"input_ids": ids}, tmp_path / "ours")["logits"], model(input_ids=ids).logits)
        loaded = PeftModel.from_pretrained(load_oracle(folder), tmp_path / "ours").eval()
        assert_logits(loaded(input_ids=ids).logits, model(input_ids=ids).logits)


def test_pruning_by_chance(tmp_path, model_folder):
    """Other draws than torch's: the share that is kept, and the mean over all."""
    folder = model_folder("llama")
    folders = two_or_more(tmp_path, folder)[:2]
    combine(folder, folders, tmp_path / "ours", weights=[1.0, 0.0], type="dare_linear", density=0.4)
    new, old = (load_file(f / WEIGHTS) for f in (tmp_path / "ours", folders[0]))
    kept, n, total, expected = 0, 0, 0.0, 0.0
    for key, value in old.items():
        if "lora_A" in key:
            kept, n = kept + (new[key] != 0).sum().item(), n + value.numel()
            total, expected = total + new[key].abs().sum().item(), expected + (2 ** 0.5 * value).abs().sum().item()
    assert abs(kept / n - 0.4) < 0.05 and abs(total / expected - 1) < 0.15


def test_ia3(tmp_path, model_folder):
    folder = model_folder("llama")
    folders = two_or_more(tmp_path, folder, IA3Config, [dict(), dict(target_modules=["k_proj", "q_proj", "down_proj"],
                                                                     feedforward_modules=["down_proj"])])
    # Layers that only one of them has would be scaled by its weight, in peft as here.
    result = combine(folder, [folders[0], folders[0]], tmp_path / "ours", weights=[0.6, 0.4], type="linear")
    assert result.returncode == 0, result.stderr
    mine, theirs = load_file(tmp_path / "ours" / WEIGHTS), load_file(folders[0] / WEIGHTS)
    assert mine.keys() == theirs.keys() and all((mine[k] - theirs[k]).abs().max() <= 1e-6 for k in mine)
    combine(folder, folders, tmp_path / "both", weights=[0.25, 0.5], type="linear")
    model = load_all(folder, folders)
    model.add_weighted_adapter(["adapter-0", "adapter-1"], [0.25, 0.5], "new")
    model.save_pretrained(tmp_path / "peft", selected_adapters=["new"])
    mine, theirs = load_file(tmp_path / "both" / WEIGHTS), load_file(tmp_path / "peft/new" / WEIGHTS)
    assert mine.keys() == theirs.keys()
    for key in mine:
        assert (mine[key] - theirs[key]).abs().max() <= 1e-5, key


def test_refusals(tmp_path, model_folder):
    folder = model_folder("llama")
    folders = two_or_more(tmp_path, folder, sources=(dict(r=4, target_modules=["q_proj"]), dict(r=3, target_modules=["q_proj"]),
                                                     dict(r=4, target_modules=["q_proj"], use_dora=True)))
    for chosen, options, message in ((folders[:2], dict(weights=[1, 1], type="linear"), "adapters of one rank"),
                                     (folders[::2], dict(weights=[1, 1], type="linear"), "DoRA"),
                                     (folders[:2], dict(weights=[1], type="cat"), "a weight for each of 2 adapters, found 1"),
                                     (folders[:2], dict(weights=[1, 1], type="ties_svd", density=2), "shares from 0 to 1")):
        result = combine(folder, chosen, tmp_path / "out", **options)
        assert result.returncode != 0 and message in result.stderr, result.stderr


@pytest.mark.parametrize("rank", [4, 0.7])
def test_convert(tmp_path, model_folder, rank):
    """The nearest LoRA, by the command, as peft's convert_to_lora."""
    folder, source, out = model_folder("qwen2"), tmp_path / "lokr", tmp_path / "lora"
    model = make_adapter(folder, source, LoKrConfig, dict(r=4, alpha=8, target_modules=["q_proj", "up_proj"]),
                         tune=lambda n, p, noise: 0.3 * noise)
    run("convert", source, out, "--to", "lora", "--rank", rank, "--base", folder)
    _, theirs = convert_to_lora(model, rank=rank)
    mine, n = load_file(out / WEIGHTS), 0
    for key, a in mine.items():
        if "lora_A" in key:
            other = theirs[key]
            assert a.shape == other.shape
            product = mine[key.replace("lora_A", "lora_B")] @ a
            expected = theirs[key.replace("lora_A", "lora_B")] @ other
            assert (product - expected).abs().max() <= 1e-4 * expected.abs().max(), key
            n += 1
    assert n == 6
    # Every module has its own rank; peft reads it.
    loaded = PeftModel.from_pretrained(load_oracle(folder), out).eval()
    ids, _ = batch()
    with torch.no_grad():
        assert_logits(forward(tmp_path, folder, {"input_ids": ids}, out)["logits"], loaded(input_ids=ids).logits)


@pytest.mark.parametrize("family,config_class,fields", [("llama", OFTConfig, dict(oft_block_size=8, target_modules=["q_proj"])),
                                                        ("llama", IA3Config, dict(target_modules=["q_proj"], feedforward_modules=[])),
                                                        ("llama", LoHaConfig, dict(r=4, target_modules=["up_proj", "o_proj"])),
                                                        ("llama", LoraConfig, dict(r=4, use_dora=True, target_modules=["q_proj"])),
                                                        ("qwen2", IA3Config, dict(target_modules=["q_proj", "o_proj"], feedforward_modules=[])),
                                                        ("qwen2", LoraConfig, dict(r=4, target_modules=["o_proj"], lora_bias=True))])
def test_convert_exactly(tmp_path, model_folder, family, config_class, fields):
    """At full rank nothing is lost, whatever the method does to the weight and to the bias."""
    folder, source, out = model_folder(family), tmp_path / "source", tmp_path / "lora"
    model = make_adapter(folder, source, config_class, fields, tune=lambda n, p, noise: 0.2 * noise)
    run("convert", source, out, "--to", "lora", "--rank", 48, "--base", folder)
    ids, _ = batch()
    with torch.no_grad():
        assert_logits(forward(tmp_path, folder, {"input_ids": ids}, out)["logits"], model(input_ids=ids).logits)


def test_convert_refusals(tmp_path, model_folder):
    folder, source = model_folder("llama"), tmp_path / "lora"
    make_adapter(folder, source, LoraConfig, dict(r=4, target_modules=["k_proj"]))
    for args, status, message in ((["--to", "lora"], 2, "--to lora needs --rank"), (["--to", "lora", "--rank", 25], 1, "allows at most 24, found 25"),
                                  (["--to", "gguf-lora"], 1, "not available"), (["--to", "x"], 2, "expected peft, lora or gguf-lora"),
                                  (["--to", "lora", "--rank", 1.5], 1, "a whole number from 1")):
        result = run("convert", source, tmp_path / "out", "--base", folder, *args, check=False)
        assert result.returncode == status and message in result.stderr, result.stderr
        assert not (tmp_path / "out").exists()


def test_two_adapters_at_once(tmp_path, model_folder):
    """--adapter A=0.7 --adapter B=0.3: both count, with their weights, computing and merged."""
    folder = model_folder("llama")
    folders = two_or_more(tmp_path, folder)[:2]
    run("merge", "--model", folder, "--adapter", f"{folders[0]}=0.7", "--adapter", f"{folders[1]}=-0.4", "--output", tmp_path / "merged")
    weights, base = load_file(tmp_path / "merged/model.safetensors"), load_file(folder / "model.safetensors")
    first, second = updates(folders[0]), updates(folders[1])
    for key, value in base.items():
        module = "base_model.model." + key.removesuffix(".weight")
        expected = value + 0.7 * first.get(module, 0) - 0.4 * second.get(module, 0)
        assert (weights[key] - expected).abs().max() <= 1e-4 * max(1, expected.abs().max()), key


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_merging_in_memory(tmp_path, model_folder, dtype):
    """Merged computes the same, unmerged brings back every bit."""
    folder = model_folder("llama", dtype)
    folders = two_or_more(tmp_path, model_folder("llama"))[:2]
    ids, _ = batch(rows=1)
    result = drive({"model": str(folder), "adapters": [str(f) for f in folders], "merge": ids[0].tolist()})
    assert result.returncode == 0, result.stderr
    out = json.loads(result.stdout)
    before, merged, after, disabled = (torch.tensor(out[k]) for k in ("before", "merged", "after", "disabled"))
    limit = (1e-4 if dtype == torch.float32 else 3e-2) * max(1, before.abs().max().item())
    assert 0 < (merged - before).abs().max() <= limit
    assert torch.equal(after, before) and (disabled - before).abs().max() > 0.1
    assert out["names"] == ["adapter-0", "adapter-1"] and out["refused"]
    assert all(a["merged"] for a in out["status"]["adapters"])


def test_broken_adapters_are_not_merged(tmp_path, model_folder):
    folder = model_folder("llama")
    source = two_or_more(tmp_path, folder)[0]
    tensors = load_file(source / WEIGHTS)
    key = "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight"
    tensors[key][0, 0] = float("nan")
    save_file(tensors, source / WEIGHTS, metadata={"format": "pt"})
    result = drive({"model": str(folder), "adapters": [str(source)], "merge": [3, 4, 5]})
    assert result.returncode != 0 and "layers.1.self_attn.v_proj" in result.stderr and "not finite" in result.stderr


@pytest.mark.parametrize("config_class,sources", [
    (LoraConfig, SOURCES), (LoKrConfig, [dict(r=4, alpha=8, target_modules=["q_proj", "up_proj"]), dict(r=2, alpha=4, target_modules=["q_proj"])]),
    (LoHaConfig, [dict(r=4, alpha=8, target_modules=["q_proj", "up_proj"]), dict(r=2, alpha=4, target_modules=["q_proj"])]),
    (OFTConfig, [dict(oft_block_size=8, target_modules=["q_proj"]), dict(oft_block_size=4, target_modules=["q_proj", "down_proj"])]),
    (IA3Config, [dict(), dict(target_modules=["q_proj"], feedforward_modules=[])]),
    (AdaLoraConfig, [dict(init_r=4, target_r=2, total_step=10, target_modules=["q_proj", "up_proj"]), dict(init_r=3, target_r=2, total_step=10, target_modules=["v_proj"])]),
    (HRAConfig, [dict(r=4, target_modules=["q_proj", "up_proj"]), dict(r=2, apply_GS=True, target_modules=["q_proj", "v_proj"])]),
    (VeraConfig, [dict(r=4, target_modules=["q_proj", "o_proj"]), dict(r=4, target_modules=["q_proj"])]),
    (LoraConfig, [dict(r=4, target_modules=["embed_tokens", "q_proj"]), dict(r=2, use_dora=True, target_modules=["v_proj"])]),
])
def test_mixed_batch(tmp_path, model_folder, config_class, sources):
    """Lines of different lengths, in any order, each with an adapter of its own or none."""
    folder = model_folder("qwen2")
    folders = two_or_more(tmp_path, folder, config_class, sources)
    ids, _ = batch(rows=5, length=20)
    lines = [row[: 20 - 3 * i].tolist() for i, row in enumerate(ids)]
    names = ["adapter-1", "__base__", "adapter-0", "adapter-1", "adapter-0"]
    result = drive({"model": str(folder), "adapters": [str(f) for f in folders], "mixed": lines, "names": names})
    assert result.returncode == 0, result.stderr
    ours = torch.tensor(json.loads(result.stdout)).reshape(-1, 97).split([len(line) for line in lines])
    model, plain = load_all(folder, folders), load_oracle(folder)
    for line, name, mine in zip(lines, names, ours):
        if name != "__base__":
            model.set_adapter(name)
        with torch.no_grad():
            base = plain(input_ids=torch.tensor([line])).logits[0]
            expected = base if name == "__base__" else model(input_ids=torch.tensor([line])).logits[0]
        assert_logits(mine, expected)
        assert name == "__base__" or (expected - base).abs().max() > 0.05


def test_mixed_refusals(tmp_path, model_folder):
    folder = model_folder("llama")
    folders = two_or_more(tmp_path, folder, sources=[dict(r=4, target_modules=["lm_head"]), dict(r=4, target_modules=["q_proj"],
                                                                                                modules_to_save=["input_layernorm"])])
    make_adapter(folder, tmp_path / "attention", AdaptionPromptConfig, dict(adapter_len=4, adapter_layers=2), strength=0.1)
    folders.append(tmp_path / "attention")
    for names, message in ((["adapter-0"], "adapts the head"), (["adapter-2"], "adds to the attention"), (["adapter-1"], "replaces whole modules"), (["nobody"], "nobody"),
                           (["adapter-1", "adapter-1"], "an adapter's name for each")):
        result = drive({"model": str(folder), "adapters": [str(f) for f in folders], "mixed": [[3, 4, 5]], "names": names})
        assert result.returncode != 0 and message in result.stderr, result.stderr


def test_hotswap(tmp_path, model_folder):
    """Another rank, another scale, fewer layers; one with other layers, or of another method, is refused."""
    folder = model_folder("llama")
    folders = two_or_more(tmp_path, folder, sources=[dict(r=4, target_modules=["q_proj", "v_proj"]), dict(r=2, lora_alpha=7, target_modules=["q_proj"]),
                                                     dict(r=2, target_modules=["q_proj", "k_proj"])])
    lokr = tmp_path / "lokr"
    make_adapter(folder, lokr, LoKrConfig, dict(target_modules=["q_proj"]), strength=0.1)
    ids, _ = batch(rows=1)
    result = drive({"model": str(folder), "adapters": [str(folders[0])], "swap": [str(folders[1])], "ids": ids[0].tolist()})
    assert result.returncode == 0, result.stderr
    for ours, source in zip(json.loads(result.stdout), (folders[0], folders[1])):
        with torch.no_grad():
            expected = PeftModel.from_pretrained(load_oracle(folder), source).eval()(input_ids=ids).logits[0]
        assert_logits(torch.tensor(ours).reshape(expected.shape), expected)
    for other, message in ((folders[2], "does not adapt 'model.layers.0.self_attn.k_proj'"), (lokr, "of the method LORA")):
        result = drive({"model": str(folder), "adapters": [str(folders[0])], "swap": [str(other)], "ids": [3, 4]})
        assert result.returncode != 0 and message in result.stderr, result.stderr


def steps(folder, adapters, *wanted, **more):
    result = drive({"model": str(folder), "adapters": [str(a) for a in adapters], "steps": [list(w) for w in wanted], **more})
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def as_logits(values):
    return torch.tensor(values).reshape(-1, 97)


def oracle_logits(model, ids):
    with torch.no_grad():
        return model(input_ids=ids).logits[0]


def test_scale(tmp_path, model_folder):
    """The scale stays when others become active, and comes on top of their weights."""
    folder = model_folder("llama")
    folders = two_or_more(tmp_path, folder)[:2]
    ids, _ = batch(rows=1)
    row = ids[0].tolist()
    out = steps(folder, folders, ("set_adapter_scale", "adapter-0", 0.5), ("logits", row), ("set_active", ["adapter-1"], [1.0]), ("set_active", ["adapter-0"], [0.6]),
                ("logits", row), ("get_adapter_scale", "adapter-0"), ("get_active",))
    model = load_all(folder, folders)
    for ours, factor in ((out[1], 0.5), (out[4], 0.3)):
        for layer in model.modules():
            if hasattr(layer, "set_scale"):
                layer.set_scale("adapter-0", factor)
        assert_logits(as_logits(ours), oracle_logits(model, ids))
    assert out[5] == 0.5 and out[6] == ["adapter-0"]
    for name, bad, message in (("adapter-0", float("inf"), "a finite weight"), ("nobody", 0.5, "no adapter “nobody”")):
        result = drive({"model": str(folder), "adapters": [str(folders[0])], "steps": [["set_adapter_scale", name, bad]]})
        assert result.returncode != 0 and message in result.stderr, result.stderr


def test_choosing_unmerges(tmp_path, model_folder):
    """As peft: what becomes active does so on the model's own weights."""
    folder = model_folder("llama")
    folders = two_or_more(tmp_path, folder)[:2]
    ids, _ = batch(rows=1)
    out = steps(folder, folders, ("merge", None), ("get_merged",), ("set_active", ["adapter-1"], None), ("get_merged",), ("logits", ids[0].tolist()))
    model = load_all(folder, folders)
    model.set_adapter("adapter-1")
    assert out[1] == ["adapter-0"] and out[3] == []
    assert_logits(as_logits(out[4]), oracle_logits(model, ids))


def test_writing_what_is_merged(tmp_path, model_folder):
    """Merged or not, the written model is the same, with the adapters' weights."""
    folder = model_folder("llama")
    folders = two_or_more(tmp_path, folder)[:2]
    weights = ["set_active", ["adapter-0", "adapter-1"], [0.7, -0.4]]
    steps(folder, folders, weights, ("set_adapter_scale", "adapter-1", 0.5), ("merge_and_save", str(tmp_path / "a"), 0, None), ("merge", None),
          ("merge_and_save", str(tmp_path / "b"), 0, None))
    a, b, base = (load_file(f / "model.safetensors") for f in (tmp_path / "a", tmp_path / "b", folder))
    first, second = updates(folders[0]), updates(folders[1])
    key = "model.layers.0.self_attn.q_proj"
    expected = base[key + ".weight"] + 0.7 * first["base_model.model." + key] - 0.2 * second["base_model.model." + key]
    assert (a[key + ".weight"] - expected).abs().max() < 1e-5 and all(torch.equal(a[k], b[k]) for k in a)


def test_asynchronously(tmp_path, model_folder):
    folder = model_folder("llama")
    folders = two_or_more(tmp_path, folder)[:2]
    ids = batch(rows=1)[0][0].tolist()
    names, weights = ["adapter-0", "adapter-1"], [0.7, 0.3]
    kind = 2  # cat
    out = steps(folder, folders, ("add_weighted_adapter", names, weights, "one", kind, 0, 1.0, False, None),
                ("add_weighted_adapter_async", names, weights, "two", kind, 0, 1.0, False, None), ("add_weighted_adapter_async", names, weights, "two", kind, 0, 1.0, False, None),
                ("set_active", ["one"], None), ("logits", ids), ("set_active", ["two"], None), ("logits", ids),
                ("convert_to_lora_async", "two", "three", 8, None), ("hotswap_adapter_async", str(folders[1]), "adapter-1", None), ("get_active",), ("merge_async", None), ("merge_async", None), ("logits", ids), ("unmerge",),
                ("set_active", ["three"], None), ("merge_and_unload_async", None), ("logits", ids), ("get_adapter_names",))
    assert out[1] is True and "an adapter “two” already" in out[2] and out[7] is True and out[8] is True and out[9] == ["two"]
    assert out[10] is True and "merged already" in out[11] and out[15] is True and out[17] == []
    assert out[4] == out[6]
    assert_logits(as_logits(out[12]), as_logits(out[4]))
    assert_logits(as_logits(out[16]), as_logits(out[4]))


@pytest.mark.parametrize("family,fields", [("llama", dict(r=4, target_modules=["q_proj", "down_proj"])), ("llama-bias-tied", dict(r=4, target_modules=["q_proj", "embed_tokens"])),
                                           ("llama-bias-tied", dict(r=4, target_modules=["v_proj"], bias="all", use_dora=True))])
def test_merge_and_unload(tmp_path, model_folder, family, fields):
    """Another adapter goes on top, and what is written computes the same."""
    folder = model_folder(family)
    folders = two_or_more(tmp_path, folder, sources=[fields, dict(r=2, target_modules=["k_proj", "up_proj"])])
    ids, _ = batch(rows=1)
    row, saved, again = ids[0].tolist(), tmp_path / "saved", tmp_path / "again"
    out = steps(folder, folders[:1], ("logits", row), ("merge_and_unload", None), ("get_adapter_names",), ("logits", row), ("merge_and_save", str(saved), 0, None),
                ("load_adapter", str(folders[1]), "second"), ("logits", row), ("merge_and_save", str(again), 0, None))
    before, after, second = (as_logits(out[i]) for i in (0, 3, 6))
    assert out[2] == []
    assert_logits(after, before)
    merged = load_oracle(saved)
    assert merged.config.tie_word_embeddings == (family == "llama-bias-tied" and "embed_tokens" not in fields["target_modules"])
    assert_logits(after, oracle_logits(merged, ids))
    assert_logits(second, oracle_logits(PeftModel.from_pretrained(merged, folders[1]).eval(), ids))
    assert_logits(second, oracle_logits(load_oracle(again), ids))
    assert (second - after).abs().max() > 0.05
    if family == "llama":
        assert_logits(after, oracle_logits(PeftModel.from_pretrained(load_oracle(folder), folders[0]).merge_and_unload(safe_merge=True), ids))


def test_merge_and_unload_refusals(tmp_path, model_folder):
    folder = model_folder("llama")
    source = two_or_more(tmp_path, folder)[0]
    for adapters, others, message in (([], 0, "no adapter is active"), ([str(source)], 1, "other models are on the same base model")):
        result = drive({"model": str(folder), "adapters": adapters, "others": others, "steps": [["merge_and_unload", None]]})
        assert result.returncode != 0 and message in result.stderr, result.stderr


def test_status(tmp_path, model_folder, capsys):
    """Of the model and of every layer, and the line about parameters, as peft's."""
    folder = model_folder("llama")
    folders = two_or_more(tmp_path, folder, sources=[dict(r=4, target_modules=["q_proj", "v_proj"]), dict(r=2, target_modules=["q_proj", "up_proj"])])
    out = steps(folder, folders, ("get_status_json",), ("describe_parameters",), ("merge", None), ("get_status_json",), ("unmerge",), ("set_enabled", False), ("get_status_json",))
    model = PeftModel.from_pretrained(load_oracle(folder), folders[0], adapter_name="adapter-0", is_trainable=True)
    model.load_adapter(folders[1], adapter_name="adapter-1")
    model.set_adapter("adapter-0")

    def compare(ours, trainable):
        mine, theirs = json.loads(ours), model.get_model_status()
        same = ("num_adapter_layers", "enabled", "active_adapters", "merged_adapters", "available_adapters", "devices", "peft_types")
        for key in same:
            assert mine[key] == getattr(theirs, key), key
        assert mine["all_parameters"] == theirs.total_params and (not trainable or mine["trainable_parameters"] == theirs.trainable_params)
        layers = {layer.name: layer for layer in model.get_layer_status()}
        assert len(layers) == len(mine["layers"]) == 9
        for layer in mine["layers"]:
            other = layers["model." + layer["name"]]
            for key in ("enabled", "active_adapters", "merged_adapters", "available_adapters", "devices", "quantization_backend"):
                assert layer[key] == getattr(other, key), key
            assert not trainable or layer["requires_grad"] == other.requires_grad

    compare(out[0], True)
    capsys.readouterr()
    model.print_trainable_parameters()
    assert out[1] == capsys.readouterr().out.strip()
    model.merge_adapter(["adapter-0"])
    compare(out[3], False)
    model.unmerge_adapter()
    with model.disable_adapter():
        compare(out[6], False)


@pytest.fixture(scope="module")
def writer(tmp_path_factory, model_folder):
    """A model with a tokenizer, and two adapters."""
    tok = TOKENIZERS["llama3"]()
    out = tmp_path_factory.mktemp("writer") / "model"
    load_oracle(model_folder("llama", vocab_size=tok.get_vocab_size())).save_pretrained(out)
    tok.save(str(out / "tokenizer.json"))
    return out, two_or_more(out.parent, out)[:2]


TEXTS = ["The quick brown fox", "naïve 狐狸 text", "1 2 3", "The quick brown fox", "The quick brown fox"]
CHOSEN = ["adapter-1", "__base__", "adapter-0", "adapter-0", "__base__"]


def test_generating_with_an_adapter_each(writer):
    folder, folders = writer
    result = drive({"model": str(folder), "adapters": [str(f) for f in folders], "texts": TEXTS, "names": CHOSEN, "new": 12})
    assert result.returncode == 0, result.stderr
    out = json.loads(result.stdout)
    assert out["together"] == out["alone"] == out["again"] == out["tokens"]
    assert len({tuple(ids) for ids, text in zip(out["together"], TEXTS) if text == TEXTS[0]}) == 3


def test_generating_by_the_command(writer, tmp_path):
    """A file whose lines say which adapter they want; the weights of --adapter count."""
    folder, folders = writer
    names = [None if name == "__base__" else str(folders[int(name[-1])]) for name in CHOSEN]
    rows = tmp_path / "prompts.jsonl"
    rows.write_text("".join(json.dumps({"prompt": text, "adapter": name}) + "\n" for text, name in zip(TEXTS, names)))
    options = ["generate", "--model", folder, "--json", "--dtype", "float32", "--max-new-tokens", 12]
    both = ["--adapter", f"{folders[0]}=0.8", "--adapter", folders[1]]
    mixed = [json.loads(line)["ids"] for line in run(*options, *both, "--prompts", rows).stdout.splitlines()]
    alone = []
    for text, name in zip(TEXTS, names):
        own = [] if name is None else ["--adapter", name + ("=0.8" if name == str(folders[0]) else "")]
        alone.append(json.loads(run(*options, *own, "--prompt", text).stdout)["ids"])
    assert mixed == alone
    rows.write_text(json.dumps({"prompt": "x", "adapter": "elsewhere"}) + "\n")
    result = run(*options, *both, "--prompts", rows, check=False)
    assert result.returncode == 1 and "prompt 1: the adapter “elsewhere” was not given with --adapter" in result.stderr
    rows.write_text("x\n" + json.dumps({"prompt": "x", "adapter": 3}) + "\n")
    result = run(*options, *both, "--prompts", rows, check=False)
    assert result.returncode == 1 and "line 2: adapter: expected a folder or null" in result.stderr


def test_combining_by_the_command(tmp_path, model_folder):
    folder = model_folder("llama")
    folders = two_or_more(tmp_path, folder)[:2]
    adapters = ["--adapter", f"{folders[0]}=0.7", "--adapter", f"{folders[1]}=0.5"]
    run("merge", "--model", folder, *adapters, "--combine", "ties_svd", "--density", 0.4, "--majority-sign", "frequency", "--rank", 3,
        "--output-adapter", tmp_path / "one", "--output", tmp_path / "merged")
    model = load_all(folder, folders)
    model.add_weighted_adapter(["adapter-0", "adapter-1"], [0.7, 0.5], "new", combination_type="ties_svd", density=0.4, svd_rank=3, majority_sign_method="frequency")
    model.set_adapter("new")
    ids, _ = batch(rows=1)
    expected = oracle_logits(model, ids)
    assert_logits(oracle_logits(load_oracle(tmp_path / "merged"), ids), expected)
    assert_logits(oracle_logits(PeftModel.from_pretrained(load_oracle(folder), tmp_path / "one").eval(), ids), expected)
    for args, message in ((["--combine", "mean"], "expected one of svd, linear, cat"), (["--combine", "ties"], "needs --density"), (["--rank", 3], "go with --combine"),
                          (["--combine", "svd", "--majority-sign", "x"], "expected total or frequency")):
        result = run("merge", "--model", folder, *adapters, "--output", tmp_path / "no", *args, check=False)
        assert result.returncode == 2 and message in result.stderr and not (tmp_path / "no").exists(), result.stderr


def test_inspect_on_a_model(tmp_path, model_folder):
    folder = model_folder("llama")
    source = two_or_more(tmp_path, folder)[0]
    status = json.loads(run("inspect", source, "--model", folder, "--json").stdout)["status"]
    assert status["num_adapter_layers"] == len(status["layers"]) == 9 and status["requires_grad"] == {"default": True}
    assert "layers" not in run("inspect", source, "--model", folder).stdout.split("status")[1].split("num_adapter_layers")[0]
