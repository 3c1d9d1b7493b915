# SPDX-License-Identifier: LGPL-2.1-or-later
"""Base models: our logits and loss against transformers' in float32."""

import pytest
import torch
from conftest import FAMILIES, assert_logits, batch, forward, load_oracle

ROPE = {
    "linear": {"rope_type": "linear", "factor": 2.5, "rope_theta": 10000.0},
    "dynamic": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0},
    "llama3": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 32, "rope_theta": 500.0},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 10000.0},
}


def compare(tmp_path, folder, rows=2, length=20, mask=None):
    ids, labels = batch(rows=rows, length=length)
    tensors = {"input_ids": ids, "labels": labels}
    if mask is not None:
        tensors["attention_mask"] = mask
        labels[mask == 0] = -100
    ours = forward(tmp_path, folder, tensors)
    with torch.no_grad():
        theirs = load_oracle(folder)(input_ids=ids, labels=labels, attention_mask=mask)
    assert theirs.logits.std() >= 1
    seen = slice(None) if mask is None else mask.bool()
    assert_logits(ours["logits"][seen], theirs.logits[seen])
    assert abs(ours["loss"].item() - theirs.loss.item()) <= 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_family(tmp_path, model_folder, family):
    compare(tmp_path, model_folder(family))


@pytest.mark.parametrize("family", ["llama", "mistral-window"])
def test_padding(tmp_path, model_folder, family):
    mask = torch.ones(2, 20, dtype=torch.int64)
    mask[0, 13:] = 0
    mask[1, 17:] = 0
    compare(tmp_path, model_folder(family), mask=mask)


@pytest.mark.parametrize("kind", ROPE)
def test_rope_scaling(tmp_path, model_folder, kind):
    # Beyond the original length where the kind depends on it.
    compare(tmp_path, model_folder("llama", rope_parameters=ROPE[kind]), length=80 if kind == "dynamic" else 40)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_stored_dtype(tmp_path, model_folder, dtype):
    """Exact mode computes in float32 with the stored values."""
    compare(tmp_path, model_folder("llama", dtype=dtype))


def test_qwen2_window(tmp_path, model_folder):
    compare(tmp_path, model_folder("qwen2", use_sliding_window=True, sliding_window=5, max_window_layers=1))


def test_fast_mode(tmp_path, model_folder):
    """bfloat16 products: 8 bits of mantissa over three layers leave about one per cent."""
    folder = model_folder("llama")
    ids, labels = batch()
    fast = forward(tmp_path, folder, {"input_ids": ids, "labels": labels}, dtype="bfloat16")
    with torch.no_grad():
        theirs = load_oracle(folder)(input_ids=ids, labels=labels)
    assert (fast["logits"] - theirs.logits).abs().max() <= 0.05 * theirs.logits.abs().max()
    assert abs(fast["loss"].item() - theirs.loss.item()) <= 0.02 * theirs.loss.item()


def test_large_vocabulary_in_chunks(tmp_path, model_folder):
    """The loss goes through the head in chunks of rows; the result is one number all the same."""
    folder = model_folder("llama", vocab_size=5003)
    ids, _ = batch(rows=4, length=60, vocab=5003)
    ours = forward(tmp_path, folder, {"input_ids": ids, "labels": ids})
    with torch.no_grad():
        theirs = load_oracle(folder)(input_ids=ids, labels=ids)
    assert abs(ours["loss"].item() - theirs.loss.item()) <= 1e-5
