"""What the license of a base asks of what is made from it: one function for each rule.

Called by ``scanners._licenses.duties``.

Source:
    The license texts named in the rows of ``policies/licenses``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from governance.evidence import Basis
from governance.licensing import LicenseTerms
from scanners._licenses.lineage import Duty, Level, Lineage, Parent, covered, ground, level, named_as_asked

_RESTRICTING = ("yes", "equivalent")
_NOTICE_FAMILIES = (
    "permissive", "public-domain", "attribution", "share-alike", "non-commercial", "no-derivatives",
    "weak-copyleft", "strong-copyleft", "network-copyleft",
)  # fmt: skip
_GNU = re.compile(r"\A([al]?gpl)-(\d+(?:\.\d+)?)\Z")

BaseRule = Callable[[Lineage, Parent, LicenseTerms], Duty | None]


def judge_base(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Iterator[Duty]:
    """Yield what every rule says of one base."""
    for rule in _RULES:
        if (duty := rule(lineage, parent, base)) is not None:
            yield duty


def may_carry(base: LicenseTerms, child: LicenseTerms, *, or_later: bool) -> bool:
    """Return whether terms that must be kept allow the child's license instead: by their list, or as a later version."""
    if child.id in base.compatible_with:
        return True
    mine, theirs = _GNU.match(base.id), _GNU.match(child.id)
    return bool(or_later and mine and theirs and mine[1] == theirs[1] and float(theirs[2]) >= float(mine[2]))


def clause_of(terms: LicenseTerms, topic: str) -> str:
    """Return the title of a license and the place in it that speaks of a topic."""
    return f"{terms.name} {terms.clauses.get(topic, '')}".strip()


def compliant_name(name: str, prefix: str) -> str:
    """Return a repository's name changed as little as is needed to begin with a prefix; see ``remedies``."""
    owner, _, own = name.rstrip("/").rpartition("/")
    owner = "" if "/" in owner or name.startswith(("/", ".", "~")) else owner
    lead = re.sub(r"[\s_]+", "-", prefix.strip())
    rest = re.sub(rf"\A(meta|lgai|lg)?[-_. ]*{re.escape(lead)}[-_. ]*", "", own, flags=re.IGNORECASE).strip("-_. ")
    made = f"{lead}-{rest}" if rest else lead
    return (f"{owner}/" if owner else "") + made[:96].rstrip("-_.")


def _duty(
    lineage: Lineage, parent: Parent, base: LicenseTerms, rule: str, message: str, remedy: str, *,
    clause: str, duty: str | None = None, at: Level | None = None, rests_on: Basis | None = None, low: bool = False,
) -> Duty:  # fmt: skip
    return Duty(
        id=rule,
        level=at or level(base, lineage.weights, duty),
        ground=rests_on or ground(base, lineage.weights, duty),
        parent=parent.label,
        clause=clause_of(base, clause),
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
        "do not publish or use it; ask the licensor for a grant", clause="technical" if technical else "nd",
        at="conflict" if technical else None, rests_on=Basis.JUDGEMENT if technical else None,
    )  # fmt: skip


def _non_commercial(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    child = lineage.readable
    if child is None or base.commercial != "no" or child.commercial not in ("yes", "conditional"):
        return None
    return _duty(
        lineage, parent, base, "LIC-NC",
        f"{child.id} grants commercial use, which {base.id} of the base reserves",
        "publish the adapter under a non-commercial license", clause="nc",
    )  # fmt: skip


def _same_terms(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    child = lineage.other_than(base)
    if child is None or may_carry(base, child, or_later=parent.or_later):
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
    child = lineage.other_than(base)
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
    remedy = f"add the text of the {base.name}, of this version, to the repository" + (f": {base.link}" if base.link else "")
    child, weights = lineage.other_than(base), lineage.weights
    if child is not None and child.family == base.family == "llama":
        return _duty(
            lineage, parent, base, "LIC-VERSION", f"the adapter cites {child.id}; its base is under {base.id}",
            f"cite {base.id} instead", clause="copy", at="conflict", rests_on=Basis.TEXT if weights else Basis.JUDGEMENT,
        )  # fmt: skip
    missing = f"no copy of the {base.name} is in the repository, and the base's terms must travel along"
    if base.same_terms == "no-sublicense" and child is not None:
        message = f"{missing}; the adapter is put under {child.id}, which nobody but the licensor of the base could grant"
        return _duty(lineage, parent, base, "LIC-COPY", message, remedy, clause="copy", duty="copy")
    if base.same_terms == "no-sublicense" and lineage.readable is None and weights:
        return _duty(lineage, parent, base, "LIC-COPY", missing, remedy, clause="copy", duty="copy", at="violation")
    if not covered(base, weights, "copy"):
        return None
    return _duty(lineage, parent, base, "LIC-COPY", missing, remedy, clause="copy", duty="copy", at="obligation")


def _relabel(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    child = lineage.other_than(base)
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


def _merge_improves(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    child = lineage.other_than(base)
    if lineage.relation != "merge" or child is None or not base.outputs.materials_too or child.family == base.family == "llama":
        return None
    return _duty(
        lineage, parent, base, "LIC-MERGE-IMPROVE",
        f"{base.id} of the base forbids using its weights to improve another model, and this merge is labelled {child.id}",
        f"publish the merge under {base.id}", clause="outputs", at="conflict", rests_on=Basis.JUDGEMENT,
    )  # fmt: skip


def name_duty(lineage: Lineage, parent: Parent, terms: LicenseTerms, rule: str, made: str) -> Duty | None:
    """Return what is wrong with the child's name, if a license asks for one."""
    if terms.naming is None:
        return None
    prefix = terms.naming.value
    passed = named_as_asked(lineage.name, prefix)
    if passed:
        return None
    return _duty(
        lineage, parent, terms, rule,
        f"{terms.id} asks that the name of what is {made} begins with {prefix!r}; this one does not",
        f"rename it to {compliant_name(lineage.name, prefix)}", clause="naming",
        at="violation", rests_on=Basis.JUDGEMENT if passed is None else Basis.TEXT, low=passed is None,
    )  # fmt: skip


def _naming(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    return name_duty(lineage, parent, base, "LIC-NAME", "made with it")


def _display(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    line = base.display
    if base.display_if is not None and re.search(rf"(?i)\b{_loosely(base.display_if.model)}\b", parent.name):
        line = base.display_if.text
    if not line or "display" in lineage.holds:
        return None
    return _duty(
        lineage, parent, base, "LIC-DISPLAY", f"{base.id} of the base asks that {line!r} is shown; the card does not",
        f"add the line {line!r} to the card", clause="display", duty="display", at="obligation",
    )  # fmt: skip


def _loosely(model: str) -> str:
    """Return a pattern for the last word of a model's name: NVIDIA Cosmos is published under names that begin with Cosmos."""
    return re.escape(model.split()[-1])


def _notice(lineage: Lineage, parent: Parent, base: LicenseTerms) -> Duty | None:
    if base.notice is None or "notice" in lineage.holds or not covered(base, lineage.weights, "notice"):
        return None
    sentence = base.notice.sentence or base.notice.copied
    return _duty(
        lineage, parent, base, "LIC-NOTICE", f"{base.id} of the base asks for a Notice file; there is none with its sentence",
        f"add a file called {base.notice.file}: {sentence}", clause="notice", duty="notice",
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


_RULES: tuple[BaseRule, ...] = (
    _no_derivatives, _non_commercial, _same_terms, _pass_restrictions, _copy_of_license, _relabel,
    _copyleft_restrictions, _gpl2_apache, _merge_improves, _naming, _display, _notice, _notices, _changes,
)  # fmt: skip
