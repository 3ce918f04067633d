"""Detection and false alarms on a labelled corpus, ours beside other scanners.

    python -m tests.benchmarks.scan_corpus CORPUS [--peers HOME] [--only ID…] [--adapters FOLDER] [--floor FILE] [--json FILE]

CORPUS holds ``cases.csv`` (id, label, category, kind, files) and ``cases.tar.gz`` or ``cases/<id>/``. Ours is judged by the exit
code of ``curator scan``: 11 is a finding above low, 10 something not scanned, 0 neither. A case is found at 11, not passed at 10,
and named if any finding but one about the model card speaks of it. Every case is scanned in the confined child; peers run in a
fresh process each.
"""

from __future__ import annotations

import argparse
import collections
import csv
import json
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import scanners
from api.executors.local import LocalExecutor
from api.outcomes import scan_exit_code
from api.scan import chosen, compose, document
from api.settings import Settings
from governance.context import RunContext, new_run_id, utc_now
from governance.contracts import Scanner
from governance.evidence import Severity
from governance.hub.local import folder_of, in_place
from governance.hub.selection import of_adapter
from governance.pipeline import inspect
from governance.plugins import discover
from governance.scan import ScanDocument
from governance.store import Store
from governance.subject import ArtifactRef, SourceKind
from tests.benchmarks.peers import PEERS, ask

LABELS = ("malicious", "malformed", "policy", "semantic", "benign")


@dataclass(frozen=True)
class Case:
    """One labelled case."""

    id: str
    label: str
    category: str
    path: Path


@dataclass(frozen=True)
class Judged:
    """What we make of one case."""

    case: Case
    code: int
    rules: tuple[str, ...]
    gaps: tuple[str, ...]


def cases(corpus: Path, scratch: Path) -> Iterator[Case]:
    """Yield every case, unpacked."""
    root = corpus / "cases"
    if not root.is_dir():
        with tarfile.open(corpus / "cases.tar.gz") as archive:
            archive.extractall(scratch, filter="data")
        root = scratch / "cases"
    with (corpus / "cases.csv").open(newline="", encoding="utf-8") as rows:
        for row in csv.DictReader(rows):
            folder = root / row["id"]
            yield Case(row["id"], row["label"], row["category"], folder if row["kind"] == "dir" else folder / row["files"])


class Ours:
    """Scans in one confined child, as ``curator scan`` does in one of its own for each call."""

    def __init__(self, executor: LocalExecutor, home: Path) -> None:
        self._executor = executor
        self._ctx = RunContext(run_id=new_run_id(), on=utc_now(), store=Store(home / "store"), limits=Settings().limits)
        self._asked, self._left = chosen(discover(scanners, Scanner), values=True, voices=())

    def __call__(self, path: Path) -> ScanDocument:
        """Return the document of one path."""
        adapter = in_place(ArtifactRef(source=SourceKind.LOCAL, name=str(path)), self._ctx, of_adapter)
        ctx = replace(self._ctx, folders={adapter.name: folder_of(adapter.name)})
        composition = compose(self._executor, adapter, None, ctx)
        return document(inspect(composition, self._executor.scanners(self._asked), ctx), self._asked, self._left, {})


def judge(ours: Ours, case: Case) -> Judged:
    """Scan one case."""
    found = ours(case.path)
    code, _ = scan_exit_code(found, Severity.LOW)
    rules = tuple(sorted({f"{f.severity.value}:{f.rule}" for f in found.findings if f.plugin != "model-card"}))
    return Judged(case, code, rules, found.gaps())


def right(judged: Judged) -> bool:
    """Return whether a case ended as its label asks: see the corpus's own description."""
    match judged.case.label:
        case "malicious" | "malformed":
            return judged.code in (10, 11)
        case "policy":
            return bool(judged.rules)
        case "semantic":
            return any(r.split(":")[1].startswith(("adapter-", "base-", "weight-")) for r in judged.rules)
        case _:
            return judged.code == 0


def figures(found: Sequence[Judged]) -> dict[str, dict[str, int]]:
    """Return for each label and family how many there are, are right, are found above low and are only not scanned."""
    rows: dict[str, dict[str, int]] = collections.defaultdict(lambda: dict.fromkeys(("n", "right", "found", "not scanned"), 0))
    for one in found:
        for key in (one.case.label, f"{one.case.label}/{one.case.category}"):
            row = rows[key]
            row["n"] += 1
            row["right"] += right(one)
            row["found"] += one.code == 11
            row["not scanned"] += one.code == 10
    return {key: rows[key] for key in sorted(rows, key=lambda k: (LABELS.index(k.split("/")[0]), k))}


def below(floor: Mapping[str, Mapping[str, int]], now: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return where fewer cases are right than the floor says; it may only rise."""
    return [
        f"{k}: {now.get(k, {}).get('right', 0)} < {v['right']}"
        for k, v in floor.items()
        if now.get(k, {}).get("right", 0) < v["right"]
    ]


def _peers(home: Path, every: Sequence[Case]) -> None:
    for peer in PEERS.values():
        counts: dict[str, collections.Counter[str]] = {label: collections.Counter() for label in LABELS}
        for case in every:
            counts[case.label][ask(peer, home, case.path)] += 1
        print(f"{peer.name}: " + "; ".join(f"{label} {dict(sorted(counts[label].items()))}" for label in LABELS), flush=True)


def _adapters(ours: Ours, folder: Path) -> None:
    alarms = 0
    folders = sorted({p.parent for p in folder.rglob("adapter_config.json")})
    for path in folders:
        found = ours(path)
        grave = sorted({f"{f.severity.value}:{f.rule}" for f in found.findings if f.severity.rank > Severity.LOW.rank})
        alarms += bool(grave)
        if grave:
            print(f"  {path.relative_to(folder)}: {' '.join(grave)}")
    print(f"real adapters: {len(folders)} folders, {alarms} with a finding above low (check each by hand)")


def main() -> int:
    """Print the tables; exit 1 if a figure fell below the floor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--peers", type=Path, help="also ask the other scanners, installed below this folder")
    parser.add_argument("--only", nargs="*", help="ids, or beginnings of them")
    parser.add_argument("--adapters", type=Path, help="also scan every adapter below this folder")
    parser.add_argument("--floor", type=Path, default=Path(__file__).with_name("floor.json"))
    parser.add_argument("--raise-floor", action="store_true", help="write the figures as the new floor")
    parser.add_argument("--json", type=Path, help="one object for each case")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        every = [c for c in cases(asked.corpus, Path(scratch)) if not asked.only or c.id.startswith(tuple(asked.only))]
        roots = tuple(
            {c.path.parents[0] if c.path.is_file() else c.path for c in every} | ({asked.adapters} if asked.adapters else set())
        )
        with LocalExecutor(Path(scratch) / "logs", readable=roots) as executor:
            ours = Ours(executor, Path(scratch))
            found = [judge(ours, case) for case in every]
            if asked.adapters:
                _adapters(ours, asked.adapters)
        for one in found:
            if not right(one):
                said = " ".join(one.rules) or "nothing"
                print(f"  wrong: {one.case.label} {one.case.id}: exit {one.code}, {said}; {'; '.join(one.gaps)[:160]}")
        now = figures(found)
        print(f"{'label/family':28} {'n':>4} {'right':>6} {'found':>6} {'not scanned':>12}")
        for key, row in now.items():
            print(f"{key:28} {row['n']:4} {row['right']:6} {row['found']:6} {row['not scanned']:12}")
        if asked.json:
            rows = [{"id": j.case.id, "label": j.case.label, "code": j.code, "rules": j.rules, "gaps": j.gaps} for j in found]
            asked.json.write_text("\n".join(map(json.dumps, rows)) + "\n")
        if asked.peers:
            _peers(asked.peers, every)
    if asked.raise_floor:
        asked.floor.write_text(json.dumps(now, indent=1) + "\n")
    fallen = below(json.loads(asked.floor.read_text()), now) if asked.floor.is_file() and not asked.only else []
    for words in fallen:
        print(f"below the floor: {words}")
    return 1 if fallen else 0


if __name__ == "__main__":
    sys.exit(main())
