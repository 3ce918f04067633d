"""Asks a few items of every file of a data folder, with the real worker's path, and prints which are asked as which task.

python -m tests.benchmarks.every_file FOLDER --base BASE --adapter ADAPTER [--limit 4] [--suite auto]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_EVALUATE_OFFLINE="1", TRANSFORMERS_OFFLINE="1")

from evaluators._items import suites
from evaluators._runtime import families
from governance.context import EvaluationSettings, RunContext, new_run_id, utc_now
from governance.evidence import Coverage, Measurement
from governance.store import Store
from tests.tiny_model import compose


def main() -> None:
    """Print one line for each measurement and each gap."""
    given = argparse.ArgumentParser()
    given.add_argument("folder", type=Path)
    given.add_argument("--base", type=Path, required=True)
    given.add_argument("--adapter", type=Path, required=True)
    given.add_argument("--limit", type=int, default=4)
    given.add_argument("--suite", default="general")
    options = given.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(Path(scratch))
        settings = EvaluationSettings(data=options.folder.resolve(), limit=options.limit, device="cpu", suite=options.suite)
        ctx = RunContext(run_id=new_run_id(), on=utc_now(), store=store, keep=store.keep, evaluation=settings)
        composition = compose(store, options.base, options.adapter)
        suite = suites.choose(composition, ctx)
        metrics = families.Metrics("family", "task", "margin")
        asked = [lambda f=f: families.measure(suite, {f: (f,)}, metrics, "every-file", composition, ctx) for f in suite.families]
        for ask in asked:
            start = time.monotonic()
            for said in ask():
                if isinstance(said, Measurement):
                    print(f"{said.metric:24} {said.scope:46} n={said.n:<5} {said.value:+.3f} {said.verdict or ''}", flush=True)
                elif isinstance(said, Coverage) and (said.reason or not said.outcome.checked):
                    print(f"  {said.outcome.value:15} {said.item}: {said.reason}", flush=True)
            print(f"  -- {time.monotonic() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
