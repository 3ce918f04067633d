"""``curator evaluate`` as a person calls it: real adapters in a real worker, the document, exit codes, and going on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest

pytest.importorskip("torch")

from typer.testing import CliRunner, Result

from api.cli.evaluate_pace import Pace, span
from api.cli.evaluate_table import print_evaluation
from api.cli.main import app
from api.evaluate import Asked, evaluate
from api.outcomes import evaluation_exit_code
from api.settings import Settings
from governance.context import EvaluationSettings, Progress
from governance.errors import Cancelled
from governance.evaluation import Evaluated, EvaluationDocument, Trouble, json_schema
from governance.evidence import Check, Measurement, Outcome
from governance.store import Store
from reports._render.compared import evaluation_page
from tests.conftest import ON, RUN_ID, Tiny
from tests.tiny_model import make_adapter

_LIMIT = 3


class Ran(NamedTuple):
    """One evaluation of three adapters, the second of them broken."""

    code: int
    document: dict[str, Any]
    said: str
    names: tuple[str, ...]


def call(home: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(
        app, ["evaluate", *map(str, arguments)], env={"CURATOR_HOME": str(home), "HF_HUB_OFFLINE": "1", "COLUMNS": "140"}
    )


@pytest.fixture(scope="module")
def strong(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tmp_path_factory.mktemp("strong") / "strong", scale=1.5, seed=3)


@pytest.fixture(scope="module")
def ran(tiny: Tiny, strong: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("evaluated")

    def spoil(tensors: dict[str, Any]) -> None:
        for value in tensors.values():
            value.fill_(float("nan"))

    broken = make_adapter(folder / "broken", change=spoil)
    names = (str(tiny.clean), str(broken), str(folder / "nowhere"), str(strong))
    done = call(folder / "home", *names, "--base", tiny.base, "--limit", str(_LIMIT), "--format", "json")
    return Ran(done.exit_code, json.loads(done.stdout), done.stderr, names)


def numbers(one: Any) -> list[tuple[object, ...]]:
    """Return what must not depend on how often a run was interrupted."""
    return [(m["metric"], m["scope"], m["value"], m["n"], m["verdict"], m["rows"]) for m in one["measurements"]]


def test_the_document_follows_its_schema_and_names_everything(ran: Ran) -> None:
    jsonschema.validate(ran.document, json_schema())
    assert [one["asked"] for one in ran.document["adapters"]] == list(ran.names), "in the order they were named"
    first = ran.document["adapters"][0]
    assert (first["adapter"]["name"], len(first["adapter"]["digest"]), len(first["composition"])) == (ran.names[0], 64, 64)
    assert first["base"] == ran.document["adapters"][3]["base"]
    assert first["adapter"]["digest"] != ran.document["adapters"][3]["adapter"]["digest"]
    assert ran.document["settings"]["limit"] == _LIMIT
    assert ran.document["suite"].startswith("builtin ")
    assert "nf4" in ran.document["kernel_paths"][0]
    assert {"torch", "peft"} <= set(ran.document["versions"])
    assert "backdoor" in ran.document["not_asked"]


def test_a_broken_adapter_does_not_stop_the_others_and_says_why(ran: Ran) -> None:
    clean, broken, nowhere, strong = ran.document["adapters"]
    assert ran.code == 10
    assert "not measured" in ran.said
    for whole in (clean, strong):
        retention = next(m for m in whole["measurements"] if m["metric"] == "retention")
        assert retention["n"] == 8 * _LIMIT
        assert retention["interval"]["low"] <= retention["value"] <= retention["interval"]["high"]
        assert retention["margin"] == 0.05
    assert broken["measurements"] == []
    assert all("NaN" in c["coverage"][0]["reason"] for c in broken["checks"])
    assert nowhere["trouble"]["message"].startswith("there is no folder")
    assert nowhere["trouble"]["hint"]


def test_the_base_answers_once_for_all_of_them(ran: Ran) -> None:
    clean, _, _, strong = (one["costs"] for one in ran.document["adapters"])
    asked = sum(2 * m["n"] for m in ran.document["adapters"][0]["measurements"] if m["metric"].endswith("-task"))
    assert clean["answered"] > strong["answered"] > 0
    assert (clean["from_rows"], strong["from_rows"]) == (0, asked // 2)


def test_what_was_interrupted_goes_on_where_it_was_and_ends_the_same(ran: Ran, tiny: Tiny, strong: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", offline=True)
    asked = Asked(
        adapters=(str(strong), str(tiny.clean)),
        base=str(tiny.base),
        evaluation=EvaluationSettings(limit=_LIMIT),
        only=("retention",),
    )
    rows = settings.folder / "store" / "rows"

    def stop_in_the_middle() -> None:
        if rows.is_dir() and any(rows.iterdir()):
            raise Cancelled("stopped by a test")

    with pytest.raises(Cancelled):
        evaluate(asked, settings, checkpoint=stop_in_the_middle)
    kept = sum(len(Store(settings.folder / "store").rows(path.stem)) for path in rows.iterdir())
    assert kept > 0
    found = evaluate(asked, settings)
    again = json.loads(found.model_dump_json())["adapters"]
    total = sum(len(Store(settings.folder / "store").rows(path.stem)) for path in rows.iterdir())
    assert sum(a.costs.answered for a in found.adapters) == total - kept, "nothing that was answered is asked again"
    undisturbed = [ran.document["adapters"][3], ran.document["adapters"][0]]
    for one, other in zip(again, undisturbed, strict=True):
        assert numbers(one) == [n for n in numbers(other) if str(n[0]).startswith("retention")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--suite", "nonsense"), "there is no suite 'nonsense'"),
        (("--tasks", "no_such_task"), "no_such_task"),
        (("--only", "retention,nonsense"), "there is no evaluator 'nonsense'"),
        (("--data", "."), "manifest.json"),
        (("--policy", "nonsense"), "nonsense"),
    ],
)
def test_what_does_not_exist_is_said_before_a_model_is_loaded(
    arguments: tuple[str, ...], words: str, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    done = call(tmp_path / "home", tiny.clean, "--base", tiny.base, *arguments)
    assert done.exit_code == 1
    assert words in done.stderr
    assert "what to do" in done.stderr or "nonsense" in done.stderr
    assert "Traceback" not in done.output


def test_bad_usage_is_two(tiny: Tiny, tmp_path: Path) -> None:
    for arguments in (
        (),
        (tiny.clean, "--limit", "0"),
        (tiny.clean, "--format", "xml"),
        (tiny.clean, "--output", "no/such/x.json"),
    ):
        assert call(tmp_path / "home", *arguments).exit_code == 2, arguments


def test_help_teaches_exit_codes_and_going_on(tmp_path: Path) -> None:
    said = " ".join(call(tmp_path, "--help").stdout.split())
    for words in ("Exit codes: 0", "10 a person must look", "11 an adapter is degraded", "the same command goes on"):
        assert words in said


def test_the_table_shows_each_number_then_losses_then_what_was_not_measured(ran: Ran, tmp_path: Path) -> None:
    print_evaluation(EvaluationDocument.model_validate(ran.document), tmp_path / "table.txt")
    text = (tmp_path / "table.txt").read_text()
    places = [
        text.index(words) for words in ("clean", "broken", "nowhere", "strong", "not measured: broken", "an evaluation approves")
    ]
    assert places == sorted(places)
    assert text.count("retention · general") == 2
    assert "domain-skill, perplexity, retention: composition:" in text


def one(
    verdict: str | None, *, outcome: Outcome = Outcome.COMPLETED, scope: str = "general", metric: str = "retention"
) -> Evaluated:
    measured = Measurement(metric=metric, scope=scope, value=0.0, unit="1", n=9, verdict=verdict)
    check = Check(id="retention", version="1", step="evaluate", outcome=outcome, reason="stopped")
    return Evaluated(asked=verdict or "none", measurements=(measured,) if verdict else (), checks=(check,))


@pytest.mark.parametrize(
    ("adapters", "code"),
    [
        ([one("retained"), one("retained")], 0),
        ([one("retained"), one("inconclusive")], 10),
        ([one("retained", outcome=Outcome.PARTIAL)], 10),
        ([one("retained"), one(None, outcome=Outcome.FAILED)], 10),
        ([one("retained"), Evaluated(asked="x", trouble=Trouble(message="gone"))], 10),
        ([one("inconclusive"), one("degraded"), one(None)], 11),
        ([one("degraded", metric="retention-task")], 10),
        ([one(None, outcome=Outcome.FAILED), Evaluated(asked="x", trouble=Trouble(message="gone"))], 1),
    ],
)
def test_exit_codes(adapters: list[Evaluated], code: int) -> None:
    found = EvaluationDocument(
        curator_version="0", run_id=RUN_ID, created=ON, suite="builtin 1", settings=EvaluationSettings(), seed=1, policy="default",
        adapters=tuple(adapters),
    )  # fmt: skip
    assert evaluation_exit_code(found)[0] == code


@pytest.fixture
def ticking() -> tuple[Pace, Callable[..., None]]:
    now = [0.0]
    pace = Pace(clock=lambda: now[0])

    def see(after: float, **said: object) -> None:
        now[0] += after
        pace.see(Progress.model_validate(said))

    return pace, see


def test_time_left_is_a_rate_over_a_window_and_says_when_more_is_to_come(ticking: tuple[Pace, Callable[..., None]]) -> None:
    pace, see = ticking
    see(0, step="adapter", item="a", done=0, total=2)
    see(0, step="evaluate", item="first", done=0, total=2)
    assert pace.left() is None
    see(1, step="evaluate", item="first", done=500, total=1000, message="known answers come at once")
    assert pace.rate() is None
    see(10, step="evaluate", item="first", done=600, total=1000, message="m")
    here, every = pace.left_here(), pace.left()
    assert here is not None
    assert every is not None
    assert (here.seconds, here.open) == (40.0, True)
    assert every.seconds == 40 + 11 + 40
    assert "at least 40 s left here" in pace.words()
    assert pace.fraction() == pytest.approx(0.3)
    see(40, step="evaluate", item="second", done=1, total=2)
    see(20, step="evaluate", item="", done=2, total=2)
    see(0, step="adapter", item="b", done=1, total=2)
    see(0, step="evaluate", item="first", done=0, total=2)
    see(0, step="evaluate", item="first", done=0, total=1000, message="m")
    see(2, step="evaluate", item="first", done=100, total=1000, message="m")
    here, every = pace.left_here(), pace.left()
    assert here is not None
    assert every is not None
    assert (here.seconds, here.open, every.seconds) == (18 + 20, False, 38)


def test_spans_are_short() -> None:
    assert [span(s) for s in (0.4, 59.4, 61, 3540, 4800)] == ["0 s", "59 s", "1 min", "59 min", "1 h 20 min"]


def test_the_page_is_self_contained_and_shows_every_adapter_beside_the_others(ran: Ran) -> None:
    hostile = "<script>alert(1)</script>"
    document = EvaluationDocument.model_validate(ran.document)
    adapters = (*document.adapters, Evaluated(asked=hostile, trouble=Trouble(message=hostile)))
    page = evaluation_page(document.model_copy(update={"adapters": adapters})).decode()
    assert page == evaluation_page(document.model_copy(update={"adapters": adapters})).decode()
    assert "<script" not in page
    assert "http:" not in page.replace("http://www.w3.org/", "")
    assert page.count("<svg xmlns") == len(re.findall("<figure", page)) > 6
    for name in ("clean", "broken", "strong", "nowhere"):
        assert f"<bdi>{name}" in page or f"{name}</bdi>" in page, name
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids)), "labels of figures and headings are found by id"
