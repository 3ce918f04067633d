"""Suites: the shipped ones, a user's own in ten lines, how one is chosen, and what is said of one that is wrong."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from evaluators._items import catalog, sources, suites, tasks, templates
from evaluators._items.tasks import Questions
from governance.context import EvaluationSettings, RunContext
from governance.errors import PrerequisiteError
from governance.evidence import Coverage
from governance.subject import Composition, Description, SourceKind, Subject

OWN = """\
id: support
summary: What our support desk is asked
families:
  support:
    data:
      - file: desk.jsonl
        kind: multiple_choice
        fields: {question: ask, choices: options, answer: label}
        examples: shown.jsonl
        shots: 1
"""


def own(folder: Path, text: str = OWN, **more: Any) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("desk.jsonl", 3), ("shown.jsonl", 2)):
        lines = [{"ask": f"{name} {n}?", "options": ["yes", "no"], "label": "no", "topic": "t"} | more for n in range(count)]
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "mine.yaml").write_text(text)
    return str(folder / "mine.yaml")


def said(domain: str | None) -> Composition:
    return Composition(adapter=Subject(source=SourceKind.LOCAL, name="a"), description=Description(domain=domain))


def with_settings(ctx: RunContext, **settings: Any) -> RunContext:
    return dataclasses.replace(ctx, evaluation=EvaluationSettings(**settings))


@pytest.mark.parametrize("name", suites.shipped())
def test_every_task_of_a_shipped_suite_is_one_of_lm_eval_and_runs_no_code(name: str) -> None:
    for content in suites.load(name).families.values():
        for task in content.hub:
            path = catalog.find(task.task)
            assert path is not None, task.task
            assert not catalog.read(path).get("unsafe_code")


def test_the_suites_that_were_asked_for_are_there() -> None:
    assert {"builtin", "medical", "legal", "finance", "code", "general"} <= set(suites.shipped())
    for name in ("medical", "legal", "finance", "code"):
        suite = suites.load(name)
        assert suite.default_domain == name
        assert suite.families[name].margin == 0.03
        assert suite.families["general"].hub == suites.load("general").families["general"].hub
        assert suite.families[name].files == suites.load("builtin").families[name].files


def test_ten_lines_make_a_suite(ctx: RunContext, tmp_path: Path) -> None:
    assert len(OWN.splitlines()) == 10
    run = with_settings(ctx, suite=own(tmp_path))
    suite = suites.choose(said("legal"), run)
    assert (suite.id, suites.domain(suite, said("legal"), run)) == ("support", ("support", None))
    [found] = [q for q in sources.questions(suite, "support", run) if isinstance(q, Questions)]
    prompts = [i[0].args[0] for i in tasks.requests(tasks.build(found), None).values()]
    shown = "Question: shown.jsonl 0?\nA. yes\nB. no\nAnswer: B\n\n"
    assert prompts == [f"{shown}Question: desk.jsonl {n}?\nA. yes\nB. no\nAnswer:" for n in range(3)]
    general = list(sources.questions(suite, "general", run))
    assert {q.origin for q in general if isinstance(q, Questions)} == {"built-in"}
    assert set(suites.readable(run.evaluation)) == {tmp_path / n for n in ("mine.yaml", "desk.jsonl", "shown.jsonl")}


def test_a_prompt_of_one_s_own_is_filled_with_fields(ctx: RunContext, tmp_path: Path) -> None:
    prompt = '        prompt: "[{topic}] {ask}\\n{choices}\\n{{so}}:"\n        answers: texts\n'
    suite = suites.load(own(tmp_path, OWN + prompt, topic="{question}"))
    [found] = [q for q in sources.questions(suite, "support", ctx) if isinstance(q, Questions)]
    instances = tasks.requests(tasks.build(found), None)[0]
    assert str(instances[1].args[0]).endswith("[{question}] desk.jsonl 0?\nA. yes\nB. no\n{so}:")
    assert instances[1].args[1] == " no"


@pytest.mark.parametrize("template", ["{ask.__class__}", "{ask[0]}", "{ask!r}", "{ask:>9}", "{0}", "{}", "{ask", "{{% x %}"])
def test_a_template_can_only_place_texts(template: str) -> None:
    with pytest.raises(ValueError, match="the prompt"):
        templates.fill(template, {"ask": "x"})


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("desk.jsonl", "dusk.jsonl", "line 6: there is no file 'dusk.jsonl'"),
        ("kind: multiple_choice", "kind: multiple_choise", "line 6: there is no kind 'multiple_choise'"),
        ("shots: 1", "shots: many", "line 10: families.support.data.0.shots"),
        ("shots: 1", "shoots: 1", "line 10: families.support.data.0.shoots"),
        ("shots: 1", 'prompt: "{a.b}"', "line 6: the prompt asks for {a.b}"),
        ("        shots: 1", "    hub: [arc_easy, arc_esy]", "line 10: lm-eval has no task 'arc_esy'; near to it are: arc_easy"),
        ("        shots: 1", "    hub: [mmlu]", "name its tasks one by one"),
        ("families:", "families: [", "is no YAML"),
        ("id: support", "id: Our Support", "line 1: id"),
        ("id: support", "extends: nothing", "extends 'nothing'"),
        ("id: support", "default_domain: sales", "default domain 'sales'"),
        ("families:", "familes:", "names no families"),
    ],
)
def test_a_suite_that_is_wrong_is_told_with_the_line(old: str, new: str, told: str, tmp_path: Path) -> None:
    path = own(tmp_path, OWN.replace(old, new))
    with pytest.raises(PrerequisiteError) as error:
        suites.load(path)
    assert told in error.value.message
    assert error.value.hint


def test_fields_that_are_not_there_are_told_with_the_line_of_the_item(ctx: RunContext, tmp_path: Path) -> None:
    suite = suites.load(own(tmp_path, OWN.replace("label}", "lable}")))
    [gap] = [c for c in sources.questions(suite, "support", ctx) if isinstance(c, Coverage)]
    assert gap.reason == (
        "line 1 is not of kind multiple_choice: it has no 'answer'; it has: 'ask', 'options', 'label', 'topic', 'question',"
        " 'choices'; 2 more lines are wrong"
    )


@pytest.mark.parametrize("path", ["nowhere/mine.yaml", "./mine.yml"])
def test_a_suite_that_is_not_there_is_named(path: str, tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match=r"mine\.y.* cannot be read"):
        suites.load(str(tmp_path / path))


def test_a_name_that_is_nearly_right_gets_a_hint() -> None:
    with pytest.raises(PrerequisiteError) as error:
        suites.load("medcal")
    assert "did you mean medical?" in error.value.hint


def test_auto_needs_no_network_and_follows_the_card_where_there_are_data(ctx: RunContext, tmp_path: Path) -> None:
    assert suites.choose(said("law"), ctx).id == "builtin"
    (tmp_path / "manifest.json").write_text('{"files": []}')
    run = with_settings(ctx, data=tmp_path)
    assert suites.choose(said("law"), run).id == "legal"
    assert suites.choose(said("cooking"), run).id == "builtin"
    assert suites.choose(said(None), run).id == "builtin"
    assert suites.choose(said("math"), run).id == "builtin"
    assert suites.choose(said("law"), with_settings(ctx, suite="code", data=tmp_path)).id == "code"


def test_data_sets_of_a_suite_are_fetched_unless_a_folder_takes_their_place(tmp_path: Path) -> None:
    wanted = suites.hub_tasks(EvaluationSettings(suite="medical", tasks=("hellaswag", "lambada_openai")))
    assert wanted[:2] == ("hellaswag", "lambada_openai")
    assert {"mmlu_anatomy", "medqa_4options", "gsm8k"} <= set(wanted)
    assert len(wanted) == len(set(wanted))
    assert suites.hub_tasks(EvaluationSettings(suite="medical", data=tmp_path)) == ()
    assert suites.hub_tasks(EvaluationSettings()) == ()


def test_tasks_of_a_suite_that_were_not_fetched_say_so_and_the_built_in_ones_are_asked(ctx: RunContext) -> None:
    found = list(sources.questions(suites.load("medical"), "medical", with_settings(ctx, suite="medical")))
    gaps = {c.item: c.reason for c in found if isinstance(c, Coverage)}
    assert gaps["mmlu_anatomy"] == "its data set cais/mmlu was not fetched"
    assert [q.name for q in found if isinstance(q, Questions)] == ["medical"]
