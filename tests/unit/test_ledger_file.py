"""The ledger as a file: tampering is found, one process holds it, a kill or a full disk loses nothing that was noted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from governance.errors import LedgerError
from governance.ledger import Ledger
from governance.ledger.chain import GENESIS, Position, event_hash, first_broken, sha256
from tests.unit.test_ledger import FACTS, ON, A, B, card, check

ROOT = Path(__file__).resolve().parents[2]


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
        "try: ledger.conclude(A, check('one-more'), FACTS)\n"
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
