"""What a repository says it was made from, the walk to the roots, and the texts that close duties."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from governance.context import RunContext
from governance.errors import SubjectError
from governance.hub.ancestry import NODES, Unreachable, with_ancestry
from governance.subject import Ancestor, Composition, Description, ParentClaim, Subject
from policies.licenses import license_table
from scanners._formats.claims.description import describe
from scanners._licenses import remedies
from scanners._licenses.duties import judge
from scanners._licenses.lineage import Lineage, Parent, named_as_asked
from scanners._licenses.nodes import known_license, lineage_of
from scanners._licenses.resolve import look_up
from scanners._licenses.texts import detect, sketches
from tests.builders_adapters import subject

TABLE = license_table()

RECORDS = {
    "card": ({"README.md": "---\nbase_model: [a/b, c/d]\ndatasets: [e/f]\n---\n"}, {"base a/b", "base c/d", "dataset e/f"}),
    "second front matter": ({"README.md": "---\nlicense: mit\n---\nx\n---\nbase_model: a/b\nlicence: mit\n---\n"}, {"base a/b"}),
    "name of the model itself": ({"README.md": "---\nmodel_name: qwen-alpaca\nlicence: license\n---\n"}, set()),
    "configuration": ({"adapter_config.json": {"base_model_name_or_path": "a/b", "peft_type": "LORA"}}, {"base a/b"}),
    "axolotl": ({"axolotl_config.yml": "base_model: a/b\ndatasets:\n- path: c/d\n  type: alpaca\n"}, {"base a/b", "dataset c/d"}),
    "axolotl in the card": (
        {"README.md": "---\nlicense: mit\n---\n```yaml\nbase_model: a/b\ndatasets:\n  - path: c/d\n```\n"},
        {"base a/b", "dataset c/d"}),
    "LLaMA-Factory": ({"training_args.yaml": "model_name_or_path: a/b\ndataset: alpaca_en\n"}, {"base a/b", "dataset alpaca_en"}),
    "mergekit": ({"mergekit_config.yml": "models:\n- model: a/b\n- model: c/d\nbase_model: e/f\n"},
                 {"base a/b", "base c/d", "base e/f"}),
    "mergekit slices": ({"mergekit_config.yml": "slices:\n- sources:\n  - model: a/b\n  - model: c/d\n"}, {"base a/b", "base c/d"}),
    "TRL sentence": (
        {"README.md": "---\nlicense: mit\n---\nThis model is a fine-tuned version of [a/b](https://x) on the [c/d](y) dataset."},
                     {"base a/b", "dataset c/d"}),
    "Unsloth sentence": ({"README.md": "---\nlicense: mit\n---\n- **Finetuned from model :** a/b\n"}, {"base a/b"}),
    "code in place of metadata": (
        {"adapter_model.safetensors": {"tensors": {}}, "README.md": "base_model = \"a/b\"\nds = load_dataset('c/d')\n"},
        {"base a/b", "dataset c/d"}),
    "code of a program": ({"README.md": "model_id = 'a/b'\n"}, set()),
    "teacher": ({"README.md": "---\nteacher_model: a/b\n---\n"}, {"teacher a/b"}),
    "not YAML": ({"axolotl_config.yml": "a: [", "README.md": "---\n: :\n---\n"}, set()),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDS)
def test_parents_are_named(name: str, ctx: RunContext) -> None:
    files, expected = RECORDS[name]
    found = describe(subject(files, ctx, name="acme/x"), ctx)
    assert {f"{p.kind} {p.name}" for p in found.parents} == expected
    assert all(p.where for p in found.parents)


class World:
    """Repositories by name, each with what it was made from."""

    def __init__(self, parents: Mapping[str, tuple[str, ...]], ctx: RunContext, closed: tuple[str, ...] = ()) -> None:
        self.parents, self.ctx, self.closed, self.asked = parents, ctx, closed, list[str]()

    def describes(self, subject: Subject) -> Description:
        claims = [ParentClaim(kind="base", name=n, where="README.md#base_model") for n in self.parents.get(subject.name, ())]
        return Description(kind="model", parents=tuple(claims))

    def reach(self, claim: ParentClaim, ctx: RunContext) -> Subject:
        self.asked.append(claim.name)
        if claim.name in self.closed:
            raise SubjectError(f"{claim.name} is gated")
        if claim.name not in self.parents:
            raise SubjectError(f"there is no repository {claim.name}")
        files = {"README.md": "---\nlicense: mit\n---\n", "name": claim.name}
        return subject(files, self.ctx, name=claim.name).model_copy(update={"commit": format(len(self.asked), "040x")})

    def walk(self) -> Composition:
        adapter = subject({"README.md": "x"}, self.ctx, name="a/adapter")
        made = Composition(adapter=adapter, base_reason="none", description=self.describes(adapter))
        return with_ancestry(made, reach=self.reach, describes=self.describes, ctx=self.ctx)


def reasons(edges: tuple[Ancestor, ...]) -> dict[str, str]:
    return {f"{e.child}>{e.name}": e.reason for e in edges}


def test_every_parent_of_every_parent_is_reached_once(ctx: RunContext) -> None:
    world = World({"a/adapter": ("b/one", "b/two"), "b/one": ("c/root",), "b/two": ("c/root",), "c/root": ()}, ctx)
    made = world.walk()
    assert {s.name for s in made.lineage} == {"b/one", "b/two", "c/root"}
    assert sorted(world.asked) == ["b/one", "b/two", "c/root"]
    assert reasons(made.ancestry) == {"a/adapter>b/one": "", "b/one>c/root": "", "a/adapter>b/two": "", "b/two>c/root": ""}


@pytest.mark.parametrize(
    ("parents", "edge", "words"),
    [
        ({"a/adapter": ("b/one",), "b/one": ("c/two",), "c/two": ("b/one",)}, "c/two>b/one", "cycle"),
        ({"a/adapter": ("b/one",), "b/one": ("a/adapter",)}, "b/one>a/adapter", "cycle"),
        ({"a/adapter": ("b/gone",)}, "a/adapter>b/gone", "no repository"),
        ({"a/adapter": ("b/closed",), "b/closed": ()}, "a/adapter>b/closed", "gated"),
        ({"a/adapter": ("/content/llama",)}, "a/adapter>/content/llama", "path"),
        ({"a/adapter": tuple(f"b/n{i}" for i in range(NODES + 2)), **{f"b/n{i}": () for i in range(NODES + 2)}},
         f"a/adapter>b/n{NODES + 1}", "more than"),
    ],
)  # fmt: skip
def test_what_is_not_reached_says_why(parents: dict[str, tuple[str, ...]], edge: str, words: str, ctx: RunContext) -> None:
    made = World(parents, ctx, closed=("b/closed",)).walk()
    assert words in reasons(made.ancestry)[edge]
    nodes = lineage_of(made, RunContext(run_id="r", on=ctx.on, store=ctx.store, license_terms=TABLE))
    assert any(c.terms is None and c.reason for n in nodes for c in n.found) or words == "cycle"


def test_a_silent_hub_is_asked_once(ctx: RunContext) -> None:
    world = World({"a/adapter": ("b/one", "b/two")}, ctx)
    asked = list[str]()

    def silent(claim: ParentClaim, ctx: RunContext) -> Subject:
        asked.append(claim.name)
        raise Unreachable("nobody answers")

    adapter = subject({"README.md": "x"}, ctx, name="a/adapter")
    made = Composition(adapter=adapter, description=world.describes(adapter))
    found = with_ancestry(made, reach=silent, describes=world.describes, ctx=ctx)
    assert asked == ["b/one"]
    assert {e.reason for e in found.ancestry} == {"nobody answers"}


def test_known_models_are_whole_names_of_rows() -> None:
    assert known_license("base", "Meta-Llama/llama-2-7B-hf") == "llama2"
    assert known_license("base", "somebody/Llama-2-7b-hf") is None
    assert known_license("base", "tatsu-lab/alpaca") is None
    assert known_license("dataset", "tatsu-lab/alpaca") == "cc-by-nc-4.0"
    assert known_license("base", "Qwen/Qwen2.5-3B") == "qwen-research"


def made_of(child: str, *bases: str, name: str = "u/x") -> Lineage:
    found = look_up(child, TABLE)
    parents = tuple(Parent(name=f"acme/{b}", terms=f.terms if (f := look_up(b, TABLE)) else None) for b in bases)
    return Lineage(name=name, terms=found.terms if found else None, parents=parents, relation="finetune")


@pytest.mark.parametrize(
    ("name", "prefix", "passes"),
    [
        ("u/Llama-3-x", "Llama 3", True), ("u/llama3x", "Llama 3", True), ("u/Meta-Llama-3-x", "Llama 3", None),
        ("u/x-Llama-3", "Llama 3", False), ("llama/x", "Llama", False), ("u/EXAONE", "EXAONE", True),
        ("u/LGAI-EXAONE-x", "EXAONE", None), ("", "Llama", False),
    ],
)  # fmt: skip
def test_names(name: str, prefix: str, passes: bool | None) -> None:
    assert named_as_asked(name, prefix) is passes


@pytest.mark.parametrize("name", ["u/alpaca-lora", "u/Meta-Llama-3.1-x", "alpaca", "u/" + "a" * 96, "u/llama", "/tmp/deep/folder"])
def test_a_compliant_name_passes_the_test_it_is_made_for(name: str) -> None:
    made = remedies.name(made_of("apache-2.0", "llama3", name=name))
    assert named_as_asked(made, "Llama 3") is True
    assert len(made.rsplit("/", 1)[-1]) <= 96
    assert made.count("/") == (1 if name.startswith("u/") else 0)


def test_a_notice_has_one_block_for_each_license() -> None:
    rows = [TABLE["llama3.1"], TABLE["llama3.1"], TABLE["gemma"], TABLE["mit"]]
    blocks = remedies.notice(rows).split("\n\n")
    assert blocks[0].startswith("Llama 3.1 is licensed under the Llama 3.1 Community License, Copyright")
    assert len(blocks) == 2
    assert "ai.google.dev/gemma/terms" in blocks[1]


def test_a_card_names_every_parent_and_a_license_the_hub_knows() -> None:
    card = remedies.card(made_of("qwen", "apache-2.0", "llama3.1"))
    assert "license: other\nlicense_name: qwen\n" in card
    assert "- acme/apache-2.0\n- acme/llama3.1\nbase_model_relation: finetune" in card
    assert remedies.expression([TABLE["llama3.1"], TABLE["cc-by-nc-4.0"]]) == "LicenseRef-llama3.1 AND CC-BY-NC-4.0"


def test_every_open_duty_with_a_text_gets_it() -> None:
    made = made_of("apache-2.0", "llama3.1", "gemma", "cc-by-4.0")
    found = {key for duty in judge(made) for key in remedies.remedies([duty], made)}
    assert {"remedy-name", "remedy-notice", "remedy-attribution", "remedy-card-line", "remedy-file", "remedy-attachment"} <= found


def test_sketches_are_of_rows_and_no_text_is_shipped() -> None:
    assert len({s.license for s in sketches()}) >= 40
    assert {s.license for s in sketches()} <= set(TABLE)


def test_a_text_under_a_known_title_is_not_believed() -> None:
    words = "Apache License Version 2.0, January 2004. " + "You may do what the owner of this file says, and nothing else. " * 40
    found = detect(words, TABLE)
    assert found.modified
    assert detect("Apache License Version 2.0", TABLE).ids == ()
    header = (
        "Licensed under the Apache License, Version 2.0 (the License); you may not use this file except in compliance with it. "
    )
    assert not detect(f"{header}You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0", TABLE).modified
    assert detect("lorem ipsum " * 500, TABLE).ids == ()
