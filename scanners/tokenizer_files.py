"""Tokenizers: their ids, added tokens and rules, in every file that says something about them, and against the base's."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from governance.context import RunContext
from governance.errors import SubjectError
from governance.evidence import Confidence, Coverage, Fact, Finding, Outcome, Rule, Severity
from governance.subject import Composition, FileEntry
from scanners._formats.names import shown
from scanners._formats.tensors.gguf import Gguf, GgufArray, read_gguf
from scanners._formats.tensors.safetensors import header_in
from scanners._formats.tokens.compare import differences
from scanners._formats.tokens.sentencepiece import CONTROL, USER, is_model, read_model
from scanners._formats.tokens.tokenizers import (
    COLLISION,
    PLACES,
    Added,
    Tokenizer,
    collisions,
    confusables,
    is_word_role,
    listed,
    load,
    roles,
    tokenizer_of,
)  # fmt: skip
from scanners._formats.tree import Content, Remark, content, contents

_RULES = {
    r.id: r
    for r in (
        Rule(
            id="tokenizer-differs-from-base",
            summary="the adapter's tokenizer is another one than its base's",
            severity=Severity.MEDIUM,
            references=("AML.T0018",),
        ),
        Rule(
            id="token-id-collision",
            summary="two tokens share an id, or an id is out of range",
            severity=Severity.HIGH,
            references=("CWE-694",),
        ),
        Rule(
            id="token-confusable",
            summary="a token looks like another, shows nothing, or is a control that is not marked as one",
            severity=Severity.MEDIUM,
            references=("CWE-1007",),
        ),
        Rule(
            id="tokenizer-rewrite",
            summary="a rule of the tokenizer replaces, adds or drops words",
            severity=Severity.HIGH,
            references=("AML.T0018",),
        ),
    )
}
_DOCUMENTS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_LISTS = ("vocab.json", "vocab.txt", "merges.txt")
_EMBEDDING = re.compile(
    r"(?:embed_tokens|wte|word_embeddings|tok_embeddings|lm_head|embed_out)\.(?:modules_to_save\.[\w-]+\.|base_layer\.|original_module\.)?weight\Z"
)
_TELLING = (b'"added_tokens"', b'"vocab"', b'"added_tokens_decoder"')
_SPARE_ROWS = 2_048


@dataclass(frozen=True)
class _Read:
    """One file about tokenizers; ``role`` is its name, or ``tokenizer.json`` for anything of that form."""

    content: Content
    role: str
    tokenizer: Tokenizer


class TokenizerFiles:
    """Reads everything that says how text becomes tokens.

    Detects:
        Two tokens with one id, ids out of range; added tokens that look alike or cannot be seen; control tokens that are
        ordinary text, and roles such as the end of a text given to an ordinary word; normalisers, cutting rules, templates and
        decoders that replace, add or drop words; files of one tokenizer that disagree; vocabulary, merges, added tokens and
        rules that differ from the base's; more embeddings than tokens.

    Why it matters:
        A tokenizer stands before and behind every safeguard of a model: one that turns "deny" into "allow" needs no weights.

    Misses:
        Merges changed so that one word is cut unusually, when the base is not known; rewriting by a regular expression that
        names no word; tokenizers of other libraries (tiktoken tables, mistral-common), which are not claimed.

    Source:
        Hugging Face tokenizers 0.22 and transformers 5; SentencePiece ModelProto; GGUF specification; MITRE ATLAS AML.T0018.
    """

    id = "tokenizer-files"
    version = "1"
    declares = tuple(_RULES.values())

    def wants(self, composition: Composition) -> bool:
        """Return True if there is a file: a tokenizer may stand in any of them."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Read each tokenizer, hold the files of one folder against each other, and the adapter's against the base's."""
        base = composition.base
        same = {(f.path.rpartition("/")[2], f.sha256) for f in (base.files if base is not None else ()) if f.sha256}
        found: list[_Read] = []
        tables: list[Content] = []
        for entry, root in contents(composition, ctx):
            if root is None:
                yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason="not downloaded")
            elif (root.name, entry.sha256) in same and root.name in (*_DOCUMENTS, *_LISTS, "tokenizer.json", "tokenizer.model"):
                yield Coverage(item=entry.path, outcome=Outcome.COMPLETED, reason="the same file as the base's")
            else:
                tables += [c for c in root.walk() if c.kind == "safetensors"]
                yield from _file(entry, root, ctx, found)
        yield from _agree(found)
        yield from _rows(found, tables, ctx)
        if base is not None and found:
            theirs: list[_Read] = []
            names = {r.content.name for r in found} | {"tokenizer.json", "tokenizer_config.json"}
            for entry in base.files:
                if entry.present and entry.path in names:
                    for _ in _file(entry, content(base, entry, ctx, "base"), ctx, theirs):
                        pass
            yield from _against(found, theirs)


def _file(entry: FileEntry, root: Content, ctx: RunContext, found: list[_Read]) -> Iterator[Fact | Coverage]:
    gaps: list[str] = []
    read = 0
    for inner in root.walk():
        made = _read(inner, ctx)
        if made is None:
            continue
        read += 1
        found.append(made)
        if made.tokenizer.problem:
            gaps.append(made.tokenizer.problem if inner is root else f"{inner}: {made.tokenizer.problem}")
        for remark in made.tokenizer.remarks[:200]:
            yield _finding(inner, remark)
    if gaps:
        yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason="; ".join(gaps[:3]))
    elif read:
        yield Coverage(item=entry.path, outcome=Outcome.COMPLETED)
    else:
        yield Coverage(item=entry.path, outcome=Outcome.NOT_APPLICABLE, reason="says nothing about a tokenizer")


def _read(inner: Content, ctx: RunContext) -> _Read | None:
    """Return what a content says about a tokenizer, or None if it says nothing."""
    limit = ctx.limits.document_bytes
    named = inner.name in (*_DOCUMENTS, *_LISTS, "tokenizer.json")
    if inner.kind == "gguf":
        return _gguf(inner, ctx)
    if inner.kind in ("protobuf", "sentencepiece", "unknown", "text"):
        likely = inner.kind != "text" or inner.suffix in (".model", ".spm", ".vocab")
        if likely and is_model(_head(inner)):
            data = inner.read(limit)
            problem = Tokenizer(problem=f"{inner.size:,} bytes are more than is read")
            return _Read(inner, "tokenizer.model", read_model(data) if data is not None else problem)
    if inner.kind not in ("json", "text") or not (named or inner.kind == "json"):
        return None
    data = inner.read(limit)
    if data is None:
        return _Read(inner, inner.name, Tokenizer(problem=f"{inner.size:,} bytes are more than is read")) if named else None
    if inner.name in ("vocab.txt", "merges.txt"):
        return _Read(inner, inner.name, _lines(inner.name, data))
    if not named and not any(word in data for word in _TELLING):
        return None
    document = load(data)
    if isinstance(document, str):
        return _Read(inner, inner.name, Tokenizer(problem=document.removeprefix("!"))) if named else None
    if isinstance(document, dict) and isinstance(document.get("model"), dict) and "vocab" in document["model"]:
        return _Read(inner, "tokenizer.json", tokenizer_of(document))
    if inner.name == "vocab.json" and not (isinstance(document, dict) and any(isinstance(v, int) for v in document.values())):
        return None
    if inner.name == "vocab.json":
        return _Read(inner, inner.name, tokenizer_of({"model": {"vocab": document}}))
    added = listed(document) if inner.name == "added_tokens.json" or "added_tokens_decoder" in _keys(document) else ()
    if not named and not added:
        return None
    tokens, odd = roles(document)
    special = set(tokens.values())
    added = tuple(Added(a.id, a.text, a.special or a.text in special or inner.name == "added_tokens.json") for a in added)
    remarks = (*odd, *(r for r in collisions({}, added) if r.severity is not Severity.LOW), *confusables(added))
    return _Read(inner, inner.name, Tokenizer(added=added, named=tokens, remarks=remarks))


def _keys(document: object) -> frozenset[str]:
    return frozenset(document) if isinstance(document, dict) else frozenset()


def _head(inner: Content) -> bytes:
    try:
        with inner.open() as stream:
            return stream.read(16)
    except (OSError, SubjectError):
        return b""


def _lines(name: str, data: bytes) -> Tokenizer:
    rows = data.decode("utf-8", "replace").split("\n")
    rows = rows[:-1] if rows and not rows[-1] else rows
    if name == "merges.txt":
        return Tokenizer(merges=tuple(r.rstrip("\r") for r in rows if r and not r.startswith("#version")))
    tokens = [r.rstrip("\r") for r in rows]
    ids = {token: at for at, token in reversed(list(enumerate(tokens)))}
    twice = len(tokens) - len(ids)
    said = (Remark(COLLISION, Severity.LOW, f"{twice} tokens stand in the vocabulary twice"),) if twice else ()
    return Tokenizer(ids=ids, remarks=said)


def _gguf(inner: Content, ctx: RunContext) -> _Read | None:
    try:
        with inner.open() as stream:
            file = read_gguf(stream, inner.size, ctx.limits)
    except (OSError, SubjectError):
        return _Read(inner, "gguf", Tokenizer(problem="it cannot be read"))
    tokens = file.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, GgufArray):
        return _Read(inner, "gguf", Tokenizer(problem=file.gap)) if file.gap else None
    texts = list(tokens.strings())
    types = file.metadata.get("tokenizer.ggml.token_type")
    kinds = [k for k in types.values() if isinstance(k, int)] if isinstance(types, GgufArray) else []
    added = tuple(Added(i, t, k == CONTROL) for i, (t, k) in enumerate(zip(texts, kinds, strict=False)) if k in (CONTROL, USER))
    ids = {t: i for i, t in reversed(list(enumerate(texts)))}
    merges = file.metadata.get("tokenizer.ggml.merges")
    remarks = [*confusables(added), *_gguf_roles(file, texts)]
    if len(ids) < len(texts):
        remarks.append(Remark(COLLISION, Severity.MEDIUM, f"{len(texts) - len(ids)} tokens stand in the vocabulary twice"))
    if kinds and len(kinds) != len(texts):
        remarks.append(Remark(COLLISION, Severity.MEDIUM, f"{len(texts)} tokens have {len(kinds)} types"))
    made = Tokenizer(
        ids, tuple(merges.strings()) if isinstance(merges, GgufArray) else (), added, remarks=tuple(remarks), problem=file.gap
    )
    return _Read(inner, "gguf", made)


def _gguf_roles(file: Gguf, texts: list[str]) -> Iterator[Remark]:
    for role in ("bos", "eos", "eot", "unknown", "seperator", "padding"):
        number = file.metadata.get(f"tokenizer.ggml.{role}_token_id")
        if not isinstance(number, int):
            continue
        if not 0 <= number < len(texts):
            if number not in (-1, 2**32 - 1):
                yield Remark(COLLISION, Severity.HIGH, f"the id {number} of {role} is out of range of {len(texts)} tokens")
        else:
            yield from is_word_role(f"{role}_token", texts[number])


def _agree(found: list[_Read]) -> Iterator[Finding]:
    """Yield where the files of one folder say different things about one tokenizer."""
    folders: dict[str, list[_Read]] = defaultdict(list)
    for read in found:
        if not read.content.entry:
            folders[read.content.path.rpartition("/")[0]].append(read)
    for group in folders.values():
        main = next((r for r in group if r.role == "tokenizer.json"), None)
        if main is None:
            continue
        ours = {a.id: a.text for a in main.tokenizer.added}
        ids = {**{a.text: a.id for a in main.tokenizer.added}, **main.tokenizer.ids}
        claimed = {t.id for o in group if o.role in ("tokenizer_config.json", "added_tokens.json") for t in o.tokenizer.added}
        taken = {number: text for text, number in main.tokenizer.ids.items() if number in claimed - set(ours)}
        for other in group:
            if other.role in ("tokenizer_config.json", "added_tokens.json"):
                for token in other.tokenizer.added:
                    if ours.get(token.id, token.text) != token.text or ids.get(token.text, token.id) != token.id:
                        words = f"{token.text[:40]!r} has the id {token.id} here, and tokenizer.json says otherwise"
                        yield _finding(other.content, Remark(COLLISION, Severity.HIGH, words))
                        break
                    theirs = taken.get(token.id, token.text)
                    if theirs != token.text and not any(p in theirs.lower() for p in PLACES):
                        words = (
                            f"{token.text[:40]!r} has the id {token.id} here, which is that of {theirs[:40]!r} in tokenizer.json"
                        )
                        yield _finding(other.content, Remark(COLLISION, Severity.MEDIUM, words))
                        break
            if other.role in ("vocab.json", "vocab.txt", "merges.txt") and main.tokenizer.ids:
                for remark in differences(other.tokenizer, main.tokenizer):
                    if remark.severity is Severity.MEDIUM:
                        words = remark.words.replace("the base's", "tokenizer.json's")
                        yield _finding(other.content, Remark(remark.rule, Severity.MEDIUM, words))


def _rows(found: list[_Read], tables: list[Content], ctx: RunContext) -> Iterator[Finding]:
    """Yield where an embedding of the adapter has fewer rows than its tokenizer has ids, or many more."""
    size = max((r.tokenizer.size for r in found if r.role == "tokenizer.json" and not r.content.entry), default=0)
    for table in tables if size else ():
        try:
            with table.open() as stream:
                header = header_in(stream, table.size, ctx.limits)
        except (OSError, SubjectError):
            continue
        for tensor in header.tensors:
            if len(tensor.shape) == 2 and _EMBEDDING.search(tensor.name):
                rows = tensor.shape[0]
                if rows < size or rows > size + _SPARE_ROWS:
                    severity = Severity.MEDIUM if rows < size else Severity.LOW
                    words = f"{tensor.name[:80]} has {rows} rows for a tokenizer of {size} ids"
                    yield _finding(table, Remark(COLLISION, severity, words))


def _against(found: list[_Read], base: list[_Read]) -> Iterator[Finding]:
    """Yield how the adapter's files differ from the base's of the same form."""
    theirs = {r.role: r.tokenizer for r in reversed(base) if not r.tokenizer.problem}
    for read in found:
        other = theirs.get(read.role)
        if other is None and read.role in ("vocab.json", "vocab.txt", "merges.txt", "gguf"):
            other = theirs.get("tokenizer.json")
        if other is not None and not read.tokenizer.problem:
            for remark in differences(read.tokenizer, other):
                yield _finding(read.content, remark)


def _finding(place: Content, remark: Remark) -> Finding:
    rule = _RULES[remark.rule]
    sure = Confidence.HIGH if remark.rule in (COLLISION, "tokenizer-differs-from-base") else Confidence.MEDIUM
    return Finding(
        rule=rule.id,
        severity=remark.severity,
        confidence=sure,
        message=f"{place}: {shown(remark.words)}",
        subject=place.whose,
        locations=(place.location(),),
        remediation=remark.remediation or "use the base's tokenizer, or have the publisher say why it was changed",
        references=rule.references,
    )


PLUGIN = TokenizerFiles()
