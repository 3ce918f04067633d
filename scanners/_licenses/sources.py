"""What data sets, teachers and services ask of a model that was trained on them.

A teacher is a model whose outputs were trained on. A data set under a model's license is judged as that teacher's outputs too,
but never harder than *conflict by judgement*: that it holds such outputs is inferred.

Called by ``scanners._licenses.duties``.

Source:
    The license texts named in the rows of ``policies/licenses``.
"""

from __future__ import annotations

from collections.abc import Iterator

from governance.evidence import Basis
from governance.licensing import LicenseTerms
from scanners._licenses.bases import clause_of, may_carry, name_duty
from scanners._licenses.lineage import LEVELS, Duty, Level, Lineage, Parent, unread

_GRANTS = ("yes", "conditional")


def judge_teacher(lineage: Lineage, parent: Parent, teacher: LicenseTerms) -> Iterator[Duty]:
    """Yield what a teacher's rule on outputs says of the child."""

    def said(rule: str, at: Level, rests_on: Basis, message: str, remedy: str, topic: str = "outputs") -> Duty:
        clause = teacher.outputs.clause if topic == "outputs" and teacher.outputs.clause else teacher.clauses.get(topic, "")
        return Duty(
            id=rule, level=at, ground=rests_on, parent=parent.label, clause=f"{teacher.name} {clause}".strip(),
            message=message, remedy=remedy,
        )  # fmt: skip

    match teacher.outputs.rule:
        case "forbidden" if not _in_its_own_line(lineage, teacher):
            child = lineage.readable
            versions = child is not None and child.family == teacher.family == "llama"
            plain = teacher.outputs.certain and not unread(teacher) and not versions
            yield said(
                "LIC-OUT", "violation" if plain else "conflict", Basis.TEXT if plain else Basis.JUDGEMENT,
                f"{teacher.id} forbids training {teacher.outputs.of or 'other models'} on its outputs, and this was",
                "retrain without these outputs",
            )  # fmt: skip
        case "research-only" if (child := lineage.readable) is not None and child.commercial in _GRANTS:
            yield said(
                "LIC-OUT", "conflict", Basis.JUDGEMENT,
                f"{teacher.id} gives its outputs for research only, and {child.id} grants commercial use",
                "retrain without these outputs, or take a non-commercial license",
            )  # fmt: skip
        case "allowed-with-naming":
            if (duty := name_duty(lineage, parent, teacher, "LIC-OUT-NAME", "trained on its outputs")) is not None:
                yield duty
        case "allowed-with-display" if "display" not in lineage.holds:
            yield said(
                "LIC-OUT-DISPLAY", "obligation", Basis.TEXT,
                f"{teacher.id} asks that {teacher.display!r} is shown for what was trained on its outputs",
                f"add the line {teacher.display!r} to the card", "display",
            )  # fmt: skip
        case "distillation-is-derivative" if (lineage.terms is None or lineage.terms.id != teacher.id) and (
            "restrictions" not in lineage.holds
        ):
            yield said(
                "LIC-OUT-DERIV", "conflict", Basis.JUDGEMENT,
                f"{teacher.id} counts a model trained on its outputs to perform alike as a derivative, under its use restrictions",
                "carry the teacher's use restrictions", "definition",
            )  # fmt: skip


def _in_its_own_line(lineage: Lineage, teacher: LicenseTerms) -> bool:
    """Return whether the child or one of its bases is under the teacher's own license, which such bans except."""
    bases = [p.terms.id for p in lineage.parents if p.kind == "base" and p.terms is not None]
    return teacher.id in (*bases, lineage.terms.id if lineage.terms else "")


def judge_dataset(lineage: Lineage, parent: Parent, data: LicenseTerms) -> Iterator[Duty]:
    """Yield what a data set's license says of a model trained on it."""

    def said(rule: str, at: Level, rests_on: Basis, message: str, remedy: str, topic: str) -> Duty:
        return Duty(
            id=rule, level=at, ground=rests_on, parent=parent.label, clause=clause_of(data, topic), message=message, remedy=remedy
        )

    if data.data_results_free == "yes":
        yield said("LIC-DATA-FREE", "ok", Basis.TEXT, f"{data.id} leaves results, such as models, unrestricted", "", "results")
        return
    if data.data_results_free == "notice-only":
        if "attribution" not in lineage.holds:
            rests_on = Basis.JUDGEMENT if data.copyleft != "none" else Basis.TEXT
            message = f"{data.id} asks for a notice with a work produced from the data"
            yield said("LIC-DATA-NOTICE", "obligation", rests_on, message, f"name {parent.name} in the card", "produced_work")
        return
    child, other = lineage.readable, lineage.other_than(data)
    doubt = "; whether training needs the license is unsettled"
    if data.commercial == "no" and child is not None and child.commercial in _GRANTS:
        message = f"{data.id} of the data set reserves commercial use, which {child.id} grants{doubt}"
        remedy = "take a non-commercial license, or drop the data set"
        yield said("LIC-DATA-NC", "conflict", Basis.JUDGEMENT, message, remedy, "nc")
    if data.same_terms == "yes" and other is not None and not may_carry(data, other, or_later=parent.or_later):
        message = f"{data.id} of the data set wants adapted material under its own terms; the adapter is under {other.id}{doubt}"
        remedy = f"license the adapter under {data.id}, or drop the data set"
        yield said("LIC-DATA-SA", "conflict", Basis.JUDGEMENT, message, remedy, "share_alike")
    if data.share_derivatives == "no":
        message = f"{data.id} of the data set forbids sharing adapted material{doubt}"
        yield said("LIC-DATA-ND", "conflict", Basis.JUDGEMENT, message, "ask the licensor of the data for a grant", "nd")
    if data.keep_notices and "attribution" not in lineage.holds:
        message = f"{data.id} asks that the data set and its author are named; the card does not"
        yield said("LIC-DATA-ATTR", "obligation", Basis.JUDGEMENT, message, f"name {parent.name} in the card", "attribution")
    for duty in judge_teacher(lineage, parent, data):
        yield capped(duty)


def capped(duty: Duty) -> Duty:
    """Return what rests on an inference: no worse than a conflict, and by judgement."""
    at = max(duty.level, "conflict", key=LEVELS.index)
    return duty.model_copy(update={"level": at, "ground": Basis.JUDGEMENT})


def judge_service(parent: Parent, service: LicenseTerms) -> Iterator[Duty]:
    """Yield that somebody's contract with a service may speak of the data; it binds whoever called, not the child."""
    yield Duty(
        id="LIC-SERVICE", level="obligation", ground=Basis.JUDGEMENT, parent=parent.label, clause=service.name,
        message=f"trained on output of a service under {service.name} ({service.clauses.get('rule', '')}); it binds whoever called",
        remedy="record who called the service, when, and under which terms",
    )  # fmt: skip
