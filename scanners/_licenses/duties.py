"""Every license rule, applied to one lineage: what is broken, what cannot be met together, what is owed.

    duties      the child itself, and which rules look at which kind of parent
    bases       rules over a base
    sources     rules over data sets, teachers and services
    uses        rules over who wants to use it, where and for what

Read by ``scanners.license_terms`` and ``scanners._licenses.whatif``. Pure functions over rows of the table; a rule that does
not fire says nothing.

Source:
    The license texts named in the rows of ``policies/licenses``; ``docs/licenses.md`` explains the fields.
"""

from __future__ import annotations

from collections.abc import Iterator

from governance.evidence import Basis
from scanners._licenses.bases import judge_base
from scanners._licenses.lineage import Duty, Level, Lineage, Parent, unread, worst
from scanners._licenses.sources import judge_dataset, judge_service, judge_teacher
from scanners._licenses.uses import USE_RULES, judge_use

_NO_GRANT = ("unknown", "other", "cc-unspecified")


def judge(lineage: Lineage) -> list[Duty]:
    """Return everything the rules say, worst first, then by rule and parent.

    Args:
        lineage: The child and its parents.

    Returns:
        One entry per rule and parent that fired.
    """
    said = [*_child(lineage), *judge_use(lineage)]
    for parent in lineage.parents:
        said += _unreadable(parent)
        if parent.terms is None:
            continue
        match parent.kind:
            case "base":
                said += judge_base(lineage, parent, parent.terms)
            case "dataset":
                said += judge_dataset(lineage, parent, parent.terms)
            case "teacher":
                said += judge_teacher(lineage, parent, parent.terms)
            case "service":
                said += judge_service(parent, parent.terms)
    return sorted(dict.fromkeys(said), key=lambda d: d.order)


def verdict(duties: list[Duty]) -> Level:
    """Return the worst level; ``ok`` if nothing is open."""
    return worst([d.level for d in duties])


def model_verdict(duties: list[Duty]) -> Level:
    """Return whether the author of the child kept the terms of everything it was made from."""
    return worst([d.level for d in duties if d.id not in USE_RULES])


def use_verdict(duties: list[Duty]) -> Level:
    """Return whether this asker may use it, in that place, for that purpose."""
    return worst([d.level for d in duties if d.id in USE_RULES])


def _child(lineage: Lineage) -> Iterator[Duty]:
    child = lineage.readable
    if child is None:
        yield Duty(
            id="LIC-CHILD-UNKNOWN", level="unknown", ground=Basis.TEXT,
            message=f"no license of the adapter can be concluded: {lineage.reason or 'none stated'}; nobody may use it without one",
            remedy="set `license` in the card, or `license: other` with `license_name` and `license_link`",
        )  # fmt: skip
        return
    if not child.precise:
        yield Duty(
            id="LIC-CHILD-FAMILY", level="unknown", ground=Basis.TEXT,
            message=f"{child.id!r} names a family of licenses, not one text; what it grants is not said",
            remedy="name the exact license and version",
        )  # fmt: skip
    if child.family == "permissive" and child.copy_of_license and f"text:{child.id}" not in lineage.holds:
        yield Duty(
            id="LIC-TEXT-MISSING", level="obligation", ground=Basis.JUDGEMENT if unread(child) else Basis.TEXT,
            clause=f"{child.name} {child.clauses.get('copy', '')}".strip(),
            message=f"{child.id} asks that its text travels along; the repository holds no copy",
            remedy="add the license text as a file called LICENSE",
        )  # fmt: skip


def _unreadable(parent: Parent) -> Iterator[Duty]:
    terms = parent.terms
    whose = {"base": "base", "dataset": "data set", "teacher": "teacher", "service": "service"}[parent.kind]
    if terms is None or terms.family in _NO_GRANT:
        why = parent.reason or (f"{terms.id!r} is no grant" if terms else "none is stated")
        yield Duty(
            id="LIC-PARENT-UNKNOWN", level="unknown", ground=Basis.TEXT, parent=parent.label,
            message=f"the license of the {whose} {parent.name} cannot be read ({why}), so its terms are unknown",
            remedy=f"ask the publisher of the {whose}, or give it with its card and license files",
        )  # fmt: skip
    elif unread(terms) and parent.kind != "service":
        yield Duty(
            id="LIC-PARENT-UNKNOWN", level="unknown", ground=Basis.TEXT, parent=parent.label, clause=terms.name,
            message=f"the {whose} {parent.name} is under {terms.name}, whose text nobody has read for the license table yet",
            remedy="read the text, and complete its row in the license table",
        )  # fmt: skip
