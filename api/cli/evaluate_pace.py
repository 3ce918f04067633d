"""How far an evaluation is and how long it will take: for one adapter and for all, from a rate over a window.

The first adapter of a base pays for the base's answers, and an evaluator nobody has seen the end of has no known length:
what is estimated without knowing that is shown as "at least".
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from rich.markup import escape
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from api.cli.session import err
from governance.context import Progress, Stopwatch

#: Seconds of the window a rate is taken over, and the least that says anything.
_WINDOW, _LEAST = 60.0, 1.0
#: Seconds between two lines of an evaluator at work.
_BETWEEN = 10.0


@dataclass(frozen=True)
class Left:
    """Seconds that are left; ``open`` if something more is to come whose length nobody knows."""

    seconds: float
    open: bool = False

    def __str__(self) -> str:
        return ("at least " if self.open else "") + span(self.seconds)


@dataclass
class Pace:
    """What is known of the time, from progress alone.

    Attributes:
        clock: Seconds since the start.
        name: The adapter at work; its place and their number follow.
        evaluator: The evaluator at work; what it has done, and of how much, follow.
    """

    clock: Callable[[], float]
    name: str = ""
    place: int = 0
    adapters: int = 0
    evaluator: str = ""
    done: int = 0
    total: int = 0
    message: str = ""
    _step: int = 0
    _steps: int = 0
    _began: float = 0.0
    _began_adapter: float = 0.0
    _took: dict[int, float] = field(default_factory=dict)
    _last_adapter: float | None = None
    _window: deque[tuple[float, int]] = field(default_factory=deque)

    def see(self, progress: Progress) -> None:
        """Take in one sign of life."""
        now = self.clock()
        if progress.step == "adapter":
            self._end_adapter(now)
            self.name, self.place, self.adapters = _short(progress.item), progress.done, progress.total or 0
            self._began_adapter, self._step, self._steps = now, 0, 0
        elif progress.step == "evaluate" and not progress.message:
            self._end_evaluator(now)
            self._step, self._steps = progress.done, progress.total or 0
            self.evaluator, self.done, self.total, self._began = progress.item, 0, 0, now
        elif progress.step == "evaluate" and progress.total and progress.item == self.evaluator:
            self.done, self.total = progress.done, progress.total
            if self._window and progress.done < self._window[-1][1]:
                self._window.clear()
            self._window.append((now, progress.done))
            while self._window[0][0] < now - _WINDOW and len(self._window) > 2:
                self._window.popleft()
        self.message = progress.message or progress.item

    def fraction(self) -> float:
        """Return how many adapters are done, the one at work in part: evaluators count alike, for want of better."""
        within = self.done / self.total if self.total else 0.0
        return self.place + (min(self._step + within, self._steps) / self._steps if self._steps else 0.0)

    def rate(self) -> float | None:
        """Return answers for each second over the window, or None if too little is known."""
        if not self._window or self._window[-1][0] - self._window[0][0] < _LEAST:
            return None
        (start, before), (end, after) = self._window[0], self._window[-1]
        return (after - before) / (end - start) or None

    def left_here(self) -> Left | None:
        """Return what is left of this adapter, or None if nothing is known."""
        rate = self.rate()
        if rate is None:
            return None
        later = [self._took.get(step) for step in range(self._step + 1, self._steps)]
        known = sum(seconds for seconds in later if seconds is not None)
        return Left((self.total - self.done) / rate + known, open=None in later)

    def left(self) -> Left | None:
        """Return what is left of all adapters, or None if nothing is known."""
        here = self.left_here()
        if here is None:
            return None
        each = self._last_adapter or (self.clock() - self._began_adapter) + here.seconds
        return Left(here.seconds + (self.adapters - self.place - 1) * each, open=here.open)

    def _end_evaluator(self, now: float) -> None:
        if self.evaluator:
            self._took[self._step] = now - self._began
        self._window.clear()
        self.evaluator = ""

    def _end_adapter(self, now: float) -> None:
        if self.name:
            self._end_evaluator(now)
            self._last_adapter = now - self._began_adapter

    def words(self) -> str:
        """Return one line: which adapter, which evaluator, how far, how fast, how long still."""
        if not self.name:
            return self.message
        parts = [f"{self.place + 1} of {self.adapters} {self.name}", self.evaluator]
        if self.total:
            parts.append(f"{self.done}/{self.total}")
        else:
            parts.append(self.message if self.message != self.evaluator else "")
        if rate := self.rate():
            parts.append(f"{rate:.1f}/s")
        if here := self.left_here():
            parts.append(f"{here} left here")
        if (every := self.left()) and self.adapters > 1:
            parts.append(f"{every} in all")
        return " · ".join(filter(None, parts))


def _short(name: str) -> str:
    """Return a folder's own name without the way to it; a Hub name as it is."""
    return PurePosixPath(name).name or name if name.startswith(("/", ".", "~")) else name


def span(seconds: float) -> str:
    """Return a duration with one or two units: ``40 s``, ``3 min``, ``1 h 20 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def paced(*, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """Show an evaluation's progress on standard error: bars for a person, lines otherwise, nothing when quiet."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        columns = (SpinnerColumn(), BarColumn(bar_width=24), TextColumn("{task.description}"), TimeElapsedColumn())
        with Bars(*columns, console=err, transient=True) as bars:
            yield _OneBar(bars)
    else:
        yield _Lines()


class _OneBar:
    """One bar over all adapters, with the words beside it."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._bar = bars.add_task("start", total=None)
        self._pace = Pace(clock=_clock())

    def __call__(self, progress: Progress) -> None:
        """Show one sign of life."""
        self._pace.see(progress)
        pace = self._pace
        whole = pace.adapters or None
        self._bars.update(self._bar, description=escape(pace.words()[:120]), completed=pace.fraction(), total=whole)


class _Lines:
    """A line for each adapter and evaluator that starts, and at most one every ten seconds from inside it."""

    def __init__(self) -> None:
        self._clock = _clock()
        self._pace = Pace(clock=self._clock)
        self._said, self._last = "", -_BETWEEN

    def __call__(self, progress: Progress) -> None:
        """Show one sign of life."""
        self._pace.see(progress)
        here, now = f"{self._pace.place} {self._pace.name} {self._pace.evaluator}", self._clock()
        begins = progress.step == "adapter" or (self._pace.name and not self._pace.evaluator)
        if begins or (here == self._said and now - self._last < _BETWEEN):
            return
        self._said, self._last = here, now
        err.print(f"[{now:7.1f} s] {self._pace.words()}", markup=False, soft_wrap=True)


def _clock() -> Callable[[], float]:
    watch = Stopwatch()
    return lambda: watch.seconds
