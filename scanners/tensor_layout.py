"""Safetensors and GGUF files against their own headers, and the text and files hidden in them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

from governance.context import RunContext
from governance.errors import SubjectError
from governance.evidence import Confidence, Coverage, Fact, Finding, Outcome, Rule, Severity
from governance.subject import Composition, FileEntry
from scanners._formats.code.secrets import find_secrets
from scanners._formats.kind_table import words_of
from scanners._formats.names import shown
from scanners._formats.tensors.carried_files import HEAD, carried_file
from scanners._formats.tensors.gguf import GgufArray, read_gguf
from scanners._formats.tensors.safetensors import header_in
from scanners._formats.tensors.shard_index import index_problems, is_index
from scanners._formats.tensors.spans import Placed, Problem
from scanners._formats.tensors.text_signs import LONGEST, TOKEN, Sign, odd_name, signs
from scanners._formats.tree import Content, Whose, contents

_KINDS = ("safetensors", "gguf")
#: Whose bytes are numbers of a known form; a file among them would be no number anyone trained.
_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "C64"})
#: Strings of a vocabulary are no text for people; the readers of templates and tokenizers look at them.
_READ_ELSEWHERE = ("tokenizer.",)
_HEADER = Rule(id="tensor-header", summary="the header cannot be true", severity=Severity.HIGH, references=("CWE-130", "CWE-789"))
_TWICE = Rule(
    id="tensor-duplicate-key", summary="readers disagree which value wins", severity=Severity.HIGH, references=("CWE-694",)
)
_OFFSETS = Rule(
    id="tensor-offsets",
    summary="spans overlap, leave holes or miss their shape",
    severity=Severity.HIGH,
    references=("CWE-130", "CWE-190"),
)
_TEXT = Rule(
    id="text-carries-code",
    summary="text beside the weights is code, a command, active markup, an expression or a token",
    references=("CWE-94", "CWE-79"),
)
_NAME = Rule(id="tensor-name-confusable", summary="a tensor's name is not what it looks like", references=("CWE-1007",))
_FILE = Rule(
    id="tensor-carries-file", summary="a tensor begins with an intact file", references=("AML.T0018.002", "CWE-506")
)  # fmt: skip
_REMEDIES = {
    "text-carries-code": "read the text before anything that shows or evaluates it does; ask the publisher why it is there",
    "tensor-name-confusable": "do not load it; ask the publisher for a file with plain names",
    "tensor-carries-file": "do not load it; ask the publisher what the tensor holds",
}
_AGAIN = "download it again, or ask the publisher for a file written by the format's own library"
_SHOWN = 5


class TensorLayout:
    """Checks every safetensors and GGUF file against its own header, wherever it lies.

    Detects:
        Headers that claim more bytes than the file or the limit allows, keys that occur twice at any level, unknown types,
        spans that overlap, alias, leave holes, overflow or do not match their shape, truncated files and bytes no tensor owns;
        indexes of shards that are not there or do not hold what the index says;
        names of tensors with controls, invisible characters and look-alikes; code, shell commands, active markup,
        expressions and access tokens in metadata; tensors of integers that begin with a file whose structure holds.

    Why it matters:
        Two readers of such a file may load different weights, a loader that trusts a claim exhausts memory or reads beyond
        it, and weights that carry code or files are a place where nothing else looks.

    Misses:
        What the numbers do: see weight-values and the evaluators. Files inside tensors of floats, or not at a tensor's
        start. Tokens and chat templates of GGUF, which the readers of those look at. GGUF version 1, which is not scanned.

    Source:
        safetensors format description; its security audit of 2023 (Trail of Bits); GGUF specification of the ggml repository.
    """

    id = "tensor-layout"
    version = "2"
    declares = (_HEADER, _TWICE, _OFFSETS, _TEXT, _NAME, _FILE)

    def wants(self, composition: Composition) -> bool:
        """Return whether there is a file: weights may have any name."""
        return any(s.files for s in (composition.adapter, composition.base) if s)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Yield a finding for each lie, and coverage for each file."""
        whose: Whose
        for whose in ("adapter", "base"):
            for entry, root in contents(composition, ctx, whose):
                item = f"base: {entry.path}" if whose == "base" else entry.path
                if root is None:
                    yield Coverage(item=item, outcome=Outcome.SKIPPED, reason="not downloaded")
                    continue
                mine = [(c, kind) for c in root.walk() if (kind := _kind(c))]
                if is_index(entry.path):
                    yield from _index(composition, root, entry, whose, ctx)
                gaps = list[str]()
                for content, kind in mine:
                    ctx.checkpoint()
                    gap = yield from _content(content, kind, ctx)
                    if gap:
                        gaps.append(gap if content is root else f"{'!'.join(map(shown, content.entry))}: {gap}")
                if gaps:
                    yield Coverage(item=item, outcome=Outcome.SKIPPED, reason="; ".join(gaps[:3]))
                elif mine:
                    yield Coverage(item=item, outcome=Outcome.COMPLETED)
                elif root.kind == "lfs-pointer" and root.suffix in (".safetensors", ".gguf"):
                    why = "a Git LFS pointer stands in place of the weights"
                    yield Coverage(item=item, outcome=Outcome.SKIPPED, reason=why)
                else:
                    yield Coverage(item=item, outcome=Outcome.NOT_APPLICABLE, reason=f"{words_of(root.kind)}: no tensor file")


def _index(composition: Composition, root: Content, entry: FileEntry, whose: Whose, ctx: RunContext) -> Iterator[Finding]:
    subject = composition.adapter if whose == "adapter" else composition.base
    for problem in index_problems(subject, entry, whose, ctx) if subject is not None else ():
        yield _finding(root, _Said(_RULES[problem.rule], problem.severity, problem.message))


def _kind(content: Content) -> str:
    """Return as what some content is read: what it is, or else what a loader takes it for by its name."""
    if content.kind in _KINDS:
        return content.kind
    if content.kind == "lfs-pointer" or content.suffix not in (".safetensors", ".gguf"):
        return ""
    return content.suffix[1:]


@dataclass(frozen=True)
class _Layout:
    """What both formats say, in one form."""

    problems: tuple[Problem, ...]
    texts: Iterable[tuple[str, str]]
    keys: tuple[str, ...]
    tensors: tuple[Placed, ...]
    numbers: tuple[bool, ...]
    data_start: int
    gap: str


def _content(content: Content, kind: str, ctx: RunContext) -> Generator[Finding, None, str]:
    """Yield what is wrong with one file and return why it was not read whole."""
    try:
        with content.open() as stream:
            layout = _safetensors(stream, content, ctx) if kind == "safetensors" else _gguf(stream, content, ctx)
            found = [*_lies(layout), *_names(layout), *_texts(layout), *_files(layout, stream, content.size)]
    except (OSError, SubjectError) as error:
        return f"it cannot be read: {getattr(error, 'strerror', None) or error}"
    for said in found[: ctx.limits.findings]:
        yield _finding(content, said)
    return layout.gap


def _safetensors(stream: BinaryIO, content: Content, ctx: RunContext) -> _Layout:
    header = header_in(stream, content.size, ctx.limits)
    spans = tuple(Placed(t.name, t.start, t.end) for t in header.tensors)
    plain = tuple(t.dtype in _FLOATS for t in header.tensors)
    keys = tuple(key for key, _ in header.metadata)
    return _Layout(header.problems, header.metadata, keys, spans, plain, header.data_start, header.gap)


def _gguf(stream: BinaryIO, content: Content, ctx: RunContext) -> _Layout:
    read = read_gguf(stream, content.size, ctx.limits)
    own = [(k, v) for k, v in read.metadata.items() if not k.startswith(_READ_ELSEWHERE)]
    arrays = ((k, s) for k, v in own if isinstance(v, GgufArray) and v.element == "string" for s in v.strings())
    spans = tuple(Placed(t.name, t.start, t.end) for t in read.tensors) if read.data_start else ()
    plain = tuple(t.dtype in _FLOATS for t in read.tensors)
    texts = chain(((k, v) for k, v in own if isinstance(v, str)), arrays)
    return _Layout(read.problems, texts, tuple(read.metadata), spans, plain, read.data_start, read.gap)


@dataclass(frozen=True)
class _Said:
    rule: Rule
    severity: Severity
    words: str
    tensors: tuple[str, ...] = ()
    key: str | None = None
    offset: int | None = None
    confidence: Confidence = Confidence.HIGH
    excerpt: str = ""


def _lies(layout: _Layout) -> Iterator[_Said]:
    for p in layout.problems:
        name = f"{shown(p.tensor)[:120]}: " if p.tensor else ""
        yield _Said(_RULES[p.rule], p.severity, name + p.message, (p.tensor,) if p.tensor else (), offset=p.offset)


def _names(layout: _Layout) -> Iterator[_Said]:
    odd: dict[str, list[str]] = {}
    for name in (t.name for t in layout.tensors):
        if why := odd_name(name):
            odd.setdefault(why, []).append(name)
    for why, names in odd.items():
        more = f", and {len(names) - 1:,} more such names" if len(names) > 1 else ""
        words = f"the tensor name {shown(names[0])[:120]!a} {why}{more}: it is not the tensor it looks like"
        yield _Said(_NAME, Severity.MEDIUM, words, tuple(names[:_SHOWN]))
    for key in layout.keys:
        if why := odd_name(key):
            yield _Said(_NAME, Severity.MEDIUM, f"the metadata key {shown(key)[:120]!a} {why}", key=key)
    for t in layout.tensors:
        if not set(t.name).isdisjoint("<({$;|`"):
            for sign in signs("", t.name):
                yield _Said(_TEXT, Severity.MEDIUM, f"the name of a tensor is {sign.what}", (t.name,), confidence=Confidence.MEDIUM)


def _texts(layout: _Layout) -> Iterator[_Said]:
    seen = set[tuple[str, str]]()
    for key, text in layout.texts:
        if len(text) > LONGEST:
            yield _Said(
                _TEXT, Severity.MEDIUM, f"the metadata value is {len(text):,} characters long, which no program writes", key=key
            )
        for sign in signs(key, text[:LONGEST]):
            if sign.what == TOKEN and find_secrets(text[:LONGEST].encode("utf-8", "replace"), keyed=False):
                continue  # exposed-secrets reads the same header, and says whose it is
            if (key, sign.what) not in seen:
                seen.add((key, sign.what))
                words = f"the metadata value {shown(key)[:80]!a} holds {sign.what}, for whatever shows or evaluates it"
                yield _said_of(sign, words, key=key)
    for key in layout.keys:
        for sign in signs("", key):
            yield _said_of(sign, f"a metadata key is {sign.what}", key=key)


def _said_of(sign: Sign, words: str, *, key: str | None = None, tensors: tuple[str, ...] = (), offset: int | None = None) -> _Said:
    excerpt = shown(sign.excerpt)[:80]
    return _Said(_TEXT, Severity.MEDIUM, words, tensors, key, offset, Confidence.MEDIUM, excerpt)


def _files(layout: _Layout, stream: BinaryIO, size: int) -> Iterator[_Said]:
    """Look at the start of every tensor whose bytes are not plainly floats."""
    if not layout.data_start:
        return
    for tensor, plain in zip(layout.tensors, layout.numbers, strict=True):
        start, length = layout.data_start + tensor.start, tensor.end - tensor.start
        if plain or length < 8 or start + 8 > size:
            continue
        stream.seek(start)
        head = stream.read(min(length, 1024))
        words = carried_file(head if length <= 1024 or not _promising(head) else head + stream.read(min(length, HEAD) - 1024))
        if words:
            said = f"the tensor {shown(tensor.name)[:120]!a} begins with {words} instead of numbers"
            yield _Said(_FILE, Severity.MEDIUM, said, (tensor.name,), None, start, Confidence.MEDIUM, head[:16].hex(" "))
        elif length <= LONGEST and (text := _text(head)) is not None:
            text += stream.read(length - len(head)).decode("utf-8", "replace") if length > len(head) else ""
            for sign in signs("", text.rstrip("\0")):
                words = f"the tensor {shown(tensor.name)[:120]!a} is text that holds {sign.what}"
                yield _said_of(sign, words, tensors=(tensor.name,), offset=start)


def _promising(head: bytes) -> bool:
    """Return whether a longer look may change the answer: some first bytes are a file's, and few tensors begin with them."""
    return head.startswith((b"\x80", b"c", b"(", b"}", b"]", b"PK", b"\x1f\x8b", b"BZh", b"MZ", b"%PDF"))


def _text(head: bytes) -> str | None:
    """Return bytes as text if that is what they are."""
    text = head.rstrip(b"\0").decode("utf-8", "ignore")
    if len(text.encode()) < len(head.rstrip(b"\0")) - 3 or len(text) < 16:
        return None
    return text if all(c.isprintable() or c in "\t\r\n" for c in text) else None


def _finding(content: Content, said: _Said) -> Finding:
    places = [content.location(offset=said.offset, tensor=shown(name)) for name in said.tensors[:_SHOWN]]
    key = shown(said.key)[:120] if said.key is not None else None
    return Finding(
        rule=said.rule.id,
        severity=said.severity,
        confidence=said.confidence,
        message=f"{content}: {said.words}",
        subject=content.whose,
        locations=tuple(places) or (content.location(offset=said.offset, key=key),),
        remediation=_REMEDIES.get(said.rule.id, _AGAIN),
        references=said.rule.references,
        evidence={"seen": said.excerpt} if said.excerpt else {},
    )


PLUGIN = TensorLayout()
_RULES = {r.id: r for r in PLUGIN.declares}
