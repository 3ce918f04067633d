"""The seams. Small protocols, no behaviour; ``api`` hands the things that fulfil them to the pipeline.

A scanner or evaluator is an instance called ``PLUGIN`` in a module of its own. It holds no state between calls, and its
class docstring has four headings: *Detects* (or *Measures*), *Why it matters*, *Misses*, *Source*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from governance.context import RunContext
from governance.dossier import Dossier
from governance.evidence import Check, Coverage, Fact, Metric, Reached, Rule
from governance.licensing import Intent
from governance.subject import Composition, CompositionRef, Description, Subject
from governance.verdict import Scorecard, Verdict

Declared = Rule | Metric
#: What comes out of a plug-in; ``Reached`` is added by an executor.
Said = Fact | Coverage | Reached


class Plugin(Protocol):
    """What every scanner and evaluator has."""

    @property
    def id(self) -> str:
        """Kebab-case, never reused; the module's name with dashes."""

    @property
    def version(self) -> str:
        """Changes whenever the same bytes could give other facts."""

    @property
    def declares(self) -> Sequence[Declared]:
        """Every rule and metric it may speak of."""

    def wants(self, composition: Composition) -> bool:
        """Return whether there is anything for it here; looks at names and sizes only."""


@runtime_checkable
class Scanner(Plugin, Protocol):
    """Interprets bytes."""

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Said]:
        """Yield facts, and what was or was not looked at."""


@runtime_checkable
class Voice(Scanner, Protocol):
    """A scanner that asks another engine; what that one skipped is shown beside our own reading, which it does not replace."""

    @property
    def engine(self) -> str:
        """The other engine's name."""


@runtime_checkable
class Profiled(Scanner, Protocol):
    """A scanner outside the profile ``static``, which reads bytes and headers and no more."""

    @property
    def profile(self) -> Literal["values", "lineage", "repository"]:
        """What it needs beside bytes and headers.

        ``values``: every number of the weights; ``lineage``: licenses and ancestors; ``repository``: the files as a whole.
        """


@runtime_checkable
class Evaluator(Plugin, Protocol):
    """Runs models."""

    def measure(self, composition: Composition, ctx: RunContext) -> Iterator[Said]:
        """Yield facts, and what was or was not looked at."""


@runtime_checkable
class Divisible(Evaluator, Protocol):
    """An evaluator whose work can be shared out.

    With ``EvaluationSettings.shard`` it answers these items only, keeps their rows and concludes nothing. Once every row is
    kept, the whole job gives the same numbers wherever it runs.
    """

    @property
    def divisible(self) -> Literal[True]:
        """Always."""


@runtime_checkable
class ReportFormat(Protocol):
    """Turns a recorded scorecard into bytes; same scorecard, same bytes."""

    @property
    def id(self) -> str:
        """The name after ``--format``."""

    @property
    def version(self) -> str:
        """Changes when the same scorecard could give other bytes."""

    @property
    def media_type(self) -> str:
        """The HTTP content type."""

    @property
    def suffix(self) -> str:
        """File name suffix, with its dot."""

    def render(self, card: Scorecard) -> bytes:
        """Return the document."""


class Describe(Protocol):
    """Reads a repository's own words, in a child; handed to a ``Source``."""

    def __call__(self, subject: Subject, ctx: RunContext) -> Description:
        """Return what the repository says of itself."""


class Source(Protocol):
    """Turns references into pinned subjects."""

    def acquire(self, ref: CompositionRef, ctx: RunContext) -> Composition:
        """Pin, fetch, verify.

        Raises:
            SubjectError: There is no such thing, or it may not be read.
            LimitError: It is larger than allowed.
        """


class Policy(Protocol):
    """Judges a dossier."""

    @property
    def id(self) -> str:
        """Name of the policy."""

    @property
    def digest(self) -> str:
        """SHA-256 of the resolved document."""

    @property
    def margins(self) -> Mapping[str, float]:
        """Non-inferiority margins the evaluators test at, by family."""

    def stop_before_evaluation(self, dossier: Dossier, *, on: datetime, intent: Intent) -> str | None:
        """Return why no model needs to be loaded, or None."""

    def decide(self, dossier: Dossier, *, on: datetime, intent: Intent) -> Verdict:
        """Return the verdict. Pure and total: it never raises on facts."""


class Ledger(Protocol):
    """Remembers; append-only."""

    def begin(self, run_id: str, key: str, settings: Mapping[str, str]) -> Mapping[str, tuple[Check, Sequence[Fact]]]:
        """Note that a run started.

        Args:
            run_id: The new run.
            key: What makes two runs the same audit.
            settings: What is recorded with the run; never a secret.

        Returns:
            Finished checks, by plug-in, of an interrupted run with the same key.
        """

    def conclude(self, run_id: str, check: Check, facts: Sequence[Fact]) -> None:
        """Note one finished check, durable on return."""

    def record(self, card: Scorecard) -> None:
        """Store the scorecard and end the run."""

    def fail(self, run_id: str, reason: str) -> None:
        """End a run that has no verdict."""
