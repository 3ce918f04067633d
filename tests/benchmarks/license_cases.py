"""Judge a file of worked license cases, and say how two simple rules would have done.

    python -m tests.benchmarks.license_cases FILE.csv [--disagreements]

A case agrees when the verdict is equal and every expected rule is reported. Positives are violation and conflict.

* *tags differ*: positive if the child's license is not that of every base.
* *peer*: the lineage rule of a published bill-of-materials tool, restated from its description: only the first base counts;
  positive if that base's license is an id of the Hub that must be inherited (share-alike, copyleft, use restrictions, no
  commercial use, a vendor's agreement) and the child carries another id.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from governance.licensing import LicenseTable
from policies.licenses import license_table
from scanners._licenses.cases import Case, judge_case, read, scores
from scanners._licenses.lineage import Lineage
from scanners._licenses.whatif import lineage

_INHERITED = ("share-alike", "strong-copyleft", "network-copyleft", "rail", "llama", "gemma", "research-only", "non-commercial")


def tags_differ(made: Lineage) -> str:
    """Return what a rule says that compares the two tags."""
    child = made.terms.id if made.terms else ""
    bases = [p.terms.id if p.terms else "" for p in made.parents if p.kind == "base"]
    return "conflict" if any(base != child for base in bases) else "ok"


def peer(made: Lineage) -> str:
    """Return what the peer's rule says: the first base only, and a flag whether its license is inherited."""
    bases = [p for p in made.parents if p.kind == "base"]
    first = bases[0].terms if bases else None
    if first is None or not first.hub or first.family not in _INHERITED:
        return "ok"
    return "conflict" if made.terms is None or made.terms.id != first.id else "ok"


def print_scores(name: str, judged: list[tuple[str, str]]) -> None:
    """Print one rule's scores, a line for each verdict."""
    for verdict, score in scores(judged).items():
        if isinstance(score, dict):
            shown = {k: "-" if score[k] is None else f"{score[k]:.2f}" for k in ("precision", "recall", "f1")}
            print(
                f"{name:12} {verdict:11} n={score['n']:<4} precision {shown['precision']:>5}  "
                f"recall {shown['recall']:>5}  F1 {shown['f1']:>5}"
            )


def baseline(cases: list[Case], table: LicenseTable, rule: str) -> list[tuple[str, str]]:
    """Return expected and found verdict of each case for one of the simple rules, in the order its parents are written."""
    found = []
    for case in cases:
        made = lineage(case.question, table)
        order = [p.lower() for p in case.question.parents]
        parents = sorted(made.parents, key=lambda p: order.index(p.label) if p.label in order else len(order))
        ordered = made.model_copy(update={"parents": tuple(parents)})
        found.append((case.verdict, tags_differ(ordered) if rule == "tags" else peer(ordered)))
    return found


def main() -> int:
    """Print agreement and scores; 1 if a case disagrees."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--disagreements", action="store_true", help="also list every case that disagrees")
    asked = parser.parse_args()
    table = license_table()
    cases = read(asked.file.read_text(encoding="utf-8-sig"))
    start = time.perf_counter()
    judged = [judge_case(c, table) for c in cases]
    seconds = time.perf_counter() - start
    grounded = [j.grounding_agrees for j in judged if j.grounding_agrees is not None]
    print(
        f"{sum(j.agrees for j in judged)} of {len(judged)} cases agree; grounding {sum(grounded)} of {len(grounded)}; "
        f"{1000 * seconds / max(len(judged), 1):.1f} ms each"
    )
    print_scores("ours", [(j.expected, j.verdict) for j in judged])
    for name, rule in (("tags differ", "tags"), ("peer", "peer")):
        positives = scores(baseline(cases, table, rule))["positives"]
        print(f"{name:12} positives   {positives}")
    for j in judged:
        if asked.disagreements and not (j.agrees and j.grounding_agrees is not False):
            rules, missing = " ".join(j.rules), " ".join(j.missing)
            print(f"{j.case}: expected {j.expected}, found {j.verdict} by {rules}; missing {missing} {j.problem}")
    return 0 if all(j.agrees for j in judged) else 1


if __name__ == "__main__":
    sys.exit(main())
