"""The executor for many devices: items are answered by actors of a Ray cluster, and every number is computed from their rows.

An evaluator that can be divided is asked in shards, one for each actor, whose rows stream to this process, the only writer of
the store. Then the whole job runs on one of the actors: it finds every row and concludes. An item is answered by the same
worker, in the same batch, as on one machine, so the numbers are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from api.executors.isolated import Isolated, Planned, relay
from api.executors.local import LocalExecutor
from api.executors.ray_fleet import Fleet, Work
from api.executors.ray_session import Session
from governance.context import Progress, RunContext
from governance.contracts import Describe, Divisible, Evaluator, Said, Scanner
from governance.errors import CuratorError
from governance.evidence import Coverage, ItemRow, Outcome
from governance.store import Store
from governance.subject import Composition
from governance.wire import Line


class RayExecutor:
    """Runs scanners here and evaluators on a cluster.

    Args:
        scratch: Folder for workers' files and logs; on a cluster, on the file system its nodes share.
        unsafe: Start children without isolation.
        actors: How many; 0: one for each accelerator, or each node where there is none.
        address: ``host:port`` of a running cluster, or ``auto``; empty: start one on this machine, which ends with the run.
        resource: A custom resource that an actor's node must have; empty: any node.
    """

    def __init__(self, scratch: Path, *, unsafe: bool = False, actors: int = 0, address: str = "", resource: str = "") -> None:
        self._scratch, self._unsafe = scratch, unsafe
        self._actors, self._resource = actors, resource
        self._local = LocalExecutor(scratch, unsafe=unsafe)
        self._session = Session(address)
        self._fleet: Fleet | None = None
        self._plugins: Mapping[str, Evaluator] = {}
        self._told: dict[tuple[str, str], _Told] = {}
        self._rows = _Rows()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def describe(self) -> Describe:
        """Return what reads a repository's words."""
        return self._local.describe()

    def scanners(self, plugins: Mapping[str, Scanner]) -> Mapping[str, Scanner]:
        """Return the scanners by proxy; they run on this machine."""
        return self._local.scanners(plugins)

    def evaluators(self, plugins: Mapping[str, Evaluator]) -> Mapping[str, Evaluator]:
        """Return the evaluators by proxy."""
        self._plugins = plugins
        return {k: _OnFleet(p, self._measure) for k, p in plugins.items()}

    def ahead(self, planned: Planned) -> None:
        """Measure many compositions at once; asking for one of them afterwards tells what was found.

        Without it each is spread over the actors by itself. Evaluators that cannot be divided wait until they are asked: what
        they measure may be time.

        Args:
            planned: Compositions; those with equal content are measured once.

        Raises:
            PrerequisiteError: There is no cluster, or it cannot be used.
            Cancelled: The caller ended it.
        """
        for plugin in self._plugins.values():
            if isinstance(plugin, Divisible):
                self._do(plugin, [(c, ctx) for c, ctx in planned if plugin.wants(c)])

    def close(self) -> None:
        """End every worker, every actor, and the cluster if it was started here."""
        fleet, self._fleet = self._fleet, None
        try:
            if fleet is not None:
                fleet.close()
        finally:
            if fleet is not None:
                self._session.close(fleet.ray)
            self._local.close()

    def _measure(self, plugin: Evaluator, composition: Composition, ctx: RunContext) -> Iterator[Said]:
        if (plugin.id, composition.digest) not in self._told:
            self._do(plugin, [(composition, ctx)])
        told = self._told[plugin.id, composition.digest]
        yield from told.said
        if told.error is not None:
            raise told.error

    def _do(self, plugin: Evaluator, planned: Planned) -> None:
        """Answer in shards, the first adapter of each base before the others, so that a base is asked once; then conclude."""
        once = {c.digest: (c, ctx) for c, ctx in reversed(planned) if (plugin.id, c.digest) not in self._told}
        order = sorted(once.values(), key=lambda one: (one[0].base.digest if one[0].base else "", one[0].digest))
        if not order:
            return
        fleet = self._opened(order[0][1])
        told = {c.digest: _Told() for c, _ in order}
        if isinstance(plugin, Divisible) and fleet.size > 1:
            seen = set[str]()
            firsts = [one for one in order if _is_new(one[0].base.digest if one[0].base else "", seen)]
            for some in (firsts, [one for one in order if one not in firsts]):
                works = [w for c, ctx in some for w in self._shards(plugin, c, ctx, fleet)]
                fleet.run(works, order[0][1].checkpoint)
                for work in works:
                    told[work.composition.digest].error = told[work.composition.digest].error or work.error
        whole = [self._whole(plugin, c, ctx, told[c.digest]) for c, ctx in order if told[c.digest].error is None]
        fleet.run(whole, order[0][1].checkpoint)
        for work in whole:
            told[work.composition.digest].error = work.error
        if self._rows.differing:
            reason = f"{self._rows.differing} items were answered twice and not alike; the first answer of each counts"
            for one in told.values():
                one.said.append(Coverage(item="cluster", outcome=Outcome.COMPLETED, reason=reason))
        self._told |= {(plugin.id, digest): one for digest, one in told.items()}

    def _shards(self, plugin: Evaluator, composition: Composition, ctx: RunContext, fleet: Fleet) -> list[Work]:
        pace = _Pace(ctx, fleet.size)
        return [self._shard(plugin, composition, ctx, pace, index) for index in range(fleet.size)]

    def _shard(self, plugin: Evaluator, composition: Composition, ctx: RunContext, pace: _Pace, index: int) -> Work:
        mine = replace(
            ctx,
            evaluation=ctx.evaluation.model_copy(update={"shard": (index, pace.shards)}),
            keep=partial(self._rows.keep, ctx),
            emit=partial(pace.show, index),
        )

        def take(line: Line) -> None:
            relay(line, mine)  # what a shard says of its units, the whole job says again

        return Work(plugin.id, composition, mine, take)

    def _whole(self, plugin: Evaluator, composition: Composition, ctx: RunContext, told: _Told) -> Work:
        mine = replace(ctx, keep=partial(self._rows.keep, ctx))

        def take(line: Line) -> None:
            said = relay(line, mine)
            if said is not None:
                told.said.append(said)

        return Work(plugin.id, composition, mine, take, told.said.clear)

    def _opened(self, ctx: RunContext) -> Fleet:
        if self._fleet is None:
            ctx.emit(Progress(run_id=ctx.run_id, step="evaluate", item="cluster", message="starting actors"))
            ray = self._session.open()
            self._fleet = Fleet(ray, self._scratch / ctx.run_id, self._unsafe, actors=self._actors, resource=self._resource)
            self._fleet.start(ctx)
        return self._fleet


class _OnFleet(Isolated):
    """One evaluator by proxy."""

    def __init__(self, plugin: Evaluator, measure: Callable[[Evaluator, Composition, RunContext], Iterator[Said]]) -> None:
        self._plugin, self._evaluator, self._ask = plugin, plugin, measure

    def measure(self, composition: Composition, ctx: RunContext) -> Iterator[Said]:
        """Yield what the cluster says."""
        yield from self._ask(self._evaluator, composition, ctx)


@dataclass
class _Told:
    """What came out of one evaluator for one composition."""

    said: list[Said] = field(default_factory=list)
    error: CuratorError | TimeoutError | None = None


@dataclass
class _Pace:
    """Adds up the progress of the shards of one job."""

    ctx: RunContext
    shards: int
    _seen: dict[int, Progress] = field(default_factory=dict)

    def show(self, shard: int, progress: Progress) -> None:
        """Emit how far all of them are."""
        if progress.total is None:
            self.ctx.emit(progress)
            return
        self._seen[shard] = progress
        total = sum(p.total or 0 for p in self._seen.values()) * self.shards // len(self._seen)
        done = sum(p.done for p in self._seen.values())
        message = f"{progress.message}, {self.shards} shards"
        self.ctx.emit(progress.model_copy(update={"done": done, "total": max(done, total), "message": message}))


class _Rows:
    """Hands on each row once, and notes rows that came twice with other values."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, tuple[str, bytes]]] = {}
        self.differing = 0

    def keep(self, ctx: RunContext, row: ItemRow) -> None:
        """Keep a row unless there is one."""
        known = self._known.get(row.model_key)
        if known is None:
            known = self._known[row.model_key] = _identities(ctx.store, row.model_key)
        mine = _identity(row)
        first = known.setdefault(row.item_key, mine)
        if first is mine:
            ctx.keep(row)
        elif first[0] == mine[0] and first[1] != mine[1]:
            self.differing += 1


def _identities(store: Store, model_key: str) -> dict[str, tuple[str, bytes]]:
    return {key: _identity(row) for key, row in store.rows(model_key).items()}


def _identity(row: ItemRow) -> tuple[str, bytes]:
    """Return the batch a row was answered in and a digest of what it says: rows of two batches may differ in the last digits."""
    return str(row.values.get("plan", "")), hashlib.sha256(repr(sorted(row.values.items())).encode()).digest()


def _is_new(name: str, seen: set[str]) -> bool:
    new = name not in seen
    seen.add(name)
    return new
