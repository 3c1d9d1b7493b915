# SPDX-License-Identifier: LGPL-2.1-or-later
"""Token ids and decoded text against the `tokenizers` package, over several hundred strings."""

import json

import pytest
from conftest import run, shared
from texts import SENTENCES, strings
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = GPT4.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
          r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
          r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level(pre, ignore_merges=False, normalizer=None, bos=False):
    tok = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tok.pre_tokenizer = pre
    tok.decoder = decoders.ByteLevel()
    if normalizer is not None:
        tok.normalizer = normalizer
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=["<s>", "</s>", "<|im_start|>", "<|im_end|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tok.train_from_iterator(list(SENTENCES.values()) * 3, trainer)
    if bos:
        tok.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", tok.token_to_id("<s>"))])
    return tok


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def sentencepiece_style(legacy):
    tok = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)],
                                  show_progress=False)
    if legacy:
        tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    else:
        tok.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
        tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tok.train_from_iterator(list(SENTENCES.values())[:9] * 3, trainer)
    tok.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", tok.token_to_id("<s>"))])
    return tok


def with_added_tokens():
    tok = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True))
    tok.add_tokens([AddedToken("fox", single_word=True), AddedToken(" lazy", lstrip=True), AddedToken("dogs", rstrip=True)])
    tok.add_special_tokens([AddedToken("<|tool|>", lstrip=True, rstrip=True)])
    return tok


TOKENIZERS = {
    "gpt2": lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "smollm2": lambda: byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                          pre_tokenizers.ByteLevel(add_prefix_space=False)])),
    "llama3": lambda: byte_level(split(GPT4), ignore_merges=True, bos=True),
    "qwen2": lambda: byte_level(split(QWEN2), normalizer=normalizers.NFC()),
    "tekken": lambda: byte_level(split(TEKKEN), ignore_merges=True, bos=True),
    "llama2-legacy": lambda: sentencepiece_style(True),
    "metaspace": lambda: sentencepiece_style(False),
    "added-tokens": with_added_tokens,
    "nfkc-lowercase": lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False),
                                         normalizer=normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])),
}


def ours(folder, lines, *args):
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    out = run("tokenize", "--model", folder, "--json", *args, stdin=text).stdout
    return [json.loads(line) for line in out.split("\n") if line != ""]


@pytest.mark.parametrize("name", TOKENIZERS)
def test_ids_and_text(tmp_path, name):
    tok = TOKENIZERS[name]()
    tok.save(str(tmp_path / "tokenizer.json"))
    texts = strings() + [f"a fox  and lazy   dogs  x foxes {t} <|tool|> y" for t in SENTENCES]
    assert len(texts) >= 300
    for special in (True, False):
        expected = [tok.encode(t, add_special_tokens=special).ids for t in texts]
        got = ours(tmp_path, texts, *([] if special else ["--no-special"]))
        assert len(got) == len(expected)
        for text, a, b in zip(texts, got, expected):
            assert a == b, f"{text!r}"
    decoded = ours(tmp_path, expected, "--decode")
    for text, ids, got in zip(texts, expected, decoded):
        assert got == tok.decode(ids, skip_special_tokens=False), f"{text!r}"


def test_stories260k():
    if shared() is None:
        pytest.skip("shared/models/stories260k is not there")
    folder = shared() / "models/stories260k"
    cases = [json.loads(line) for line in (folder / "tokenizer_cases.jsonl").read_text(encoding="utf-8").split("\n") if line]
    got = ours(folder, [c["text"] for c in cases])
    assert got == [c["ids"] for c in cases]
