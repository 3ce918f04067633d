"""Everything a file holds: itself, and what lies in it, opened in place and typed by content.

Made once for each file of a subject and shared by every scanner of a run; a scanner asks ``contents`` and walks. Readers of
containers say here what they saw (``remarks``), what they could not read (``gaps``) and who owns which bytes (``spans``);
what lies inside is further ``Content``, to any depth the limits allow. Nothing is written under a name a subject chose.
"""

from __future__ import annotations

import io
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import BinaryIO, Literal

from governance.context import Limits, RunContext
from governance.errors import SubjectError
from governance.evidence import Location
from governance.subject import Composition, FileEntry, Subject
from scanners._formats.archives.members import Budget, Member, Reading, Remark, Span, holes
from scanners._formats.archives.readers import CONTAINERS, read_container
from scanners._formats.archives.unpacking import window
from scanners._formats.kind_table import words_of
from scanners._formats.kinds import Kind, kind_at, kind_of_head
from scanners._formats.names import shown
from scanners._formats.pickles.review import acts
from scanners._formats.tensors.safetensors import header_in

__all__ = [
    "CONTAINER_KINDS", "Content", "Remark", "Span", "Whose", "content", "content_of_bytes", "contents", "gaps_in", "grow",
    "in_words",
]  # fmt: skip

Whose = Literal["adapter", "base"]
#: Kinds with something in them that is read here.
CONTAINER_KINDS = CONTAINERS | {"torchscript", "torch-export", "keras"}
#: Trees kept between scanners, and the most bytes of unpacked members they may hold.
_KEPT, _KEPT_BYTES = 20_000, 96 << 20
#: Bytes of a tensor's storage that are looked at, and those that are walked if they begin like a pickle.
_HEAD, _PICKLE_HEAD = 4096, 1 << 20
#: What the first bytes of a tensor's numbers may look like by chance.
_BY_CHANCE = frozenset({"unknown", "text", "json", "html", "protobuf", "sentencepiece", "msgpack", "zlib", "lzma", "empty"})
_MOST_HOLES = 16


@dataclass(frozen=True, eq=False)
class Content:
    """One piece of content: a file, or what lies in one.

    Attributes:
        whose: The subject it belongs to.
        path: Of the file.
        entry: Path inside nested containers, outermost first; empty for the file itself.
        kind: What it is, a key of ``tables/kinds.yaml``.
        also: A second kind the same bytes are, or None.
        fits_name: Whether its name may honestly hold it.
        size: Bytes.
        opener: Opens it for reading at any place.
        depth: Containers around it; the content of a compressed file is one deeper and has no name of its own.
        remarks: What the reader of its container format saw.
        gaps: Why something in it was not read; empty if everything was.
        spans: Who owns which bytes, in order; empty if no reader maps this format.
        children: What lies in it.
        held: How many of its bytes are kept in memory.
    """

    whose: Whose
    path: str
    entry: tuple[str, ...]
    kind: str
    also: str | None
    fits_name: bool
    size: int
    opener: Callable[[], BinaryIO]
    depth: int = 0
    remarks: tuple[Remark, ...] = ()
    gaps: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    children: tuple[Content, ...] = ()
    held: int = 0

    @property
    def name(self) -> str:
        """Its own name, without folders."""
        return (self.entry[-1] if self.entry else self.path).replace("\\", "/").rsplit("/", 1)[-1]

    @property
    def suffix(self) -> str:
        """Lower case, with its dot; empty for none."""
        return PurePosixPath(self.name).suffix.lower()

    @property
    def kinds(self) -> tuple[str, ...]:
        """Everything it is: its kind, and the second one if it has two."""
        return (self.kind,) if self.also is None else (self.kind, self.also)

    def open(self) -> BinaryIO:
        """Open it for reading at any place; the caller closes it.

        Raises:
            OSError: The file cannot be read.
            SubjectError: Its bytes cannot be had.
        """
        return self.opener()

    def read(self, limit: int) -> bytes | None:
        """Return its bytes, or None if there are more than ``limit`` or they cannot be read."""
        if self.size > limit:
            return None
        try:
            with self.open() as stream:
                return stream.read(limit)
        except (OSError, SubjectError):
            return None

    def walk(self) -> Iterator[Content]:
        """Yield this content and everything in it, outermost first."""
        yield self
        for child in self.children:
            yield from child.walk()

    def location(
        self, *, offset: int | None = None, opcode: str | None = None, tensor: str | None = None, key: str | None = None
    ) -> Location:
        """Return a place in this content, as findings name it."""
        entry = tuple(map(shown, self.entry))
        return Location(path=shown(self.path), entry=entry, offset=offset, opcode=opcode, tensor=tensor, key=key)

    def __str__(self) -> str:
        return "!".join(map(shown, (self.path, *self.entry)))


def contents(composition: Composition, ctx: RunContext, whose: Whose = "adapter") -> Iterator[tuple[FileEntry, Content | None]]:
    """Yield every file of a subject with what it holds; None for a file that is not here.

    Args:
        composition: Holds the subject.
        ctx: Opens files; its limits are the ceilings.
        whose: Which subject.
    """
    subject = composition.adapter if whose == "adapter" else composition.base
    digest = subject.digest if subject is not None else ""
    for entry in subject.files if subject is not None else ():
        ctx.checkpoint()
        yield entry, _kept(subject, digest, entry, ctx, whose) if subject is not None and entry.present else None


def content(subject: Subject, entry: FileEntry, ctx: RunContext, whose: Whose = "adapter") -> Content:
    """Return one file with everything in it; never raises on content."""
    return _kept(subject, subject.digest, entry, ctx, whose)


def _kept(subject: Subject, digest: str, entry: FileEntry, ctx: RunContext, whose: Whose) -> Content:
    # A subject that is asked for by range has no digests of its files: commit, size and name tell it apart.
    where = (subject.commit, subject.held, ctx.folders.get(subject.name), ctx.store.root)
    key = (digest, subject.name, entry.path, entry.size, entry.sha256, whose, ctx.limits, where)
    known = _trees.get(key)
    if known is None:
        known = grow(lambda: ctx.open(subject, entry.path), entry.size, ctx.limits, whose=whose, path=entry.path)
        _trees.add(key, known)
    return known


def content_of_bytes(data: bytes, name: str, parent: Content, limits: Limits) -> Content:
    """Return bytes found inside some content, such as a constant of a pickle, as content of their own."""
    entry, depth = ((*parent.entry, name) if name else parent.entry), parent.depth + 1
    return grow(lambda: io.BytesIO(data), len(data), limits, whose=parent.whose, path=parent.path, entry=entry, depth=depth)


def grow(
    opener: Callable[[], BinaryIO],
    size: int,
    limits: Limits,
    *,
    whose: Whose,
    path: str,
    entry: tuple[str, ...] = (),
    depth: int = 0,
) -> Content:
    """Return content with everything in it.

    Args:
        opener: Opens it.
        size: Its bytes.
        limits: Ceilings for depth, members and ratio.
        whose: The subject.
        path: The file.
        entry: Where in the file.
        depth: Containers around it.
    """
    seed = Content(whose, path, entry, "unknown", None, True, size, opener, depth)
    try:
        with opener() as stream:
            return _grown(seed, stream, limits, Budget())
    except (OSError, SubjectError) as error:
        return replace(seed, gaps=(f"it cannot be read: {getattr(error, 'strerror', None) or error}",))


def _grown(seed: Content, stream: BinaryIO, limits: Limits, budget: Budget, name: str | None = None) -> Content:
    """Return content with its kind and everything in it, read from a stream that is open already."""
    found = kind_at(stream, seed.size, seed.name if name is None else name)
    made = replace(seed, kind=found.id, also=found.also, fits_name=found.fits_name)
    parts = list[Content]()
    for kind in made.kinds:
        if kind == made.also and parts and _lies_inside(parts[0], found):
            made = replace(made, also=None)
        elif kind in CONTAINER_KINDS:
            parts.append(_opened(made, kind, stream, limits, budget, found))
    if made.kind == "safetensors":
        parts.append(_tensors(made, stream, limits, budget))
    closed = (f"{words_of(made.kind)} cannot be opened here",) if made.kind == "rar" else ()
    return replace(
        made,
        remarks=(*made.remarks, *(r for part in parts for r in part.remarks)),
        gaps=(*made.gaps, *closed, *(g for part in parts for g in part.gaps)),
        children=tuple(c for part in parts for c in part.children),
        spans=parts[-1].spans if parts else (),
    )


def _lies_inside(outer: Content, found: Kind) -> bool:
    """Return whether every directory of a zip found in a file is that of one stored inside a member, which is read as such."""
    zips = any(k in CONTAINER_KINDS and k not in ("tar", "7z", "numpy") for c in outer.children for k in c.kinds)
    return zips and bool(found.directories) and all(
        any(s.role == "member" and s.start <= min((e.at for e in d.entries), default=d.begin) and d.finish <= s.end
            for s in outer.spans)
        for d in found.directories or ()
    )  # fmt: skip


def _opened(outer: Content, kind: str, stream: BinaryIO, limits: Limits, budget: Budget, found: Kind) -> Content:
    """Return the outer content with what one reading of it gives."""
    bare = replace(outer, remarks=(), gaps=())
    if outer.depth >= limits.archive_depth:
        return replace(bare, gaps=(f"containers nested deeper than {limits.archive_depth} are not opened",))
    numbers = _NUMBERS_IN.get(kind, _is_no_numbers)
    reading = read_container(stream, kind, outer.size, limits, budget, numbers, found.directories)
    spans = reading.spans
    if kind != outer.kind and spans:  # what stands before an archive that is appended belongs to the other kind
        spans = (Span(0, min(s.start for s in spans), outer.kind), *spans)
    members = (*reading.members, *(_unowned(reading, outer.size) if kind == outer.kind else ()))
    children = [_member(m, outer, stream, limits, budget, numbers=numbers(m.name)) for m in members]
    return replace(bare, remarks=reading.remarks, gaps=reading.gaps, spans=spans,
                   children=tuple(c for c in children if c is not None))  # fmt: skip


def _tensors(outer: Content, stream: BinaryIO, limits: Limits, budget: Budget) -> Content:
    """Return safetensors with the byte map its header gives, and what lies in its holes; ``tensor-layout`` says what is wrong."""
    header = header_in(stream, outer.size, limits)
    start = 8 + header.header_bytes
    bare = replace(outer, remarks=(), gaps=())
    if not header.tensors or start > outer.size:
        return bare
    spans = (Span(0, start, "header"), *(Span(start + t.start, start + t.end, "tensor") for t in header.tensors if t.end > t.start))
    unowned = _unowned(Reading(spans=spans), outer.size) if outer.also is None else ()
    children = (_member(m, outer, stream, limits, budget, numbers=False) for m in unowned)
    return replace(bare, spans=spans, children=tuple(c for c in children if c is not None))


def _unowned(reading: Reading, size: int) -> Iterator[Member]:
    """Yield the bytes no member owns as content of their own: what hides there is read like everything else."""
    for begin, end in list(holes(reading.spans, size))[:_MOST_HOLES] if reading.spans else ():
        yield Member(f"(bytes {begin} to {end})", end - begin, partial(_window, begin, end - begin))


def _window(start: int, size: int, parent: BinaryIO, owns: bool) -> BinaryIO:
    return window(parent, start, size, owns)


def _member(member: Member, outer: Content, stream: BinaryIO, limits: Limits, budget: Budget, *, numbers: bool) -> Content | None:
    view, entry = member.view, (*outer.entry, member.name) if member.name else outer.entry
    nothing = Content(outer.whose, outer.path, entry, "empty", None, True, member.size, lambda: io.BytesIO(b""), outer.depth + 1,
                      member.remarks, member.gaps)  # fmt: skip
    if view is None:
        return nothing if member.remarks or member.gaps else None
    opener = outer.opener
    seed = replace(nothing, kind="unknown", opener=lambda: view(opener(), True), held=member.held)
    if numbers and member.head is not None and kind_of_head(member.head, member.size) in _BY_CHANCE:
        return replace(seed, kind="storage")
    with view(stream, False) as inside:
        if numbers:
            head = inside.read(_HEAD)
            kind = kind_of_head(head, member.size)
            if kind in _BY_CHANCE or (kind == "pickle" and not acts(head + inside.read(_PICKLE_HEAD))):
                return replace(seed, kind="storage")
        if member.name == "(comment)" and kind_of_head(inside.read(_HEAD), member.size) in ("text", "json", "empty"):
            return None
        # What was packed is named by what is left of the packed file's name: x.tar of x.tar.gz, and of x.tgz nothing.
        stem = outer.name.rpartition(".")[0] if outer.kind != "numpy" else ""
        return _grown(seed, inside, limits, budget, None if member.name else stem)


def _is_numbers(name: str) -> bool:
    """Return whether a member of a PyTorch archive is a tensor's numbers, by where its loader looks for them."""
    return "/data/" in f"/{name}" and not name.endswith(".pkl")


def _is_exported(name: str) -> bool:
    """Return whether a member of an exported program is a weight or a constant."""
    return re.search(r"/data/(weights|constants)/(weight|tensor)_\d+\Z", f"/{name}") is not None


def _is_no_numbers(name: str) -> bool:
    return False


_NUMBERS_IN = {"torch-zip": _is_numbers, "torchscript": _is_numbers, "torch-export": _is_exported}


class _Trees:
    """The trees of this process, as many as fit; a tree that was dropped is grown again."""

    def __init__(self) -> None:
        self._kept: OrderedDict[object, tuple[Content, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: object) -> Content | None:
        """Return a kept tree, or None."""
        known = self._kept.get(key)
        return known[0] if known else None

    def add(self, key: object, tree: Content) -> None:
        """Keep a tree; the oldest go first."""
        weight = sum(c.held + 500 for c in tree.walk())
        if weight > _KEPT_BYTES:
            return
        self._kept[key] = tree, weight
        self._bytes += weight
        while self._bytes > _KEPT_BYTES or len(self._kept) > _KEPT:
            _, (_, freed) = self._kept.popitem(last=False)
            self._bytes -= freed


_trees = _Trees()


def in_words(content: Content) -> str:
    """Return what some content is, with its article; both kinds if it has two."""
    return " and ".join(words_of(k) for k in content.kinds) + (" at once" if content.also else "")


def gaps_in(root: Content) -> Iterator[str]:
    """Yield why something in a file was not read, with its place inside the file."""
    for inner in root.walk():
        for gap in inner.gaps:
            yield ": ".join((*map(shown, inner.entry), gap))
