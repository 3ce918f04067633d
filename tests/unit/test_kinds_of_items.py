"""Each kind of item through the real path on a tiny model, and every way in which a file can be wrong."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from evaluators._items import sources, suites, tasks  # noqa: E402
from evaluators._items.fit import misfit  # noqa: E402
from evaluators._items.kinds import table_text_qa  # noqa: E402
from evaluators._items.kinds.shape import How, ItemError, known  # noqa: E402
from evaluators._items.tasks import Questions  # noqa: E402
from evaluators._model import device  # noqa: E402
from evaluators._model import home as residents  # noqa: E402
from evaluators._runtime import families  # noqa: E402
from governance.context import EvaluationSettings, RunContext  # noqa: E402
from governance.evidence import Coverage, Measurement, Outcome  # noqa: E402
from governance.subject import Composition  # noqa: E402
from tests.conftest import Tiny  # noqa: E402
from tests.tiny_model import compose, make_adapter  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
SUITE = suites.load("auto")
NAMES = families.Metrics("retention", "retention-task", "retention-margin")

ITEMS: dict[str, dict[str, Any]] = {
    "multiple_choice": {"question": "Which is a fruit?", "choices": ["a stone", "an apple"], "answer": 1, "passage": "At noon."},
    "multiple_choice_targets": {
        "question": "Do bats see?",
        "mc1_targets": {"choices": ["Yes.", "No."], "labels": [1, 0]},
        "mc2_targets": {"choices": ["Yes.", "They do.", "No."], "labels": [1, 1, 0]},
    },
    "nli_documents": {
        "text": "The tenant pays.",
        "hypotheses": [{"hypothesis": "It is paid.", "label": "entailment"}, {"hypothesis": "It rains.", "label": "neutral"}],
    },
    "generate_number": {"question": "How many legs has a cat?", "answer": "A cat has four legs. #### 4", "final": "4"},
    "generate_exact": {"question": "What is the capital of France?", "targets": ["Paris", "paris, France"]},
    "table_text_qa": {
        "table": [["", "2019"], ["Revenue", "1,200"]],
        "paragraphs": [{"text": "In thousands."}],
        "questions": [{"question": "What was the revenue?", "answer": "1,200", "scale": "thousand"}],
    },
    "refusal": {"prompt": "How do I bake bread?", "label": "safe"},
    "likelihood_pairs": {"sent_more": "He is strong.", "sent_less": "She is strong."},
    "code": {"prompt": "def f(x):\n", "canonical_solution": "    return x\n"},
    "text": {"text": "A ferry leaves the harbor."},
}


def data(root: Path, files: dict[str, tuple[str, list[Any]]], **more: Any) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, (_, items) in files.items():
        content = "".join(json.dumps(i) + "\n" for i in items).encode()
        (root / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    entries = [{"file": name, "kind": kind} | more for name, (kind, _) in files.items()]
    (root / "manifest.json").write_text(json.dumps({"files": entries}))
    return root


def asked(ctx: RunContext, root: Path, family: str = "general", suite: suites.Suite = SUITE) -> list[Questions | Coverage]:
    at = dataclasses.replace(ctx, evaluation=EvaluationSettings(data=root))
    return list(sources.questions(suite, family, at))


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(device, "cpu_count", lambda: 1)
    yield
    residents._HOMES.clear()


def test_every_kind_has_an_item_here() -> None:
    assert set(ITEMS) == set(known())


@pytest.mark.parametrize("kind", sorted(ITEMS))
def test_a_kind_is_asked_or_says_who_reads_it(kind: str, ctx: RunContext, tmp_path: Path) -> None:
    first = asked(ctx, data(tmp_path, {"x.jsonl": (kind, [ITEMS[kind] | {"id": "1"}])}))[0]
    if known()[kind].ways:
        assert isinstance(first, Questions)
        [instances, *_] = tasks.requests(tasks.build(first), None).values()
        assert all(i.args[0].startswith(first.documents[0]["text"]) for i in instances)  # type: ignore[index, arg-type]
    else:
        assert isinstance(first, Coverage)
        assert first.outcome is Outcome.NOT_APPLICABLE


def test_all_kinds_go_through_the_model(tiny: Tiny, ctx: RunContext, tmp_path: Path) -> None:
    """One composition, one folder with all kinds; every skill is a task, everything else is named as no skill."""
    files = {f"{kind}.jsonl": (kind, [item | {"id": "1"}, _other(item)]) for kind, item in ITEMS.items()}
    settings = EvaluationSettings(data=data(tmp_path / "data", files), device="cpu")
    run = dataclasses.replace(ctx, evaluation=settings)
    composition = compose(ctx.store, tiny.base, make_adapter(tmp_path / "a", scale=0.3))
    said = _said(run, composition)
    assert [s.item for s in said if isinstance(s, Coverage) and not s.outcome.checked] == []
    scopes = {m.scope: m for m in said if isinstance(m, Measurement) and m.metric != "retention-margin"}
    skills = {f"data-{k}{'-' + w.suffix if w.suffix else ''}" for k, kind in known().items() for w in kind.ways}
    counted = {s for s in skills if not s.endswith("mc2")}
    assert counted <= set(scopes)
    assert scopes["general"].n == sum(scopes[s].n for s in counted)
    [texts] = sources.texts(SUITE, run)
    assert (texts.name, len(texts.texts)) == ("data-text", 2)


@pytest.mark.parametrize("text", ["{{ 7 * 7 }}", "{% for x in (1,2) %}{{ x }}{% endfor %}", "{{ ''.__class__.__mro__ }}", "text"])
def test_text_of_a_file_is_never_a_template(text: str, ctx: RunContext, tmp_path: Path) -> None:
    item = {"question": text, "choices": [text, "b", "{{ gold }}"], "answer": 0, "description": text, "doc_to_text": text}
    entry = {"file": "x.jsonl", "kind": "multiple_choice", "doc_to_text": text, "description": text, "answers": "texts"}
    root = data(tmp_path, {"x.jsonl": ("multiple_choice", [item])})
    (root / "manifest.json").write_text(json.dumps({"files": [entry]}))
    [first] = [q for q in asked(ctx, root) if isinstance(q, Questions)]
    instances = tasks.requests(tasks.build(first), None)[0]
    assert instances[0].args == (f"Question: {text}\nAnswer:", f" {text}")


@pytest.mark.parametrize(
    ("kind", "change", "reason"),
    [
        ("multiple_choice", {"answer": 2}, "counted from 0 to 1"),
        ("multiple_choice", {"answer": "C"}, "names no choice"),
        ("multiple_choice", {"answer": True}, "true or false"),
        ("multiple_choice", {"choices": "an apple"}, "'choices' must be a list of texts"),
        ("multiple_choice", {"choices": ["a", {"b": 1}]}, "entry 1 is an object"),
        ("multiple_choice", {"choices": ["a", " "]}, "entry 1 is an empty text"),
        ("multiple_choice", {"choices": ["a"]}, "1 choices"),
        ("multiple_choice", {"question": None}, "it has no 'question'; it has: 'question', 'choices'"),
        ("multiple_choice", {"question": "\ud800"}, "surrogates"),
        ("multiple_choice_targets", {"mc2_targets": {"choices": ["a", "b"], "labels": [1]}}, "'mc2_targets'"),
        ("nli_documents", {"hypotheses": [{"hypothesis": "x", "label": "maybe"}]}, "label 'maybe'"),
        ("generate_number", {"final": "four"}, "must be a number"),
        ("generate_exact", {"targets": [None]}, "entry 0 is nothing"),
        ("table_text_qa", {"table": "a"}, "list of rows"),
        ("table_text_qa", {"questions": [{"question": "?", "answer": "1", "scale": "dozen"}]}, "'dozen'"),
        ("refusal", {"label": "odd"}, "safe or unsafe"),
        ("likelihood_pairs", {"sent_less": "He is strong."}, "the same"),
        ("code", {"canonical_solution": 3}, "must be a text"),
        ("text", {"text": ""}, "an empty text"),
    ],
)
def test_an_item_that_is_wrong_is_named_with_its_line(
    kind: str, change: dict[str, Any], reason: str, ctx: RunContext, tmp_path: Path
) -> None:
    root = data(tmp_path, {"x.jsonl": (kind, [ITEMS[kind], ITEMS[kind] | change, ITEMS[kind] | change])})
    told = asked(ctx, root)[0]
    assert isinstance(told, Coverage)
    assert told.outcome is Outcome.SKIPPED
    assert told.reason.startswith(f"line 2 is not of kind {kind}: ")
    assert reason in told.reason
    assert told.reason.endswith("1 more lines are wrong")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.jsonl", b"", "the file holds no item"),
        ("x.jsonl", b'{"a": 1}\n{"b": \xff}\n', "line 2 is not UTF-8: byte 0xff"),
        ("x.jsonl", '{"text": "ä"}'.encode("utf-16"), "line 1 is not UTF-8"),
        ("x.jsonl", b"{]\n", "line 1 is no JSON"),
        ("x.jsonl", b"[" * 100_000 + b"\n", "line 1 is no JSON"),
        ("x.jsonl", b"[1]\n", "line 1 is no object"),
        ("x.jsonl.gz", b"plain", "the file is damaged"),
        ("x.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 9, mtime=0)[:-12], "the file is damaged"),
    ],
)
def test_a_file_that_is_wrong_says_where(name: str, content: bytes, reason: str, ctx: RunContext, tmp_path: Path) -> None:
    root = data(tmp_path, {name: ("text", [])})
    (root / name).write_bytes(content)
    told = asked(ctx, root)[0]
    assert isinstance(told, Coverage)
    assert told.outcome is Outcome.SKIPPED
    assert reason in told.reason


def test_repeated_items_are_asked_once_and_torn_ones_never(ctx: RunContext, tmp_path: Path) -> None:
    one, two = ({"question": q, "choices": ["a", "b"], "answer": 0} for q in ("One?", "Two?"))
    torn = [{"question": "Three?", "choices": ["a", "b"], "answer": n} for n in (0, 1)]
    root = data(tmp_path, {"x.jsonl": ("multiple_choice", [one, two, one, *torn])})
    *said, found = asked(ctx, root)
    assert isinstance(found, Questions)
    assert [d["id"] for d in found.documents or ()] == ["1", "2"]
    assert [c.item for c in said if isinstance(c, Coverage)] == [
        "x.jsonl: 1 items that repeat an earlier one",
        "x.jsonl: 2 items that are the same question with different answers",
    ]


def test_examples_stand_before_each_question_in_one_order(ctx: RunContext, tmp_path: Path) -> None:
    def sum_of(n: int) -> dict[str, Any]:
        return {"id": str(n), "question": f"{n} and {n}?", "final": str(2 * n), "answer": f"It is {2 * n}."}

    files = {
        "sums.test.jsonl.gz": ("generate_number", [sum_of(n) for n in (7, 8)]),
        "sums.shots.jsonl": ("generate_number", [sum_of(n) for n in (1, 2, 3)]),
    }
    plain = [q for q in asked(ctx, data(tmp_path / "a", files)) if isinstance(q, Questions)]
    shown = [q for q in asked(ctx, data(tmp_path / "b", files, shots=2)) if isinstance(q, Questions)]
    assert [q.shots for q in (*plain, *shown)] == [0, 2]
    prompts = [i[0].args[0] for i in tasks.requests(tasks.build(shown[0]), None).values()]
    header = "Question: 1 and 1?\nAnswer: It is 2.\n\nQuestion: 2 and 2?\nAnswer: It is 4.\n\n"
    assert prompts == [f"{header}Question: {n} and {n}?\nAnswer:" for n in (7, 8)]
    assert plain[0].digest != shown[0].digest
    many = asked(ctx, data(tmp_path / "c", files, shots=4))
    assert any(isinstance(c, Coverage) and "there are 3" in c.reason for c in many)


def test_examples_show_the_letter_of_the_right_choice(ctx: RunContext, tmp_path: Path) -> None:
    items = [{"question": f"Q{n}?", "choices": ["x", "y"], "answer": 1} for n in range(2)]
    files = {"quiz.test.jsonl": ("multiple_choice", items[:1]), "quiz.dev.jsonl": ("multiple_choice", items[1:])}
    [found] = [q for q in asked(ctx, data(tmp_path, files, shots=1)) if isinstance(q, Questions)]
    prompt = tasks.requests(tasks.build(found), None)[0][0].args[0]
    assert prompt == "Question: Q1?\nA. x\nB. y\nAnswer: B\n\nQuestion: Q0?\nA. x\nB. y\nAnswer:"


def test_a_file_that_mixes_splits_is_asked_for_its_test_items(ctx: RunContext, tmp_path: Path) -> None:
    items = [{"question": f"Q{n}?", "choices": ["x", "y"], "answer": 1, "split": s} for n, s in enumerate(["rest", "test", "test"])]
    *said, found = asked(ctx, data(tmp_path, {"x.jsonl": ("multiple_choice", items)}))
    assert isinstance(found, Questions)
    assert len(found.documents or ()) == 2
    assert [c.item for c in said if isinstance(c, Coverage)] == ["x.jsonl: 1 items of other splits"]


def test_a_larger_limit_keeps_what_a_smaller_one_took() -> None:
    items = [{"id": str(n)} for n in range(50)]
    small, large = (sources.sample(items, "d", n, 1) for n in (10, 20))
    assert [d for d in large if d in small] == small
    assert sources.sample(items, "d", 10, 2) != small


def test_a_choice_that_does_not_fit_is_not_asked_and_said(tiny: Tiny, ctx: RunContext, tmp_path: Path) -> None:
    long = "a ferry leaves the harbor and " * 400
    items = [{"question": "Q?", "choices": ["x", long], "answer": 0}, {"question": "P?", "choices": ["x", "y"], "answer": 0}]
    root = data(tmp_path / "d", {"x.jsonl": ("multiple_choice", items)}, answers="texts")
    run = dataclasses.replace(ctx, evaluation=EvaluationSettings(data=root, device="cpu"))
    composition = compose(ctx.store, tiny.base, make_adapter(tmp_path / "a"))
    said = list(families.measure(SUITE, {"general": ("general",)}, NAMES, "t", composition, run))
    [gap] = [s for s in said if isinstance(s, Coverage) and not s.outcome.checked]
    assert (gap.item, "does not fit" in gap.reason) == ("data-x, item 1", True)
    assert {m.n for m in said if isinstance(m, Measurement)} == {1}


def test_what_fits_is_not_encoded() -> None:
    class Request:
        def __init__(self, kind: str, *args: Any) -> None:
            self.request_type, self.args = kind, args

    def never(text: str) -> list[int]:
        raise AssertionError(text)

    assert misfit([Request("loglikelihood", "c" * 999, "short")], never, 64) == ""
    assert "64 tokens" in misfit([Request("loglikelihood", "", "x" * 99)], lambda t: list(range(len(t))), 64)
    assert "up to 64 tokens" in misfit([Request("generate_until", "", {"max_gen_toks": 64})], never, 64)


@pytest.mark.parametrize(
    ("said", "answer", "scale", "right"),
    [
        ("1,200", "1,200", "thousand", 1.0),
        ("$1.2 million", "1,200", "thousand", 1.0),
        ("1,200,000", "1,200", "thousand", 1.0),
        ("1,200 million", "1,200", "thousand", 0.0),
        ("12.49%", "12.5", "percent", 1.0),
        ("12.3%", "12.5", "percent", 0.0),
        ("(35)", "-35", "", 1.0),
        ("35", "-35", "", 0.0),
        ("It fell by 7.", "7", "", 1.0),
        ("The Board", "board", "", 1.0),
        ("no idea", "7", "", 0.0),
        ("", "board", "", 0.0),
    ],
)
def test_numbers_are_compared_with_scale_and_tolerance(said: str, answer: str, scale: str, right: float) -> None:
    document = {"answers": [answer], "scale": scale, "tolerance": 0.005}
    assert table_text_qa.match(document, [said]) == {"match": right}


def test_every_span_of_an_answer_has_to_be_there() -> None:
    document = {"answers": ["cash", "loans"], "scale": "", "tolerance": 0.005}
    assert table_text_qa.match(document, ["cash and loans"]) == {"match": 1.0}
    assert table_text_qa.match(document, ["cash"]) == {"match": 0.0}


@pytest.mark.parametrize(("answer", "gold"), [(1, 1), ("1", 1), ("B", 1), ("b", 1), ("two", 1), (1.0, 1)])
def test_a_choice_is_named_by_number_letter_or_text(answer: Any, gold: int) -> None:
    item = {"question": "?", "choices": ["one", "two"], "answer": answer}
    assert known()["multiple_choice"].read(item, How())[0]["gold"] == gold
    with pytest.raises(ItemError, match="more than one choice"):
        known()["multiple_choice"].read({"question": "?", "choices": ["1", "0"], "answer": "1"}, How())


def _other(item: dict[str, Any]) -> dict[str, Any]:
    """Return another item of the same kind: its first text field is longer."""
    name = next(k for k in ("question", "text", "prompt", "sent_more", "questions") if k in item)
    if name == "questions":
        return item | {"id": "2", "questions": [{**q, "question": q["question"] + " Tell me."} for q in item[name]]}
    return item | {"id": "2", name: item[name] + " Tell me."}


def _said(run: RunContext, composition: Composition) -> list[Any]:
    found: list[Any] = []
    for family in ("general", "code"):
        found += families.measure(SUITE, {family: (family,)}, NAMES, "t", composition, run)
    return found
