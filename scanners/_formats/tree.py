"""Everything a file holds: itself, and what lies in it, opened in place and typed by content.

Made once for each file of a subject and shared by every scanner of a run; a scanner asks ``contents`` and walks. Readers of
containers say here what they saw (``remarks``), what they could not read (``gaps``) and who owns which bytes (``spans``);
what lies inside is further ``Content``, to any depth the limits allow. Nothing is written under a name a subject chose.
"""

from __future__ import annotations

import io
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import BinaryIO, Literal

from governance.context import Limits, RunContext
from governance.errors import SubjectError
from governance.evidence import Location, Severity
from governance.subject import Composition, FileEntry, Subject
from scanners._formats.archives import CONTAINERS, members
from scanners._formats.kind_table import words_of
from scanners._formats.kinds import kind_at
from scanners._formats.members import Member
from scanners._formats.names import shown
from scanners._formats.pickle_review import acts

Whose = Literal["adapter", "base"]
#: Kinds with something in them that is read here.
CONTAINER_KINDS = CONTAINERS | {"torchscript", "torch-export", "keras"}
#: Trees kept between scanners, and the most bytes of unpacked members they may hold.
#: Containers nobody here can open.
_CLOSED = ("7z", "rar", "zstd", "lz4")
#: What raw numbers may look like by chance.
_NUMBERS = ("unknown", "text", "protobuf", "msgpack", "zlib", "lzma")
_KEPT, _KEPT_BYTES = 20_000, 64 << 20


@dataclass(frozen=True)
class Remark:
    """Something a reader saw; ``rule`` is a rule of the scanner that reports on the reader's format."""

    rule: str
    severity: Severity
    words: str
    offset: int | None = None
    remediation: str = ""


@dataclass(frozen=True)
class Span:
    """Bytes with an owner: a header, a member, a tensor, padding, a comment."""

    start: int
    end: int
    role: str


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
    for entry in subject.files if subject is not None else ():
        ctx.checkpoint()
        yield entry, content(subject, entry, ctx, whose) if subject is not None and entry.present else None


def content(subject: Subject, entry: FileEntry, ctx: RunContext, whose: Whose = "adapter") -> Content:
    """Return one file with everything in it; never raises on content."""
    key = (subject.digest, subject.name, entry.path, whose, ctx.limits, ctx.store.root)
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
    name = entry[-1] if entry else path
    try:
        with opener() as stream:
            found = kind_at(stream, size, name)
            made = Content(whose, path, entry, found.id, found.also, found.fits_name, size, opener, depth)
            parts = [_unpacked(made, kind, stream, limits) for kind in made.kinds if kind in CONTAINER_KINDS]
    except (OSError, SubjectError) as error:
        why = f"it cannot be read: {getattr(error, 'strerror', None) or error}"
        return Content(whose, path, entry, "unknown", None, True, size, opener, depth, gaps=(why,))
    closed = (f"{words_of(made.kind)} cannot be opened here",) if made.kind in _CLOSED else ()
    return replace(
        made,
        remarks=tuple(r for part in parts for r in part.remarks),
        gaps=(*closed, *(g for part in parts for g in part.gaps)),
        children=tuple(c for part in parts for c in part.children),
    )


def _unpacked(outer: Content, kind: str, stream: BinaryIO, limits: Limits) -> Content:
    """Return the outer content with what one reading of it gives."""
    if outer.depth >= limits.archive_depth:
        return replace(outer, gaps=(f"containers nested deeper than {limits.archive_depth} are not opened",))
    read = "zip" if kind in ("torchscript", "torch-export", "keras") else kind
    stream.seek(0)
    remarks, gaps, children = list[Remark](), list[str](), list[Content]()
    for member in members(stream, read, outer.size, limits, lambda name, head: True):
        said, gap = _remarks(member), () if member.whole else (member.problem or "it was not read whole",)
        if member.name or member.data:
            child = _member(member, outer, kind, limits)
            children.append(replace(child, remarks=(*said, *child.remarks), gaps=(*gap, *child.gaps)))
        else:
            remarks += said
            gaps += gap
    return replace(outer, remarks=tuple(remarks), gaps=tuple(gaps), children=tuple(children))


def _member(member: Member, outer: Content, kind: str, limits: Limits) -> Content:
    data = member.data
    child = content_of_bytes(data, member.name, outer, limits)
    exported = kind == "torch-export" and re.search(r"/data/(weights|constants)/(weight|tensor)_\d+\Z", f"/{member.name}")
    numbers = bool(exported) or (
        kind in ("torch-zip", "torchscript") and "/data/" in f"/{member.name}" and not member.name.endswith(".pkl")
    )
    if numbers and (child.kind in _NUMBERS or (child.kind == "pickle" and not acts(data))):
        return replace(child, kind="storage", fits_name=True, children=(), remarks=(), gaps=())
    return child


def _remarks(member: Member) -> Sequence[Remark]:
    found = []
    if member.disagreement:
        found.append(Remark("archive-disagreement", Severity.HIGH, f"loaders would read different things: {member.disagreement}"))
    if member.escape:
        found.append(Remark("archive-escape", Severity.HIGH, f"unpacking it would write elsewhere: {member.escape}"))
    if member.bomb:
        found.append(Remark("archive-bomb", Severity.MEDIUM, member.problem or "it unpacks to more than allowed"))
    return found


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
        weight = sum(c.size for c in tree.walk() if c is not tree)
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
