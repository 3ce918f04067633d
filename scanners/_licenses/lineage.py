"""The lineage a license is judged on: one child, its parents, and what a term's reach over the child is.

Made by ``scanners.license_terms`` from a composition (or by a test from a worked case); read by ``duties``.
"""

from __future__ import annotations

from typing import Literal

from governance.evidence import Basis
from governance.licensing import LicenseTerms
from governance.subject import Noun

Relation = Literal["adapter", "finetune", "merge", "quantized"]
Level = Literal["violation", "conflict", "unknown", "obligation"]
#: Levels, worst first.
LEVELS: tuple[Level, ...] = ("violation", "conflict", "unknown", "obligation")
Purpose = Literal["research", "internal", "commercial", "redistribute"]


class Parent(Noun):
    """A base, and the row its license came to; no row means it could not be read."""

    name: str
    terms: LicenseTerms | None = None
    reason: str = ""


class Lineage(Noun):
    """Everything the duties are judged on."""

    name: str
    relation: Relation = "adapter"
    terms: LicenseTerms | None = None
    or_later: bool = False
    reason: str = ""
    parents: tuple[Parent, ...] = ()
    holds: frozenset[str] = frozenset()
    purpose: Purpose | None = None

    @property
    def weights(self) -> bool:
        """True if the parent's own weights travel with the child."""
        return self.relation != "adapter"


class Duty(Noun):
    """What one rule says about one parent."""

    id: str
    level: Level
    ground: Basis
    parent: str
    clause: str = ""
    message: str
    remedy: str = ""
    low: bool = False


def unread(terms: LicenseTerms) -> bool:
    """Return whether nobody read the text behind a row: no clause seen and no SPDX id."""
    return not terms.text_seen and terms.spdx is None


def covered(terms: LicenseTerms, weights: bool, duty: str | None = None) -> bool:
    """Return whether a parent's term plainly reaches the child.

    Args:
        terms: The parent's row.
        weights: The parent's weights travel with the child.
        duty: A duty of the row (``copy``, ``notice`` …), or None for the grant itself.
    """
    if unread(terms):
        return False
    match terms.reach.get(duty, terms.adapter_scope) if duty else terms.adapter_scope:
        case "explicit" | "definition":
            return True
        case "trigger-by-use":
            return weights or duty is not None
        case "copyright" | "copies":
            return weights
        case _:
            return False


def level(terms: LicenseTerms, weights: bool, duty: str | None = None) -> Level:
    """Return ``violation`` where the term plainly reaches the child, else ``conflict``."""
    return "violation" if covered(terms, weights, duty) else "conflict"


def ground(terms: LicenseTerms, weights: bool, duty: str | None = None) -> Basis:
    """Return whether a finding rests on the text or on a reading of it.

    Software copyleft was written for source code, which weights are not: it is always a reading.
    """
    software = terms.copyleft in ("weak", "strong", "network") and terms.spdx is not None
    return Basis.TEXT if covered(terms, weights, duty) and not software else Basis.JUDGEMENT
