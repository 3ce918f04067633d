"""What a scan without a verdict says: every file with its state, what was found, and what other engines make of it.

Made from a ``Dossier`` by ``scan_document``; written by ``curator scan`` and ``curator hub triage``. It holds no approval: a
scan that found nothing says that nothing was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import Field

from governance.dossier import Dossier
from governance.evidence import Check, Coverage, Finding, Outcome, Severity
from governance.subject import FileEntry, Noun, Subject

#: The check that says how the bytes of a triage came; it is not a scanner's.
TRANSFER = "transfer"
State = Literal["completed", "not-applicable", "not-scanned"]


class FileState(Noun):
    """One file, and how it ended."""

    path: str
    size: int = Field(ge=0, description="bytes")
    sha256: str = Field(description="empty if the bytes were not hashed")
    kind: str = Field(description="what it is, by its content")
    state: State
    reasons: tuple[str, ...] = Field(default=(), description="why it was not scanned, each with the scanner that says so")
    findings: int = Field(ge=0, description="findings located in it")
    worst: Severity | None = Field(default=None, description="the gravest of them")
    voices: dict[str, str] = Field(default_factory=dict, description="what other engines say of it, by engine")
    transferred: int | None = Field(default=None, description="bytes of it that a triage asked for; None in a scan")


class ScanDocument(Noun):
    """One scan. Equal bytes, tables and limits give an equal document."""

    schema_version: Literal["1"] = "1"
    mode: Literal["scan", "triage"] = "scan"
    curator_version: str
    subject: Subject
    base: str | None = Field(default=None, description="name of the base it was held against")
    files: tuple[FileState, ...] = ()
    findings: tuple[Finding, ...] = ()
    checks: tuple[Check, ...] = ()
    not_asked: dict[str, str] = Field(default_factory=dict, description="scanners outside this profile, and why")
    transferred: dict[str, int] = Field(default_factory=dict, description="bytes and requests of a triage")

    def worst(self) -> Severity | None:
        """Return the gravest severity found, or None."""
        return max((f.severity for f in self.findings), key=lambda s: s.rank, default=None)

    def gaps(self) -> tuple[str, ...]:
        """Return every file that was not scanned and every check that did not end, each with its reason."""
        files = [f"{f.path}: {'; '.join(f.reasons)}" for f in self.files if f.state == "not-scanned"]
        return (*files, *(f"{c.id}: {c.reason}" for c in self.checks if c.outcome in _BROKEN))


#: How a check ends that did not get to its end.
_BROKEN = (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.SKIPPED)


def scan_document(
    dossier: Dossier,
    *,
    version: str,
    voices: Mapping[str, str],
    digests: Mapping[str, str],
    not_asked: Mapping[str, str],
    mode: Literal["scan", "triage"] = "scan",
    transferred: Mapping[str, int] | None = None,
) -> ScanDocument:
    """Return the document of a scan.

    Args:
        dossier: What the scanners said.
        version: Of the curator.
        voices: Other engines by the id of the scanner that asks them; what they skip makes no gap of ours.
        digests: SHA-256 of files that were hashed beside the scan, by path.
        not_asked: Scanners that were left out, and why.
        mode: Whether whole files or ranges were read.
        transferred: Bytes and requests of a triage.
    """
    adapter = dossier.composition.adapter
    files = tuple(_hashed(f, digests) for f in adapter.files)
    own = [c for c in dossier.checks if c.id not in voices]
    said, spoken = _by_item(own), _by_item(c for c in dossier.checks if c.id in voices)
    located = _by_path(dossier.findings)
    states = [_state(f, said.get(f.path, []), spoken.get(f.path, []), voices, located.get(f.path, [])) for f in files]
    return ScanDocument(
        mode=mode,
        curator_version=version,
        subject=adapter.model_copy(update={"files": files}),
        base=str(dossier.composition.base) if dossier.composition.base else None,
        files=(*states, *_refused(adapter, own, located)),
        findings=tuple(sorted(dossier.findings, key=lambda f: -f.severity.rank)),
        checks=tuple(c.model_copy(update={"seconds": 0.0}) for c in dossier.checks),
        not_asked=dict(not_asked),
        transferred=dict(transferred or {}),
    )


def _hashed(entry: FileEntry, digests: Mapping[str, str]) -> FileEntry:
    found = digests.get(entry.path)
    return entry.model_copy(update={"sha256": found, "digest_source": "computed"}) if found else entry


#: What scanners say of one file, each with the scanner's id.
_Said = list[tuple[str, Coverage]]


def _by_item(checks: Iterable[Check]) -> dict[str, _Said]:
    found: dict[str, _Said] = {}
    for check in checks:
        for one in check.coverage:
            found.setdefault(one.item, []).append((check.id, one))
    return found


def _by_path(findings: Sequence[Finding]) -> dict[str, list[Severity]]:
    """Return the severities found in each file of the adapter; a finding counts once for each file it is located in."""
    found: dict[str, list[Severity]] = {}
    for finding in findings:
        if finding.subject == "adapter":
            for path in {place.path for place in finding.locations}:
                found.setdefault(path, []).append(finding.severity)
    return found


def _state(entry: FileEntry, said: _Said, spoken: _Said, voices: Mapping[str, str], located: Sequence[Severity]) -> FileState:
    reasons = tuple(f"{plugin}: {v.reason or v.outcome.value}" for plugin, v in said if not v.outcome.checked)
    kind = next((v.reason for plugin, v in said if plugin == "inventory" and v.outcome.checked), "")
    return FileState(
        path=entry.path,
        size=entry.size,
        sha256=entry.sha256,
        kind=kind,
        state=_ended(reasons, [v for _, v in said]),
        reasons=reasons,
        findings=len(located),
        worst=max(located, key=lambda s: s.rank, default=None),
        voices={voices[k]: v.reason or v.outcome.value for k, v in spoken if v.outcome is not Outcome.NOT_APPLICABLE},
    )


def _ended(reasons: Sequence[str], said: Sequence[Coverage]) -> State:
    if reasons or not said:
        return "not-scanned"
    return "completed" if any(v.outcome is Outcome.COMPLETED for v in said) else "not-applicable"


def _refused(adapter: Subject, own: Sequence[Check], located: Mapping[str, Sequence[Severity]]) -> Iterable[FileState]:
    """Yield what was not taken in and is a gap: the inventory says which refusals matter."""
    gaps = {v.item: v.reason for c in own if c.id == "inventory" for v in c.coverage if not v.outcome.checked}
    listed = {f.path for f in adapter.files}
    for path, reason in gaps.items():
        if path not in listed:
            here = located.get(path, ())
            worst = max(here, key=lambda s: s.rank, default=None)
            yield FileState(
                path=path, size=0, sha256="", kind="", state="not-scanned", reasons=(reason,), findings=len(here), worst=worst
            )
