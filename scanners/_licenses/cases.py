"""Worked license cases: each row of a CSV file is one what-if with the answer a person gave.

Read by ``curator license cases`` and ``tests/benchmarks/license_cases.py``. The format is in ``docs/licenses.md``.
"""

from __future__ import annotations

import csv
import io

from governance.licensing import LicenseTable
from governance.subject import Noun
from scanners._licenses.duties import judge, verdict
from scanners._licenses.lineage import Level
from scanners._licenses.whatif import Question, QuestionError, lineage

#: Verdicts that say something is wrong; precision and recall are over them.
POSITIVE = ("violation", "conflict")


class Case(Noun):
    """One row: a question, and what a person answered."""

    id: str
    question: Question
    verdict: str
    rules: tuple[str, ...] = ()
    grounding: str = ""


class Judged(Noun):
    """One row, judged."""

    case: str
    expected: str
    verdict: str
    rules: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    agrees: bool
    grounding_agrees: bool | None = None
    problem: str = ""


def read(text: str) -> list[Case]:
    """Return the cases of a CSV file (UTF-8, RFC 4180).

    Raises:
        QuestionError: It has not the columns of a case file.
    """
    rows = csv.DictReader(io.StringIO(text, newline=""))
    wanted = {"case", "child_license", "child_name", "relation", "parents", "verdict"}
    if not wanted <= set(rows.fieldnames or ()):
        raise QuestionError(f"no case file: the columns {', '.join(sorted(wanted))} are needed")

    def parted(cell: str | None, sign: str) -> tuple[str, ...]:
        return tuple(p.strip() for p in (cell or "").split(sign) if p.strip())

    return [
        Case(
            id=row["case"],
            question=Question(
                child=row["child_license"] or "",
                license_name=row.get("child_license_name") or "",
                name=row["child_name"] or "",
                relation=row["relation"] or "adapter",
                has=parted(row.get("child_has"), "|"),
                parents=parted(row["parents"], ";"),
                context=parted(row.get("context"), "|"),
            ),
            verdict=row["verdict"],
            rules=parted(row.get("expected_rules"), "|"),
            grounding=row.get("grounding") or "",
        )
        for row in rows
    ]


def judge_case(case: Case, table: LicenseTable) -> Judged:
    """Return what the engine says of one case, beside what was expected."""
    try:
        duties = judge(lineage(case.question, table))
    except QuestionError as error:
        return Judged(case=case.id, expected=case.verdict, verdict="error", agrees=False, problem=str(error))
    found: Level = verdict(duties)
    rules = tuple(dict.fromkeys(d.id for d in duties))
    missing = tuple(r for r in case.rules if r not in rules)
    at_level = [d for d in duties if d.id in case.rules and d.level == case.verdict]
    scored = case.verdict != "ok" and bool(case.grounding)
    return Judged(
        case=case.id,
        expected=case.verdict,
        verdict=found,
        rules=rules,
        missing=missing,
        agrees=found == case.verdict and not missing,
        grounding_agrees=any(d.ground.value == case.grounding for d in at_level) if scored else None,
    )


def scores(judged: list[tuple[str, str]]) -> dict[str, object]:
    """Return precision, recall and F1 for violation and conflict together, and for every verdict alone.

    Args:
        judged: Expected and found verdict of each case.
    """

    def one(hit: frozenset[str]) -> dict[str, object]:
        both = sum(e in hit and f in hit for e, f in judged)
        found, expected = sum(f in hit for _, f in judged), sum(e in hit for e, _ in judged)
        precision, recall = (both / found if found else None), (both / expected if expected else None)
        f1 = 2 * both / (found + expected) if found + expected else None
        return {"n": expected, "found": found, "precision": precision, "recall": recall, "f1": f1}

    names = dict.fromkeys(e for e, _ in judged)
    return {"positives": one(frozenset(POSITIVE)), **{name: one(frozenset({name})) for name in names}}


def report(cases: list[Case], table: LicenseTable) -> dict[str, object]:
    """Return every case judged, and the scores."""
    judged = [judge_case(c, table) for c in cases]
    grounded = [j.grounding_agrees for j in judged if j.grounding_agrees is not None]
    return {
        "cases": len(judged),
        "agree": sum(j.agrees for j in judged),
        "grounding": {"scored": len(grounded), "agree": sum(grounded)},
        "scores": scores([(j.expected, j.verdict) for j in judged]),
        "judged": [j.model_dump() for j in judged],
    }
