"""What every command shares: open a curator, show an error, watch progress, end with the right code."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

import governance.context as context
from api.outcomes import EXIT_CODES, exit_code, problem
from api.settings import ExecutorKind, Settings
from governance.errors import Cancelled, CuratorError
from governance.verdict import Decision

if TYPE_CHECKING:
    from api.curator import Curator

#: How a list of rows is printed.
RowFormat = Annotated[Literal["table", "json"], typer.Option("--format", "-f")]
#: Where evaluators run; None leaves it to the settings.
ExecutorOption = Annotated[ExecutorKind | None, typer.Option(help="where models run: this machine, or a Ray cluster")]
RayAddress = Annotated[
    str | None, typer.Option(help="Ray cluster to join instead of starting one here: host:port, or auto", metavar="ADDRESS")
]
RayActors = Annotated[int | None, typer.Option(help="workers on the cluster; 0: one for each GPU, or node", min=0)]
#: For people: progress, errors and the last line. Documents go to standard output.
err = Console(stderr=True, highlight=False)


def command_app(command: Callable[..., None], *, help: str | None = None) -> typer.Typer:  # noqa: A002 - typer's own word
    """Return one command as an application of its own, to be found by name in ``api.cli.main``."""
    made = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode=None, add_completion=False)
    made.command(help=help)(command)
    return made


def settings(**said: object) -> Settings:
    """Return the installation's settings.

    Args:
        said: What the command line says instead, by name; None: nothing.
    """
    return Settings(**{k: v for k, v in said.items() if v is not None})  # type: ignore[arg-type]


@contextmanager
def curator(**said: object) -> Iterator[Curator]:
    """Open the curator for one command; ``said`` as for ``settings``."""
    from api.curator import Curator
    from api.logs import configure

    found = settings(**said)
    configure(found.log_level)
    with Curator(found) as opened:
        yield opened


@contextmanager
def errors_shown(*, as_json: bool = False) -> Iterator[None]:
    """Turn an expected error into a message with a hint and exit code 1.

    Args:
        as_json: Also print the error as problem JSON on standard output.
    """
    try:
        yield
    except CuratorError as error:
        if as_json:
            typer.echo(json.dumps(problem(error), ensure_ascii=False))
        err.print(f"[bold red]error[/]: {escape(error.message)}", soft_wrap=True)
        if error.hint:
            err.print(f"[dim]what to do[/]: {escape(error.hint)}", soft_wrap=True)
        code = exit_code(error)
        err.print(f"exit {code} ({EXIT_CODES[code]})")
        raise typer.Exit(code) from error


def end_with(decision: Decision, reason: str) -> None:
    """Print the last line and leave with the decision's exit code."""
    code = exit_code(decision)
    color = {Decision.APPROVE: "green", Decision.REVIEW: "yellow", Decision.REJECT: "red"}[decision]
    err.print(f"[bold {color}]{decision.value}[/] — {escape(reason)}", soft_wrap=True)
    err.print(f"exit {code} ({EXIT_CODES[code]})")
    raise typer.Exit(code)


class Interrupt:
    """Turns Ctrl-C and a polite kill into ``Cancelled`` at the next checkpoint.

    Args:
        hint: What the user can do then.
    """

    def __init__(self, hint: str = "run the same command again: finished checks are reused") -> None:
        self._asked, self._hint = False, hint
        for kind in (signal.SIGINT, signal.SIGTERM):
            signal.signal(kind, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def __call__(self) -> None:
        """Raise if the user asked to stop.

        Raises:
            Cancelled: The same command later takes over what is finished.
        """
        if self._asked:
            raise Cancelled("stopped by the user", hint=self._hint)


@contextmanager
def watched(*, quiet: bool) -> Iterator[Callable[[context.Progress], None]]:
    """Show progress on standard error: a bar for a person, a line for each step otherwise."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=err, transient=True) as bar:
            yield _Bars(bar)
    else:
        yield _Lines()


class _Bars:
    """One bar for the step, one for the plug-in at work."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._step: TaskID = bar.add_task("start", total=None, note="")
        self._item: TaskID = bar.add_task("", total=None, note="", visible=False)

    def __call__(self, progress: context.Progress) -> None:
        """Show one sign of life."""
        if progress.item and progress.message:
            note = escape(progress.message[:48])
            self._bar.update(
                self._item, description=f"  {progress.item}", completed=progress.done, total=progress.total, note=note, visible=True
            )
        else:
            note = escape((progress.item or progress.message)[:48])
            self._bar.update(self._step, description=progress.step, completed=progress.done, total=progress.total, note=note)
            self._bar.update(self._item, visible=False)


class _Lines:
    """A line for each plug-in that starts, and at most one every five seconds from inside it."""

    def __init__(self) -> None:
        self._said = ""
        self._watch = context.Stopwatch()
        self._last = -10.0

    def __call__(self, progress: context.Progress) -> None:
        """Show one sign of life."""
        here = f"{progress.step} {progress.item}".strip()
        count = f" {progress.done}/{progress.total}" if progress.total else ""
        if here != self._said or (progress.message and self._watch.seconds - self._last >= 5):
            self._said, self._last = here, self._watch.seconds
            err.print(f"[{self._watch.seconds:6.1f} s] {here}{count} {progress.message}".rstrip(), markup=False, soft_wrap=True)
