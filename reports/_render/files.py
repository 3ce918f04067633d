"""Which file was read by which scanner: the matrix where *unread* is a state of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from governance.dossier import Dossier
from governance.evidence import Check, Coverage, Finding, Outcome
from governance.subject import FileEntry
from reports._render import words

#: Most rows; an adapter seldom has more than thirty files.
MOST_FILES = 200


@dataclass(frozen=True, slots=True)
class Cell:
    """One file under one scanner. ``state``: read, found, unread, none."""

    state: str
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file and what every scanner did with it."""

    path: str
    size: str
    sha256: str
    cells: tuple[Cell, ...]
    read_by: int
    note: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """Files of the adapter against the scanners that were asked."""

    scanners: tuple[str, ...]
    rows: tuple[FileRow, ...]
    left_out: int
    unread: tuple[str, ...]


def matrix(dossier: Dossier) -> Matrix:
    """Return the adapter's files against the inspection checks that spoke of any file, or that failed to."""
    files = dossier.composition.adapter.files
    paths = {f.path: f.path for f in files} | {f"{dossier.composition.adapter.name}: {f.path}": f.path for f in files}
    checks = [c for c in dossier.checks if c.step == "inspect" and _concerns_files(c, paths, dossier.findings)]
    coverage = {c.id: _by_path(c.coverage, paths) for c in checks}
    rows = tuple(_row(f, checks, coverage, dossier.findings) for f in sorted(files, key=lambda f: f.path)[:MOST_FILES])
    return Matrix(
        scanners=tuple(words.name(c.id) for c in checks),
        rows=rows,
        left_out=max(0, len(files) - MOST_FILES),
        unread=tuple(r.path for r in rows if not r.read_by),
    )


def _concerns_files(check: Check, paths: Mapping[str, str], findings: Iterable[Finding]) -> bool:
    if check.outcome is Outcome.NOT_APPLICABLE and not check.coverage:
        return False
    if not check.outcome.checked or any(_path(c.item, paths) for c in check.coverage):
        return True
    return any(f.plugin == check.id and any(place.path in paths for place in f.locations) for f in findings)


def _by_path(coverage: Iterable[Coverage], paths: Mapping[str, str]) -> dict[str, Coverage]:
    """Return the worst coverage of each file: a gap is not hidden by a later success."""
    found: dict[str, Coverage] = {}
    for one in coverage:
        path = _path(one.item, paths)
        if path is not None and (path not in found or _weight(one) > _weight(found[path])):
            found[path] = one
    return found


def _weight(one: Coverage) -> int:
    """Return 2 for a gap, 1 for a file that was read, 0 for one of another kind."""
    return 2 if not one.outcome.checked else int(one.outcome is Outcome.COMPLETED)


def _path(item: str, paths: Mapping[str, str]) -> str | None:
    """Return which of the adapter's files an item speaks of: ``path``, ``adapter: path``, ``path#key``, ``path (first)``."""
    said = item.removeprefix("adapter: ")
    if said in paths:
        return paths[said]
    return next((paths[p] for mark in ("#", "!", " (") if (p := said.partition(mark)[0]) in paths), None)


def _row(
    entry: FileEntry, checks: Sequence[Check], coverage: dict[str, dict[str, Coverage]], findings: Sequence[Finding]
) -> FileRow:
    cells = tuple(_cell(entry.path, c, coverage[c.id], findings) for c in checks)
    return FileRow(
        path=words.name(entry.path),
        size=words.bytes_(entry.size),
        sha256=words.name(entry.sha256),
        cells=cells,
        read_by=sum(c.state in ("read", "found") for c in cells),
        note="" if entry.present else "not downloaded",
    )


def _cell(path: str, check: Check, coverage: dict[str, Coverage], findings: Sequence[Finding]) -> Cell:
    hits = [f for f in findings if f.plugin == check.id and f.subject == "adapter" and any(p.path == path for p in f.locations)]
    if hits:
        worst = max(hits, key=lambda f: f.severity.rank).severity.value
        return Cell("found", worst, words.count(len(hits), "finding"))
    known = coverage.get(path)
    if known is None:
        if check.outcome in (Outcome.FAILED, Outcome.SKIPPED, Outcome.TIMED_OUT):
            return Cell("unread", "unread", words.visible(check.reason or words.OUTCOMES[check.outcome]))
        return Cell("none", "–", "not a file of its kind")
    reason = words.visible(known.reason)
    match known.outcome:
        case Outcome.COMPLETED:
            return Cell("read", "read", reason)
        case Outcome.NOT_APPLICABLE:
            return Cell("none", "–", reason or "not a file of its kind")
        case _:
            return Cell("unread", "unread", reason or words.OUTCOMES[known.outcome])
