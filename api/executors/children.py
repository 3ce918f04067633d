"""How a device worker is started: on this machine by ``local``, on a node of a cluster by ``ray_actor``."""

from __future__ import annotations

from pathlib import Path

from governance.context import EvaluationSettings, Limits
from governance.isolation import Child, ChildLimits


def data_folders(evaluation: EvaluationSettings) -> tuple[Path, ...]:
    """Return what a worker reads beside the store."""
    from evaluators._items.suites import readable

    return (*(p for p in (evaluation.data, *evaluation.task_data.values()) if p is not None), *readable(evaluation))


def device_worker(scratch: Path, store: Path, limits: Limits, evaluation: EvaluationSettings, *, unsafe: bool) -> Child:
    """Start a confined process that keeps one base and answers jobs of evaluators.

    Args:
        scratch: Its only writable folder.
        store: Root of the store.
        limits: Of memory, silence and output.
        evaluation: Names the folders of data.
        unsafe: Start it without isolation.
    """
    return Child(
        "evaluators._runtime.worker",
        scratch=scratch,
        readable=(store, *data_folders(evaluation)),
        limits=ChildLimits(
            idle_seconds=limits.idle_seconds, output_bytes=limits.output_bytes, resident_bytes=limits.evaluate_memory
        ),
        unsafe=unsafe,
        devices=True,
    )
