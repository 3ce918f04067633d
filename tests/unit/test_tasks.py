"""Shipped tasks and suites, folders of data, lm-eval's own task files: what is asked, and what is refused with a reason."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from evaluators._items import catalog, rows, sources, suites, tasks
from evaluators._items.kinds.shape import How, known
from evaluators._items.tasks import Questions
from governance.context import EvaluationSettings, RunContext
from governance.errors import PluginError, PrerequisiteError
from governance.evidence import Coverage, Outcome
from governance.licensing import Intent
from governance.subject import Composition, Description, SourceKind, Subject

SUITE = suites.load("auto")
NAMES = sorted(p.stem for p in (suites.FOLDER / "tasks").glob("*.yaml"))


def with_settings(ctx: RunContext, **settings: Any) -> RunContext:
    return dataclasses.replace(ctx, evaluation=EvaluationSettings(**settings))


def documents(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (suites.FOLDER / "tasks" / f"{name}.jsonl").read_text().splitlines()]


def folder(root: Path, files: dict[str, tuple[str, list[dict[str, Any]]]], **more: Any) -> Path:
    """Write a data folder: name to kind and items."""
    root.mkdir(parents=True, exist_ok=True)
    entries = []
    for name, (kind, items) in files.items():
        content = "".join(json.dumps(i) + "\n" for i in items).encode()
        data = gzip.compress(content) if name.endswith(".gz") else content
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
        entries.append({"file": name, "kind": kind, "sha256": hashlib.sha256(data).hexdigest()} | more)
    (root / "manifest.json").write_text(json.dumps({"layout": 1, "files": entries}))
    return root


def question(number: int, **more: Any) -> dict[str, Any]:
    return {"id": str(number), "question": f"What is {number}?", "choices": ["a", "b", "c"], "answer": number % 3} | more


@pytest.mark.parametrize("name", NAMES)
def test_shipped_items_are_whole(name: str, ctx: RunContext) -> None:
    asked = sources.shipped(name, "general", ctx)
    items = documents(name)
    assert len(items) >= 30
    assert len({i["id"] for i in items}) == len({i["question"] for i in items}) == len(items)
    assert all(0 <= i["answer"] < len(i["choices"]) and len(set(i["choices"])) == len(i["choices"]) >= 3 for i in items)
    assert max(Counter(i["answer"] for i in items).values()) < 0.5 * len(items), "the right answer is mostly in one place"
    assert asked.definition["metric_list"][0]["higher_is_better"] is True
    assert asked.version == "1"


def test_suites_name_shipped_tasks_and_ask_enough() -> None:
    general = [d for name in SUITE.families[suites.GENERAL].tasks for d in documents(name)]
    assert len(general) >= 160
    assert len({d["question"] for d in general}) == len(general)
    for family, content in SUITE.families.items():
        assert set(content.tasks) <= set(NAMES)
        own = [line for source in content.data for line in Path(source.file).read_text().splitlines()]
        assert sum(len(documents(n)) for n in content.tasks) + len(own) >= 40, family


def test_a_changed_item_file_is_refused(ctx: RunContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tasks").mkdir()
    for suffix in ("yaml", "jsonl"):
        text = (suites.FOLDER / "tasks" / f"facts.{suffix}").read_text()
        (tmp_path / "tasks" / f"facts.{suffix}").write_text(text.replace("Paris", "London") if suffix == "jsonl" else text)
    monkeypatch.setattr(sources, "FOLDER", tmp_path)
    with pytest.raises(PluginError, match="items of the shipped task facts were changed"):
        sources.shipped("facts", "general", ctx)


def test_the_domain_is_the_asker_s_then_the_card_s_then_the_default(ctx: RunContext) -> None:
    def said(domain: str | None) -> Composition:
        return Composition(adapter=Subject(source=SourceKind.LOCAL, name="a"), description=Description(domain=domain))

    assert suites.domain(SUITE, said("Law"), ctx) == ("legal", None)
    assert suites.domain(SUITE, said(None), ctx) == (SUITE.default_domain, None)
    assert suites.domain(SUITE, said("cooking"), ctx) == (SUITE.default_domain, "cooking")
    assert suites.domain(SUITE, said("general"), ctx) == (SUITE.default_domain, None)
    intent = dataclasses.replace(ctx, intent=Intent(domain="math"))
    assert suites.domain(SUITE, said("law"), intent) == ("math", None)


def test_an_unknown_suite_names_the_known_ones() -> None:
    with pytest.raises(PrerequisiteError) as told:
        suites.load("nope")
    assert "builtin" in told.value.hint


def test_a_limit_takes_the_same_items_each_time_and_not_the_first(ctx: RunContext) -> None:
    few = with_settings(ctx, limit=10)
    once, again = (sources.shipped("facts", "general", few).documents for _ in range(2))
    assert once == again
    assert once is not None
    assert len(once) == 10
    assert [d["id"] for d in once] != [d["id"] for d in documents("facts")[:10]]


def test_a_folder_takes_the_place_of_the_shipped_family(ctx: RunContext, tmp_path: Path) -> None:
    data = folder(
        tmp_path / "data",
        {
            "history.test.jsonl": ("multiple_choice", [question(i) for i in range(5)]),
            "history.dev.jsonl": ("multiple_choice", [question(9)]),
            "medqa.test.jsonl.gz": ("multiple_choice", [question(i, passage=f"P{i}") for i in range(4)]),
            "prompts.jsonl": ("refusal", [{"id": "1", "prompt": "Why?", "label": "safe"}]),
            "programs.jsonl": ("riddle", [{"id": "1"}]),
        },
    )
    asked = with_settings(ctx, data=data)
    found = list(sources.questions(SUITE, "general", asked))
    assert [q.name for q in found if isinstance(q, Questions)] == ["data-history-test"]
    gaps = {c.item: c for c in found if isinstance(c, Coverage)}
    assert gaps["history.dev.jsonl"].outcome is Outcome.NOT_APPLICABLE
    assert gaps["prompts.jsonl"].outcome is Outcome.NOT_APPLICABLE
    medical = [q for q in sources.questions(SUITE, "medical", asked) if isinstance(q, Questions)]
    assert [len(q.documents or ()) for q in medical] == [4]
    assert gaps["programs.jsonl"].outcome is Outcome.SKIPPED
    assert "kind 'riddle'" in gaps["programs.jsonl"].reason
    programs = folder(tmp_path / "c", {"code.jsonl": ("code", [{"id": "1", "prompt": "def f():", "solution": " return 1"}])})
    code = list(sources.questions(SUITE, "code", with_settings(ctx, data=programs)))
    assert isinstance(code[0], Coverage)
    assert "execution of code is off" in code[0].reason
    assert [q.name for q in code[1:] if isinstance(q, Questions)] == ["code"]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda root: (root / "x.jsonl").write_text('{"id": 1}\n'), "SHA-256 differs"),
        (lambda root: (root / "x.jsonl").unlink(), "not in the folder"),
    ],
)
def test_a_damaged_folder_says_what_is_wrong(ctx: RunContext, tmp_path: Path, damage: Any, reason: str) -> None:
    data = folder(tmp_path / "data", {"x.jsonl": ("multiple_choice", [question(1)])})
    damage(data)
    told = next(iter(sources.questions(SUITE, "general", with_settings(ctx, data=data))))
    assert isinstance(told, Coverage)
    assert reason in told.reason
    assert not told.outcome.checked


def test_a_manifest_cannot_reach_outside_its_folder(ctx: RunContext, tmp_path: Path) -> None:
    data = folder(tmp_path / "data", {"x.jsonl": ("multiple_choice", [question(1)])})
    (tmp_path / "secret.jsonl").write_text(json.dumps(question(2)))
    (data / "manifest.json").write_text(json.dumps({"files": [{"file": "../secret.jsonl", "kind": "multiple_choice"}]}))
    told = next(iter(sources.questions(SUITE, "general", with_settings(ctx, data=data))))
    assert isinstance(told, Coverage)
    assert "not in the folder" in told.reason


@pytest.mark.parametrize("content", ["", "[]", "{}", "{"])
def test_a_folder_without_a_manifest_is_named(ctx: RunContext, tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(PrerequisiteError, match=r"manifest\.json"):
        list(sources.questions(SUITE, "general", with_settings(ctx, data=tmp_path)))


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        ("multiple_choice", question(1, answer=3)),
        ("multiple_choice", {"id": "1", "question": "?"}),
        ("multiple_choice_targets", {"id": "1", "question": "?", "mc1_targets": {"choices": ["a"], "labels": [0]}}),
        ("nli_documents", {"id": "1", "text": "t", "hypotheses": [{"hypothesis": "h", "label": "perhaps"}]}),
        ("generate_number", {"id": "1", "question": "?"}),
    ],
)
def test_an_item_of_another_shape_is_a_gap_not_a_crash(ctx: RunContext, tmp_path: Path, kind: str, item: dict[str, Any]) -> None:
    data = folder(tmp_path / "data", {"x.jsonl": (kind, [item])})
    told = next(iter(sources.questions(SUITE, "general", with_settings(ctx, data=data))))
    assert isinstance(told, Coverage)
    assert f"not of kind {kind}" in told.reason


def build(kind: str, item: dict[str, Any]) -> tuple[Any, list[Any]]:
    form, [way, *_] = known()[kind], known()[kind].ways
    asked = [{**d, "id": "1", "group": ""} for d in form.read(item, How())]
    task = tasks.build(Questions("t", "general", "1", "0" * 64, "test", way.definition, asked))
    return task, tasks.requests(task, None)[0]


def test_choices_are_scored_by_lm_eval_itself() -> None:
    task, instances = build("multiple_choice", question(1))
    assert [i.args[1] for i in instances] == [" A", " B", " C"]
    assert tasks.score(task, instances, [(-3.0, False), (-1.0, True), (-2.0, False)], "acc") == 1.0
    assert tasks.score(task, instances, [(-1.0, True), (-3.0, False), (-2.0, False)], "acc") == 0.0


def test_a_written_number_is_found_in_its_text() -> None:
    task, instances = build("generate_number", {"id": "1", "question": "How many?", "final": "1,234"})
    assert instances[0].args[1]["max_gen_toks"] == 160
    assert tasks.score(task, instances, ["First 3, then 4, so the answer is $1,234."], "exact_match") == 1.0
    assert tasks.score(task, instances, ["It is 12."], "exact_match") == 0.0
    assert tasks.score(task, instances, ["No idea"], "exact_match") == 0.0


def test_a_task_without_a_score_for_one_item_is_named() -> None:
    task, instances = build("multiple_choice", question(1))
    with pytest.raises(PluginError, match="no score for a single item"):
        tasks.score(task, instances, [(-1.0, True)] * 3, "bleu")


def test_item_keys_change_with_everything_that_could_change_the_answer() -> None:
    form = known()["multiple_choice"]

    def key(version: str = "1", digest: str = "0" * 64, **more: Any) -> str:
        asked = Questions("t", "general", version, digest, "test", form.ways[0].definition, form.read(question(1) | more, How()))
        return rows.item_key(asked, tasks.requests(tasks.build(asked), None)[0])

    assert key() == key()
    changed = [key(version="2"), key(digest="1" * 64), key(answer=2), key(question="What?"), key(choices=["a", "b", "d"])]
    assert len({key(), *changed}) == 6


def test_lm_eval_tasks_are_found_by_name_and_read_as_data() -> None:
    assert catalog.hub_datasets(["arc_easy", "hellaswag", "mmlu_anatomy", "mmlu", "../../secrets"]) == {
        "arc_easy": ("allenai/ai2_arc", "ARC-Easy"),
        "hellaswag": ("Rowan/hellaswag", None),
        "mmlu_anatomy": ("cais/mmlu", "anatomy"),
    }


def test_asking_for_hub_data_sets_loads_no_framework() -> None:
    program = (
        "import sys; from evaluators._items.catalog import hub_datasets; hub_datasets(['arc_easy'])\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'lm_eval'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=suites.FOLDER.parent, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_lm_eval_tasks_that_cannot_be_asked_say_why(ctx: RunContext) -> None:
    asked = with_settings(ctx, tasks=("arc_easy", "mmlu", "humaneval"))
    told = {c.item: c for f in ("general", "code") for c in sources.questions(SUITE, f, asked) if isinstance(c, Coverage)}
    assert "allenai/ai2_arc was not fetched" in told["arc_easy"].reason
    assert "if it is a group, name its tasks one by one" in told["mmlu"].reason
    assert "code execution is off" in told["humaneval"].reason
    assert not any(c.outcome.checked for c in told.values())


def test_suite_files_hold_no_unknown_field() -> None:
    for name in suites.shipped():
        content = yaml.safe_load((suites.FOLDER / "suites" / f"{name}.yaml").read_text())
        suites.Suite.model_validate(content)
        assert content["id"] == name
