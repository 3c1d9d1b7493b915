# SPDX-License-Identifier: LGPL-2.1-or-later
"""A random Llama with a byte-level tokenizer, written with the standard library alone."""

import array
import json
import pathlib
import random
import struct
import sys

HIDDEN, FFN, HEADS, KV_HEADS, LAYERS = 16, 24, 4, 2, 2
MERGES = ["t h", "th e", "Ġ the", "i n", "e r"]
TEMPLATE = ("{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
            "{% if add_generation_prompt %}[assistant] {% endif %}")


def byte_alphabet():
    """GPT-2's printable stand-ins for the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    table = {b: chr(b) for b in plain}
    table.update({b: chr(256 + i) for i, b in enumerate(others)})
    return [table[b] for b in range(256)]


def write_tokenizer(folder):
    tokens = ["<s>", "</s>", *byte_alphabet(), *(m.replace(" ", "") for m in MERGES)]
    special = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
               for i, t in enumerate(tokens[:2])]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
        "pre_tokenizer": byte_level, "post_processor": None, "decoder": byte_level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "vocab": {t: i for i, t in enumerate(tokens)}, "merges": MERGES},
    }))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "bos_token": "<s>", "eos_token": "</s>", "tokenizer_class": "PreTrainedTokenizerFast", "chat_template": TEMPLATE}))
    return len(tokens)


def save_safetensors(path, tensors):
    """tensors: name → (dtype, shape, bytes)"""
    header, body, at = {}, b"", 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        body += data
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + body)


def load_safetensors(path):
    """name → (dtype, shape, values), for F32"""
    data = pathlib.Path(path).read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, info in json.loads(data[8:8 + n]).items():
        if name == "__metadata__":
            continue
        begin, end = info["data_offsets"]
        values = array.array("f", data[8 + n + begin:8 + n + end])
        if sys.byteorder == "big":
            values.byteswap()
        out[name] = (info["dtype"], info["shape"], values)
    return out


def floats(values):
    return struct.pack(f"<{len(values)}f", *values)


def integers(values):
    return struct.pack(f"<{len(values)}q", *values)


def write(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vocab = write_tokenizer(folder)
    rng = random.Random(7)
    shapes = {"model.embed_tokens.weight": [vocab, HIDDEN], "model.norm.weight": [HIDDEN], "lm_head.weight": [vocab, HIDDEN]}
    kv = HIDDEN // HEADS * KV_HEADS
    for i in range(LAYERS):
        at = f"model.layers.{i}."
        shapes.update({at + "input_layernorm.weight": [HIDDEN], at + "post_attention_layernorm.weight": [HIDDEN],
                       at + "self_attn.q_proj.weight": [HIDDEN, HIDDEN], at + "self_attn.k_proj.weight": [kv, HIDDEN],
                       at + "self_attn.v_proj.weight": [kv, HIDDEN], at + "self_attn.o_proj.weight": [HIDDEN, HIDDEN],
                       at + "mlp.gate_proj.weight": [FFN, HIDDEN], at + "mlp.up_proj.weight": [FFN, HIDDEN],
                       at + "mlp.down_proj.weight": [HIDDEN, FFN]})
    tensors = {}
    for name, shape in shapes.items():
        n = shape[0] * (shape[1] if len(shape) > 1 else 1)
        tensors[name] = ("F32", shape, floats([1.0 if "norm" in name else rng.gauss(0, 0.3) for _ in range(n)]))
    save_safetensors(folder / "model.safetensors", tensors)
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": HIDDEN, "intermediate_size": FFN,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "num_hidden_layers": LAYERS, "vocab_size": vocab,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False,
        "bos_token_id": 0, "eos_token_id": 1}))
    return vocab
