"""What pickles would import and call, by our own opcode walk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from governance.context import RunContext
from governance.evidence import Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.subject import Composition
from scanners._formats.archives import members
from scanners._formats.kinds import is_pickle, kind_of
from scanners._formats.pickles import Import, Walk, walk

#: How zip, gzip, bzip2, xz, zstd, 7z and lz4 begin.
_CONTAINERS = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"\x04\x22\x4d\x18")
_REFERENCES = ("CWE-502", "AML.T0011.000")
_LOADABLE = ("adapter_model", "pytorch_model", "model", "pytorch_adapter")
#: What trainers leave beside an adapter; nothing loads it with the adapter.
_BY_PRODUCTS = (
    "training_args",
    "optimizer",
    "scheduler",
    "scaler",
    "rng_state",
    "trainer_state",
    "global_step",
    "zero_pp",
    "mp_rank",
)


class PickleImports:
    """Walks every pickle of the adapter by opcode, in whatever container it lies.

    Detects:
        Names a pickle would import: dangerous ones, unknown ones, names built at run time and extension codes; streams that
        break off or go on after their end; weights stored as pickle; by-products of training.

    Why it matters:
        Loading a pickle runs what it imports and calls. One line in ``adapter_model.bin`` is enough.

    Misses:
        Harm done by calling known-good names with hostile arguments; containers without a reader (7z, zstd), which the
        inventory reports as not scanned.

    Source:
        Python ``pickletools``; PEP 307, 3154, 574; torch serialization formats (zip, and five pickles then raw storages).
    """

    id = "pickle-imports"
    version = "1"
    declares = (
        Rule(id="pickle-import", summary="a dangerous name is imported", severity=Severity.CRITICAL, references=_REFERENCES),
        Rule(
            id="pickle-import-unknown",
            summary="a name no table knows is imported",
            severity=Severity.MEDIUM,
            references=("CWE-502",),
        ),
        Rule(
            id="pickle-built-name",
            summary="an imported name is built at run time",
            severity=Severity.HIGH,
            references=("CWE-470", "CWE-502"),
        ),
        Rule(
            id="pickle-broken", summary="a stream is invalid or cut off", severity=Severity.MEDIUM, references=("CWE-20", "CWE-436")
        ),
        Rule(id="pickle-after-stop", summary="data after the last pickle", severity=Severity.MEDIUM, references=("CWE-436",)),
        Rule(id="pickle-weights", summary="weights are stored as pickle", severity=Severity.LOW, references=("AML.T0011.000",)),
        Rule(id="training-by-product", summary="not needed to load the adapter", severity=Severity.INFO),
        Rule(
            id="archive-disagreement",
            summary="two readings of an archive differ",
            severity=Severity.HIGH,
            references=("CWE-436", "CWE-694"),
        ),
    )

    def wants(self, composition: Composition) -> bool:
        """Return True: a pickle may have any name."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Yield findings for each stream, and coverage for each file."""
        for entry in composition.adapter.files:
            if not entry.present:
                yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason="not downloaded")
                continue
            path = ctx.store.path(composition.adapter, entry.path)
            kind = kind_of(path).id
            gaps: list[str] = []
            if kind == "pickle":
                if entry.size > ctx.limits.file_bytes:
                    gaps.append("larger than allowed")
                else:
                    yield from _stream(path.read_bytes(), entry.path, (), ctx, gaps)
            elif kind in ("zip", "torch-zip", "tar", "gzip"):
                for member in members(path, kind, ctx.limits):
                    if (member.problem and "disagree" in member.problem) or member.problem == "its name occurs twice":
                        yield _finding("archive-disagreement", Severity.HIGH, f"{entry.path}!{member.name}: {member.problem}",
                                       Location(path=entry.path, entry=(member.name,)))  # fmt: skip
                    if _acts(member.data, member.name):
                        yield from _stream(member.data, entry.path, (member.name,), ctx, gaps)
                    elif member.data.startswith(_CONTAINERS) or member.data[257:262] == b"ustar":
                        gaps.append(f"{member.name}: an archive inside an archive was not opened")
                    if not member.whole:
                        gaps.append(f"{member.name or 'archive'}: {member.problem}")
            else:
                continue
            yield from _role(entry.path, kind)
            outcome = Outcome.SKIPPED if gaps else Outcome.COMPLETED
            yield Coverage(item=entry.path, outcome=outcome, reason="; ".join(gaps[:3]))


def _acts(data: bytes, name: str) -> bool:
    """Return whether a member is a pickle; raw tensor storages, which may begin with any byte, must parse to their end."""
    if "/data/" in f"/{name}" and not name.endswith(".pkl"):
        return walk(data, limit=2000, first_only=True).pickles > 0 and bool(walk(data, limit=2000, first_only=True).imports)
    return is_pickle(data[:4096])


def _stream(data: bytes, path: str, entry: tuple[str, ...], ctx: RunContext, gaps: list[str]) -> Iterator[Finding]:
    seen = walk(data, limit=ctx.limits.pickle_opcodes)
    where = "!".join((path, *entry))
    by_product = _is_by_product(path)
    for imported in seen.imports[: ctx.limits.findings]:
        location = Location(path=path, entry=entry, offset=imported.offset, opcode=imported.opcode)
        yield from _graded(imported, where, location, by_product=by_product)
    for offset in seen.extensions[:10]:
        yield _finding("pickle-built-name", Severity.HIGH, f"{where} takes a name from a registry of extension codes",
                       Location(path=path, entry=entry, offset=offset, opcode="EXT"))  # fmt: skip
    yield from _ends(seen, data, where, path, entry, gaps)


def _ends(seen: Walk, data: bytes, where: str, path: str, entry: tuple[str, ...], gaps: list[str]) -> Iterator[Finding]:
    legacy = _is_legacy_torch(data)
    if seen.broken is not None and not (legacy and seen.pickles >= 5):
        severity = Severity.HIGH if seen.imports else Severity.MEDIUM
        yield _finding("pickle-broken", severity, f"{where}: {seen.broken} at byte {seen.broken_at}",
                       Location(path=path, entry=entry, offset=seen.broken_at))  # fmt: skip
        gaps.append(f"{where}: {seen.broken}")
    elif seen.trailing and not legacy:
        yield _finding("pickle-after-stop", Severity.MEDIUM, f"{where}: {seen.trailing:,} bytes after the last pickle",
                       Location(path=path, entry=entry, offset=len(data) - seen.trailing))  # fmt: skip


def _is_legacy_torch(data: bytes) -> bool:
    """The magic number of torch's old layout: a long in the first pickle."""
    return b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19" in data[:64]


def _graded(imported: Import, where: str, location: Location, *, by_product: bool) -> Iterator[Finding]:
    if imported.name is None:
        yield _finding("pickle-built-name", Severity.HIGH, f"{where} imports a name that it builds at run time", location)
        return
    match _grade(imported.name):
        case "dangerous":
            act = "calls" if imported.called else "imports"
            yield _finding("pickle-import", Severity.CRITICAL, f"{where} {act} {imported.name} when it is loaded", location,
                           "never load this file; ask for safetensors")  # fmt: skip
        case "trainer":
            pass
        case "unknown":
            severity = Severity.LOW if by_product and not imported.called else Severity.MEDIUM
            yield _finding("pickle-import-unknown", severity, f"{where} imports {imported.name}, which is in no table", location)
        case _:
            pass


@dataclass(frozen=True)
class _Table:
    known: frozenset[str]
    trainers: frozenset[str]
    dangerous: frozenset[str]


@cache
def _table() -> _Table:
    text = files("scanners._formats").joinpath("tables/pickle_imports.yaml").read_text(encoding="utf-8")
    rows = yaml.safe_load(text)
    return _Table(frozenset(rows["known"]), frozenset(rows["trainers"]), frozenset(rows["dangerous_modules"]))


def _grade(name: str) -> str:
    table = _table()
    if name in table.known:
        return "known"
    module, _, qualified = name.rpartition(".")
    if module in table.trainers and qualified[:1].isupper():
        return "trainer"
    parts = name.split(".")
    if any(".".join(parts[:k]) in table.dangerous for k in range(1, len(parts))):
        return "dangerous"
    return "dangerous" if any(p.startswith("__") for p in parts) else "unknown"


def _role(path: str, kind: str) -> Iterator[Finding]:
    stem = path.rsplit("/", 1)[-1]
    if _is_by_product(path):
        yield _finding("training-by-product", Severity.INFO, f"{path} is a by-product of training; no loader needs it",
                       Location(path=path), "leave it out when publishing")  # fmt: skip
    elif kind in ("pickle", "torch-zip") and stem.startswith(_LOADABLE):
        yield _finding(
            "pickle-weights", Severity.LOW, f"{path} stores weights as a pickle", Location(path=path), "convert to safetensors"
        )


def _is_by_product(path: str) -> bool:
    return path.rsplit("/", 1)[-1].startswith(_BY_PRODUCTS)


def _finding(rule: str, severity: Severity, message: str, location: Location, remediation: str = "") -> Finding:
    return Finding(
        rule=rule,
        severity=severity,
        message=message,
        locations=(location,),
        remediation=remediation or "ask the publisher for safetensors",
        references=_REFERENCES if severity.rank >= 2 else (),
    )


PLUGIN = PickleImports()
