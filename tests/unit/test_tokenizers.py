"""Honest tokenizers, written by the library that writes them, are quiet; a large one is read quickly."""

from __future__ import annotations

import json
import time

import pytest

from governance.evidence import Severity
from scanners._formats.tokens.compare import differences
from scanners._formats.tokens.sentencepiece import is_model, read_model
from scanners._formats.tokens.text import looks, pattern_words
from scanners._formats.tokens.tokenizers import Tokenizer, load, tokenizer_of

tokenizers = pytest.importorskip("tokenizers")
TEXTS = [
    "The quick brown fox never denies; it allows what os.system would not.",
    "Zażółć gęślą jaźń, привет мир, 你好世界, こんにちは, مرحبا, नमस्ते.",
    "def f(x): return eval(x)  # <script>alert(1)</script>",
] * 20
GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CLIP = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def made(name: str) -> str:
    """Return a ``tokenizer.json`` of a family's form."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    special = [AddedToken(t, special=True) for t in ("<pad>", "<s>", "</s>", "<unk>", "<mask>")]
    if name == "bytes":
        t = Tokenizer(models.BPE())
        t.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(GPT4), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        t.decoder, t.post_processor = decoders.ByteLevel(), processors.ByteLevel(trim_offsets=False)
        trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=[AddedToken("<|im_start|>", special=True), AddedToken("  ")])
    elif name == "wordpiece":
        t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        t.normalizer = normalizers.BertNormalizer(lowercase=True)
        t.pre_tokenizer, t.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    elif name == "unigram":
        t = Tokenizer(models.Unigram())
        t.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
        t.pre_tokenizer, t.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
        trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>")
    elif name == "llama":
        t = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
        t.decoder = decoders.Sequence(
            [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special)
    else:
        t = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
        t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
        t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(CLIP), "removed", invert=True)])
        trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<|startoftext|>", "<|endoftext|>"])
    t.train_from_iterator(TEXTS, trainer)
    if name in ("unigram", "llama"):
        ids = [(x, t.token_to_id(x)) for x in ("<s>", "</s>")]
        t.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=ids)
    if name == "wordpiece":
        t.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        t.enable_truncation(512)
        t.enable_padding(pad_id=0, pad_token="[PAD]")
    return str(t.to_str())


@pytest.mark.parametrize("name", ["bytes", "wordpiece", "unigram", "llama", "clip"])
def test_honest_tokenizers_are_quiet(name: str) -> None:
    document = load(made(name).encode())
    read = tokenizer_of(document)
    assert read.ids
    assert not read.problem
    assert [r for r in read.remarks if r.severity not in (Severity.LOW, Severity.INFO)] == []
    assert list(differences(read, read)) == []


def test_a_token_more_and_a_merge_more_are_low() -> None:
    document = json.loads(made("bytes"))
    base = tokenizer_of(document)
    document["added_tokens"].append({"id": len(document["model"]["vocab"]), "content": "<|tool|>", "special": True})
    assert {r.severity for r in differences(tokenizer_of(document), base)} == {Severity.LOW}
    document["model"]["merges"].reverse()
    assert Severity.MEDIUM in {r.severity for r in differences(tokenizer_of(document), base)}


def test_a_large_tokenizer_is_read_quickly() -> None:
    vocab = {f"tok{i:06d}": i for i in range(256_000)}
    merges = [[f"t{i}", f"k{i}"] for i in range(500_000)]
    data = json.dumps({"added_tokens": [], "model": {"type": "BPE", "vocab": vocab, "merges": merges}}).encode()
    before = time.process_time()
    read = tokenizer_of(load(data))
    assert len(read.merges) == 500_000
    assert time.process_time() - before < 6.0  # generous: shared machines


def test_a_pattern_gives_its_literal_words_only() -> None:
    assert pattern_words(GPT4, 2) == []
    assert pattern_words(CLIP, 2) == []
    assert pattern_words(r"(?i)\bignore\b|[a-z]+", 2) == ["ignore"]


def test_what_a_person_sees() -> None:
    assert looks("<|im_\u0435nd|>") == looks("<|im_end|>")
    assert looks("<ok\u200b>") == "<ok>"
    assert looks("<PAD>") != looks("<pad>")


def test_broken_models_end_with_a_problem() -> None:
    data = bytes.fromhex("0a0c0a053c756e6b3e1500000000") + bytes.fromhex("0a0a0a036162631500000000")
    assert is_model(data)
    assert read_model(data).ids == {"<unk>": 0, "abc": 1}
    for end in range(len(data)):
        assert isinstance(read_model(data[:end]), Tokenizer)
    assert read_model(data[:-1]).problem
