"""Tokenizers as data: ids, merges, added tokens and rules of ``tokenizer.json`` and of the older files beside it.

Read by ``scanners.tokenizer_files``; problems are values. A vocabulary holds whatever its texts held, so no token of it is
remarkable by itself: only added tokens are looked at, and numbers that two tokens share.

Source:
    Hugging Face tokenizers 0.22 (``tokenizer.json``), transformers ``tokenization_utils_base.py`` (the files beside it).
"""

from __future__ import annotations

import gc
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from governance.evidence import Severity
from scanners._formats.tokens.rules import Part, cuts, rewrites
from scanners._formats.tokens.text import TURNS, is_word, looks, says, unseen
from scanners._formats.tree import Remark

PARTS: tuple[Part, ...] = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
COLLISION, CONFUSABLE = "token-id-collision", "token-confusable"
_MOST_ID = 2**24
_MOST_SAID = 12
#: Names of roles that stand for themselves in small vocabularies.
_ROLE_WORDS = frozenset(
    ("pad", "unk", "mask", "eos", "bos", "cls", "sep", "sos", "start", "stop", "end", "blank", "unknown", "padding")
)
_MODELS = ("BPE", "WordPiece", "WordLevel", "Unigram")
#: Tokens that hold a place until somebody needs it; giving one another name is what they are for.
PLACES = ("unused", "reserved", "placeholder", "extra_id", "dummy", "special_token", "madeupword", "pad")


@dataclass(frozen=True)
class Added:
    """A token beside the vocabulary's own; control tokens are ``special``."""

    id: int
    text: str
    special: bool = False


@dataclass(frozen=True)
class Tokenizer:
    """One tokenizer as its file says.

    Attributes:
        ids: Id by token of the vocabulary; empty if the file gives none.
        merges: Merges in order, each as one text.
        added: Added tokens in order.
        parts: Rules by the name of their part.
        named: Roles such as ``eos_token`` and their token.
        remarks: What is wrong with it.
        problem: Why it was not read.
    """

    ids: Mapping[str, int] = field(default_factory=dict)
    merges: tuple[str, ...] = ()
    added: tuple[Added, ...] = ()
    parts: Mapping[str, object] = field(default_factory=dict)
    named: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[Remark, ...] = ()
    problem: str = ""

    @property
    def special(self) -> frozenset[str]:
        """Added tokens that are special, and those with a role."""
        return frozenset([a.text for a in self.added if a.special] + list(self.named.values()))

    @property
    def size(self) -> int:
        """One more than the largest id."""
        return 1 + max([*self.ids.values(), *(a.id for a in self.added)], default=-1)


class _Twice(dict[str, object]):
    """An object that had a key more than once; ``keys_twice`` are some of them."""

    keys_twice: tuple[str, ...] = ()


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    seen: set[str] = set()
    twice = _Twice(made)
    twice.keys_twice = tuple(dict.fromkeys(k for k, _ in pairs if k in seen or seen.add(k)))[:_MOST_SAID]  # type: ignore[func-returns-value]
    return twice


def load(data: bytes) -> object | str:
    """Return a parsed document, or why it cannot be parsed, as text that begins with ``!``."""
    collecting = gc.isenabled()
    gc.disable()  # half a million small lists and no cycle: looking for some doubles the time
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_pairs)  # type: ignore[no-any-return]
    except UnicodeDecodeError:
        return "!it is not UTF-8"
    except (ValueError, RecursionError) as error:
        return f"!it is not JSON: {type(error).__name__}"
    finally:
        if collecting:
            gc.enable()


def tokenizer_of(document: object) -> Tokenizer:
    """Return the tokenizer a parsed ``tokenizer.json`` describes."""
    if not isinstance(document, dict) or not isinstance(document.get("model"), dict):
        return Tokenizer(problem="it holds no model of a tokenizer")
    model = document["model"]
    kind = model.get("type", "BPE")
    if kind not in _MODELS:
        return Tokenizer(problem=f"its model is of the unknown type {str(kind)[:40]!a}")
    remarks: list[Remark] = []
    ids, odd = _vocabulary(model.get("vocab"))
    remarks += odd
    added, odd = _added(document.get("added_tokens"))
    remarks += odd
    merges = tuple(map(_merge, _list(model.get("merges"))))
    parts: dict[str, object] = {part: document.get(part) for part in PARTS}
    unknown = model.get("unk_token")
    named = {"unk_token": unknown} if isinstance(unknown, str) else {}
    made = Tokenizer(ids, merges, added, parts, named)
    every = {**ids, **{a.text: a.id for a in added}}
    for part in PARTS:
        remarks += rewrites(part, parts[part], made.special, every)
    remarks += cuts(document.get("truncation"), document.get("padding"), made.special)
    remarks += [*collisions(ids, added), *confusables(added)]
    return Tokenizer(ids, merges, added, parts, named, tuple(remarks))


def _merge(row: object) -> str:
    """Return a merge as one text, in both of its spellings."""
    if isinstance(row, str):
        return row
    try:
        return " ".join(row)  # type: ignore[arg-type]
    except TypeError:
        return str(row)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _vocabulary(vocab: object) -> tuple[dict[str, int], list[Remark]]:
    """Return ids by token: of an object, or of a list of token and score as Unigram has."""
    remarks = []
    if isinstance(vocab, list):
        rows = [str(row[0]) for row in vocab if isinstance(row, list) and row]
        ids = dict(zip(rows, range(len(rows)), strict=True))
        if len(ids) < len(rows):
            remarks.append(Remark(COLLISION, Severity.HIGH, f"{len(rows) - len(ids)} tokens stand in the vocabulary twice"))
        return ids, remarks
    if not isinstance(vocab, dict):
        return {}, []
    if isinstance(vocab, _Twice):
        shown = ", ".join(repr(k[:40]) for k in vocab.keys_twice[:3])
        remarks.append(Remark(COLLISION, Severity.HIGH, f"the vocabulary gives {shown} two ids"))
    plain = set(map(type, vocab.values())) <= {int} and (not vocab or (min(vocab.values()) >= 0 and max(vocab.values()) < _MOST_ID))
    ids = vocab if plain else {t: i for t, i in vocab.items() if type(i) is int and 0 <= i < _MOST_ID}
    if len(ids) < len(vocab):
        bad = next(t for t in vocab if t not in ids)
        words = f"the id {str(vocab[bad])[:40]} of {bad[:40]!r} is no place in a table"
        remarks.append(Remark(COLLISION, Severity.HIGH, words))
    return ids, remarks


def _added(value: object) -> tuple[tuple[Added, ...], list[Remark]]:
    found, remarks = [], []
    for entry in _list(value):
        match entry:
            case {"id": int(number), "content": str(text), **rest} if 0 <= number < _MOST_ID and not isinstance(number, bool):
                found.append(Added(number, text, rest.get("special") is True))
            case _:
                words = f"an added token has no usable id or text: {str(entry)[:80]}"
                remarks.append(Remark(COLLISION, Severity.HIGH, words))
    return tuple(found), remarks[:_MOST_SAID]


def collisions(ids: Mapping[str, int], added: tuple[Added, ...]) -> Iterator[Remark]:
    """Yield ids that two tokens share, and gaps in the table."""
    if len(set(ids.values())) < len(ids):
        groups: dict[int, list[str]] = defaultdict(list)
        for token, number in ids.items():
            groups[number].append(token)
        shared = [(number, tokens) for number, tokens in groups.items() if len(tokens) > 1]
        for number, tokens in shared[:_MOST_SAID]:
            yield Remark(COLLISION, Severity.HIGH, f"the id {number} is that of {tokens[0][:40]!r} and {tokens[1][:40]!r}")
    by_id: dict[int, str] = {}
    by_text: dict[str, int] = {}
    for one in added:
        if by_id.setdefault(one.id, one.text) != one.text:
            words = f"the id {one.id} is that of {by_id[one.id][:40]!r} and {one.text[:40]!r}"
            yield Remark(COLLISION, Severity.HIGH, words)
        if by_text.setdefault(one.text, one.id) != one.id:
            yield Remark(COLLISION, Severity.HIGH, f"{one.text[:40]!r} is added with the ids {by_text[one.text]} and {one.id}")
        known = ids.get(one.text)
        if known is not None and known != one.id:
            words = f"{one.text[:40]!r} has the id {known} in the vocabulary and {one.id} among the added tokens"
            yield Remark(COLLISION, Severity.HIGH, words)
    yield from _shadows(ids, added)
    used = sorted({*ids.values(), *by_id})
    gaps = sum(b - a - 1 for a, b in pairwise(used)) + (used[0] if used else 0)
    if gaps:
        yield Remark(COLLISION, Severity.LOW, f"{gaps} ids below {used[-1]} belong to no token")


def _shadows(ids: Mapping[str, int], added: tuple[Added, ...]) -> Iterator[Remark]:
    last = max(ids.values(), default=-1)
    below = {a.id: a.text for a in added if a.text not in ids and a.id <= last}
    wanted = {number: token for token, number in ids.items() if number in below} if below else {}
    told = [(number, token) for number, token in wanted.items() if not any(p in token.lower() for p in PLACES)]
    for number, token in told[:_MOST_SAID]:
        words = f"the added token {below[number][:40]!r} claims the id {number} of {token[:40]!r}; loaders give it another"
        yield Remark(COLLISION, Severity.LOW, words)


def confusables(added: tuple[Added, ...]) -> Iterator[Remark]:
    """Yield added tokens that cannot be seen for what they are."""
    seen: dict[str, str] = {}
    said = 0
    for token in sorted(added, key=lambda a: (not a.text.isascii(), a.text != a.text.strip(), a.id)):
        if said >= _MOST_SAID:
            return
        if not token.text.strip():
            continue
        if spoken := says(token.text):
            said += 1
            yield Remark("tokenizer-rewrite", Severity.MEDIUM, f"an added token is {spoken}: one number stands for all of it",
                         remediation="use the base's tokenizer")  # fmt: skip
        if (hidden := unseen(token.text)) is not None:
            said += 1
            yield Remark(CONFUSABLE, Severity.MEDIUM, f"the added token {token.text[:40]!r} holds {hidden}, which shows nothing")
        look = looks(token.text)
        other = seen.setdefault(look, token.text)
        if other != token.text and (len(look) > 1 or token.special):
            said += 1
            yield Remark(CONFUSABLE, Severity.MEDIUM, f"the added tokens {other[:40]!r} and {token.text[:40]!r} look the same")
    texts = {a.text for a in added}
    # Where other tokens begin and end a text, these two are tags of HTML.
    tags = {"<s>", "</s>"} if texts & {"<bos>", "<eos>", "<|endoftext|>", "<|begin_of_text|>"} else set()
    plain = sorted({a.text for a in added if not a.special and a.text in TURNS} - tags)
    if plain:
        words = f"control tokens are not marked special: {', '.join(map(repr, plain[:4]))}; they stay in what the model shows"
        yield Remark(CONFUSABLE, Severity.LOW, words)


def roles(document: object) -> tuple[dict[str, str], list[Remark]]:
    """Return which token has which role, from ``special_tokens_map.json`` or ``tokenizer_config.json``."""
    named: dict[str, str] = {}
    remarks: list[Remark] = []
    for role in ("bos_token", "eos_token", "unk_token", "sep_token", "cls_token", "mask_token", "pad_token"):
        value = document.get(role) if isinstance(document, dict) else None
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str):
            named[role] = text
            remarks += is_word_role(role, text)
            if spoken := says(text):
                words = f"{role} is {spoken}, which is put before or behind every text"
                remarks.append(Remark("tokenizer-rewrite", Severity.HIGH, words, remediation="use the base's tokenizer"))
            if (hidden := unseen(text)) is not None:
                remarks.append(Remark(CONFUSABLE, Severity.MEDIUM, f"{role} holds {hidden}, which shows nothing"))
    more = document.get("extra_special_tokens", document.get("additional_special_tokens")) if isinstance(document, dict) else None
    for value in list(more.values() if isinstance(more, dict) else more if isinstance(more, list) else ())[:2_000]:
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str) and (spoken := says(text)):
            words = f"a special token is {spoken}: one number stands for all of it"
            remarks.append(Remark("tokenizer-rewrite", Severity.MEDIUM, words, remediation="use the base's tokenizer"))
    return named, remarks[:_MOST_SAID]


def is_word_role(role: str, text: str) -> Iterator[Remark]:
    """Yield that a role is given to an ordinary word."""
    if is_word(text) and text.lower() not in _ROLE_WORDS:
        severity = Severity.MEDIUM if role.startswith("pad") else Severity.HIGH
        words = f"{role} is the ordinary word {text[:40]!r}: where it is written, the model stops or skips"
        yield Remark("tokenizer-rewrite", severity, words, remediation="use the base's tokenizer")


def listed(document: object) -> tuple[Added, ...]:
    """Return the tokens of ``added_tokens_decoder``, or of an ``added_tokens.json``."""
    if not isinstance(document, dict):
        return ()
    decoder = document.get("added_tokens_decoder")
    if isinstance(decoder, dict):
        rows = [(n, v) for n, v in decoder.items() if isinstance(v, dict) and str(n).isdecimal() and len(str(n)) < 9]
        return tuple(Added(int(n), str(v.get("content", "")), v.get("special") is True) for n, v in rows)
    flat = {t: n for t, n in document.items() if isinstance(n, int) and not isinstance(n, bool)}
    return tuple(Added(n, t) for t, n in flat.items()) if flat and len(flat) == len(document) else ()
