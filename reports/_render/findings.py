"""Findings as people read them; numbered evidence becomes a table of samples.

Made from ``Finding`` facts; read by ``reports._render.view``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from governance.evidence import Finding
from reports._render import words

_NUMBERED = re.compile(r"(.+)-(\d{1,3})\Z")


@dataclass(frozen=True, slots=True)
class Samples:
    """Evidence that was given as ``prompt-1``, ``answer-1``, ``prompt-2``, …: a column for each word, a row for each number."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One finding."""

    rule: str
    plugin: str
    severity: str
    confidence: str
    basis: str
    message: str
    subject: str
    places: tuple[str, ...]
    remediation: str
    references: tuple[str, ...]
    evidence: tuple[tuple[str, str], ...]
    samples: Samples


def finding_row(f: Finding) -> FindingRow:
    """Return a finding in words."""
    samples, rest = _samples(f.evidence)
    return FindingRow(
        rule=words.name(f.rule),
        plugin=words.name(f.plugin),
        severity=f.severity.value,
        confidence=f.confidence.value,
        basis=f.basis.value,
        message=words.visible(f.message),
        subject=f.subject,
        places=words.names(str(place) for place in f.locations[:20]),
        remediation=words.visible(f.remediation),
        references=words.names(f.references),
        evidence=words.pairs(rest),
        samples=samples,
    )


def _samples(evidence: Mapping[str, str]) -> tuple[Samples, dict[str, str]]:
    """Return the table of numbered evidence, and the evidence that has no number; one lonely column is no table."""
    numbered = {key: (m[1], int(m[2])) for key in evidence if (m := _NUMBERED.match(key))}
    columns = tuple(dict.fromkeys(column for column, _ in numbered.values()))
    if len(columns) < 2:
        return Samples((), ()), dict(evidence)
    at = {place: evidence[key] for key, place in numbered.items()}
    rows = tuple(
        tuple(words.visible(at.get((column, number), "")) for column in columns)
        for number in sorted({number for _, number in numbered.values()})
    )
    return Samples(words.names(c.replace("-", " ") for c in columns), rows), {
        k: v for k, v in evidence.items() if k not in numbered
    }
