"""Judge the licenses of every adapter below a folder, offline, and print the verdicts.

    python -m tests.benchmarks.license_adapters FOLDER [--all]

Bases are not here: their licenses come from the table of known models, so everything that rests on one is judgement. A repository
is judged as a whole and, where its adapters lie in folders, for each of them.
"""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
from pathlib import Path

from governance.context import RunContext, new_run_id, utc_now
from governance.errors import CuratorError
from governance.evidence import Component, Finding
from governance.hub.local import take_folder
from governance.hub.selection import of_documents
from governance.store import Store
from governance.subject import ArtifactRef, Composition, SourceKind
from policies.licenses import license_table
from scanners._formats.claims.description import describe
from scanners.license_terms import PLUGIN
from tests.benchmarks.real_adapters import adapters

_LEVELS = ("violation", "conflict", "unknown", "obligation", "ok")


def judged(folder: Path, ctx: RunContext) -> tuple[str, str, list[Finding]]:
    """Return the verdict, the licenses concluded, and the findings of one folder."""
    subject = take_folder(ArtifactRef(source=SourceKind.LOCAL, name=str(folder)), ctx, of_documents)
    made = Composition(adapter=subject, base_reason="not here", description=describe(subject, ctx))
    said = list(PLUGIN.scan(made, ctx))
    findings = [s for s in said if isinstance(s, Finding)]
    levels = [f.rule.removeprefix("license-") for f in findings]
    parts = [s for s in said if isinstance(s, Component) and s.type in ("adapter", "ancestor")]
    licenses = " < ".join(p.license_concluded or "?" for p in parts)
    return min(levels, key=_LEVELS.index, default="ok"), licenses, findings


def main() -> int:
    """Print a line for each adapter, then the totals."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true", help="also list what is neither violation nor conflict")
    asked = parser.parse_args()
    totals: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as home:
        ctx = RunContext(run_id=new_run_id(), on=utc_now(), store=Store(Path(home)), license_terms=license_table())
        roots = [p for p in asked.folder.iterdir() if p.is_dir()]
        for folder in sorted({*adapters(asked.folder), *roots}):
            try:
                verdict, licenses, findings = judged(folder, ctx)
            except CuratorError as error:
                verdict, licenses, findings = "error", error.message, []
            totals[verdict] += 1
            if asked.all or verdict in ("violation", "conflict"):
                print(f"{verdict:10} {folder.relative_to(asked.folder)}  [{licenses}]")
                for f in findings if verdict in ("violation", "conflict") else ():
                    if f.rule in ("license-violation", "license-conflict"):
                        level, parent = f.rule.removeprefix("license-"), f.evidence.get("parent")
                        print(f"           {level} by {f.basis.value}: {f.message[:200]} <- {parent}")
    print(f"{totals.total()} folders: " + ", ".join(f"{n} {v}" for v, n in sorted(totals.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
