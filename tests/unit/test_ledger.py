"""The ledger's promises: durable, chained, taken over once, one writer, and trouble said in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from governance.dossier import Dossier
from governance.evidence import (
    Check,
    Component,
    Coverage,
    Fact,
    Finding,
    Interval,
    Location,
    Measurement,
    Outcome,
    Severity,
)
from governance.ledger import Ledger, RunState
from governance.ledger.chain import sha256
from governance.subject import Composition, FileEntry, SourceKind, Subject
from governance.verdict import Decision, RuleResult, RuleStatus, Scorecard, Verdict

ON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
A, B, C = (f"01{letter * 24}" for letter in "ABC")
FACTS: tuple[Fact, ...] = (
    Finding(
        plugin="looker", rule="odd", severity=Severity.HIGH, message="it's \x00 “odd”; DROP TABLE events; --",
        locations=(Location(path="a/b.bin", offset=7),),
    ),
    Measurement(
        plugin="looker", metric="skill", scope="general", value=0.25, unit="1", n=120,
        interval=Interval(low=0.2, high=0.3, method="wilson"), details={"pairs": 120},
    ),
    Component(plugin="looker", type="base", name="acme/base", license_concluded="apache-2.0"),
)  # fmt: skip


def check(name: str = "looker", outcome: Outcome = Outcome.COMPLETED) -> Check:
    coverage = (Coverage(item="a/b.bin", outcome=outcome),)
    return Check(id=name, version="1", step="inspect", outcome=outcome, coverage=coverage, seconds=0.5)


def card(run_id: str, *, name: str = "acme/lora", decision: Decision = Decision.REVIEW, commit: str = "a" * 40) -> Scorecard:
    files = (FileEntry(path="adapter_config.json", size=2, sha256="0" * 64),)
    adapter = Subject(source=SourceKind.HUB, name=name, commit=commit, requested_revision="main", files=files)
    dossier = Dossier(composition=Composition(adapter=adapter)).plus(check(), FACTS)
    result = RuleResult(
        rule="nothing-odd",
        title="Nothing odd",
        severity=Severity.HIGH,
        effect="review",
        status=RuleStatus.FAIL,
        reason="1 odd thing",
    )
    verdict = Verdict(
        policy="p", policy_version="1", policy_digest="d" * 64, engine="e", engine_version="1", input_digest="i" * 64, on=ON,
        decision=decision, reason="one rule failed", results=(result,),
    )  # fmt: skip
    return Scorecard(run_id=run_id, created=ON, curator_version="0", dossier=dossier, verdict=verdict)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "ledger.duckdb"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(path, now=lambda: ON)
    yield opened
    opened.close()


def finished(found: object) -> set[str]:
    return set(found)  # type: ignore[call-overload, no-any-return]


def test_a_scorecard_comes_back_as_it_was_recorded(path: Path) -> None:
    first = Ledger.open(path, now=lambda: ON)
    first.begin(A, "k", {"seed": "1"})
    first.record(card(A))
    first.close()
    second = Ledger.open(path, now=lambda: ON)
    assert second.scorecard(A) == card(A)
    document, digest = second.document(A) or ("", "")
    assert document == card(A).model_dump_json()
    assert digest == sha256(document)
    assert second.scorecard(B) is None
    assert second.verify() == 2
    second.close()


def test_facts_are_repeated_by_column(ledger: Ledger, path: Path) -> None:
    ledger.begin(A, "k", {})
    ledger.record(card(A))
    ledger.close()
    with duckdb.connect(str(path)) as raw:
        assert raw.execute("select run_id, plugin, outcome, seconds from checks").fetchall() == [(A, "looker", "completed", 0.5)]
        assert raw.execute("select rule, severity, message from findings").fetchall() == [("odd", "high", FACTS[0].message)]
        assert raw.execute("select metric, value, n, low, high from measurements").fetchall() == [("skill", 0.25, 120, 0.2, 0.3)]
        assert raw.execute("select type, name, license from components").fetchall() == [("base", "acme/base", "apache-2.0")]
        assert raw.execute("select rule, status, effect from rule_results").fetchall() == [("nothing-odd", "fail", "review")]
        assert raw.execute("select decision, name, commit_id from scorecards").fetchall() == [("review", "acme/lora", "a" * 40)]


def test_recording_is_all_or_nothing(ledger: Ledger) -> None:
    ledger.begin(A, "k", {})
    broken = card(A)
    surrogate = broken.dossier.composition.adapter.model_copy(update={"name": "\ud800"})
    composition = broken.dossier.composition.model_copy(update={"adapter": surrogate})
    with pytest.raises(ValueError, match="surrogates"):
        ledger.record(broken.model_copy(update={"dossier": broken.dossier.model_copy(update={"composition": composition})}))
    assert [e.kind for e in ledger.events()] == ["run.started"]
    ledger.record(card(A))
    assert ledger.scorecard(A) == card(A)


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_what_was_looked_at_is_taken_over(ledger: Ledger, outcome: Outcome) -> None:
    assert ledger.begin(A, "k", {}) == {}
    ledger.conclude(A, check(outcome=outcome), FACTS)
    found = ledger.begin(B, "k", {})
    if outcome in (Outcome.FAILED, Outcome.TIMED_OUT, Outcome.SKIPPED):
        assert found == {}
    else:
        assert found == {"looker": (check(outcome=outcome), FACTS)}


def test_a_run_is_taken_over_once_and_only_by_its_own_kind(ledger: Ledger) -> None:
    ledger.begin(A, "k", {})
    ledger.conclude(A, check(), FACTS)
    assert ledger.begin("other", "another key", {}) == {}
    assert finished(ledger.begin(B, "k", {})) == {"looker"}
    kinds = [e.kind for e in ledger.events(entity=A)]
    assert kinds == ["run.started", "check.concluded", "run.interrupted", "run.adopted"]
    ledger.conclude(B, check(), FACTS)
    ledger.record(card(B))
    assert ledger.begin(C, "k", {}) == {}, "B has its answer, and A was taken over"


def test_what_was_taken_over_survives_a_second_kill(ledger: Ledger) -> None:
    ledger.begin(A, "k", {})
    ledger.conclude(A, check("first"), ())
    ledger.conclude(A, check("second"), FACTS)
    ledger.begin(B, "k", {})
    ledger.conclude(B, check("first").model_copy(update={"reused": True}), ())
    assert finished(ledger.begin(C, "k", {})) == {"first", "second"}


def test_a_cancelled_run_is_taken_over_and_a_failed_one_is_not(ledger: Ledger) -> None:
    ledger.begin(A, "k", {})
    ledger.conclude(A, check(), ())
    ledger.fail(A, "cancelled")
    assert finished(ledger.begin(B, "k", {})) == {"looker"}
    assert ledger.run(A).state is RunState.CANCELLED  # type: ignore[union-attr]
    ledger.conclude(B, check(), ())
    ledger.fail(B, "the disk is full")
    assert ledger.begin(C, "k", {}) == {}


def test_states_follow_events(ledger: Ledger) -> None:
    def state() -> RunState | None:
        run = ledger.run(A)
        return run.state if run else None

    assert state() is None
    for kind, expected in (("run.queued", RunState.QUEUED), ("run.claimed", RunState.RUNNING)):
        ledger.note(kind, A, {"adapter": "acme/lora"})
        assert state() is expected
    ledger.begin(A, "k", {})
    ledger.conclude(A, check(), ())
    assert state() is RunState.RUNNING
    ledger.record(card(A))
    assert state() is RunState.RECORDED
    run = ledger.run(A)
    assert run is not None
    assert (run.asked, run.said["decision"]) == ({"adapter": "acme/lora"}, "review")


def test_runs_of_an_earlier_process_are_marked_lost_and_can_still_be_taken_over(ledger: Ledger) -> None:
    ledger.note("run.queued", A, {})
    ledger.begin(B, "k", {})
    ledger.conclude(B, check(), ())
    ledger.begin(C, "other", {})
    ledger.record(card(C))
    assert set(ledger.interrupt_unended()) == {A, B}
    assert [r.state for r in ledger.runs()] == [RunState.RECORDED, RunState.LOST, RunState.LOST]
    assert ledger.interrupt_unended() == ()
    assert finished(ledger.begin("again", "k", {})) == {"looker"}


def test_lists_filter_and_page(ledger: Ledger) -> None:
    for number in range(5):
        run_id = f"run-{number}"
        ledger.begin(run_id, "k", {})
        decision = Decision.REJECT if number % 2 else Decision.APPROVE
        ledger.record(card(run_id, name="acme/lora" if number < 4 else "acme/other", decision=decision, commit=str(number) * 40))
    first = ledger.list_scorecards(limit=2)
    assert [r.run_id for r in first] == ["run-4", "run-3"]
    assert [r.run_id for r in ledger.list_scorecards(limit=9, before=first[-1].run_seq)] == ["run-2", "run-1", "run-0"]
    assert [r.run_id for r in ledger.list_scorecards(decision="reject")] == ["run-3", "run-1"]
    assert [r.run_id for r in ledger.list_scorecards(name="acme/other")] == ["run-4"]
    runs = ledger.runs(limit=2)
    assert [r.run_id for r in runs] == ["run-4", "run-3"]
    assert [r.run_id for r in ledger.runs(before=runs[-1].run_seq)] == ["run-2", "run-1", "run-0"]
    newest = {None: "run-3", "1" * 40: "run-1", "main": "run-3"}
    for revision, run_id in newest.items():
        assert ledger.latest("acme/lora", commit=revision).run_id == run_id  # type: ignore[union-attr]
    assert ledger.latest("acme/lora", commit="f" * 40) is None
