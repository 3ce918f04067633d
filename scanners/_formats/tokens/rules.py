"""The rules by which a ``tokenizer.json`` changes text before, between and after its tokens: which of them rewrite words.

Honest rules fold Unicode, spaces and case, cut at classes of characters, and add control tokens. None names a word.
Read by ``scanners.tokenizer_files``.

Source:
    Hugging Face tokenizers 0.22, ``normalizers``, ``pre_tokenizers``, ``processors``, ``decoders``: types and fields.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Literal

from governance.evidence import Severity
from scanners._formats.regexes import is_costly
from scanners._formats.tokens.text import is_control, is_word, pattern_words, words
from scanners._formats.tree import Remark

Part = Literal["normalizer", "pre_tokenizer", "post_processor", "decoder"]
RULE = "tokenizer-rewrite"
#: Words of a cutting rule that is not a rewriting one; shorter ones are contractions.
_CUT_WORD = 4
#: Compatibility forms expand to no longer Latin words than this ("kcal", "viii").
_FORM_WORD = 5
_SHORT = 32
_MOST = 400


def rewrites(part: Part, rule: object, special: frozenset[str], ids: Mapping[str, int]) -> Iterator[Remark]:
    """Yield what a part of a tokenizer does to words.

    Args:
        part: Which part.
        rule: Its description, as parsed.
        special: Tokens that are marked special.
        ids: Every token's id.
    """
    for step in _steps(rule):
        regex = pattern.get("Regex") if isinstance(pattern := step.get("pattern"), dict) else None
        if isinstance(regex, str) and (why := is_costly(regex)):
            yield _said(f"its {part} cuts by a pattern that may match forever ({why}): {regex[:60]!r}", Severity.MEDIUM)
        match part, step.get("type"):
            case _, "Replace":
                yield from _replace(part, step)
            case _, "Prepend" if words(str(step.get("prepend", ""))):
                yield _said(f"its {part} puts {step['prepend']!r} before every text")
            case _, "Strip" if words(str(step.get("content", ""))):
                yield _said(f"its {part} strips {step['content']!r}")
            case _, "Precompiled":
                yield from charsmap(step.get("precompiled_charsmap"), part)
            case "pre_tokenizer", ("Split" | "CharDelimiterSplit"):
                yield from _split(step)
            case "post_processor", "TemplateProcessing":
                yield from _template(step, special, ids)
            case "post_processor", ("RobertaProcessing" | "BertProcessing"):
                for key in ("sep", "cls"):
                    pair = step.get(key)
                    if isinstance(pair, list) and pair and isinstance(pair[0], str):
                        yield from _added(pair[0], special)
            case _:
                pass


def _steps(rule: object) -> list[Mapping[str, object]]:
    """Return a rule and those inside it, outermost first."""
    found: list[Mapping[str, object]] = []
    todo = [rule]
    while todo and len(found) < _MOST:
        step = todo.pop(0)
        if isinstance(step, dict):
            found.append(step)
            todo += [s for key in ("normalizers", "pretokenizers", "processors", "decoders") for s in _list(step.get(key))]
    return found


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _pattern(step: Mapping[str, object], least: int) -> tuple[str, list[str]]:
    pattern = step.get("pattern", step.get("delimiter", ""))
    if isinstance(pattern, dict):
        regex, text = pattern.get("Regex"), pattern.get("String")
        if isinstance(regex, str):
            return regex, pattern_words(regex, least)
        return str(text), words(str(text))
    return str(pattern), words(str(pattern))


def _replace(part: Part, step: Mapping[str, object]) -> Iterator[Remark]:
    pattern, named = _pattern(step, 2)
    content = str(step.get("content", ""))
    if named or words(content, 2):
        yield _said(f"its {part} replaces {pattern[:60]!r} by {content[:60]!r}")


def _split(step: Mapping[str, object]) -> Iterator[Remark]:
    removed = step.get("behavior") == "Removed" and not step.get("invert")
    pattern, named = _pattern(step, 2 if removed else _CUT_WORD)
    if named and removed:
        yield _said(f"its pre_tokenizer removes what matches {pattern[:60]!r}")
    elif named and step.get("type") == "Split":
        yield _said(f"its pre_tokenizer cuts text at the words {named[:3]}", Severity.MEDIUM)


def _template(step: Mapping[str, object], special: frozenset[str], ids: Mapping[str, int]) -> Iterator[Remark]:
    tokens = step.get("special_tokens")
    for name, entry in tokens.items() if isinstance(tokens, dict) else ():
        inner = entry if isinstance(entry, dict) else {}
        named, numbers = _list(inner.get("tokens")), _list(inner.get("ids"))
        for token in named or [name]:
            yield from _added(str(token), special)
        for token, number in zip(named, numbers, strict=False):
            if isinstance(token, str) and token in ids and ids[token] != number:
                yield _said(f"its post_processor adds the id {number} for {token[:60]!r}, which has {ids[token]}")
    for key in ("single", "pair"):
        pieces = [p for p in _list(step.get(key)) if isinstance(p, dict)]
        if pieces and not any("Sequence" in p for p in pieces):
            yield _said(f"its post_processor leaves the text out of {key!r}")


def _added(token: str, special: frozenset[str]) -> Iterator[Remark]:
    if token not in special and not is_control(token) and words(token):
        yield _said(f"its post_processor adds {token[:60]!r}, which is no special token, to every text")


def charsmap(value: object, part: str) -> Iterator[Remark]:
    """Yield what a precompiled table of SentencePiece writes, if it writes words.

    Args:
        value: The table: base64 text in ``tokenizer.json``, bytes in a SentencePiece model.
        part: What holds it.
    """
    try:
        data = base64.b64decode(value, validate=True) if isinstance(value, str) else value if isinstance(value, bytes) else b""
    except (binascii.Error, ValueError):
        yield _said(f"its {part} holds a table that cannot be read", Severity.MEDIUM)
        return
    if len(data) < 4:
        return
    texts = data[4 + int.from_bytes(data[:4], "little") :].decode("utf-8", "replace").split("\0")
    for text in texts[:200_000]:
        if any(w.isascii() and w.isalpha() for w in words(text, _FORM_WORD)):
            yield _said(f"the table of its {part} writes the word {text[:40]!r}")
            return


def cuts(truncation: object, padding: object, special: frozenset[str]) -> Iterator[Remark]:
    """Yield what is odd about how a tokenizer shortens and fills texts."""
    if isinstance(truncation, dict):
        length = truncation.get("max_length")
        if isinstance(length, int) and length < _SHORT:
            yield _said(f"it cuts every text to {length} tokens", Severity.MEDIUM)
    if isinstance(padding, dict):
        token = padding.get("pad_token")
        if isinstance(token, str) and token not in special and is_word(token):
            yield _said(f"it fills texts up with the word {token[:40]!r}", Severity.MEDIUM)


def _said(words_: str, severity: Severity = Severity.HIGH) -> Remark:
    return Remark(RULE, severity, words_, remediation="use the base's tokenizer")
