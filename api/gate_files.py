"""Writes what a gate found to the files a pipeline collects. Used by ``api.cli.gate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from governance.errors import SubjectError
from reports._ci.results import Entry, Failure
from reports.badge import PLUGIN as BADGE
from reports.gitlab import issues
from reports.junit import suites
from reports.markdown import PLUGIN as MARKDOWN
from reports.markdown import plain
from reports.sarif import log

#: Largest step summary a forge takes is 1 MiB; what is there already needs room too.
_MOST_SUMMARY = 900_000


@dataclass(frozen=True)
class Files:
    """Where to write what; None: nowhere."""

    sarif: Path | None = None
    junit: Path | None = None
    gitlab: Path | None = None
    summary: Path | None = None
    badge: Path | None = None


def write_all(files: Files, entries: Sequence[Entry], failures: Sequence[Failure]) -> None:
    """Write every file that is wanted; a model without a verdict is in all of them but the badge.

    Args:
        files: Where.
        entries: Verdicts.
        failures: Models without one.

    Raises:
        SubjectError: A file cannot be written.
    """
    for path, document in (
        (files.sarif, log(entries, failures)),
        (files.junit, suites(entries, failures)),
        (files.gitlab, issues(entries, failures)),
    ):
        if path is not None:
            _put(path, document)
    if files.summary is not None:
        said = [MARKDOWN.render(e.card).decode() for e in entries]
        said += [f"## ⚠️ No verdict: `{f.model.replace('`', '')}`\n\n{plain(f.text)}\n" for f in failures]
        _put(files.summary, "\n".join(said).encode("utf-8", "replace")[:_MOST_SUMMARY] + b"\n", append=True)
    if files.badge is not None and entries:
        _put(files.badge, BADGE.render(entries[0].card))


def _put(path: Path, document: bytes, *, append: bool = False) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab" if append else "wb") as stream:
            stream.write(document)
    except OSError as error:
        raise SubjectError(f"{path} cannot be written: {error.strerror}") from error
