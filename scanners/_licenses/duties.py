"""Every license rule, applied to one lineage: what is broken, what cannot be met together, what is owed.

Read by ``scanners.license_terms``. Pure functions over rows of the table; a rule that does not fire says nothing.

Source:
    The license texts named in the rows of ``policies/licenses``; ``docs/licenses.md`` explains the fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from governance.evidence import Basis
from governance.licensing import LicenseTerms
from scanners._licenses.lineage import LEVELS, Duty, Level, Lineage, Parent, covered, ground, level, unread

_RESTRICTING = ("yes", "equivalent")
_NO_GRANT = ("unknown", "other", "cc-unspecified")
_NOTICE_FAMILIES = (
    "permissive", "public-domain", "attribution", "share-alike", "non-commercial", "no-derivatives",
    "weak-copyleft", "strong-copyleft", "network-copyleft",
)  # fmt: skip
#: Words of the licensor that may stand before a prefix without settling whether the name begins with it.
_OWN_WORDS = ("meta", "lgai", "lg")

BaseRule = Callable[[Lineage, Parent, LicenseTerms], Duty | None]


def judge(lineage: Lineage) -> list[Duty]:
    """Return everything the rules say, worst first, then by rule and parent.

    Args:
        lineage: The child and its parents.

    Returns:
        One entry per rule and parent that fired.
    """
    said = [*_child(lineage)]
    for parent in lineage.parents:
        said += _parent(parent)
        if parent.terms is not None:
            said += [duty for rule in _BASE_RULES if (duty := rule(lineage, parent, parent.terms))]
    return sorted(said, key=lambda d: (LEVELS.index(d.level), d.id, d.parent))


def verdict(duties: list[Duty]) -> Level | None:
    """Return the worst level, or None if nothing is open."""
    return min((d.level for d in duties), key=LEVELS.index, default=None)


def _readable(terms: LicenseTerms | None) -> bool:
    return terms is not None and terms.family not in ("unknown", "other")


def _child(lineage: Lineage) -> Iterator[Duty]:
    child = lineage.terms
    if child is None or not _readable(child):
        yield Duty(
            id="LIC-CHILD-UNKNOWN", level="unknown", ground=Basis.TEXT, parent="",
            message=f"no license of the adapter can be concluded: {lineage.reason or 'none stated'}; nobody may use it without one",
            remedy="ask the author to set `license` in the card, or `license_name` and `license_link`",
        )  # fmt: skip
        return
    if not child.precise:
        yield Duty(
            id="LIC-CHILD-FAMILY", level="unknown", ground=Basis.TEXT, parent="",
            message=f"{child.id!r} names a family of licenses, not one text; what it grants is not said",
            remedy="ask the author to name the exact license and version",
        )  # fmt: skip
    if child.family == "permissive" and child.copy_of_license and f"text:{child.id}" not in lineage.holds:
        yield Duty(
            id="LIC-TEXT-MISSING", level="obligation", ground=Basis.JUDGEMENT if unread(child) else Basis.TEXT, parent="",
            clause=child.clauses.get("copy", ""),
            message=f"{child.id} asks that its text travels along; the repository holds no copy",
            remedy="add the license text as a file called LICENSE",
        )  # fmt: skip
    yield from _commercial_use(lineage, child, "the adapter")


def _parent(parent: Parent) -> Iterator[Duty]:
    terms = parent.terms
    if terms is None or terms.family in _NO_GRANT:
        why = parent.reason or (f"{terms.id!r} is no grant" if terms else "none is stated")
        yield Duty(
            id="LIC-PARENT-UNKNOWN", level="unknown", ground=Basis.TEXT, parent=parent.name,
            message=f"the license of the base cannot be read ({why}), so its terms for derivatives are unknown",
            remedy="ask the base's publisher, or give the base with its card and license files",
        )  # fmt: skip
    elif unread(terms):
        yield Duty(
            id="LIC-PARENT-UNKNOWN", level="unknown", ground=Basis.TEXT, parent=parent.name,
            message=f"the base is under {terms.name}, whose text nobody has read for the license table yet",
            remedy="read the text, and complete its row in the license table",
        )  # fmt: skip


def _commercial_use(lineage: Lineage, terms: LicenseTerms, whose: str) -> Iterator[Duty]:
    if terms.commercial != "no" or lineage.purpose not in ("commercial", "internal"):
        return
    commercial = lineage.purpose == "commercial"
    yield Duty(
        id="LIC-NC-USE",
        level="violation" if commercial else "conflict",
        ground=Basis.TEXT if commercial and not unread(terms) else Basis.JUDGEMENT,
        parent="" if whose == "the adapter" else whose,
        clause=terms.clauses.get("nc", ""),
        message=f"{terms.id}, the license of {whose}, reserves commercial use; {lineage.purpose} use was asked for",
        remedy="obtain a commercial license, or use another model",
    )


def _non_commercial_base(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    return next(_commercial_use(lineage, base, parent.name), None)


def _other_child(lineage: Lineage, base: LicenseTerms) -> LicenseTerms | None:
    """Return the child's row if it is readable and another than the base's."""
    child = lineage.terms
    return child if child is not None and _readable(child) and child.id != base.id else None


def _duty(
    lineage: Lineage, parent: Parent, base: LicenseTerms, rule: str, message: str, remedy: str, *,
    clause: str, duty: str | None = None, at: Level | None = None, rests_on: Basis | None = None, low: bool = False,
) -> Duty:  # fmt: skip
    return Duty(
        id=rule,
        level=at or level(base, lineage.weights, duty),
        ground=rests_on or ground(base, lineage.weights, duty),
        parent=parent.name,
        clause=f"{base.name} {base.clauses.get(clause, '')}".strip(),
        message=message,
        remedy=remedy,
        low=low,
    )


def _no_derivatives(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    if base.share_derivatives != "no":
        return None
    technical = lineage.relation == "quantized"
    return _duty(
        lineage, parent, base, "LIC-ND",
        f"{base.id} of the base forbids sharing adapted material, and this is made from it",
        "do not publish or use it; ask the licensor for a grant", clause="nd",
        at="conflict" if technical else None, rests_on=Basis.JUDGEMENT if technical else None,
    )  # fmt: skip


def _non_commercial(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    child = _other_child(lineage, base)
    if child is None or base.commercial != "no" or child.commercial not in ("yes", "conditional"):
        return None
    return _duty(
        lineage, parent, base, "LIC-NC",
        f"{child.id} grants commercial use, which {base.id} of the base reserves",
        "publish the adapter under a non-commercial license", clause="nc",
    )  # fmt: skip


def _same_terms(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    child = _other_child(lineage, base)
    if child is None or child.id in base.compatible_with:
        return None
    at: Level | None = None
    rests_on: Basis | None = None
    match base.same_terms:
        case "yes":
            pass
        case "likely":
            at, rests_on = "conflict", Basis.JUDGEMENT
        case "or-wider":
            if child.family in ("permissive", "public-domain"):
                at, rests_on = "conflict", Basis.JUDGEMENT
        case "part" if lineage.weights:
            at, rests_on = "obligation", Basis.JUDGEMENT
        case _:
            return None
    allowed = " or ".join(dict.fromkeys((base.id, *base.compatible_with)))
    return _duty(
        lineage, parent, base, "LIC-SAME",
        f"{base.id} of the base wants derivatives under its own terms; the adapter is under {child.id}",
        f"license the adapter under {allowed}", clause="share_alike", at=at, rests_on=rests_on,
    )  # fmt: skip


def _pass_restrictions(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    child = _other_child(lineage, base)
    if child is None or base.pass_use_restrictions not in _RESTRICTING or "restrictions" in lineage.holds:
        return None
    if child.family == base.family == "rail":
        if base.pass_use_restrictions == "equivalent":  # noqa: S105 - a term of a license, not a secret
            return None
        return _duty(
            lineage, parent, base, "LIC-PASS-OTHER-RAIL",
            f"{base.id} wants its own use restrictions passed on; {child.id} carries another set, or does not say which",
            "add the use restrictions of the base's license", clause="pass", at="conflict", rests_on=Basis.JUDGEMENT,
        )  # fmt: skip
    return _duty(
        lineage, parent, base, "LIC-PASS",
        f"{base.id} of the base wants its use restrictions passed on as an enforceable provision; {child.id} has none",
        "add the base's use restrictions to the terms of the adapter", clause="pass",
    )  # fmt: skip


def _copy_of_license(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    if not base.copy_of_license or base.spdx is not None or f"text:{base.id}" in lineage.holds:
        return None
    remedy = f"add the text of the {base.name}, of this version, to the repository"
    child, weights = _other_child(lineage, base), lineage.weights
    if child is not None and child.family == base.family == "llama":
        return _duty(
            lineage, parent, base, "LIC-VERSION", f"the adapter cites {child.id}; its base is under {base.id}",
            f"cite {base.id} instead", clause="copy", at="conflict", rests_on=Basis.TEXT if weights else Basis.JUDGEMENT,
        )  # fmt: skip
    missing = f"no copy of the {base.name} is in the repository, and the base's terms must travel along"
    if base.same_terms == "no-sublicense" and child is not None:
        message = f"{missing}; the adapter is put under {child.id}, which nobody but the licensor of the base could grant"
        return _duty(lineage, parent, base, "LIC-COPY", message, remedy, clause="copy", duty="copy")
    if base.same_terms == "no-sublicense" and not _readable(lineage.terms) and weights:
        return _duty(lineage, parent, base, "LIC-COPY", missing, remedy, clause="copy", duty="copy", at="violation")
    if not covered(base, weights, "copy"):
        return None
    return _duty(lineage, parent, base, "LIC-COPY", missing, remedy, clause="copy", duty="copy", at="obligation")


def _relabel(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    child = _other_child(lineage, base)
    if child is None or base.same_terms != "no-sublicense" or f"text:{base.id}" not in lineage.holds:
        return None
    return _duty(
        lineage, parent, base, "LIC-RELABEL",
        f"the text of the {base.name} is here, yet the adapter is labelled {child.id}; the base's license cannot be sublicensed",
        f"label the adapter {base.id}; keep other terms for your own files", clause="grant",
        at="conflict", rests_on=Basis.JUDGEMENT,
    )  # fmt: skip


def _copyleft_restrictions(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    child = lineage.terms
    if child is None or child.copyleft not in ("strong", "network") or child.spdx is None:
        return None
    if base.pass_use_restrictions not in (*_RESTRICTING, "by-reference"):
        return None
    plain = covered(base, lineage.weights) and child.id in ("gpl-2.0", "gpl-3.0", "agpl-3.0")
    return _duty(
        lineage, parent, base, "LIC-COPYLEFT-RESTRICT",
        f"{child.id} forbids further restrictions, and {base.id} of the base demands them",
        "choose another license for the adapter", clause="pass",
        at="conflict", rests_on=Basis.TEXT if plain else Basis.JUDGEMENT,
    )  # fmt: skip


def _gpl2_apache(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    child = lineage.terms
    if child is None or child.id != "gpl-2.0" or lineage.or_later or base.id != "apache-2.0":
        return None
    return _duty(
        lineage, parent, base, "LIC-GPL2-APACHE", "GPL version 2 alone and Apache-2.0 cannot both be met (patent terms)",
        "use GPL-3.0, or GPL-2.0-or-later", clause="patent", at="conflict", rests_on=Basis.JUDGEMENT,
    )  # fmt: skip


def _naming(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    if base.naming is None:
        return None
    name, prefix = _letters(lineage.name.rstrip("/").rsplit("/", 1)[-1]), _letters(base.naming.value)
    if name.startswith(prefix):
        return None
    own = any(name.startswith(word + prefix) for word in _OWN_WORDS)
    return _duty(
        lineage, parent, base, "LIC-NAME",
        f"{base.id} of the base asks that the name of what is made with it begins with {base.naming.value!r}; this one does not",
        f"rename it so that it begins with {base.naming.value.replace(' ', '-')}", clause="naming",
        at="violation", rests_on=Basis.JUDGEMENT if own else Basis.TEXT, low=own,
    )  # fmt: skip


def _display(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    if not base.display or "display" in lineage.holds:
        return None
    return _duty(
        lineage, parent, base, "LIC-DISPLAY", f"{base.id} of the base asks that {base.display!r} is shown; the card does not",
        f"add the line {base.display!r} to the card", clause="display", duty="display", at="obligation",
    )  # fmt: skip


def _notice(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    if not base.notice or "notice" in lineage.holds or not covered(base, lineage.weights, "notice"):
        return None
    return _duty(
        lineage, parent, base, "LIC-NOTICE", f"{base.id} of the base asks for a Notice file; there is none with its sentence",
        f"add a file called Notice: {base.notice}", clause="notice", duty="notice",
        at="violation" if lineage.weights else "obligation",
    )  # fmt: skip


def _notices(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    if not base.keep_notices or "copyright" in lineage.holds or base.family not in _NOTICE_FAMILIES:
        return None
    return _duty(
        lineage, parent, base, "LIC-NOTICES", f"{base.id} of the base asks that its copyright and license notices are kept",
        "name the base, its author, its revision and its license in the card or a NOTICE file", clause="notices", at="obligation",
    )  # fmt: skip


def _changes(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    if not base.state_changes or "changes" in lineage.holds or not covered(base, lineage.weights, "changes"):
        return None
    return _duty(
        lineage, parent, base, "LIC-CHANGES", f"{base.id} of the base asks that changes are stated",
        "say in the card what was changed, and how", clause="changes", duty="changes", at="obligation",
    )  # fmt: skip


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())


_BASE_RULES: tuple[BaseRule, ...] = (
    _non_commercial_base, _no_derivatives, _non_commercial, _same_terms, _pass_restrictions, _copy_of_license, _relabel,
    _copyleft_restrictions, _gpl2_apache, _naming, _display, _notice, _notices, _changes,
)  # fmt: skip
