"""The pipeline's promises: a crash is a check, undeclared words fail, gaps are partial, finished checks are taken over."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from governance.context import RunContext, utc_now
from governance.contracts import Declared
from governance.errors import Cancelled, LimitError, PluginError, PrerequisiteError
from governance.evidence import Coverage, Fact, Finding, Outcome, Rule, Severity
from governance.ledger import Ledger
from governance.pipeline import audit
from governance.plugins import discover
from governance.subject import ArtifactRef, Composition, CompositionRef, SourceKind, Subject
from governance.verdict import Decision, Scorecard
from policies.document import Vocabulary
from policies.loader import LoadedPolicy, load
from tests.conftest import RUN_ID

REF = CompositionRef(adapter=ArtifactRef(source=SourceKind.LOCAL, name="x"))
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
      expression: findings["scripted"].size() == 0
"""


class Here:
    """A source that has the composition already."""

    def acquire(self, ref: CompositionRef, ctx: RunContext) -> Composition:
        return Composition(adapter=Subject(source=ref.adapter.source, name=ref.adapter.name))


@dataclasses.dataclass
class Scripted:
    """A scanner that does what its test says."""

    script: Callable[[], Iterator[Fact | Coverage]]
    id: str = "scripted"
    version: str = "1"
    declares: Sequence[Declared] = (Rule(id="seen", summary="something was seen"),)
    asked: int = 0

    def wants(self, composition: Composition) -> bool:
        return True

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        self.asked += 1
        yield from self.script()


def seen(rule: str = "seen") -> Finding:
    return Finding(rule=rule, severity=Severity.HIGH, message="it is there")


def raising(error: BaseException) -> Callable[[], Iterator[Fact | Coverage]]:
    def script() -> Iterator[Fact | Coverage]:
        yield seen()
        raise error

    return script


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path / "ledger.duckdb", now=utc_now)
    yield opened
    opened.close()


@pytest.fixture
def policy(tmp_path: Path) -> LoadedPolicy:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return load(path, Vocabulary.of(inspect=[Scripted(lambda: iter(()))], evaluate=[]))


@pytest.fixture
def run(ledger: Ledger, policy: LoadedPolicy, ctx: RunContext) -> Callable[..., Scorecard]:
    def start(*plugins: Scripted, run_id: str = RUN_ID, **changes: object) -> Scorecard:
        handed = dataclasses.replace(ctx, run_id=run_id, **changes)
        scanners = {p.id: p for p in plugins}
        return audit(REF, source=Here(), scanners=scanners, evaluators={}, policy=policy, ledger=ledger, ctx=handed)

    return start


def test_a_completed_check_without_findings_passes(run) -> None:
    card = run(Scripted(lambda: iter([Coverage(item="a", outcome=Outcome.COMPLETED)])))
    assert card.dossier.checks[0].outcome is Outcome.COMPLETED
    assert card.verdict.decision is Decision.APPROVE


@pytest.mark.parametrize(
    ("error", "outcome", "words"),
    [
        (ValueError("boom"), Outcome.FAILED, "boom"),
        (TimeoutError("stopped after 3 s"), Outcome.TIMED_OUT, "3 s"),
        (PrerequisiteError("torch is not installed", hint="pip install torch"), Outcome.SKIPPED, "pip install torch"),
        (LimitError("too much memory", limit=1, actual=2), Outcome.FAILED, "memory"),
        (PluginError("worker was killed by SIGKILL"), Outcome.FAILED, "SIGKILL"),
    ],
)
def test_an_error_is_a_check_with_a_reason_and_what_was_said_stays(run, error, outcome, words) -> None:
    card = run(Scripted(raising(error)))
    check = card.dossier.checks[0]
    assert check.outcome is outcome
    assert words in check.reason
    assert [f.rule for f in card.dossier.findings] == ["seen"]
    assert card.verdict.decision is Decision.REJECT, "hits before gaps"


def test_a_crash_without_a_finding_is_unknown_and_never_approves(run) -> None:
    def script() -> Iterator[Fact | Coverage]:
        raise ValueError("boom")
        yield seen()

    assert run(Scripted(script)).verdict.decision is Decision.REVIEW


def test_one_item_left_out_makes_the_check_partial(run) -> None:
    card = run(Scripted(lambda: iter([Coverage(item="big.bin", outcome=Outcome.SKIPPED, reason="too large")])))
    assert card.dossier.checks[0].outcome is Outcome.PARTIAL
    assert "big.bin: too large" in card.dossier.checks[0].reason
    assert card.verdict.decision is Decision.REVIEW


def test_an_undeclared_rule_fails_the_check(run) -> None:
    check = run(Scripted(lambda: iter([seen("never-declared")]))).dossier.checks[0]
    assert check.outcome is Outcome.FAILED
    assert "never-declared" in check.reason


def test_facts_carry_the_plugin_that_said_them(run) -> None:
    assert run(Scripted(lambda: iter([seen()]))).dossier.findings[0].plugin == "scripted"


def test_a_killed_run_is_taken_over_and_its_finished_checks_are_not_asked_again(run, ledger) -> None:
    first = Scripted(lambda: iter([seen()]), id="scripted")

    class Killed(BaseException):
        """What kill -9 does, as far as a test can."""

    with pytest.raises(Killed):
        run(first, Scripted(raising(Killed()), id="second"), run_id="01AAAAAAAAAAAAAAAAAAAAAAAA")
    again, second = Scripted(lambda: iter([seen()]), id="scripted"), Scripted(lambda: iter(()), id="second")
    card = run(again, second, run_id="01BBBBBBBBBBBBBBBBBBBBBBBB")
    assert (again.asked, second.asked) == (0, 1)
    assert [c.reused for c in card.dossier.checks] == [True, False]
    assert card.dossier.findings[0].rule == "seen"
    assert ledger.scorecard("01BBBBBBBBBBBBBBBBBBBBBBBB") == card


def test_a_recorded_run_is_not_taken_over(run) -> None:
    plugin = Scripted(lambda: iter(()))
    run(plugin, run_id="01AAAAAAAAAAAAAAAAAAAAAAAA")
    assert not run(plugin, run_id="01BBBBBBBBBBBBBBBBBBBBBBBB").dossier.checks[0].reused
    assert plugin.asked == 2


def test_other_settings_are_another_audit(run) -> None:
    class Killed(BaseException):
        """An end without a record."""

    plugin = Scripted(lambda: iter(()))
    with pytest.raises(Killed):
        run(plugin, Scripted(raising(Killed()), id="second"), run_id="01AAAAAAAAAAAAAAAAAAAAAAAA")
    run(plugin, Scripted(lambda: iter(()), id="second"), run_id="01BBBBBBBBBBBBBBBBBBBBBBBB", seed=7)
    assert plugin.asked == 2


def test_cancelling_ends_the_run_without_a_verdict(run, ledger) -> None:
    def stop() -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        run(Scripted(lambda: iter(())), checkpoint=stop)
    assert ledger.scorecard(RUN_ID) is None


def test_discovery_refuses_a_module_without_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "empty_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "forgot.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import empty_package  # type: ignore[import-not-found]

    from governance.contracts import Scanner

    with pytest.raises(PluginError, match="forgot has no PLUGIN"):
        discover(empty_package, Scanner)
