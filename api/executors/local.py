"""The default executor: one inspection child per run, one device worker for as long as its base stays the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from api.executors.isolated import Isolated, describe_in_child
from evaluators._items.suites import readable as suite_files
from governance.context import RunContext
from governance.contracts import Describe, Evaluator, Scanner
from governance.isolation import Child, ChildLimits


class LocalExecutor:
    """Starts children, keeps them while they live, and ends them.

    Args:
        scratch: Folder for the children's own files and logs.
        unsafe: Start them without isolation.
        readable: What the inspection child may read beside the store: folders scanned where they lie.
    """

    def __init__(self, scratch: Path, *, unsafe: bool = False, readable: tuple[Path, ...] = ()) -> None:
        self._scratch, self._unsafe, self._readable = scratch, unsafe, readable
        self._inspection: Child | None = None
        self._device: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def warm(self, ctx: RunContext) -> None:
        """Start the inspection child now, so that it is ready when the first job is."""
        self._inspector(ctx)

    def describe(self) -> Describe:
        """Return what reads a repository's words."""
        return describe_in_child(self._inspector)

    def scanners(self, plugins: Mapping[str, Scanner]) -> Mapping[str, Scanner]:
        """Return the scanners by proxy."""
        return {k: Isolated(p, hire=self._inspector, seconds=lambda c: c.limits.inspect_seconds) for k, p in plugins.items()}

    def evaluators(self, plugins: Mapping[str, Evaluator]) -> Mapping[str, Evaluator]:
        """Return the evaluators by proxy."""
        return {k: Isolated(p, hire=self._worker, seconds=lambda c: c.limits.evaluate_seconds) for k, p in plugins.items()}

    def close(self) -> None:
        """End every child."""
        for child in (self._inspection, self._device):
            if child is not None:
                child.close()
        self._inspection = self._device = None

    def _inspector(self, ctx: RunContext) -> Child:
        if self._inspection is None or not self._inspection.alive:
            limits = ChildLimits(
                idle_seconds=ctx.limits.idle_seconds, output_bytes=ctx.limits.output_bytes, address_space=ctx.limits.inspect_memory
            )
            self._inspection = Child(
                "scanners._child",
                scratch=self._scratch / ctx.run_id,
                readable=(ctx.store.root, *self._readable),
                limits=limits,
                unsafe=self._unsafe,
            )
        return self._inspection

    def _worker(self, ctx: RunContext) -> Child:
        if self._device is None or not self._device.alive:
            limits = ChildLimits(
                idle_seconds=ctx.limits.idle_seconds,
                output_bytes=ctx.limits.output_bytes,
                resident_bytes=ctx.limits.evaluate_memory,
            )
            data = tuple(p for p in (ctx.evaluation.data, *ctx.evaluation.task_data.values()) if p is not None)
            self._device = Child(
                "evaluators._runtime.worker",
                scratch=self._scratch / ctx.run_id,
                readable=(ctx.store.root, *data, *suite_files(ctx.evaluation)),
                limits=limits,
                unsafe=self._unsafe,
                devices=True,
            )
        return self._device
