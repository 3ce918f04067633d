"""A curator small enough for tests of the service: the real pipeline, ledger, policy engine and report formats, and one
scanner that waits until its test lets it go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import reports
from governance.context import EvaluationSettings, Progress, RunContext, new_run_id, utc_now
from governance.contracts import Declared, ReportFormat
from governance.errors import CuratorError, SubjectError
from governance.evidence import Coverage, Fact, Finding, Outcome, Rule, Severity
from governance.ledger import Ledger
from governance.licensing import Intent
from governance.pipeline import audit
from governance.plugins import discover
from governance.store import Store
from governance.subject import Composition, CompositionRef, FileEntry, Subject
from governance.verdict import Scorecard
from policies.document import Vocabulary
from policies.loader import load

POLICY = """
apiVersion: curator/v1
kind: ModelPolicy
metadata: {name: one-rule, version: 1.0.0, owner: tests@example.org}
spec:
  onUnknown: review
  rules:
    - id: nothing-seen
      title: The scanner saw nothing
      severity: high
      effect: reject
      expression: findings["second"].size() == 0
"""
HOSTILE = "<script>alert(1)</script>\u202egnp.exe"


class Here:
    """A source that has every composition already; a name that ends in ``gone`` leads nowhere."""

    def acquire(self, ref: CompositionRef, ctx: RunContext) -> Composition:
        if ref.adapter.name.endswith("gone"):
            raise SubjectError(f"there is no {ref.adapter.name}", hint="check the name")
        if ref.adapter.name.endswith("crash"):
            raise ZeroDivisionError("secret detail")
        commit = "a" * 40 if ref.adapter.source == "hub" else None
        files = (FileEntry(path="adapter_config.json", size=2, sha256="0" * 64),)
        adapter = Subject(
            source=ref.adapter.source, name=ref.adapter.name, commit=commit, requested_revision=ref.adapter.revision, files=files
        )
        return Composition(adapter=adapter)


class First:
    """Ends at once; counts how often it was asked."""

    id = "first"
    version = "1"
    declares: Sequence[Declared] = (Rule(id="never", summary="is never said"),)

    def __init__(self) -> None:
        self.asked = 0

    def wants(self, composition: Composition) -> bool:
        return True

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        self.asked += 1
        yield Coverage(item="adapter_config.json", outcome=Outcome.COMPLETED)


class Second:
    """Waits until it may go on, and finds something in adapters that are called hostile."""

    id = "second"
    version = "1"
    declares: Sequence[Declared] = (Rule(id="seen", summary="something was seen", severity=Severity.HIGH),)

    def __init__(self) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()

    def wants(self, composition: Composition) -> bool:
        return True

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        ctx.emit(Progress(run_id=ctx.run_id, step="inspect", item=self.id, done=1, total=2, message="half way"))
        self.begun.set()
        while not self.go_on.wait(0.01):
            ctx.checkpoint()
        if "hostile" in composition.adapter.name:
            yield Finding(rule="seen", severity=Severity.HIGH, message=HOSTILE)
        yield Coverage(item="adapter_config.json", outcome=Outcome.COMPLETED)


class Workshop:
    """Does what ``api.curator.Curator`` does for the service, with two scanners of its own."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger.open(folder / "ledger.duckdb", now=utc_now)
        self.formats: Mapping[str, ReportFormat] = discover(reports, ReportFormat)
        self.first, self.second = First(), Second()
        self._store = Store(folder / "store")
        path = folder / "policy.yaml"
        path.write_text(POLICY)
        self._policy = load(path, Vocabulary.of(inspect=[self.first, self.second], evaluate=[]))

    def audit(
        self,
        ref: CompositionRef,
        *,
        policy: str | None = None,
        intent: Intent | None = None,
        evaluation: EvaluationSettings | None = None,
        stage: Literal["inspect", "all"] = "all",
        run_id: str | None = None,
        emit: Callable[[Progress], None] = lambda _: None,
        checkpoint: Callable[[], None] = lambda: None,
    ) -> Scorecard:
        ctx = RunContext(
            run_id=run_id or new_run_id(), on=utc_now(), store=self._store, intent=intent or Intent(),
            evaluation=evaluation or EvaluationSettings(), emit=emit, checkpoint=checkpoint,
        )  # fmt: skip
        scanners = {"first": self.first, "second": self.second}
        return audit(ref, source=Here(), scanners=scanners, evaluators={}, policy=self._policy, ledger=self.ledger, ctx=ctx)

    def render(self, card: Scorecard, format_id: str) -> bytes:
        if format_id not in self.formats:
            raise CuratorError(f"there is no report format {format_id!r}")
        return self.formats[format_id].render(card)
