"""The same evaluation on this machine and on a Ray cluster: is every row and every number equal, also when an actor is killed?

    python -m tests.benchmarks.ray_equality --base DIR --adapters A B --data DIR --limit N

Three runs over fresh stores: the local executor, two actors, and two actors of which one is killed in the middle. Prints
seconds (start of the cluster included), rows and equality; ``--output`` writes them as JSON. Ends with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import evaluators
from api.executors.local import LocalExecutor
from api.executors.ray import RayExecutor
from governance.context import EvaluationSettings, RunContext, Stopwatch, new_run_id, utc_now
from governance.contracts import Divisible, Evaluator
from governance.evidence import Coverage, ItemRow, Measurement
from governance.plugins import discover
from governance.store import Store
from tests.tiny_model import compose

Executor = LocalExecutor | RayExecutor


@dataclass
class Run:
    """What one executor gave."""

    seconds: float = 0.0
    measurements: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    rows: dict[tuple[str, str], str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    actors: int = 0


def run(asked: argparse.Namespace, home: Path, executor: Executor, kill_after: int = 0) -> Run:
    """Measure every adapter over a fresh store.

    Args:
        asked: The command line.
        home: Folder of the store.
        executor: What runs it.
        kill_after: Kill an actor after so many rows; 0: none.
    """
    store, found, arrived = Store(home / "store"), Run(), list[str]()

    def keep(row: ItemRow) -> None:
        store.keep(row)
        arrived.append(row.item_key)
        if kill_after and len(arrived) == kill_after:
            kill_one(executor, how=asked.kill)

    ctx = RunContext(
        run_id=new_run_id(),
        on=utc_now(),
        store=store,
        keep=keep,
        evaluation=EvaluationSettings(
            suite=asked.suite,
            data=asked.data and asked.data.resolve(),
            limit=asked.limit,
            stop_early=asked.early_stop,
            device=asked.device,
        ),
    )
    every = discover(evaluators, Evaluator)
    plugins = {k: p for k, p in every.items() if (k in asked.only if asked.only else isinstance(p, Divisible))}
    compositions = [compose(store, asked.base, adapter) for adapter in asked.adapters]
    watch = Stopwatch()
    with executor:
        proxies = executor.evaluators(plugins)
        executor.ahead([(c, ctx) for c in compositions])
        for composition in compositions:
            for proxy in proxies.values():
                for said in proxy.measure(composition, ctx):
                    if isinstance(said, Measurement):
                        found.measurements.append(said.model_dump_json())
                    elif isinstance(said, Coverage) and not said.outcome.checked:
                        found.gaps.append(f"{said.item}: {said.reason}")
        found.seconds = watch.seconds
        if isinstance(executor, RayExecutor) and executor._fleet is not None:
            found.counts, found.actors = dict(executor._fleet.counts), executor._fleet.size
    for path in sorted((store.root / "rows").iterdir()):
        for key, row in store.rows(path.stem).items():
            found.rows[path.stem, key] = row.model_dump_json()
    return found


def kill_one(executor: Executor, *, how: str) -> None:
    """Kill an actor through Ray, or the worker it relays with a signal."""
    assert isinstance(executor, RayExecutor)
    assert executor._fleet is not None
    victim = executor._fleet._members[-1].handle
    if how == "actor":
        executor._fleet.ray.kill(victim)
        return
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command, folder = (entry / "cmdline").read_bytes(), os.readlink(entry / "cwd")
            except OSError:
                continue
            if b"evaluators._runtime.worker" in command and folder.startswith(str(executor._fleet.scratch)):
                os.kill(int(entry.name), signal.SIGKILL)
                return


def compare(one: Run, other: Run) -> dict[str, object]:
    """Return what is equal and what is not, item for item."""
    shared = one.rows.keys() & other.rows.keys()
    unequal = [k for k in shared if one.rows[k] != other.rows[k]]
    return {
        "rows": len(other.rows),
        "rows-missing": len(one.rows.keys() - other.rows.keys()),
        "rows-more": len(other.rows.keys() - one.rows.keys()),
        "rows-unequal": len(unequal),
        "measurements": len(other.measurements),
        "measurements-equal": one.measurements == other.measurements,
        "gaps-equal": one.gaps == other.gaps,
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--adapters", type=Path, nargs="+", required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--suite", default="auto")
    parser.add_argument("--only", nargs="*", default=(), help="evaluators; all that can be divided without it")
    parser.add_argument("--limit", type=int, default=24)
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--kill", choices=("actor", "worker"), default="actor")
    parser.add_argument("--early-stop", action=argparse.BooleanOptionalAction, default=False)
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="ray-equality-") as folder:
        homes = [Path(folder) / name for name in ("local", "ray", "killed")]
        local = run(asked, homes[0], LocalExecutor(homes[0] / "logs"))
        makers: list[tuple[str, Callable[[Path], Executor], int]] = [
            ("ray", lambda home: RayExecutor(home / "logs", actors=asked.actors), 0),
            ("ray, one killed", lambda home: RayExecutor(home / "logs", actors=asked.actors), max(1, len(local.rows) // 3)),
        ]
        report: dict[str, object] = {
            "base": asked.base.name,
            "adapters": [a.name for a in asked.adapters],
            "limit": asked.limit,
            "early-stop": asked.early_stop,
            "killed": asked.kill,
            "local": {
                "seconds": local.seconds,
                "rows": len(local.rows),
                "measurements": len(local.measurements),
                "gaps": local.gaps,
            },
        }
        equal = bool(local.rows and local.measurements)
        for (name, make, kill_after), home in zip(makers, homes[1:], strict=True):
            other = run(asked, home, make(home), kill_after)
            compared = compare(local, other)
            same = not compared["rows-missing"] and not compared["rows-unequal"] and bool(compared["measurements-equal"])
            if not asked.early_stop:
                same = same and not compared["rows-more"]
            equal = equal and same
            report[name] = {"seconds": other.seconds, "actors": other.actors, "events": other.counts, "equal": same} | compared
    text = json.dumps(report | {"equal": equal}, indent=2)
    print(text)
    if asked.output:
        asked.output.write_text(text + "\n")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
