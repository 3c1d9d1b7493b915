# SPDX-License-Identifier: LGPL-2.1-or-later
"""LoRA's further forms against peft: DoRA, starts that take a part out of the weights, orthogonal starts, trained token rows,
tied weights."""

import json
import shutil

import pytest
import torch
from conftest import assert_logits, batch, forward, load_oracle, run
from method_checks import (WEIGHTS, check_config, check_manifest, check_merge, check_ours_to_peft, check_peft_to_ours, check_save_stable,
                           check_steps, key_of, make_adapter, train)
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ALL = ATTENTION + ["gate_proj", "up_proj", "down_proj"]
TIED = "llama-bias-tied"

DORA = {
    "plain": ("llama", dict(r=4, lora_alpha=8, target_modules=ALL)),
    "biases": ("qwen2", dict(r=3, lora_alpha=6, target_modules=ALL, lora_dropout=0.1)),
    "rslora-bias-all": (TIED, dict(r=4, lora_alpha=8, use_rslora=True, target_modules=ATTENTION, bias="all")),
    "embedding": ("llama", dict(r=4, lora_alpha=8, target_modules=["embed_tokens", "v_proj"])),
    "patterns": ("mistral-window", dict(r=4, lora_alpha=8, target_modules=ATTENTION, rank_pattern={"q_proj": 2},
                                        alpha_pattern={"v_proj": 3})),
}
DORA = {k: (f, dict(v, use_dora=True)) for k, (f, v) in DORA.items()}

STARTS = {
    "pissa": ("llama", dict(r=4, lora_alpha=8, target_modules=ALL, init_lora_weights="pissa")),
    "pissa-rslora": ("qwen3", dict(r=3, lora_alpha=6, target_modules=ATTENTION, use_rslora=True, init_lora_weights="pissa")),
    "pissa-patterns": ("qwen2", dict(r=4, lora_alpha=8, target_modules=ATTENTION, init_lora_weights="pissa",
                                     rank_pattern={"q_proj": 2}, alpha_pattern={"v_proj": 3})),
    "pissa-dora": ("llama", dict(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"], use_dora=True, init_lora_weights="pissa")),
    "pissa-embedding": ("qwen3", dict(r=4, lora_alpha=8, target_modules=["embed_tokens", "v_proj"], init_lora_weights="pissa")),
    "olora": ("llama", dict(r=4, lora_alpha=4, target_modules=ALL, init_lora_weights="olora")),
    "olora-one": ("mistral-window", dict(r=1, lora_alpha=3, target_modules=["v_proj"], init_lora_weights="olora")),
    "olora-dropout": ("qwen2", dict(r=4, lora_alpha=8, lora_dropout=0.2, target_modules=ATTENTION, init_lora_weights="olora")),
}

ORTHOGONAL = {
    "plain": ("llama", dict(r=4, lora_alpha=8, target_modules=ALL)),
    "embedding": ("qwen3", dict(r=2, lora_alpha=4, target_modules=["q_proj", "embed_tokens"])),
    "dora": ("qwen2", dict(r=6, lora_alpha=8, target_modules=ATTENTION, use_dora=True)),
}
ORTHOGONAL = {k: (f, dict(v, init_lora_weights="orthogonal")) for k, (f, v) in ORTHOGONAL.items()}

BASE = dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
TOKENS = {
    "list": ("llama", dict(BASE, trainable_token_indices=[5, 17, 3, 96])),
    "tied": (TIED, dict(BASE, trainable_token_indices=[5, 17, 3])),
    "map": ("qwen2", dict(BASE, trainable_token_indices={"embed_tokens": [5, 17], "lm_head": [9]})),
    "map-tied-apart": (TIED, dict(BASE, trainable_token_indices={"embed_tokens": [5, 17], "lm_head": [9]})),
    "map-tied-same": (TIED, dict(BASE, trainable_token_indices={"embed_tokens": [5, 17], "lm_head": [5, 17]}, ensure_weight_tying=True)),
    "head-only": (TIED, dict(BASE, trainable_token_indices={"lm_head": [9, 5]})),
}

TYING = {
    "save-head": (TIED, dict(BASE, modules_to_save=["lm_head"])),
    "save-embedding": (TIED, dict(BASE, modules_to_save=["embed_tokens"])),
    "save-both": (TIED, dict(BASE, modules_to_save=["embed_tokens", "lm_head", "input_layernorm"])),
    "untied": ("llama", dict(BASE, modules_to_save=["embed_tokens"])),
    "target-embedding": (TIED, dict(BASE, target_modules=["q_proj", "embed_tokens"])),
    "target-head": (TIED, dict(BASE, target_modules=["q_proj", "lm_head"])),
    "target-regex": (TIED, dict(BASE, target_modules=r".*(q_proj|lm_head)")),
}
TYING = {k: (f, dict(v, ensure_weight_tying=True)) for k, (f, v) in TYING.items()}

FORMS = {f"{form}-{k}": v for form, group in (("dora", DORA), ("orthogonal", ORTHOGONAL), ("tokens", TOKENS), ("tying", TYING))
         for k, v in group.items()}


def tune(name, p, noise):
    """Moderate changes: torch's own float32 gradients must be good."""
    if "lora_" not in name:
        return 0.05 * noise
    return (0.2 if "magnitude" not in name else 0.1) * noise


def make(folder, out, fields, **kw):
    return make_adapter(folder, out, LoraConfig, fields, tune=tune, **kw)


@pytest.fixture(scope="session")
def gap_folder(model_folder, tmp_path_factory):
    """family → a model whose layers have singular values with gaps: of equal ones every decomposition picks others, torch's too."""
    made = {}

    def get(family):
        if family not in made:
            made[family] = tmp_path_factory.mktemp(family + "-gaps")
            model = load_oracle(model_folder(family))
            with torch.no_grad():
                for name, p in model.named_parameters():
                    if "proj.weight" in name:
                        u, s, vt = torch.linalg.svd(p.double(), full_matrices=False)
                        s = s[0] * 0.8 ** torch.arange(len(s), dtype=torch.float64)
                        p.copy_(u @ torch.diag(s) @ vt)
            model.save_pretrained(made[family])
        return made[family]

    return get


def file_key(parameter):
    return key_of(parameter).replace("lora_magnitude_vector.weight", "lora_magnitude_vector")


@pytest.mark.parametrize("variant", FORMS)
def test_peft_to_ours(tmp_path, model_folder, variant):
    family, fields = FORMS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    check_peft_to_ours(tmp_path, folder, make(folder, adapter, fields), adapter, key=file_key)


@pytest.mark.parametrize("variant", FORMS)
def test_merge(tmp_path, model_folder, variant):
    family, fields = FORMS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make(folder, adapter, fields)
    if not variant.startswith("tying-target") and variant not in ("tokens-map-tied-apart", "tokens-head-only"):
        check_merge(tmp_path, folder, model, adapter)
        return
    # peft merges both into the one tensor, which is wrong; the model must compute the same all the same.
    merged = tmp_path / "merged"
    ids, _ = batch()
    run("merge", "--model", folder, "--adapter", adapter, "--output", merged)
    with torch.no_grad():
        expected = model(input_ids=ids).logits
        assert_logits(load_oracle(merged)(input_ids=ids).logits, expected)
    assert_logits(forward(tmp_path, merged, {"input_ids": ids})["logits"], expected)


@pytest.mark.parametrize("variant", FORMS)
def test_ours_to_peft(tmp_path, model_folder, variant):
    family, fields = FORMS[variant]
    check_ours_to_peft(tmp_path, model_folder(family), LoraConfig, "LORA", fields, rate=0.01, tune=tune)


@pytest.mark.parametrize("variant", ["dora-plain", "dora-embedding", "orthogonal-dora", "tokens-list", "tokens-tied",
                                     "tokens-map-tied-apart", "tying-save-head", "tying-target-embedding", "tying-target-head"])
def test_steps(tmp_path, model_folder, variant):
    family, fields = FORMS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    make(folder, adapter, fields)
    check_steps(tmp_path, folder, adapter)


@pytest.mark.parametrize("variant", STARTS)
def test_unconverted_peft_to_ours(tmp_path, gap_folder, variant):
    """A file of peft's that leaves the start out of the base: it is computed again, here as there."""
    family, fields = STARTS[variant]
    folder, adapter = gap_folder(family), tmp_path / "adapter"
    model = make(folder, adapter, fields)
    check_peft_to_ours(tmp_path, folder, model, adapter, key=file_key)
    check_merge(tmp_path, folder, model, adapter)


@pytest.mark.parametrize("variant", ["pissa", "pissa-rslora", "pissa-dora", "olora"])
def test_start_steps(tmp_path, gap_folder, variant):
    family, fields = STARTS[variant]
    folder, adapter = gap_folder(family), tmp_path / "adapter"
    make(folder, adapter, fields)
    check_steps(tmp_path, folder, adapter)


def convert_by_peft(folder, path, fields):
    """What peft saves of an adapter that it trained a little, when told where it started."""
    torch.manual_seed(1)
    model = get_peft_model(load_oracle(folder), LoraConfig(task_type="CAUSAL_LM", **fields))
    init = fields["init_lora_weights"]
    model.peft_config["default"].init_lora_weights = True
    model.save_pretrained(path / "start")
    model.peft_config["default"].init_lora_weights = init
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(0.01 * torch.randn(p.shape))
    model.save_pretrained(path / "converted", path_initial_model_for_weight_conversion=path / "start")
    return path / "converted"


@pytest.mark.parametrize("variant", STARTS)
def test_conversion(tmp_path, gap_folder, variant):
    """Our file is a plain LoRA of the shapes and settings of peft's own conversion; peft computes with it on the unchanged base what
    we compute in the form that is trained, which the checkpoint has."""
    family, fields = STARTS[variant]
    folder, ours = gap_folder(family), tmp_path / "ours"
    ids, _ = batch()
    train(tmp_path, folder, ours, "LORA", fields, steps=2, rate=0.01, extra=["--save-every", 2, "--keep", 0])
    trained_form = ours / "checkpoints/step-2"
    assert json.loads((trained_form / "adapter_config.json").read_text())["init_lora_weights"] == fields["init_lora_weights"]
    with torch.no_grad():
        converted = PeftModel.from_pretrained(load_oracle(folder), ours).eval()(input_ids=ids).logits
        unconverted = PeftModel.from_pretrained(load_oracle(folder), trained_form).eval()(input_ids=ids).logits
        base = load_oracle(folder)(input_ids=ids).logits
    assert (converted - base).abs().max() >= 0.1
    assert_logits(converted, unconverted)
    for adapter in (ours, trained_form):
        assert_logits(forward(tmp_path, folder, {"input_ids": ids}, adapter)["logits"], converted)
    if "use_dora" in fields or "embed_tokens" in fields["target_modules"]:
        return  # peft's conversion forgets magnitudes and embeddings
    peft = convert_by_peft(folder, tmp_path, fields)
    check_manifest(ours, peft)
    check_config(ours, peft, ignored=("inference_mode",))


@pytest.mark.parametrize("variant", ["pissa", "pissa-patterns", "olora", "pissa-rslora"])
def test_start(tmp_path, gap_folder, variant):
    """Without a step B A is peft's, and nothing is changed."""
    family, fields = STARTS[variant]
    folder, ours = gap_folder(family), tmp_path / "ours"
    train(tmp_path, folder, ours, "LORA", fields, steps=1, rate=0, extra=["--save-every", 1])
    mine = load_file(ours / "checkpoints/step-1" / WEIGHTS)
    model = get_peft_model(load_oracle(folder), LoraConfig(task_type="CAUSAL_LM", **fields))
    theirs = {key_of(k): p for k, p in model.named_parameters() if p.requires_grad}
    assert mine.keys() == theirs.keys()
    for key in mine:
        if "lora_A" in key:
            other = key.replace("lora_A", "lora_B")
            product = (theirs[other] @ theirs[key]).detach()
            assert (mine[other] @ mine[key] - product).abs().max() <= 1e-4 * product.abs().max(), key
    ids, _ = batch()
    assert_logits(forward(tmp_path, folder, {"input_ids": ids}, ours)["logits"], load_oracle(folder)(input_ids=ids).logits.detach())


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_niter(tmp_path, gap_folder, family):
    """The randomised start is close to the exact one; a file that leaves it out of the base is used with a warning."""
    folder, ours = gap_folder(family), tmp_path / "ours"
    fields = dict(r=6, lora_alpha=8, target_modules=ATTENTION)
    train(tmp_path, folder, ours, "LORA", dict(fields, init_lora_weights="pissa_niter_8"), steps=1, rate=0, extra=["--save-every", 1])
    mine = load_file(ours / "checkpoints/step-1" / WEIGHTS)
    model = get_peft_model(load_oracle(folder), LoraConfig(task_type="CAUSAL_LM", init_lora_weights="pissa", **fields))
    theirs = {key_of(k): p.detach() for k, p in model.named_parameters() if p.requires_grad}
    for key in mine:
        if "lora_A" in key:
            other = key.replace("lora_A", "lora_B")
            product = theirs[other] @ theirs[key]
            assert (mine[other] @ mine[key] - product).norm() <= 0.02 * product.norm(), key
    adapter = tmp_path / "adapter"
    make(folder, adapter, dict(fields, init_lora_weights="pissa_niter_8"))
    result = run("merge", "--model", folder, "--adapter", adapter, "--output", tmp_path / "merged")
    assert "randomised" in result.stderr


def test_orthogonal_start(tmp_path, model_folder):
    """B A is zero while A and B are not, with the deviations of peft's."""
    folder, ours = model_folder("llama"), tmp_path / "ours"
    train(tmp_path, folder, ours, "LORA", dict(ORTHOGONAL["plain"][1], r=8), steps=1, rate=0)
    mine = load_file(ours / WEIGHTS)
    values = []
    for key in mine:
        if "lora_A" in key:
            other = mine[key.replace("lora_A", "lora_B")]
            assert (other @ mine[key]).abs().max() <= 1e-6
            values += [mine[key].flatten(), other.flatten()]
    assert abs(torch.cat(values).std() - 0.1 / 2 ** 0.5) < 0.002


@pytest.mark.parametrize("fields", [STARTS["pissa"][1], dict(STARTS["olora"][1], lora_dropout=0.3),
                                    dict(STARTS["pissa"][1], init_lora_weights="pissa_niter_2"), DORA["plain"][1],
                                    dict(TYING["target-embedding"][1], use_dora=True)])
def test_resume(tmp_path, model_folder, fields):
    """Going on from a checkpoint gives the bytes of an uninterrupted run."""
    folder, ours, again = model_folder(TIED), tmp_path / "ours", tmp_path / "again"
    extra = ["--save-every", 2, "--keep", 0]
    train(tmp_path, folder, ours, "LORA", fields, steps=4, rate=0.01, extra=extra)
    shutil.copytree(ours, again)
    shutil.rmtree(again / "checkpoints/step-4")
    for name in (WEIGHTS, "adapter_config.json"):
        (again / name).unlink()
    train(tmp_path, folder, again, "LORA", fields, steps=4, rate=0.01, extra=[*extra, "--resume"])
    assert (ours / WEIGHTS).read_bytes() == (again / WEIGHTS).read_bytes()


@pytest.mark.parametrize("fields, words", [
    (dict(init_lora_weights="pissa", use_rslora=True, rank_pattern={"q_proj": 2}), ["use_rslora", "rank_pattern"]),
    (dict(init_lora_weights="pissa", r=49), ["49", "48"]),
    (dict(init_lora_weights="pissa", lora_alpha=0), ["lora_alpha", "above 0"]),
    (dict(init_lora_weights="pissa_niter_x"), ["pissa_niter_N"]),
    (dict(init_lora_weights="orthogonal", r=3), ["even rank", "3"]),
    (dict(init_lora_weights="loftq"), ["loftq", "pissa"]),
    (dict(use_dora=True, lora_bias=True), ["lora_bias", "use_dora"]),
    (dict(r=0), ["r:", "1"]),
    (dict(trainable_token_indices=[3, 97]), ["97", "embed_tokens", "96"]),
    (dict(trainable_token_indices=[-1]), ["-1", "embed_tokens"]),
    (dict(trainable_token_indices=[3, 3]), ["3", "twice"]),
    (dict(trainable_token_indices={"q_proj": [3]}), ["q_proj", "embed_tokens", "lm_head"]),
    (dict(trainable_token_indices=[3], target_modules=["embed_tokens"]), ["target_modules", "embed_tokens"]),
    (dict(trainable_token_indices=[3], modules_to_save=["embed_tokens"]), ["modules_to_save", "embed_tokens"]),
    (dict(trainable_token_indices={"embed_tokens": [3], "lm_head": [4]}, ensure_weight_tying=True), ["ensure_weight_tying", "same"]),
    (dict(use_qalora=True), ["use_qalora"]),
])
def test_refusals(tmp_path, model_folder, fields, words):
    data = tmp_path / "rows.jsonl"
    data.write_text('{"input_ids": [1, 5, 6]}\n')
    fields = dict(dict(r=4, target_modules=["q_proj"]), **fields)
    sets = [arg for key, value in fields.items() for arg in ("--set", f"{key}={json.dumps(value)}")]
    result = run("train", "--model", model_folder(TIED), "--data", data, "--output", tmp_path / "out", "--method", "LORA", *sets,
                 "--max-steps", 1, check=False)
    assert result.returncode != 0
    for word in words:
        assert word in result.stderr, result.stderr


@pytest.mark.parametrize("variant", FORMS)
def test_save_stable(tmp_path, model_folder, variant):
    family, fields = FORMS[variant]
    folder, adapter = model_folder(family), tmp_path / "adapter"
    make(folder, adapter, fields)
    check_save_stable(tmp_path, folder, adapter)
