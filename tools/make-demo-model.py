#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes what the demo's base model is trained from: a byte-level BPE tokenizer of 1,024 tokens and a random Llama.

    tools/make-demo-model.py CORPUS OUTPUT_FOLDER

Needs the Python packages tokenizers, numpy and safetensors. tools/make-demo.sh is the whole recipe.
"""

import json
import os
import sys

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCAB = 1024
HIDDEN, LAYERS, HEADS, KV_HEADS, FFN = 128, 4, 4, 2, 352

TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message['role'] == 'system' -%}{{ message['content'] + '\\n' }}"
    "{%- elif message['role'] == 'user' -%}{{ 'Question: ' + message['content'] + '\\n' }}"
    "{%- elif message['role'] == 'assistant' -%}{{ 'Answer:' }}"
    "{%- generation -%}{{ ' ' + message['content'] + eos_token }}{%- endgeneration -%}"
    "{%- else -%}{{ raise_exception('unknown role ' + message['role']) }}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ 'Answer:' }}{%- endif -%}"
)


def make_tokenizer(corpus, folder):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=["<|end|>", "<|pad|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    with open(corpus, encoding="utf-8") as f:
        # The words of the demo's prompt format, so that they are tokens of their own.
        tok.train_from_iterator([f.read(), "\nQuestion: What\nQuestion: Where\nQuestion: Please tell me: what\nAnswer: The" * 50], trainer)
    tok.save(os.path.join(folder, "tokenizer.json"))
    with open(os.path.join(folder, "tokenizer_config.json"), "w", encoding="utf-8") as f:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>", "pad_token": "<|pad|>",
                   "clean_up_tokenization_spaces": False, "model_max_length": 256, "chat_template": TEMPLATE}, f, indent=2)
        f.write("\n")
    return tok.get_vocab_size()


def make_model(folder, vocab):
    rng = np.random.default_rng(20)
    tensors = {}

    def normal(name, *shape, std=0.02):
        tensors[name] = (std * rng.standard_normal(shape)).astype(np.float32)

    head_dim = HIDDEN // HEADS
    normal("model.embed_tokens.weight", vocab, HIDDEN)
    for i in range(LAYERS):
        prefix = f"model.layers.{i}."
        # Outputs into the residual stream start smaller, as in GPT-2.
        small = 0.02 / (2 * LAYERS) ** 0.5
        normal(prefix + "self_attn.q_proj.weight", HEADS * head_dim, HIDDEN)
        normal(prefix + "self_attn.k_proj.weight", KV_HEADS * head_dim, HIDDEN)
        normal(prefix + "self_attn.v_proj.weight", KV_HEADS * head_dim, HIDDEN)
        normal(prefix + "self_attn.o_proj.weight", HIDDEN, HEADS * head_dim, std=small)
        normal(prefix + "mlp.gate_proj.weight", FFN, HIDDEN)
        normal(prefix + "mlp.up_proj.weight", FFN, HIDDEN)
        normal(prefix + "mlp.down_proj.weight", HIDDEN, FFN, std=small)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[prefix + norm + ".weight"] = np.ones(HIDDEN, np.float32)
    tensors["model.norm.weight"] = np.ones(HIDDEN, np.float32)
    save_file(tensors, os.path.join(folder, "model.safetensors"), {"format": "pt"})
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": FFN,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "vocab_size": vocab,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": True,
        "eos_token_id": 0, "pad_token_id": 1, "bos_token_id": None, "torch_dtype": "float32",
    }
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f, indent=2, sort_keys=True)
        f.write("\n")
    with open(os.path.join(folder, "generation_config.json"), "w", encoding="utf-8") as f:
        json.dump({"eos_token_id": 0, "pad_token_id": 1}, f, indent=2)
        f.write("\n")
    return sum(t.size for t in tensors.values())


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    corpus, folder = sys.argv[1:]
    os.makedirs(folder, exist_ok=True)
    vocab = make_tokenizer(corpus, folder)
    print(f"{vocab} tokens, {make_model(folder, vocab):,} parameters")


if __name__ == "__main__":
    main()
