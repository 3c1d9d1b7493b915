# SPDX-License-Identifier: LGPL-2.1-or-later
"""Models with other heads than the language model's: adapters, heads, losses, gradients and files as peft's."""

import json

import pytest
import torch
from conftest import assert_gradient, assert_logits, forward, run, shared
from method_checks import WEIGHTS, check_config, key_of
from peft import IA3Config, LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file
from transformers import (AutoConfig, AutoModel, AutoModelForQuestionAnswering, AutoModelForSequenceClassification,
                          AutoModelForTokenClassification, AutoTokenizer)

CLASSES = {
    "SEQ_CLS": AutoModelForSequenceClassification,
    "TOKEN_CLS": AutoModelForTokenClassification,
    "QUESTION_ANS": AutoModelForQuestionAnswering,
    "FEATURE_EXTRACTION": AutoModel,
}
FAMILIES = ["llama", "mistral-window", "qwen2", "qwen3"]
TARGETS = ["q_proj", "v_proj", "down_proj"]
N_LABELS = 3
LENGTH = 20


def load_oracle(task, folder, **kw):
    if task in ("SEQ_CLS", "TOKEN_CLS"):
        kw.setdefault("num_labels", N_LABELS)
    architecture = json.loads((folder / "config.json").read_text())["architectures"][0]
    if task == "QUESTION_ANS" and not architecture.endswith("QuestionAnswering"):
        # Most of these classes call the model in it `transformer`, which other checkpoints do not.
        config = AutoConfig.from_pretrained(folder, attn_implementation="eager")
        torch.manual_seed(7)
        model = CLASSES[task].from_config(config)
        body = AutoModel.from_pretrained(folder, dtype=torch.float32)
        getattr(model, model.base_model_prefix).load_state_dict(body.state_dict())
        return model.float().eval()
    return CLASSES[task].from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", **kw).eval()


def randomise(model, seed=5):
    """Trained tensors random, the head's with a deviation that gives logits of about 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad:
                head = "score" in name or "qa_outputs" in name
                p.add_((0.3 if head else 0.1) * torch.randn(p.shape, generator=generator))
    return model.eval()


def make_adapter(task, folder, out, config):
    torch.manual_seed(3)
    model = randomise(get_peft_model(load_oracle(task, folder), config))
    model.save_pretrained(out)
    return model


def make_inputs(task, n_virtual=0, padded=False, width=None):
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 97, (3, LENGTH), generator=generator)
    inputs = {"input_ids": ids}
    if padded:
        mask = torch.ones_like(ids)
        mask[1, -6:] = 0
        ids[1, -6:] = 0
        inputs["attention_mask"] = mask
    if task == "SEQ_CLS":
        inputs["labels"] = torch.tensor([2, 0, 1])
    elif task == "TOKEN_CLS":
        labels = torch.randint(0, N_LABELS, ids.shape, generator=generator)
        labels[0, :7] = -100
        if padded:
            labels[1, -6:] = -100
        inputs["labels"] = labels
    elif task == "QUESTION_ANS":
        inputs["start_positions"] = n_virtual + torch.tensor([3, 0, 9])
        inputs["end_positions"] = n_virtual + torch.tensor([5, 0, 12])
    else:
        gradient = torch.randn(3, n_virtual + LENGTH, width, generator=generator) / (3 * LENGTH)
        if padded:
            gradient[1, -6:] = 0
        inputs["output_gradient"] = gradient
    return inputs


def file_key(parameter):
    return "prompt_embeddings" if parameter.startswith("prompt_encoder") else key_of(parameter)


def run_peft(model, inputs):
    """Outputs by name, and the loss that gradients are of."""
    gradient = inputs.get("output_gradient")
    config = model.peft_config["default"] if hasattr(model, "peft_config") else None
    if isinstance(config, PromptTuningConfig) and "labels" in inputs and inputs["labels"].dim() == 2:
        # Virtual positions have no labels; for tokens peft leaves it to its caller to say so.
        inputs = {**inputs, "labels": torch.nn.functional.pad(inputs["labels"], (config.num_virtual_tokens, 0), value=-100)}
    result = model(**{k: v for k, v in inputs.items() if k != "output_gradient"})
    names = ("start_logits", "end_logits", "last_hidden_state") if not hasattr(result, "logits") else ("logits",)
    outputs = {n: getattr(result, n) for n in names if getattr(result, n, None) is not None}
    if gradient is not None:
        return outputs, (outputs["last_hidden_state"] * gradient).sum()
    if "start_logits" in outputs and "attention_mask" in inputs:
        # transformers looks for answers in padding as well; here padding never changes a loss.
        out = inputs["attention_mask"] == 0
        return outputs, sum(torch.nn.functional.cross_entropy(outputs[f"{side}_logits"].masked_fill(out, -1e30),
                                                              inputs[f"{side}_positions"]) / 2 for side in ("start", "end"))
    return outputs, result.loss


def check(tmp_path, task, folder, model, adapter, inputs):
    outputs, loss = run_peft(model, inputs)
    ours = forward(tmp_path, folder, inputs, adapter, gradients=True)
    for name, expected in outputs.items():
        assert ours[name].shape == expected.shape
        real = inputs["attention_mask"] == 1 if "attention_mask" in inputs and expected.shape[1] == LENGTH else ...
        assert_logits(ours[name][real], expected.detach()[real])
    if task != "FEATURE_EXTRACTION":
        assert abs(ours["loss"].item() - loss.item()) <= 1e-5
    loss.backward()
    keys, compared = set(load_file(adapter / WEIGHTS)), 0
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        assert file_key(name) in keys, f"{file_key(name)} is not in peft's file"
        if p.grad.abs().max() < 1e-6:  # adding one number to all logits changes nothing
            assert "qa_outputs" in name and ours["grad." + file_key(name)].abs().max() < 1e-6
        else:
            assert_gradient(file_key(name), ours["grad." + file_key(name)], p.grad)
        compared += 1
    assert compared == len(keys)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", CLASSES)
def test_lora_as_peft(tmp_path, model_folder, task, family, padded):
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make_adapter(task, folder, adapter, LoraConfig(task_type=task, r=4, lora_alpha=8, target_modules=TARGETS))
    check(tmp_path, task, folder, model, adapter, make_inputs(task, padded=padded, width=48))


CONFIGS = {
    "ia3": lambda task: IA3Config(task_type=task),
    "prompt": lambda task: PromptTuningConfig(task_type=task, num_virtual_tokens=4),
}


@pytest.mark.parametrize("method", CONFIGS)
@pytest.mark.parametrize("task,family", [("SEQ_CLS", "llama"), ("SEQ_CLS", "qwen3"), ("TOKEN_CLS", "qwen2"), ("QUESTION_ANS", "llama")])
def test_other_methods_as_peft(tmp_path, model_folder, method, task, family):
    methods = {m["name"] for m in json.loads(run("methods", "--json").stdout)["methods"]}
    config = CONFIGS[method](task)
    if config.peft_type.value not in methods:
        pytest.skip(f"{config.peft_type.value} is not there")
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make_adapter(task, folder, adapter, config)
    check(tmp_path, task, folder, model, adapter, make_inputs(task, n_virtual=4 if method == "prompt" else 0))


def write_rows(path, task, n=6, seed=4):
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for i in range(n):
        ids = torch.randint(3, 97, (LENGTH - i,), generator=generator)
        row = {"input_ids": ids.tolist()}
        if task == "SEQ_CLS":
            row["label"] = i % N_LABELS
        elif task == "TOKEN_CLS":
            row["labels"] = [-100] + torch.randint(0, N_LABELS, (len(ids) - 1,), generator=generator).tolist()
        else:
            row.update(start_positions=2 + i, end_positions=4 + i)
        rows.append(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def train(folder, data, out, *extra):
    return run("train", "--model", folder, "--data", data, "--output", out, "--batch-size", 2, "--schedule", "constant",
               "--warmup-ratio", 0, "--dtype", "float32", *extra)


TRAINED = ["SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS"]


@pytest.mark.parametrize("family", ["llama", "mistral-window", "qwen3"])
@pytest.mark.parametrize("task", TRAINED)
def test_ours_to_peft(tmp_path, model_folder, task, family):
    """We train a new head; peft loads what we wrote, computes the same, and writes the same keys and fields."""
    folder, ours, peft, data = model_folder(family), tmp_path / "ours", tmp_path / "peft", tmp_path / "rows.jsonl"
    write_rows(data, task)
    train(folder, data, ours, "--task", task, "--set", "r=4", "--set", f"target_modules={json.dumps(TARGETS)}", "--max-steps", 2,
          "--learning-rate", 0.02)
    model = PeftModel.from_pretrained(load_oracle(task, folder), ours).eval()
    inputs = make_inputs(task)
    with torch.no_grad():
        outputs, loss = run_peft(model, inputs)
    mine = forward(tmp_path, folder, inputs, ours)
    for name, expected in outputs.items():
        assert_logits(mine[name], expected)
    assert abs(mine["loss"].item() - loss.item()) <= 1e-5
    make_adapter(task, folder, peft, LoraConfig(task_type=task, r=4, target_modules=TARGETS))
    tensors, reference = load_file(ours / WEIGHTS), load_file(peft / WEIGHTS)
    assert {k: (v.shape, v.dtype) for k, v in tensors.items()} == {k: (v.shape, v.dtype) for k, v in reference.items()}
    check_config(ours, peft)
    assert json.loads((ours / "adapter_config.json").read_text())["task_type"] == task
    labels = ours / "labels.json"
    assert labels.exists() == (task != "QUESTION_ANS")
    if labels.exists():
        assert json.loads(labels.read_text())["id2label"] == {str(i): f"LABEL_{i}" for i in range(N_LABELS)}


def test_new_head(tmp_path, model_folder):
    """A new head is normal with the deviation initializer_range; its bias is zero."""
    folder, data, out = model_folder("llama"), tmp_path / "rows.jsonl", tmp_path / "out"
    write_rows(data, "TOKEN_CLS", n=2)
    train(folder, data, out, "--task", "TOKEN_CLS", "--max-steps", 1, "--learning-rate", 0)
    tensors = load_file(out / WEIGHTS)
    weight = tensors["base_model.model.score.weight"]
    assert abs(weight.std().item() - 0.02) < 0.004 and abs(weight.mean().item()) < 0.005
    assert tensors["base_model.model.score.bias"].abs().max() == 0


@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.parametrize("task", TRAINED)
def test_steps_follow_peft(tmp_path, model_folder, task, family):
    """Ten optimiser steps from the same values, over which the loss changes, give peft's losses."""
    folder, adapter, data, log = model_folder(family), tmp_path / "adapter", tmp_path / "rows.jsonl", tmp_path / "log.jsonl"
    rows = write_rows(data, task, n=4)
    # Dropout before the head of TOKEN_CLS draws other numbers in torch.
    config = json.loads((folder / "config.json").read_text())
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "config.json").write_text(json.dumps({**config, "classifier_dropout": 0.0}))
    (plain / "model.safetensors").symlink_to(folder / "model.safetensors")
    make_adapter(task, plain, adapter, LoraConfig(task_type=task, r=4, lora_alpha=8, target_modules=TARGETS))
    train(plain, data, tmp_path / "out", "--adapter", adapter, "--no-shuffle", "--batch-size", 1, "--max-steps", 10, "--learning-rate",
          2e-3, "--max-grad-norm", 0, "--log-json", log)
    ours = [s["loss"] for s in map(json.loads, log.read_text().splitlines()) if "step" in s and "loss" in s]
    model = PeftModel.from_pretrained(load_oracle(task, plain), adapter, is_trainable=True).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3, weight_decay=0.0)
    losses = []
    for step in range(10):
        row = rows[step % len(rows)]
        inputs = {k: torch.tensor([v]) for k, v in row.items() if k != "label"}
        if "label" in row:
            inputs["labels"] = torch.tensor([row["label"]])
        optimizer.zero_grad()
        loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert max(losses) - min(losses) >= 0.02 * losses[0]
    assert len(ours) == 10
    for i, (mine, theirs) in enumerate(zip(ours, losses)):
        assert abs(mine - theirs) <= 1e-3 * max(theirs, 0.1), f"step {i + 1}: {mine} and {theirs}"


@pytest.mark.parametrize("task", ["SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION"])
def test_models_with_a_head(tmp_path, model_folder, task):
    """Whole models of the class load with the head that they have; merging writes such a model."""
    folder, adapter, merged = tmp_path / "base", tmp_path / "adapter", tmp_path / "merged"
    base = load_oracle(task, model_folder("qwen2"))
    with torch.no_grad():
        for name, p in base.named_parameters():
            if "score" in name or "qa_outputs" in name:
                p.normal_(0, 0.3, generator=torch.Generator().manual_seed(2))
    if task in ("SEQ_CLS", "TOKEN_CLS"):
        base.config.id2label, base.config.label2id = {0: "a", 1: "b", 2: "c"}, {"a": 0, "b": 1, "c": 2}
    base.save_pretrained(folder)
    inputs = {"input_ids": make_inputs(task, width=48)["input_ids"]}
    with torch.no_grad():
        expected, _ = run_peft(load_oracle(task, folder), {**make_inputs(task, width=48)})
    if task != "FEATURE_EXTRACTION":  # which config.json does not tell from a language model without its head
        for name, values in expected.items():
            assert_logits(forward(tmp_path, folder, inputs)[name], values)
    model = make_adapter(task, folder, adapter, LoraConfig(task_type=task, r=4, target_modules=TARGETS))
    with torch.no_grad():
        expected, _ = run_peft(model, make_inputs(task, width=48))
    run("merge", "--model", folder, "--adapter", adapter, "--output", merged)
    with torch.no_grad():
        result, _ = run_peft(CLASSES[task].from_pretrained(merged, dtype=torch.float32, attn_implementation="eager").eval(),
                             make_inputs(task, width=48))
    for name, values in expected.items():
        assert_logits(result[name], values)
    config = json.loads((merged / "config.json").read_text())
    assert config["architectures"] == [type(base).__name__]
    if task in ("SEQ_CLS", "TOKEN_CLS"):
        assert config["id2label"] == {"0": "a", "1": "b", "2": "c"}


def f1(actual, predicted, classes):
    """Precision, recall and F1 as scikit-learn defines them, of one class or of several together."""
    hits = sum(a == p and a in classes for a, p in zip(actual, predicted))
    n_predicted, n_actual = (sum(x in classes for x in xs) for xs in (predicted, actual))
    return 2 * hits / (n_predicted + n_actual) if n_predicted + n_actual else 0.0


@pytest.mark.parametrize("task", ["SEQ_CLS", "TOKEN_CLS"])
def test_evaluate_classes(tmp_path, model_folder, task):
    folder, adapter, data = model_folder("llama"), tmp_path / "adapter", tmp_path / "rows.jsonl"
    model = make_adapter(task, folder, adapter, LoraConfig(task_type=task, r=4, target_modules=TARGETS))
    rows = write_rows(data, task, n=15)
    actual, predicted, losses = [], [], []
    for row in rows:
        with torch.no_grad():
            labels = torch.tensor([row["labels"] if task == "TOKEN_CLS" else row["label"]])
            result = model(input_ids=torch.tensor([row["input_ids"]]), labels=labels)
        kept = labels[0] != -100 if task == "TOKEN_CLS" else ...
        actual += labels[0][kept].reshape(-1).tolist()
        predicted += result.logits[0].argmax(-1)[kept].reshape(-1).tolist()
        losses.append((result.loss.item(), labels[labels != -100].numel()))
    ours = json.loads(run("evaluate", "--model", folder, "--adapter", adapter, "--data", data, "--dtype", "float32", "--json").stdout)
    present = sorted(set(actual) | set(predicted))
    assert ours["tokens"] == len(actual) and ours["rows"] == 15 and ours["perplexity"] is None
    assert abs(ours["loss"] - sum(x * n for x, n in losses) / len(actual)) <= 1e-5
    assert ours["accuracy"] == pytest.approx(sum(a == p for a, p in zip(actual, predicted)) / len(actual))
    assert ours["f1_macro"] == pytest.approx(sum(f1(actual, predicted, {c}) for c in present) / len(present))
    assert ours["f1_micro"] == pytest.approx(f1(actual, predicted, set(present)))
    for c in range(N_LABELS):
        assert ours["classes"][f"LABEL_{c}"]["f1"] == pytest.approx(f1(actual, predicted, {c}))
        assert ours["classes"][f"LABEL_{c}"]["support"] == actual.count(c)


def test_refusals(tmp_path, model_folder):
    folder, data, out = model_folder("llama"), tmp_path / "rows.jsonl", tmp_path / "out"
    write_rows(data, "SEQ_CLS")

    def fails(*args, status=1):
        result = run(*args, check=False)
        assert result.returncode == status, result.stderr
        return result.stderr

    common = ("train", "--model", folder, "--output", out, "--data", data)
    assert "encoder-decoder" in fails(*common, "--task", "SEQ_2_SEQ_LM")
    assert "SEQ_2_SEQ_LM" in fails(*common, "--set", "task_type=SEQ_2_SEQ_LM")
    assert "expected one of CAUSAL_LM" in fails(*common, "--task", "NER", status=2)
    assert "no loss of its own" in fails(*common, "--task", "FEATURE_EXTRACTION")
    adapter = tmp_path / "adapter"
    make_adapter("SEQ_CLS", folder, adapter, LoraConfig(task_type="SEQ_CLS", r=2, target_modules=TARGETS))
    assert "task" in fails(*common, "--adapter", adapter, "--task", "TOKEN_CLS", status=2)
    data.write_text(json.dumps({"input_ids": [1, 2, 3], "label": 0.5}) + "\n")
    assert "regression" in fails(*common, "--task", "SEQ_CLS")
    data.write_text(json.dumps({"input_ids": [1, 2, 3], "label": [0, 1]}) + "\n")
    assert "several labels" in fails(*common, "--task", "SEQ_CLS")
    data.write_text(json.dumps({"input_ids": [1, 2, 3], "label": 7}) + "\n")
    assert "below 3" in fails("evaluate", "--model", folder, "--adapter", adapter, "--data", data)


WORDS = "once upon a time there was a little girl who had a big red ball and she liked to play with it in the park".split()


def make_text_rows(task, n=8):
    rows = []
    for i in range(n):
        words = WORDS[i:i + 8 + i % 3]
        if task == "SEQ_CLS":
            rows.append({"text": " ".join(words), "label": ["bad", "good", "so so"][i % 3]})
            if i % 2:
                rows[-1]["text_pair"] = " ".join(WORDS[-i - 2:])
        elif task == "TOKEN_CLS":
            rows.append({"tokens": words, "ner_tags": ["O" if j % 3 else "LOC" if j % 2 else "PER" for j in range(len(words))]})
        else:
            context = " ".join(words) + "."
            answer = " ".join(words[2 + i % 2:4 + i % 3])
            rows.append({"question": " ".join(WORDS[-3 - i % 3:]) + "?", "context": context,
                         "answers": {"text": [answer], "answer_start": [context.index(answer)]}})
    return rows


def encode_row(task, tokenizer, row, classes):
    """The recipes of transformers: inputs of one row."""
    if task == "SEQ_CLS":
        encoded = tokenizer(row["text"], row.get("text_pair"))
        return encoded["input_ids"], {"labels": torch.tensor([classes.index(row["label"])])}
    if task == "TOKEN_CLS":
        encoded = tokenizer(row["tokens"], is_split_into_words=True)
        labels, previous = [], None
        for word in encoded.word_ids():
            labels.append(classes.index(row["ner_tags"][word]) if word is not None and word != previous else -100)
            previous = word
        return encoded["input_ids"], {"labels": torch.tensor([labels])}
    encoded = tokenizer(row["question"], row["context"], return_offsets_mapping=True)
    offsets, parts = encoded["offset_mapping"], encoded.sequence_ids()
    begin, text = row["answers"]["answer_start"][0], row["answers"]["text"][0]
    context = [i for i, part in enumerate(parts) if part == 1]
    start = max(i for i in context if offsets[i][0] <= begin)
    end = min(i for i in context if offsets[i][1] >= begin + len(text))
    return encoded["input_ids"], {"start_positions": torch.tensor([start]), "end_positions": torch.tensor([end])}


@pytest.mark.parametrize("task", TRAINED)
def test_text_rows(tmp_path, task):
    """Rows of text are what the recipes of transformers make of them: the same mean loss under an adapter of ours."""
    if shared() is None:
        pytest.skip("shared/models/stories260k is not there")
    folder, data, adapter = shared() / "models/stories260k", tmp_path / "rows.jsonl", tmp_path / "adapter"
    rows = make_text_rows(task)
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    train(folder, data, adapter, "--task", task, "--set", "r=4", "--max-steps", 25, "--learning-rate", 0.01, "--batch-size", 4)
    ours = json.loads(run("evaluate", "--model", folder, "--adapter", adapter, "--data", data, "--dtype", "float32", "--json").stdout)
    classes = []
    if task != "QUESTION_ANS":
        classes = list(json.loads((adapter / "labels.json").read_text())["label2id"])
        assert classes == (["bad", "good", "so so"] if task == "SEQ_CLS" else ["LOC", "O", "PER"])
    model = PeftModel.from_pretrained(load_oracle(task, folder), adapter).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    total = count = 0
    for row in rows:
        ids, labels = encode_row(task, tokenizer, row, classes)
        n = (labels["labels"] != -100).sum().item() if task == "TOKEN_CLS" else 1
        with torch.no_grad():
            total += model(input_ids=torch.tensor([ids]), **labels).loss.item() * n
        count += n
    assert abs(ours["loss"] - total / count) <= 1e-4
    if task == "QUESTION_ANS":
        assert ours["f1"] >= ours["exact_match"] == ours["accuracy"] and ours["f1"] > 0.3
    else:
        assert ours["accuracy"] > 0.6
