"""Trees, reused caches and batched answers against plain forward passes of one row, on many architectures."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from lm_eval.api.instance import Instance  # noqa: E402

from evaluators._engine import planner  # noqa: E402
from evaluators._engine.lm import CuratorLM, cut  # noqa: E402
from evaluators._engine.planner import Span, plan  # noqa: E402
from evaluators._model.device import Device  # noqa: E402
from evaluators._model.graft import Alone  # noqa: E402
from evaluators._model.resident import Resident  # noqa: E402
from tests import tiny_families, tiny_model  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

TOKENIZER = tiny_model._tokenizer()
#: Families that only plain rows are right for.
PLAIN = {"bloom", "mamba", "recurrent-gemma"}
WORDS = [
    "the",
    "ferry",
    "leaves",
    "a",
    "small",
    "harbor",
    "at",
    "seven",
    "in",
    "morning",
    "when",
    "bats",
    "find",
    "their",
    "way",
    "by",
    "night",
    "and",
    "maps",
    "leave",
    "things",
    "out",
]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def resident_of(family: str, budget: int = 128, **options: Any) -> Resident:
    model = tiny_families.make(family, len(TOKENIZER), **options)
    return Resident(
        tokenizer=TOKENIZER, device=Device("cpu", "here", "float32", budget), kernel_path="test", versions={},
        max_length=tiny_families.POSITIONS, eos=frozenset({2}), _pair=Alone(model), _keys={"base": "b", "adapter": "a"},
    )  # fmt: skip


def text(draw: random.Random, words: int) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(words))


def questions(draw: random.Random) -> list[Instance]:
    """Few-shot headers, passages with several questions, one-token and long choices, unique prompts, empty contexts, rolling."""
    asked: list[tuple[str, str]] = []
    header = text(draw, 25)
    for _ in range(6):
        context = f"{header}\n\n{text(draw, 8)}"
        asked.extend((context, f" {e}") for e in "abcd")
    passage = text(draw, 30)
    for _ in range(3):
        context = f"{passage}\n{text(draw, 5)}"
        asked.extend((context, " " + text(draw, n)) for n in (1, 4, 9, 20))
    asked.extend((text(draw, n), " " + text(draw, 2)) for n in (2, 9, 17))
    asked.extend(("", text(draw, n)) for n in (1, 6))
    asked.append((text(draw, 200), " " + text(draw, 3)))
    asked.append(asked[0])
    scored = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(asked)]
    return [*scored, *(Instance("loglikelihood_rolling", {}, (text(draw, n),), 0) for n in (5, 250))]


def one_row(model: Resident, span: Span) -> tuple[float, bool, float]:
    """Return sum, greedy flag and smallest lead of the best token, from a plain pass."""
    with torch.inference_mode():
        logits = model._pair.model(input_ids=torch.tensor([span.ids[:-1]]), use_cache=False).logits[0]
    found = torch.log_softmax(logits.float(), -1)[span.start - 1 :]
    tokens = torch.tensor(span.ids[span.start :])
    best = found.topk(2, -1).values
    return (
        float(found.gather(-1, tokens[:, None]).sum()),
        bool((found.argmax(-1) == tokens).all()),
        float((best[:, 0] - best[:, 1]).min()),
    )


@pytest.mark.parametrize("family", tiny_families.FAMILIES)
def test_every_number_equals_a_plain_pass_of_one_row(family: str) -> None:
    model = resident_of(family)
    assert model.way.tree == (family not in PLAIN), str(model.way)
    requests = questions(random.Random(3))
    ours = CuratorLM(model, "base")
    answers = ours.answer(requests)
    for request, answer in zip(requests, answers, strict=True):
        rolling = request.request_type == "loglikelihood_rolling"
        spans = ours._windows(*request.args) if rolling else [ours._span(*request.args)]
        plain = [one_row(model, s) for s in spans]
        total = sum(v for v, _, _ in plain)
        length = sum(len(s.ids) - s.start for s in spans)
        assert (answer if rolling else answer[0]) == pytest.approx(total, abs=1e-4 * length)
        if not rolling and min(lead for _, _, lead in plain) > 1e-3:
            assert answer[1] == all(g for _, g, _ in plain)
    again = {i for i in range(len(requests)) if i % 3}
    fresh = ours.answer(requests, {i: answers[i] for i in again})
    assert fresh == answers, "what is known changed the other numbers"


@pytest.mark.parametrize("family", tiny_families.FAMILIES)
def test_generated_text_equals_that_of_one_row_without_a_cache(family: str) -> None:
    model = resident_of(family)
    draw = random.Random(5)
    header = text(draw, 25)
    prompts = [f"{header}\n{text(draw, n)}" for n in (1, 2, 7, 7, 12)] + [text(draw, 3)]
    settings = {"until": ["e t", "\n\n"], "max_gen_toks": 12, "do_sample": True, "temperature": 5.0}
    found = CuratorLM(model, "base").generate_until(
        [Instance("generate_until", {}, (p, settings), i) for i, p in enumerate(prompts)]
    )
    for prompt, answer in zip(prompts, found, strict=True):
        ids, written = model.encode(prompt)[-(tiny_families.POSITIONS - 12) :], []
        for _ in range(12):
            with torch.inference_mode():
                token = int(model._pair.model(input_ids=torch.tensor([ids + written]), use_cache=False).logits[0, -1].argmax())
            if token == 2:
                break
            written.append(token)
        assert answer == cut(model.decode(written), ("e t", "\n\n"))


def test_a_plan_encodes_each_shared_beginning_once() -> None:
    model = resident_of("llama", budget=512)
    draw = random.Random(1)
    header = tuple(draw.choices(range(3, 300), k=100))
    spans = [Span((*header, *draw.choices(range(3, 300), k=40), e), 140) for _ in range(30) for e in (5,)]
    spans += [Span((*s.ids[:-1], 6), 140) for s in spans]
    made = plan(spans, model)
    assert made.tokens <= 100 + 30 * 40
    assert made.padded < 1.35 * made.tokens
    assert made == plan(spans, model)
    marks = [m.span for b in made.batches for row in b.marks for m in row]
    assert sorted(marks) == list(range(60))
    plain = plan(spans, resident_of("bloom", budget=512))
    assert plain.tokens == 30 * 140
    assert all(b.plain for b in plain.batches)


def test_every_scored_token_is_read_once_whatever_the_texts() -> None:
    """Random tries with nested beginnings, repeated texts, and every budget."""
    model = resident_of("llama")
    for seed in range(40):
        draw = random.Random(seed)
        spans: list[Span] = []
        while len(spans) < 30:
            begin = spans[draw.randrange(len(spans))].ids if spans and draw.random() < 0.7 else ()
            ids = (*begin[: draw.randrange(len(begin) + 1)], *draw.choices(range(3, 6), k=draw.randrange(2, 60)))[:200]
            spans.append(Span(ids, draw.randrange(1, len(ids))))
        object.__setattr__(model.device, "token_budget", draw.choice((16, 64, 256)))
        read: dict[tuple[int, int], tuple[int, ...]] = {}
        for batch in plan(spans, model).batches:
            trunk = tuple(t for piece in batch.trunk for t in piece)
            for row, marks in zip(batch.rows, batch.marks, strict=True):
                for mark in marks:
                    before = (*trunk, *path(row, mark.at)) if not batch.plain else row.ids[: mark.at + 1]
                    assert (mark.span, len(before)) not in read
                    read[mark.span, len(before)] = (*before, mark.token)
        for number, span in enumerate(spans):
            for position in range(span.start, len(span.ids)):
                assert read.pop((number, position)) == span.ids[: position + 1]
        assert not read


def path(row: planner.Row, at: int) -> tuple[int, ...]:
    """Return the tokens from the start of the row's own part of a text to an index."""
    starts, first = [], 0
    for segment in row.segments:
        starts.append(first)
        first += segment.length
    here = max(i for i, s in enumerate(starts) if s <= at)
    ids = row.ids[starts[here] : at + 1]
    while row.segments[here].parent >= 0:
        here = row.segments[here].parent
        ids = (*row.ids[starts[here] : starts[here] + row.segments[here].length], *ids)
    return ids


def test_a_batch_that_does_not_fit_is_halved_and_counted() -> None:
    model = resident_of("llama", budget=1024)
    requests = questions(random.Random(3))
    expected = CuratorLM(model, "base").answer(requests)
    whole = model._grow

    def small(rows: Any, *rest: Any) -> Any:
        if len(rows) > 1:
            raise torch.OutOfMemoryError("no room")
        return whole(rows, *rest)

    model._grow = small  # type: ignore[method-assign]
    found = CuratorLM(model, "base").answer(requests)
    assert model.halvings > 0
    for a, b in zip(expected, found, strict=True):
        assert (a if isinstance(a, float) else a[0]) == pytest.approx(b if isinstance(b, float) else b[0], abs=1e-3)


def test_the_way_is_part_of_the_key() -> None:
    tree, plain = resident_of("llama"), resident_of("bloom")
    assert tree.model_key("base") != plain.model_key("base")
    assert "token trees" in tree.kernel_path
    assert "plain rows" in plain.kernel_path


def test_a_window_longer_than_the_probe_limits_trees() -> None:
    def widen(config: Any) -> None:
        config.sliding_window = 100

    model = resident_of("mistral-window", change=widen)
    assert model.way.tree
    model = resident_of("mistral-window", change=lambda config: setattr(config, "sliding_window", 250))
    assert model.way.longest == 250
    assert not model.way.fits(251)
