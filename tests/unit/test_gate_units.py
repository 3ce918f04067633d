"""Units of items: one order for all, clusters whole, a canary first; and which items hang together."""

from __future__ import annotations

import dataclasses
import itertools
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from evaluators._gate import clusters
from evaluators._items.kinds import shape
from evaluators._items.tasks import Questions
from evaluators._runtime import items
from evaluators._runtime.items import CANARY, Item, Unit
from evaluators._runtime.scoring import BOTH, pairs
from governance.context import RunContext
from governance.evidence import ItemRow

KIND = shape.known()["multiple_choice"]
#: What says whether an item fits; everything here does.
MODEL: Any = SimpleNamespace(max_length=512, encode=list)


def questions(family: str, count: int, *, grouped: int = 0, turned: bool = False) -> Questions:
    def one(n: int) -> dict[str, Any]:
        plain = {"id": str(n), "question": f"What is {family} {n}?", "choices": ["a", "b", "c"], "answer": 1}
        return plain | ({"passage": f"Passage {n // grouped}."} if grouped else {})

    group = {n: {"group": f"g{n // grouped}"} if grouped else {} for n in range(count)}
    read = [{**d, **group[n]} for n in range(count) for d in KIND.read(one(n), shape.How())]
    if turned:
        read.reverse()
    return Questions(family, family, "1", "0" * 64, "test", KIND.ways[0].definition, read, group="group" if grouped else None)


def families(ctx: RunContext, *asked: Questions) -> dict[str, list[Item]]:
    items._BUILT.clear()
    found, gaps = items.build(asked, MODEL, ctx)
    assert gaps == []
    return found


def order(units: list[Unit]) -> list[tuple[int, str, str, list[str]]]:
    return [(u.number, u.family, u.plan, [i.key for i in u.items]) for u in units]


def test_units_hold_every_item_once_and_take_turns(ctx: RunContext) -> None:
    made = families(ctx, questions("a", 500), questions("b", 100), questions("c", 90, grouped=9))
    units = items.units(made, 1)
    assert [u.number for u in units] == list(range(len(units)))
    for family, asked in made.items():
        mine = [i.key for u in units if u.family == family for i in u.items]
        assert sorted(mine) == sorted(i.key for i in asked)
        assert len(set(mine)) == len(mine)
    assert [u.family for u in units[:3]] == ["a", "b", "c"]
    assert [len(u.items) for u in units if u.family == "a"] == [CANARY, 128, 128, 180]
    grouped = [u for u in units if u.family == "c"]
    assert {len(c) for u in grouped for c in u.clusters} == {9}, "a cluster was cut"


def test_the_order_depends_on_seed_and_content_alone(ctx: RunContext) -> None:
    first = order(items.units(families(ctx, questions("a", 300)), 1))
    assert order(items.units(families(ctx, questions("a", 300, turned=True)), 1)) == first
    assert order(items.units(families(ctx, questions("a", 300)), 2)) != first
    beside = items.units(families(ctx, questions("b", 200), questions("a", 300)), 1)
    mine = [(u.plan, [i.key for i in u.items]) for u in beside if u.family == "a"]
    assert mine == [(plan, keys) for _, _, plan, keys in first], "another family changed the units of this one"


def test_shards_share_out_all_units(ctx: RunContext) -> None:
    units = items.units(families(ctx, questions("a", 700)), 1)
    shared = [[u.number for u in units if u.number % 3 == index] for index in range(3)]
    assert sorted(itertools.chain(*shared)) == [u.number for u in units]
    assert all(shared)


def test_prompts_are_made_once_and_answers_are_not_kept_with_them(ctx: RunContext) -> None:
    first = families(ctx, questions("a", 5))["a"]
    first[0].rows["base"] = None  # type: ignore[assignment]
    again, _ = items.build([questions("a", 5)], MODEL, ctx)
    assert [i.key for i in again["a"]] == [i.key for i in first]
    assert again["a"][0].rows == {}
    assert again["a"][0].instances is first[0].instances
    other = dataclasses.replace(questions("a", 5), digest="1" * 64)
    fresh, _ = items.build([other], MODEL, ctx)
    assert not {i.key for i in fresh["a"]} & {i.key for i in first}


def test_what_stands_beside_a_family_goes_with_its_prompt_and_does_not_count(ctx: RunContext) -> None:
    counted = questions("a", 40)
    beside = dataclasses.replace(counted, name="a-mass", pooled=False)
    made = families(ctx, counted, beside)["a"]
    [unit] = items.units({"a": made}, 1)
    assert {tuple(i.questions.pooled for i in c) for c in unit.clusters} == {(True, False)}
    for item in made:
        item.rows = {which: ItemRow(model_key="m", item_key=item.key, task="a", values={"score": 1.0}) for which in BOTH}
    scored = list(pairs(unit))
    assert [len(c) for c in scored] == [1] * 40
    assert {p.group for c in scored for p in c} == {None}


def test_a_suite_s_own_seed_orders_its_families(ctx: RunContext) -> None:
    own = dataclasses.replace(questions("a", 300), seed=7)
    assert order(items.units(families(ctx, own), 1)) == order(items.units(families(ctx, own), 2))
    assert order(items.units(families(ctx, own), 1)) == order(items.units(families(ctx, questions("a", 300)), 7))


def test_an_item_asked_twice_is_one_cluster(ctx: RunContext) -> None:
    twice = questions("a", 3)
    doubled = dataclasses.replace(twice, documents=[*(twice.documents or ()), *(twice.documents or ())])
    found = families(ctx, doubled)["a"]
    assert sorted(len([i for i in found if i.cluster == c]) for c in {i.cluster for i in found}) == [2, 2, 2]


def test_items_with_a_long_text_in_common_hang_together() -> None:
    instruction, passage = "Read the text and answer. " * 20, "The ferry leaves at seven in the morning. " * 10
    other = "A good map leaves most of the land out. " * 10
    asked = [[instruction + passage + "When?"], [instruction + passage + "What?"], [instruction + other], [instruction + "Q?"]]
    joined = clusters.join(clusters.text_keys(asked))
    assert joined == [0, 0, 2, 3]
    # The passage may also stand in the data, behind another beginning.
    data = [["Q1?", passage], ["Q2?", passage], ["Q3?", other]]
    assert clusters.join(clusters.text_keys(data)) == [0, 0, 2]
    # What every item has is no reason.
    assert len(set(clusters.join(clusters.text_keys([["Q1?", other], ["Q2?", other]])))) == 2


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=3), max_size=12), st.randoms())
def test_clusters_do_not_depend_on_the_order_of_items(keys: list[list[str]], draw: Any) -> None:
    places = list(range(len(keys)))
    draw.shuffle(places)

    def partition(order: list[int]) -> set[frozenset[int]]:
        joined = clusters.join([keys[i] for i in order])
        return {frozenset(order[i] for i in range(len(order)) if joined[i] == c) for c in joined}

    found = partition(places)
    assert found == partition(list(range(len(keys))))
    for one, other in itertools.combinations(range(len(keys)), 2):
        if set(keys[one]) & set(keys[other]):
            assert any({one, other} <= cluster for cluster in found)


@given(st.lists(st.text("ab", max_size=6), max_size=5))
def test_the_shared_start_is_the_longest_one(texts: list[str]) -> None:
    length = clusters.shared_start(texts)
    if texts:
        assert all(t[:length] == texts[0][:length] for t in texts)
        assert len({t[: length + 1] for t in texts}) > 1 or min(map(len, texts)) == length
