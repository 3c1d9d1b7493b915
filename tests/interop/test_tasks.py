# SPDX-License-Identifier: LGPL-2.1-or-later
"""Models with other heads than the language model's: adapters, heads, losses, gradients and files as peft's."""

import json

import pytest
import torch
from conftest import assert_gradient, assert_logits, forward, run
from method_checks import WEIGHTS, check_config, key_of
from peft import IA3Config, LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file
from transformers import (AutoConfig, AutoModel, AutoModelForQuestionAnswering, AutoModelForSequenceClassification,
                          AutoModelForTokenClassification)

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
    if task == "QUESTION_ANS":
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


def run_peft(model, inputs):
    """Outputs by name, and the loss that gradients are of."""
    gradient = inputs.get("output_gradient")
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
        assert key_of(name) in keys, f"{key_of(name)} is not in peft's file"
        if p.grad.abs().max() < 1e-6:  # adding one number to all logits changes nothing
            assert "qa_outputs" in name and ours["grad." + key_of(name)].abs().max() < 1e-6
        else:
            assert_gradient(key_of(name), ours["grad." + key_of(name)], p.grad)
        compared += 1
    assert compared == len(keys)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", CLASSES)
def test_lora_as_peft(tmp_path, model_folder, task, family, padded):
    folder, adapter = model_folder(family), tmp_path / "adapter"
    model = make_adapter(task, folder, adapter, LoraConfig(task_type=task, r=4, lora_alpha=8, target_modules=TARGETS))
    check(tmp_path, task, folder, model, adapter, make_inputs(task, padded=padded, width=48))
