"""From spellings and texts to one row of the license table: declared, detected, concluded.

Read by ``scanners.license_terms``. Nothing here guesses: no prefix match, no fuzzy match, never the family name of a model.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from governance.licensing import LicenseTable, LicenseTerms
from governance.subject import Noun

_OR_LATER = re.compile(r"(-or-later|\+)\Z")
_ONLY = re.compile(r"-only\Z")
#: Ids that say "look elsewhere" and are no license.
EMPTY = ("", "other", "unknown", "none")


class Named(Noun):
    """A row, and whether later versions of it were allowed as well."""

    terms: LicenseTerms
    or_later: bool = False


class Conclusion(Noun):
    """One party's license, three ways, kept side by side."""

    declared: str | None = None
    detected: tuple[str, ...] = ()
    terms: LicenseTerms | None = None
    or_later: bool = False
    reason: str = ""

    @property
    def concluded(self) -> str | None:
        """The SPDX id of the concluded row, else its id in the table; None if nothing could be concluded."""
        return (self.terms.spdx or self.terms.id) if self.terms else None


def look_up(spelling: str | None, table: LicenseTable) -> Named | None:
    """Return the row one spelling means exactly.

    Args:
        spelling: A Hub id, an SPDX id, a ``license_name``, in any case.
        table: Every row known.

    Returns:
        The row, or None if no row claims the spelling.
    """
    wanted = re.sub(r"[\s_]+", "-", (spelling or "").strip().lower())
    index = {key: terms for terms in table.values() if terms.family != "service" for key in _spellings(terms)}
    for text, later in ((wanted, False), (_ONLY.sub("", wanted), False), (_OR_LATER.sub("", wanted), True)):
        if text in index:
            return Named(terms=index[text], or_later=later)
    return None


def _spellings(terms: LicenseTerms) -> set[str]:
    return {
        terms.id,
        terms.name.lower().replace(" ", "-"),
        *(a.lower() for a in terms.aliases),
        *([terms.spdx.lower()] if terms.spdx else []),
    }


def conclude(
    declared: str | None,
    license_name: str | None,
    detected: Collection[str],
    table: LicenseTable,
    *,
    ancestors: Collection[str] = (),
) -> Conclusion:
    """Weigh what a repository declares against the license texts it holds.

    Args:
        declared: ``license`` of its card, or the Hub's tag.
        license_name: ``license_name`` of its card.
        detected: Ids of the license texts found in its files.
        table: Every row known.
        ancestors: Ids of the licenses of its ancestors; their texts travel along and say nothing about the child.

    Returns:
        What was concluded, or why nothing was.
    """
    said = (declared or "").strip().lower().removeprefix("license:")
    shown = (f"{said} ({license_name})" if license_name and said != license_name.lower() else said) or None
    texts = tuple(dict.fromkeys(detected))
    own = tuple(t for t in texts if t not in ancestors)
    named = look_up(said, table) if said not in EMPTY else look_up(license_name, table) if said == "other" else None

    def concluded(found: Named | None, reason: str = "") -> Conclusion:
        return Conclusion(
            declared=shown,
            detected=texts,
            terms=found.terms if found else None,
            or_later=found.or_later if found else False,
            reason=reason,
        )

    if named is None:
        if said not in EMPTY:
            return concluded(None, f"the license table has no row for {said!r}")
        if len(own or texts) == 1:
            return concluded(look_up((own or texts)[0], table), "from the license text alone; nothing was declared")
        if texts:
            return concluded(None, f"nothing is declared, and there are several license texts: {', '.join(texts)}")
        return concluded(None, _nothing(said, license_name))
    if not named.terms.precise:
        inside = [n for t in texts if (n := look_up(t, table)) and _member(n.terms, named.terms)]
        return concluded(inside[0] if len(inside) == 1 else named)
    foreign = [t for t in own if t != named.terms.id]
    if foreign and named.terms.id not in texts:
        return concluded(None, f"{named.terms.id} is declared, but the license text in the files is {', '.join(foreign)}")
    return concluded(named)


def _member(terms: LicenseTerms, family: LicenseTerms) -> bool:
    """Return whether a precise row belongs to a family id such as ``gpl`` or ``bsd``."""
    return terms.precise and (terms.id.startswith(family.id) or terms.family == family.family == "rail")


def _nothing(said: str, license_name: str | None) -> str:
    if license_name:
        return f"the license table has no row for the license name {license_name!r}"
    return {
        "other": "the card says 'other' and names no license",
        "unknown": "the card says the license is unknown",
    }.get(said, "no license is stated, and no license text is in the files")
