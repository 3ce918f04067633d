"""Actors and the work they are given: who does what next, what happens when one is lost, and what comes back.

The driver's half of ``ray_actor``. Every row that arrives is handed on at once, so a lost actor costs no finished item; its
piece of work goes to another one, which finds these rows in the store.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ValidationError

from api.executors.ray_actor import Actor, Site
from governance.context import Progress, RunContext, Stopwatch
from governance.errors import CuratorError, PluginError, PrerequisiteError
from governance.isolation import error_of
from governance.subject import Composition
from governance.wire import LINES, Done, Line, Stopped, job_for

#: How often one piece of work is given to an actor.
ATTEMPTS = 3
_TICK = 0.25
#: How long is waited for the first actors, and for one in place of another.
_START_SECONDS, _REPLACE_SECONDS = 120.0, 30.0


@dataclass(eq=False)
class Work:
    """One job for one actor.

    Attributes:
        plugin: Id of the evaluator.
        composition: What is measured.
        ctx: With the shard in its settings, or none for the whole.
        take: Called with each line that arrives.
        again: Called when the job starts anew, before any further line.
        attempts: How often it was given to an actor.
        seconds: How long it took, in the end.
        error: Why it failed, in the end.
    """

    plugin: str
    composition: Composition
    ctx: RunContext
    take: Callable[[Line], None]
    again: Callable[[], None] = lambda: None
    attempts: int = 0
    seconds: float = 0.0
    error: CuratorError | TimeoutError | None = None

    @property
    def base(self) -> str:
        """What has to be loaded: base and quantization."""
        base = self.composition.base
        return f"{base.digest if base else ''} {self.composition.quantization}"

    def job(self) -> str:
        """Return the job as an actor takes it: names, digests and settings, no texts."""
        return job_for(self.ctx, task="plugin", plugin=self.plugin, composition=self.composition).model_dump_json()


@dataclass(eq=False)
class _Member:
    """One actor as the driver knows it."""

    handle: Any
    base: str = ""
    adapter: str = ""
    work: Work | None = None
    watch: Stopwatch = field(default_factory=Stopwatch)


@dataclass
class Fleet:
    """The actors of one run.

    Args:
        ray: The module, connected.
        scratch: Folder for workers' files and logs.
        unsafe: Start workers without isolation.
        actors: How many; 0: one for each accelerator, or for each node where there is none.
        resource: A custom resource an actor's node must have; empty: any node.
    """

    ray: ModuleType
    scratch: Path
    unsafe: bool
    actors: int = 0
    resource: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    _members: list[_Member] = field(default_factory=list)
    _options: dict[str, object] = field(default_factory=dict)
    _site: Site | None = None

    @property
    def size(self) -> int:
        """How many actors are at hand."""
        return len(self._members)

    def start(self, ctx: RunContext) -> None:
        """Start the actors; those that a cluster has no room for are done without.

        Raises:
            PrerequisiteError: No actor came, or one cannot see the store, or the nodes differ.
        """
        total = self.ray.cluster_resources()
        accelerators = int(total.get("GPU", 0)) if ctx.evaluation.device != "cpu" else 0
        self.actors = self.actors or accelerators or sum(bool(n["Alive"]) for n in self.ray.nodes())
        self._options = {
            "num_cpus": min(1.0, max(0.01, total.get("CPU", 1.0) / self.actors)),
            "num_gpus": 1 if accelerators else 0,
            "resources": {self.resource: 0.001} if self.resource else None,
            "max_restarts": 0,
            "scheduling_strategy": "SPREAD",
        }
        self._hire(self.actors, ctx, seconds=_START_SECONDS)

    def run(self, works: Sequence[Work], checkpoint: Callable[[], None]) -> None:
        """Do all of it, on as many actors as there are; what went wrong is left in each work's ``error``.

        Args:
            works: In the order they should be done; those of one adapter side by side.
            checkpoint: Called at least every quarter second; may raise ``Cancelled``.

        Raises:
            PrerequisiteError: No actor is left, and the cluster gives no other.
        """
        waiting, streams = deque(works), dict[Any, _Member]()
        try:
            while waiting or streams:
                checkpoint()
                for member in self._members:
                    if waiting and member.work is None:
                        work = _next(member, waiting, [m for m in self._members if m.work is not None])
                        waiting.remove(work)
                        streams[self._give(member, work)] = member
                ready, _ = self.ray.wait(list(streams), num_returns=1, timeout=_TICK) if streams else ((), ())
                for stream in ready:
                    self._hear(stream, streams, waiting)
        finally:
            for member in streams.values():  # left in the middle: nobody will read what it goes on to say
                self._dismiss(member)

    def close(self) -> None:
        """End every actor and with it its worker."""
        for member in list(self._members):
            self._dismiss(member)

    def _give(self, member: _Member, work: Work) -> Any:
        if member.base and member.base != work.base:
            self.counts["reloads"] += 1
        if work.attempts:
            work.again()
        work.attempts += 1
        member.base, member.adapter, member.work, member.watch = work.base, work.composition.digest, work, Stopwatch()
        return member.handle.work.options(num_returns="streaming").remote(work.job())

    def _hear(self, stream: Any, streams: dict[Any, _Member], waiting: deque[Work]) -> None:
        """Take what one actor says next."""
        member = streams[stream]
        work = member.work
        assert work is not None  # noqa: S101 - a stream belongs to an actor at work
        try:
            batch: list[str] = self.ray.get(next(stream))
        except (self.ray.exceptions.RayError, StopIteration) as error:
            del streams[stream]
            self._lose(member, work, waiting, error)
            return
        for text in batch:
            match _parsed(text):
                case Done():
                    del streams[stream]
                    member.work, work.seconds = None, member.watch.seconds
                case Stopped() as stopped:
                    del streams[stream]
                    member.work = None
                    self._fail(work, stopped, waiting)
                case line:
                    work.take(line)

    def _fail(self, work: Work, stopped: Stopped, waiting: deque[Work]) -> None:
        """Try again what a worker that died or crashed left; whatever else it says stands."""
        if stopped.outcome == "failed" and work.attempts < ATTEMPTS:
            self.counts["retries"] += 1
            _say(work.ctx, f"{stopped.reason[:200]}; trying again")
            waiting.appendleft(work)
        else:
            _give_up(work, error_of(stopped), waiting)

    def _lose(self, member: _Member, work: Work, waiting: deque[Work], error: BaseException) -> None:
        """Put another actor in the place of one that is gone, and its work back into the row."""
        self.counts["lost"] += 1
        _say(work.ctx, "an actor was lost; another one takes its place")
        self._dismiss(member)
        if work.attempts < ATTEMPTS:
            waiting.appendleft(work)
        else:
            _give_up(work, PluginError(f"{work.plugin} was lost with its actor {ATTEMPTS} times: {_words(error)}"), waiting)
        if self._members:
            try:
                self._hire(1, work.ctx, seconds=_REPLACE_SECONDS)
            except PrerequisiteError:
                self.counts["not-replaced"] += 1  # the others go on
        else:
            self._hire(1, work.ctx, seconds=_START_SECONDS)

    def _dismiss(self, member: _Member) -> None:
        if member in self._members:
            self._members.remove(member)
        if member.work is None:
            try:  # politely first: its worker is ended before the actor is
                self.ray.get(member.handle.close.remote(), timeout=5)
            except self.ray.exceptions.RayError:
                self.counts["rude"] += 1
        self.ray.kill(member.handle)

    def _hire(self, number: int, ctx: RunContext, *, seconds: float) -> None:
        """Start actors and admit those that come in time and whose node is like the others'.

        Raises:
            PrerequisiteError: None came, or one cannot be used.
        """
        token = secrets.token_hex(16)
        probe = ctx.store.root / "incoming" / f"probe-{token}"
        probe.parent.mkdir(parents=True, exist_ok=True)
        probe.write_text(token)
        made = self.ray.remote(Actor).options(**self._options)
        evaluation, accelerated = ctx.evaluation.model_dump_json(), bool(self._options["num_gpus"])
        handles = [made.remote(str(self.scratch), self.unsafe) for _ in range(number)]
        admitted = list[Any]()
        try:
            asked = {h.site.remote(str(probe), evaluation, accelerated): h for h in handles}
            for reference, site in self._sites(list(asked), ctx.checkpoint, seconds):
                self._assert_sees(site, ctx, hashlib.sha256(token.encode()).hexdigest())
                admitted.append(asked[reference])
            if not admitted:
                raise PrerequisiteError(f"the cluster gave no actor within {seconds:.0f} s", hint=self._needs())
        except BaseException:
            admitted.clear()
            raise
        finally:
            probe.unlink(missing_ok=True)
            self._members += [_Member(h) for h in admitted]
            for handle in handles:
                if handle not in admitted:
                    self.ray.kill(handle)

    def _needs(self) -> str:
        resource = f" and the resource {self.resource!r}" if self.resource else ""
        return f"each needs {self._options['num_cpus']:g} CPU, {self._options['num_gpus']} GPU{resource}; look at `ray status`"

    def _sites(self, asked: Sequence[Any], checkpoint: Callable[[], None], seconds: float) -> Iterator[tuple[Any, Site]]:
        """Yield where the actors are that come in time."""
        waiting, watch = list(asked), Stopwatch()
        while waiting and watch.seconds < seconds:
            checkpoint()
            ready, waiting = self.ray.wait(waiting, num_returns=1, timeout=_TICK)
            for reference in ready:
                try:
                    yield reference, Site.model_validate_json(self.ray.get(reference))
                except self.ray.exceptions.RayError as error:
                    raise PrerequisiteError(
                        f"an actor could not be started: {_words(error)}",
                        hint="install this project in the same version, with its extras eval and ray, on every node",
                    ) from error

    def _assert_sees(self, site: Site, ctx: RunContext, digest: str) -> None:
        """Refuse a node whose answers could not be used."""
        missed = () if site.sees == digest else (str(ctx.store.root),)
        if missed or site.misses:
            raise PrerequisiteError(
                f"the node {site.node} cannot see {', '.join((*missed, *site.misses))}",
                hint="put CURATOR_HOME and the data on a file system that every node mounts at the same place",
            )
        self._site = self._site or site
        if site.numerics != self._site.numerics:
            differences = _differences(self._site, site)
            raise PrerequisiteError(
                f"{self._site.node} and {site.node} are not alike ({differences}): their answers cannot be compared",
                hint="give nodes of one kind a resource (`ray start --resources`), and name it in CURATOR_RAY_RESOURCE",
            )


def _differences(one: Site, other: Site) -> str:
    names = sorted(one.versions.keys() | other.versions.keys())
    sides = [(one.hardware, other.hardware), *((f"{n} {one.versions.get(n)}", f"{n} {other.versions.get(n)}") for n in names)]
    return "; ".join(f"{a} / {b}" for a, b in sides if a != b)


def _next(member: _Member, waiting: deque[Work], busy: Sequence[_Member]) -> Work:
    """Return what costs an idle actor least: its own adapter, then one nobody works on, of its base if there is one."""
    taken = Counter(m.adapter for m in busy)
    order = {id(work): place for place, work in enumerate(waiting)}

    def cost(work: Work) -> tuple[bool, bool, int, int]:
        adapter = work.composition.digest
        return (work.base != member.base and bool(member.base), adapter != member.adapter, taken[adapter], order[id(work)])

    return min(waiting, key=cost)


def _parsed(text: str) -> Line:
    try:
        return LINES.validate_json(text)
    except ValidationError as error:
        raise PluginError(f"an actor sent a line that is not valid: {error.error_count()} errors") from error


def _give_up(work: Work, error: CuratorError | TimeoutError, waiting: deque[Work]) -> None:
    """Note why a piece of work failed; what is left of the same job would fail as well."""
    work.error = error
    for other in [w for w in waiting if w.plugin == work.plugin and w.composition.digest == work.composition.digest]:
        other.error = error
        waiting.remove(other)


def _say(ctx: RunContext, message: str) -> None:
    ctx.emit(Progress(run_id=ctx.run_id, step="evaluate", item="cluster", message=message))


def _words(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1][:300]
