"""The lineage a license is judged on: one child, its parents, and what a term's reach over the child is.

Made by ``scanners.license_terms`` from a composition, or by ``scanners._licenses.whatif`` from a question; read by ``duties``.
"""

from __future__ import annotations

import re
from typing import Literal

from governance.evidence import Basis
from governance.licensing import LicenseTerms, Purpose
from governance.subject import Noun

Relation = Literal["adapter", "finetune", "merge", "quantized"]
Level = Literal["violation", "conflict", "unknown", "obligation", "ok"]
#: Levels, worst first.
LEVELS: tuple[Level, ...] = ("violation", "conflict", "unknown", "obligation", "ok")
Kind = Literal["base", "dataset", "teacher", "service"]
#: Words of the licensor that may stand before a prefix without settling whether the name begins with it.
_OWN_WORDS = ("meta", "lgai", "lg")


class Parent(Noun):
    """What the child was made from, and the row its license came to; no row means it could not be read."""

    name: str
    kind: Kind = "base"
    terms: LicenseTerms | None = None
    or_later: bool = False
    reason: str = ""

    @property
    def label(self) -> str:
        """Kind and name, as reports show it."""
        return f"{self.kind}:{self.name}"


class Asker(Noun):
    """Who wants to use the model; what is None was not told and fires no rule, except where a row says so."""

    purpose: Purpose | None = None
    where: str | None = None
    mau: int | None = None
    revenue: int | None = None
    multimodal: bool | None = None

    @property
    def weights(self) -> bool:
        """False if only outputs are wanted: then no term on using the weights concerns the asker."""
        return self.purpose != "outputs-only"


class Lineage(Noun):
    """Everything the duties are judged on."""

    name: str
    relation: Relation = "adapter"
    terms: LicenseTerms | None = None
    or_later: bool = False
    reason: str = ""
    parents: tuple[Parent, ...] = ()
    holds: frozenset[str] = frozenset()
    asker: Asker = Asker()

    @property
    def weights(self) -> bool:
        """True if the parent's own weights travel with the child."""
        return self.relation != "adapter"

    @property
    def readable(self) -> LicenseTerms | None:
        """The child's row, if it is one whose terms can be compared."""
        return self.terms if self.terms is not None and self.terms.family not in ("unknown", "other") else None

    def other_than(self, parent: LicenseTerms) -> LicenseTerms | None:
        """Return the child's row if it is readable and another than a parent's."""
        child = self.readable
        return child if child is not None and child.id != parent.id else None


class Duty(Noun):
    """What one rule says about one parent."""

    id: str
    level: Level
    ground: Basis
    parent: str = ""
    clause: str = ""
    message: str
    remedy: str = ""
    low: bool = False

    @property
    def order(self) -> tuple[int, str, str, str]:
        """Worst first, then by rule, parent and words."""
        return LEVELS.index(self.level), self.id, self.parent, self.message


def worst(levels: list[Level]) -> Level:
    """Return the worst of some levels; ``ok`` if there are none."""
    return min(levels, key=LEVELS.index, default="ok")


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


def letters(text: str) -> str:
    """Return a name in lower case, letters and digits only."""
    return re.sub(r"[\W_]+", "", text.lower())


def bare(name: str) -> str:
    """Return a repository's name without its owner, or the last part of a path."""
    return name.rstrip("/").rsplit("/", 1)[-1]


def named_as_asked(name: str, prefix: str) -> bool | None:
    """Return whether a name begins as a license asks.

    Args:
        name: Of the repository; its owner does not count.
        prefix: What it has to begin with; case, blanks and punctuation do not count.

    Returns:
        True or False; None if only the licensor's own word stands before the prefix, which the text leaves open.
    """
    found, wanted = letters(bare(name)), letters(prefix)
    if found.startswith(wanted):
        return True
    return None if any(found.startswith(word + wanted) for word in _OWN_WORDS) else False
