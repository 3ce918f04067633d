"""What pickles would import, call and build, by our own opcode walk, in whatever container they lie."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from governance.context import RunContext
from governance.evidence import Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.subject import Composition, FileEntry
from scanners._formats.archives import CONTAINERS, members
from scanners._formats.kinds import KINDS, kind_of, kind_of_bytes
from scanners._formats.members import Member
from scanners._formats.pickle_review import acts, review

_REFERENCES = ("CWE-502", "AML.T0011.000")
_LARGEST_PICKLE = 1 << 30
_LOADABLE = ("adapter_model", "pytorch_model", "pytorch_adapter", "pytorch_lora", "model", "consolidated")
#: What trainers leave beside an adapter; nothing loads it with the adapter.
_BY_PRODUCTS = (
    "training_args", "optimizer", "scheduler", "scaler", "rng_state", "trainer_state", "global_step", "zero_pp", "bf16_zero_pp",
    "mp_rank", "random_states", "sampler", "custom_checkpoint",
)  # fmt: skip
#: How constants that may be files of their own begin: pickles, zip, gzip, numpy, bzip2, xz, zlib.
_NESTED = frozenset(b"\x80c(]}P\x1f\x93B\xfdxi")
_MOST_NESTED = 2_000


def _rule(name: str, summary: str, severity: Severity, *references: str) -> Rule:
    return Rule(id=name, summary=summary, severity=severity, references=references)


class PickleImports:
    """Walks every pickle of the adapter by opcode, in whatever container it lies.

    Detects:
        Names a pickle would import: dangerous ones, unknown ones, names built at run time and extension codes; calls of careful
        names with arguments that do more than make data; state planted on classes; tensors that reach outside their storage;
        streams that break off, go on after their end or explode; archives whose two readings differ, that leave the folder or
        unpack without end; weights stored as pickle; by-products of training.

    Why it matters:
        Loading a pickle runs what it imports and calls. One line in ``adapter_model.bin`` is enough.

    Misses:
        Harm done by known-good names with hostile arguments the tables do not describe; payloads that begin in the middle of a
        tensor's storage or of a text constant; 7z, zstd, lz4 and rar, which are reported as not scanned.

    Source:
        Python ``pickletools``; PEP 307, 3154, 574; torch serialization formats (zip, and five pickles then raw storages);
        PickleBall, arXiv:2508.15987.
    """

    id = "pickle-imports"
    version = "2"
    declares = (
        _rule("pickle-import", "a dangerous name is imported or called", Severity.CRITICAL, *_REFERENCES, "AML.T0018.002"),
        _rule("pickle-import-unknown", "a name no table knows is imported", Severity.MEDIUM, "CWE-502"),
        _rule("pickle-built-name", "what is imported or called is no constant name", Severity.HIGH, "CWE-470", "CWE-502"),
        _rule("pickle-state-injection", "state is set on a class or function, or a hook is planted", Severity.HIGH, "CWE-915"),
        _rule("pickle-nested", "a constant is itself a pickle or archive that acts", Severity.HIGH, "CWE-502"),
        _rule("pickle-broken", "a stream is invalid or cut off", Severity.MEDIUM, "CWE-20", "CWE-436", "AML.T0076"),
        _rule("pickle-after-stop", "data or streams after the last expected pickle", Severity.MEDIUM, "CWE-436"),
        _rule("pickle-expansion", "few bytes become huge or deeply nested objects", Severity.MEDIUM, "CWE-409", "CWE-674"),
        _rule("storage-bounds", "a tensor reaches outside its storage", Severity.HIGH, "CWE-125", "CVE-2026-24747"),
        _rule("pickle-weights", "weights are stored as pickle", Severity.LOW, "AML.T0011.000"),
        _rule("training-by-product", "not needed to load the adapter", Severity.INFO, "CVE-2026-1839"),
        _rule("torchscript-code", "an archive carries code or an exported program", Severity.MEDIUM, "CWE-829"),
        _rule("archive-disagreement", "two readings of an archive differ", Severity.HIGH, "CWE-436", "CWE-694", "CVE-2025-1944"),
        _rule("archive-escape", "a member leaves the folder, or is a link or device", Severity.HIGH, "CWE-22", "CWE-59"),
        _rule("archive-bomb", "an archive unpacks to more than allowed", Severity.MEDIUM, "CWE-409"),
    )

    def wants(self, composition: Composition) -> bool:
        """Return True if there is a file: a pickle may have any name."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Yield findings for each stream, and coverage for each file."""
        for entry in composition.adapter.files:
            ctx.checkpoint()
            if entry.present:
                yield from _file(entry, ctx.store.path(composition.adapter, entry.path), ctx)
            else:
                yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason="not downloaded")


def _file(entry: FileEntry, path: Path, ctx: RunContext) -> Iterator[Fact | Coverage]:
    kind = kind_of(path)
    place = _Place(entry.path, by_product=_is_by_product(entry.path), ctx=ctx)
    reads = [k for k in (kind.id, kind.also) if k is not None and _is_read(k)]
    if kind.id == "compressed":
        yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason=f"{KINDS[kind.id]} cannot be opened here")
        return
    if not reads:
        yield Coverage(item=entry.path, outcome=Outcome.NOT_APPLICABLE, reason=f"{KINDS[kind.id]}: holds no pickle")
        return
    found: list[Finding] = []
    with path.open("rb") as stream:
        for one in reads:
            found += _content(stream, one, entry.size, place)
    found.sort(key=lambda f: -f.severity.rank)
    yield from found[: ctx.limits.findings]
    yield from _role(place, kind.id)
    gaps = place.gaps + (
        [f"{len(found) - ctx.limits.findings:,} findings were left out"] if len(found) > ctx.limits.findings else []
    )
    reason = "; ".join(gaps[:3]) + (f"; and {len(gaps) - 3} more" if len(gaps) > 3 else "")
    yield Coverage(item=entry.path, outcome=Outcome.SKIPPED if gaps else Outcome.COMPLETED, reason=reason)


@dataclass
class _Place:
    """Where in a file the scan is, and what it could not read so far."""

    path: str
    by_product: bool
    ctx: RunContext
    entry: tuple[str, ...] = ()
    gaps: list[str] = field(default_factory=list)
    depth: int = 0

    def inside(self, name: str) -> _Place:
        """Return the place one container deeper; gaps are shared. The content of a compressed file has no name."""
        entry = (*self.entry, name) if name else self.entry
        return _Place(self.path, self.by_product, self.ctx, entry, self.gaps, self.depth + 1)

    def gap(self, words: str) -> None:
        """Note something that was not read."""
        self.gaps.append(": ".join((*(_shown(e) for e in self.entry), words)))

    def finding(
        self,
        rule: str,
        severity: Severity,
        words: str,
        *,
        offset: int | None = None,
        opcode: str | None = None,
        remediation: str = "",
    ) -> Finding:
        """Return a finding here."""
        return Finding(
            rule=rule,
            severity=severity,
            message=f"{'!'.join(map(_shown, (self.path, *self.entry)))}: {words}",
            locations=(Location(path=_shown(self.path), entry=tuple(map(_shown, self.entry)), offset=offset, opcode=opcode),),
            remediation=remediation or "ask the publisher for safetensors",
            references=next(r.references for r in PLUGIN.declares if r.id == rule),
        )


def _is_read(kind: str) -> bool:
    return kind == "pickle" or kind in CONTAINERS or kind in ("torchscript", "keras")


def _content(stream: BinaryIO, kind: str, size: int, place: _Place) -> Iterator[Finding]:
    """Yield what is to be said of a pickle or container, and of everything in it."""
    if kind == "pickle":
        if size > _LARGEST_PICKLE:
            place.gap(f"a pickle of {size:,} bytes is larger than this scanner reads")
            return
        stream.seek(0)
        yield from _stream(stream.read(size), place)
        return
    if place.depth >= place.ctx.limits.archive_depth:
        place.gap(f"containers nested deeper than {place.ctx.limits.archive_depth} are not opened")
        return
    if kind == "torchscript":
        words = "it carries TorchScript code that runs when the archive is loaded"
        yield place.finding("torchscript-code", Severity.MEDIUM, words, remediation="publish tensors alone")
    read = "zip" if kind in ("torchscript", "keras") else kind
    for member in members(stream, read, size, place.ctx.limits, _wanted):
        yield from _member(member, place.inside(member.name))


def _wanted(name: str, head: bytes) -> bool:
    """Return whether a member is worth reading whole."""
    kind = kind_of_bytes(head)
    return name.lower().endswith((".pkl", ".pickle")) or _is_read(kind) or kind == "compressed"


def _member(member: Member, place: _Place) -> Iterator[Finding]:
    if member.disagreement:
        yield place.finding("archive-disagreement", Severity.HIGH, f"loaders would read different things: {member.disagreement}")
    if member.escape:
        yield place.finding("archive-escape", Severity.HIGH, f"unpacking it would write elsewhere: {member.escape}")
    if member.bomb:
        yield place.finding("archive-bomb", Severity.MEDIUM, member.problem or "it unpacks to more than allowed")
    kind = kind_of_bytes(member.data)
    numbers = "/data/" in f"/{member.name}" and not member.name.endswith(".pkl")
    if _is_read(kind) and not (numbers and kind == "pickle" and not acts(member.data)):
        yield from _content(io.BytesIO(member.data), kind, len(member.data), place)
    elif kind == "compressed" and not numbers:
        place.gap(f"{KINDS[kind]} cannot be opened here")
    elif kind == "unknown" and member.name.lower().endswith((".pkl", ".pickle")) and member.data:
        yield from _stream(member.data, place)
    if not member.whole:
        place.gap(member.problem or "it was not read whole")


def _stream(data: bytes, place: _Place) -> Iterator[Finding]:
    """Yield what is to be said of one pickle stream, and of files among its constants."""
    limits = place.ctx.limits
    said = review(
        data, limit=limits.pickle_opcodes, by_product=place.by_product, wraps=place.entry[-1:] in (("storages",), ("tensors",))
    )
    for remark in said.remarks:
        yield place.finding(
            remark.rule, remark.severity, remark.words, offset=remark.offset, opcode=remark.opcode, remediation=remark.remediation
        )
    likely = [(at, c) for at, c in said.constants if c[0] in _NESTED]
    for at, constant in likely[:_MOST_NESTED]:
        kind = kind_of_bytes(constant)
        if (kind == "pickle" and acts(constant)) or kind in CONTAINERS:
            inner = list(_content(io.BytesIO(constant), kind, len(constant), place.inside(f"constant at byte {at}")))
            if any(f.severity.rank >= Severity.MEDIUM.rank for f in inner):
                words = f"the constant at byte {at:,} is itself {KINDS[kind]} that acts"
                yield place.finding("pickle-nested", Severity.HIGH, words, offset=at)
            yield from inner
    if len(likely) > _MOST_NESTED:
        place.gap(f"{len(likely) - _MOST_NESTED:,} constants were not looked into")
    if said.gap:
        place.gap(said.gap)


def _role(place: _Place, kind: str) -> Iterator[Finding]:
    """Yield what a pickle is for, by its name; its name never makes it less dangerous."""
    if place.by_product:
        words = "a by-product of training; nothing loads it with the adapter, and it needs trust to be read"
        yield place.finding("training-by-product", Severity.INFO, words, remediation="leave it out when publishing")
    elif kind in ("pickle", "torch-zip") and place.path.rsplit("/", 1)[-1].startswith(_LOADABLE):
        words = "weights are stored as a pickle, which runs what it imports when it is loaded"
        yield place.finding("pickle-weights", Severity.LOW, words, remediation="convert to safetensors")


def _is_by_product(path: str) -> bool:
    return path.rsplit("/", 1)[-1].startswith(_BY_PRODUCTS)


def _shown(name: str) -> str:
    return name if name.isprintable() else name.encode("unicode_escape", "backslashreplace").decode("ascii")


PLUGIN = PickleImports()
