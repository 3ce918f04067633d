"""One thing a script or installer file does: shared by the readers of scripts."""

from __future__ import annotations

from dataclasses import dataclass

from governance.evidence import Severity


@dataclass(frozen=True)
class Act:
    """Something a script or installer file does."""

    line: int
    severity: Severity
    words: str
