"""The lock file: what may enter, what is found in a repository, and who speaks up when it is wrong."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from governance import lock
from governance.errors import SubjectError
from governance.verdict import Decision, Scorecard
from tests.scorecards import SCORECARDS

COMMIT, BASE = "0123456789abcdef0123456789abcdef01234567", "89abcdef0123456789abcdef0123456789abcdef"
ENTRY = f"""\
# models of the ward
[[model]]
name = "acme-health/discharge-lora"
commit = "{COMMIT}"
base = "acme/base-8b@{BASE}"
composition = "sha256:{"5e" * 32}"
policy = "clinic@sha256:{"77" * 32}"
run = "01JD7XK3QZT0V5M9W2A8C4E6GH"
expires = 2027-02-19
"""
TODAY = date(2026, 11, 24)


def card(decision: Decision) -> Scorecard:
    approved = SCORECARDS["approve"]
    return approved.model_copy(update={"verdict": approved.verdict.model_copy(update={"decision": decision})})


def written(folder: Path, text: str = ENTRY) -> Path:
    path = folder / "models.lock"
    path.write_text(text)
    return path


def test_only_an_approval_enters_and_it_ends(tmp_path: Path) -> None:
    entry = lock.entry_of(card(Decision.APPROVE), valid=timedelta(days=90))
    assert entry.expires == (SCORECARDS["approve"].verdict.on + timedelta(days=90)).date()
    for decision in (Decision.REVIEW, Decision.REJECT):
        with pytest.raises(SubjectError, match="only approvals"):
            lock.entry_of(card(decision), valid=timedelta(days=90))


def test_an_entry_is_replaced_and_comments_stay(tmp_path: Path) -> None:
    path = written(tmp_path)
    entry = lock.entry_of(card(Decision.APPROVE), valid=timedelta(days=90))
    assert lock.write(path, entry) is (entry.name == "acme-health/discharge-lora")
    assert path.read_text().startswith("# models of the ward\n")
    assert lock.write(path, entry) is True
    assert [x.entry for x in lock.read(path)].count(entry) == 1
    fresh = tmp_path / "new.lock"
    assert lock.write(fresh, entry) is False
    assert [x.entry for x in lock.read(fresh)] == [entry]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "locks no model"),
        ("model = []\n", "locks no model"),
        ("[[model]\n", "is no TOML"),
        (ENTRY.replace(COMMIT, "main"), "models.lock:2: commit"),
        (ENTRY.replace("expires = 2027-02-19", ""), "models.lock:2: expires"),
        (ENTRY.replace("run =", "rnu ="), "models.lock:2: run"),
        (ENTRY + ENTRY, "is locked twice"),
    ],
)
def test_a_wrong_lock_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SubjectError) as caught:
        lock.read(written(tmp_path, text))
    assert message in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"storageUri: hf://acme-health/discharge-lora@{COMMIT}", None),
        (f"storageUri: hf://acme-health/discharge-lora:{COMMIT}", None),
        (f"args: [--model, acme/base-8b@{BASE}]", None),
        ("storageUri: hf://acme-health/discharge-lora", "named without its commit"),
        ("storageUri: hf://acme-health/discharge-lora:main", "pinned to main"),
        (f"storageUri: 'hf://acme-health/discharge-lora@{BASE}'", "approved is"),
        ("model = PeftModel.from_pretrained(base, 'x')", None),
        ('base = AutoModelForCausalLM.from_pretrained("evil/base")', "evil/base is not in the lock"),
        ("uses: actions/checkout@v4", None),
        ("see https://example.org/acme/other", None),
        (f"lora: evil/lora@{COMMIT}", "evil/lora is not in the lock"),
    ],
)
def test_models_named_in_files(tmp_path: Path, line: str, said: str | None) -> None:
    deploy = tmp_path / "deploy.yaml"
    deploy.write_text(f"kind: X\n{line}\n")
    found = lock.check(written(tmp_path), [deploy], today=TODAY)
    if said is None:
        assert found == ()
    else:
        assert [p.line for p in found] == [2]
        assert said in found[0].text


def test_an_expired_approval_is_a_problem_at_its_line(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert lock.check(path, [], today=date(2027, 2, 19)) == ()
    (late,) = lock.check(path, [], today=date(2027, 2, 20))
    assert (late.line, "until 2027-02-19" in late.text) == (2, True)


def test_what_is_no_text_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(b"\xff\xfe\x00hf://evil/lora")
    assert lock.check(written(tmp_path), [tmp_path / "weights.bin", tmp_path / "gone.yaml"], today=TODAY) == ()
