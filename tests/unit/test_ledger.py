"""The ledger's promises: durable, chained, taken over once, one writer, and trouble said in words."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from governance.dossier import Dossier
from governance.errors import LedgerError
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
from governance.ledger.chain import GENESIS, Position, event_hash, first_broken, sha256
from governance.subject import Composition, FileEntry, SourceKind, Subject
from governance.verdict import Decision, RuleResult, RuleStatus, Scorecard, Verdict

ROOT = Path(__file__).resolve().parents[2]
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


def tamper(path: Path, statement: str) -> None:
    with duckdb.connect(str(path)) as raw:
        raw.execute(statement)


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


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("update events set payload = replace(payload, 'seed', 'sead') where seq = 1", "event 1 "),
        ("update events set \"at\" = '2020-01-01T00:00:00+00:00' where seq = 2", "event 2 "),
        ("update events set actor = 'somebody' where seq = 3", "event 3 "),
        ("delete from events where seq = 2", "event 2 "),
        ("delete from events where seq = 3", f"run {A} "),
        ("update scorecards set document = replace(document, 'review', 'approve')", f"run {A} "),
        (
            "update scorecards set document = replace(document, 'review', 'approve'),"
            " sha256 = sha256(replace(document, 'review', 'approve'))",
            f"run {A} ",
        ),
        ("delete from scorecards", f"run {A} "),
    ],
)
def test_any_change_is_found_and_named(path: Path, statement: str, words: str) -> None:
    ledger = Ledger.open(path, now=lambda: ON)
    ledger.begin(A, "k", {"seed": "1"})
    ledger.conclude(A, check(), FACTS)
    ledger.record(card(A))
    assert ledger.verify() == 3
    ledger.close()
    tamper(path, statement)
    ledger = Ledger.open(path, now=lambda: ON)
    with pytest.raises(LedgerError, match=words):
        ledger.verify()
    ledger.close()


def test_a_changed_document_is_not_served(path: Path) -> None:
    ledger = Ledger.open(path, now=lambda: ON)
    ledger.begin(A, "k", {})
    ledger.record(card(A))
    ledger.close()
    tamper(path, "update scorecards set document = replace(document, 'review', 'approve')")
    ledger = Ledger.open(path, now=lambda: ON)
    with pytest.raises(LedgerError, match="changed"):
        ledger.scorecard(A)
    ledger.close()


def test_the_chain_is_checked_in_pieces() -> None:
    events, previous = [], GENESIS
    for seq in range(1, 6):
        event: dict[str, object] = {
            "seq": seq, "at": "t", "kind": "k", "entity": "e", "actor": "a", "payload": "{}", "payload_sha256": sha256("{}"),
            "prev_hash": previous,
        }  # fmt: skip
        previous = event_hash(previous, event)
        events.append(event | {"hash": previous})
    middle, broken = first_broken(events[:3], Position())
    assert broken is None
    assert first_broken(events[3:], middle) == (Position(5, previous), None)
    assert first_broken(events[4:], middle)[1] == 4


def test_the_database_reaches_no_other_file_and_cannot_be_unlocked(ledger: Ledger, tmp_path: Path) -> None:
    ledger.note("run.queued", A, {})
    for statement in (f"copy events to '{tmp_path}/x.csv'", f"attach '{tmp_path}/y.db'", "set enable_external_access = true"):
        with pytest.raises(Exception, match=r"disabled by configuration|locked|Cannot"):
            ledger._connection.exec_driver_sql(statement)
        ledger._connection.rollback()
    assert not list(tmp_path.glob("*.csv"))


def test_many_threads_write_one_chain(ledger: Ledger) -> None:
    def write(name: str) -> None:
        for number in range(10):
            ledger.note("run.queued", f"{name}-{number}", {})
            ledger.events(entity=f"{name}-{number}")

    threads = [threading.Thread(target=write, args=(f"t{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.verify() == 60


def run_python(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )


OPEN = """
import sys
from pathlib import Path
from governance.context import utc_now
from governance.errors import LedgerError
from governance.ledger import Ledger
def opened():
    return Ledger.open(Path(sys.argv[1]), now=utc_now)
"""


def test_a_second_process_is_told_who_holds_it(ledger: Ledger, path: Path) -> None:
    done = run_python(OPEN + "try: opened()\nexcept LedgerError as e: print(e.message, '|', e.hint)", path)
    assert f"another curator holds the ledger (process {os.getpid()})" in done.stdout, done.stderr
    assert "CURATOR_HOME" in done.stdout


def test_a_file_that_is_no_ledger(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"hello" * 5000)
    with pytest.raises(LedgerError, match="cannot be used") as caught:
        Ledger.open(path, now=lambda: ON)
    assert caught.value.hint


def test_a_folder_in_its_place(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(LedgerError):
        Ledger.open(path, now=lambda: ON)


def test_kill_9_loses_nothing_that_was_concluded(path: Path) -> None:
    program = OPEN + (
        "from tests.unit.test_ledger import A, FACTS, check\n"
        "ledger = opened()\n"
        "ledger.begin(A, 'k', {})\n"
        "for n in range(10_000):\n"
        "    ledger.conclude(A, check(f'plugin-{n}'), FACTS)\n"
        "    print(n, flush=True)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert writer.stdout is not None
    for line in writer.stdout:
        if int(line) >= 20:
            break
    writer.send_signal(signal.SIGKILL)
    acknowledged = [20, *map(int, writer.stdout.read().split())][-1]
    writer.wait()
    ledger = Ledger.open(path, now=lambda: ON)
    try:
        found = ledger.begin(B, "k", {})
        assert {f"plugin-{n}" for n in range(acknowledged + 1)} <= set(found)
        assert found["plugin-0"][1] == FACTS
        assert ledger.verify() == len(found) + 4
    finally:
        ledger.close()


def test_a_full_disk_is_said_plainly_and_nothing_is_torn(path: Path) -> None:
    program = OPEN + (
        "import resource\n"
        "from tests.unit.test_ledger import A, FACTS, check\n"
        "ledger = opened()\n"
        "ledger.begin(A, 'k', {})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "done = 0\n"
        "try:\n"
        "    while done < 5_000:\n"
        "        ledger.conclude(A, check(f'plugin-{done}'), FACTS)\n"
        "        done += 1\n"
        "except LedgerError as e: print(done, '|', e.message, '|', e.hint)\n"
        "try: ledger.fail(A, 'x')\n"
        "except LedgerError as e: print('still', e.message)\n"
        "import os; os._exit(0)\n"
    )
    done = run_python(program, path)
    assert "no space left for the ledger" in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    acknowledged = int(done.stdout.split("|")[0])
    ledger = Ledger.open(path, now=lambda: ON)
    try:
        assert len(ledger.begin(B, "k", {})) >= acknowledged > 0
        ledger.verify()
    finally:
        ledger.close()
