"""A plug-in by proxy: the same protocol, spoken to a child process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from governance.context import RunContext
from governance.contracts import Declared, Describe, Plugin, Said
from governance.errors import PluginError
from governance.evidence import Component, Coverage, Fact, Finding, ItemRow, Measurement, Reached
from governance.isolation import Child
from governance.subject import Composition, Description, Subject
from governance.wire import Described, Line, Want, job_for

#: Returns a living child; the executor decides whether it is a new one.
Hire = Callable[[RunContext], Child]
#: What is going to be measured, and the context of each: its rows and its progress go there.
Planned = Sequence[tuple[Composition, RunContext]]


class Isolated:
    """Stands in for one scanner or evaluator.

    Args:
        plugin: The real one; only its identity and ``wants`` are used in this process.
        hire: Where the child comes from.
        seconds: Wall time of one job, from the run's limits.
    """

    def __init__(self, plugin: Plugin, *, hire: Hire, seconds: Callable[[RunContext], float]) -> None:
        self._plugin, self._hire, self._seconds = plugin, hire, seconds

    @property
    def id(self) -> str:
        """The plug-in's id."""
        return self._plugin.id

    @property
    def version(self) -> str:
        """The plug-in's version."""
        return self._plugin.version

    @property
    def declares(self) -> Sequence[Declared]:
        """What the plug-in declares."""
        return self._plugin.declares

    def wants(self, composition: Composition) -> bool:
        """Return whether the plug-in wants it."""
        return self._plugin.wants(composition)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Said]:
        """Yield what the child says."""
        job = job_for(ctx, task="plugin", plugin=self.id, composition=composition)
        for line in self._hire(ctx).ask(job, seconds=self._seconds(ctx), checkpoint=ctx.checkpoint, fetch=ctx.fetch):
            said = relay(line, ctx)
            if said is not None:
                yield said

    measure = scan


def describe_in_child(hire: Hire) -> Describe:
    """Return a ``Describe`` that reads a repository's words in the inspection child."""

    def describe(subject: Subject, ctx: RunContext) -> Description:
        job = job_for(ctx, task="describe", subject=subject)
        found: Description | None = None
        for line in hire(ctx).ask(job, seconds=ctx.limits.inspect_seconds, checkpoint=ctx.checkpoint, fetch=ctx.fetch):
            if isinstance(line, Described):
                found = line.description
        if found is None:
            raise PluginError("the inspection child gave no description")
        return found

    return describe


def relay(line: Line, ctx: RunContext) -> Fact | Coverage | Reached | None:
    """Keep rows, show progress, and return what a plug-in may say; other lines are none of its business."""
    match line:
        case Finding() | Measurement() | Component() | Coverage() | Reached():
            return line
        case ItemRow():
            ctx.keep(line)
        case Described() | Want():
            pass
        case progress:
            ctx.emit(progress.model_copy(update={"run_id": ctx.run_id}))  # type: ignore[arg-type]
    return None
