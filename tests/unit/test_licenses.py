"""Worked license cases as a table, the resolution of spellings and texts, and the laws the rules keep."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import get_args

import pytest

from governance.errors import PolicyError
from governance.licensing import LicenseTerms
from policies.licenses import license_table
from scanners._licenses import cases, whatif
from scanners._licenses.duties import judge, model_verdict, use_verdict, verdict
from scanners._licenses.lineage import LEVELS, Kind, Level, Lineage, Relation
from scanners._licenses.resolve import conclude, look_up
from scanners._licenses.texts import detect

TABLE = license_table()
ROOT = Path(__file__).resolve().parents[2]

#: child, name, relation, holds, bases, purpose, worst level, rules that must be there (with their ground).
CASES = {
    "permissive over permissive, text kept": ("apache-2.0", "u/x", "adapter", "text:apache-2.0 copyright changes", "mit",
        "", "", ""),
    "more restrictive than its base": ("cc-by-nc-4.0", "u/x", "adapter", "copyright changes", "apache-2.0", "", "", ""),
    "attribution base": ("apache-2.0", "u/x", "adapter", "text:apache-2.0 copyright changes", "cc-by-4.0", "", "", ""),
    "nothing attached": ("apache-2.0", "u/x", "adapter", "", "mit", "", "obligation",
        "LIC-TEXT-MISSING/text LIC-NOTICES/judgement"),
    "no license": ("", "u/x", "adapter", "", "apache-2.0", "", "unknown", "LIC-CHILD-UNKNOWN/text"),
    "family id": ("gpl", "u/x", "adapter", "copyright", "mit", "", "unknown", "LIC-CHILD-FAMILY/text"),
    "base unknown": ("mit", "u/x", "adapter", "text:mit", "unknown", "", "unknown", "LIC-PARENT-UNKNOWN/text"),
    "unread base is at best unknown": ("mit", "u/x", "adapter", "text:mit text:h-research", "h-research", "", "conflict",
                                       "LIC-PARENT-UNKNOWN/text LIC-NC/judgement"),
    "commercial over non-commercial, adapter": ("mit", "u/x", "adapter", "text:mit copyright", "cc-by-nc-4.0", "", "conflict",
                                                "LIC-NC/judgement"),
    "commercial over non-commercial, weights": ("mit", "u/x", "finetune", "text:mit copyright changes", "cc-by-nc-4.0", "",
                                                "violation", "LIC-NC/text"),
    "no derivatives": ("mit", "u/x", "finetune", "text:mit copyright changes", "cc-by-nd-4.0", "", "violation", "LIC-ND/text"),
    "no derivatives, quantized": ("mit", "u/x", "quantized", "text:mit copyright changes", "cc-by-nd-4.0", "", "conflict",
                                  "LIC-ND/judgement"),
    "share-alike to a compatible license": ("gpl-3.0", "u/x", "finetune", "copyright changes", "cc-by-sa-4.0", "", "", ""),
    "share-alike not kept": ("mit", "u/x", "finetune", "text:mit copyright changes", "cc-by-sa-4.0", "", "violation",
        "LIC-SAME/text"),
    "Llama name missing": ("llama3.1", "u/alpaca", "adapter", "display", "llama3.1", "", "violation", "LIC-NAME/text"),
    "Llama name, licensor's word first": ("llama3.1", "u/Meta-Llama-3.1-x", "adapter", "display", "llama3.1", "", "violation",
                                          "LIC-NAME/judgement"),
    "Llama name in a folder": ("llama3.2", "/tmp/Llama-x", "adapter", "display", "llama3.2", "", "", ""),
    "Llama relabelled": ("apache-2.0", "u/Llama-x", "finetune", "text:apache-2.0 text:llama3.1 notice display", "llama3.1", "",
                         "conflict", "LIC-RELABEL/judgement"),
    "Llama agreement missing": ("apache-2.0", "u/Llama-x", "finetune", "text:apache-2.0 notice display", "llama3.1", "",
        "violation",
                                "LIC-COPY/text"),
    "Llama agreement of another version": ("llama3", "u/Llama-3-x", "adapter", "text:llama3 display", "llama3.1", "", "conflict",
                                           "LIC-VERSION/judgement"),
    "Llama 2 has no naming duty": ("llama2", "u/alpaca", "adapter", "text:llama2", "llama2", "", "", ""),
    "Gemma restrictions dropped": ("mit", "u/x", "adapter", "text:mit notice changes", "gemma", "", "violation", "LIC-PASS/text"),
    "Gemma restrictions kept": ("mit", "u/x", "adapter", "text:mit text:gemma notice changes restrictions", "gemma", "", "", ""),
    "copyleft cannot take restrictions": ("gpl-3.0", "u/x", "finetune", "changes", "creativeml-openrail-m", "", "violation",
                                          "LIC-COPYLEFT-RESTRICT/text LIC-PASS/text"),
    "GPL 2 alone with Apache": ("gpl-2.0-only", "u/x", "adapter", "copyright", "apache-2.0", "", "conflict",
        "LIC-GPL2-APACHE/judgement"),
    "GPL 2 or later with Apache": ("GPL-2.0-or-later", "u/x", "adapter", "copyright", "apache-2.0", "", "", ""),
    "Qwen display": ("mit", "u/x", "adapter", "text:mit", "qwen", "", "obligation", "LIC-DISPLAY/text"),
    "commercial use of a non-commercial adapter": ("cc-by-nc-4.0", "u/x", "adapter", "copyright", "mit", "commercial", "violation",
                                                   "LIC-NC-USE/text"),
    "use inside a business": ("mit", "u/x", "adapter", "text:mit copyright", "cc-by-nc-4.0", "internal", "conflict",
                              "LIC-NC-USE/judgement"),
    "research use": ("cc-by-nc-4.0", "u/x", "adapter", "copyright", "mit", "research", "", ""),
    "merge of a model whose weights improve no other": ("apache-2.0", "u/Llama-3-x", "merge",
        "text:apache-2.0 text:llama3 copyright changes notice display", "llama3 mit", "", "conflict",
        "LIC-MERGE-IMPROVE/judgement LIC-RELABEL/judgement"),
    "outputs of a teacher that forbids it": ("mit", "u/x", "adapter", "text:mit copyright", "mit teacher:llama3", "", "violation",
        "LIC-OUT/text"),
    "outputs of an older version of the child's family": ("llama3.1", "u/Llama-x", "adapter", "text:llama3.1 display",
        "llama3.1 teacher:llama3", "", "conflict", "LIC-OUT/judgement"),
    "outputs for research, child for commerce": ("mit", "u/x", "adapter", "text:mit copyright", "mit teacher:other:mrl", "",
        "conflict", "LIC-OUT/judgement LIC-PARENT-UNKNOWN/text"),
    "outputs under a name": ("mit", "u/x", "adapter", "text:mit copyright", "mit teacher:llama3.3", "", "violation",
        "LIC-OUT-NAME/text"),
    "outputs that make a derivative": ("mit", "u/x", "adapter", "text:mit copyright", "mit teacher:gemma", "", "conflict",
        "LIC-OUT-DERIV/judgement"),
    "data under a model's license": ("mit", "u/x", "adapter", "text:mit copyright attribution", "mit dataset:llama3.1", "",
        "conflict", "LIC-OUT-NAME/judgement"),
    "data that is free, and data that is not": ("mit", "u/x", "adapter", "text:mit copyright attribution",
        "mit dataset:c-uda dataset:cc-by-sa-4.0", "", "conflict", "LIC-DATA-FREE/text LIC-DATA-SA/judgement"),
    "database as a produced work": ("mit", "u/x", "adapter", "text:mit copyright", "mit dataset:odc-by", "", "obligation",
        "LIC-DATA-NOTICE/text"),
    "a service nobody knows": ("mit", "u/x", "adapter", "text:mit copyright", "mit service:acme", "", "unknown",
        "LIC-PARENT-UNKNOWN/text"),
    "a service": ("mit", "u/x", "adapter", "text:mit copyright", "mit service:openai-output-terms", "", "obligation",
        "LIC-SERVICE/judgement"),
    "users above a cap": ("llama3.1", "u/Llama-x", "adapter", "text:llama3.1 display", "llama3.1", "mau=700000001", "violation",
        "LIC-CAP/text"),
    "users at a cap": ("llama3.1", "u/Llama-x", "adapter", "text:llama3.1 display", "llama3.1", "mau=700000000", "", ""),
    "users above a commercial cap, purpose not told": ("qwen", "u/x", "adapter", "text:qwen display notice", "qwen",
        "mau=100000001", "violation", "LIC-CAP/judgement"),
    "users above a commercial cap, research": ("qwen", "u/x", "adapter", "text:qwen display notice", "qwen",
        "research mau=100000001", "", ""),
    "place is a member of an excluded region": ("llama4", "u/Llama-4", "adapter", "text:llama4 display", "llama4", "where=fr",
        "violation", "LIC-GEO/text"),
    "place by its other code": ("tencent-hunyuan", "u/x", "adapter", "text:tencent-hunyuan notice changes", "tencent-hunyuan",
        "where=GB", "violation", "LIC-GEO/text"),
    "modality not told": ("llama3.2", "u/Llama-x", "adapter", "text:llama3.2 display", "llama3.2", "where=EU", "unknown",
        "LIC-GEO/text"),
    "outputs only": ("cc-by-nc-4.0", "u/x", "adapter", "copyright", "mit", "outputs-only", "", ""),
    "GPL 2 or later over GPL 3": ("gpl-3.0", "u/x", "finetune", "copyright changes", "gpl-2.0-or-later", "", "", ""),
    "Cosmos line": ("nvidia-open-model-license", "u/x", "adapter", "text:nvidia-open-model-license", "nvidia-open-model-license",
        "", "", ""),
    "every ancestor counts": ("apache-2.0", "u/x", "adapter", "text:apache-2.0 copyright", "apache-2.0 llama3.1", "", "violation",
                              "LIC-NAME/text"),
}  # fmt: skip


def lineage(child: str, name: str, relation: str, holds: str, parents: str, context: str) -> Lineage:
    """Return a lineage in short words: a parent without a kind is a base, a context without a key is the purpose."""
    return whatif.lineage(
        whatif.Question(
            child=child, name=name, relation=relation, has=tuple(holds.split()),
            parents=tuple(p if p.split(":")[0] in get_args(Kind) else f"base:{p}" for p in parents.split()),
            context=tuple(c if "=" in c else f"purpose={c}" for c in context.split()),
        ),
        TABLE,
    )  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_worked_cases(name: str) -> None:
    *given, worst, rules = CASES[name]
    duties = judge(lineage(*given))
    assert verdict(duties) == (worst or "ok"), duties
    assert set(rules.split()) <= {f"{d.id}/{d.ground.value}" for d in duties}


def test_every_finding_says_what_to_do() -> None:
    for given in CASES.values():
        for duty in judge(lineage(*given[:6])):
            assert duty.message
            assert duty.remedy or duty.level == "ok"


@pytest.mark.parametrize("terms", [t for t in TABLE.values() if t.family != "service"], ids=lambda t: t.id)
def test_every_spelling_resolves_to_its_own_row(terms: LicenseTerms) -> None:
    for spelling in (terms.id, terms.id.upper(), *terms.aliases, *([terms.spdx] if terms.spdx else [])):
        found = look_up(f" {spelling} ", TABLE)
        assert found is not None
        assert found.terms.id == terms.id


@pytest.mark.parametrize("spelling", ["", "apache", "llama", "mit-0", "business-source-license", "../mit"])
def test_nothing_is_guessed(spelling: str) -> None:
    assert look_up(spelling, TABLE) is None


@pytest.mark.parametrize(
    ("declared", "name", "texts", "ancestors", "expected"),
    [
        ("mit", None, [], [], "mit"),
        ("MIT", None, ["mit"], [], "mit"),
        ("mit", None, ["apache-2.0"], [], None),
        ("mit", None, ["apache-2.0"], ["apache-2.0"], "mit"),
        ("other", "qwen", [], [], "qwen"),
        ("other", "my-own", ["mit"], [], "mit"),
        ("other", "my-own", [], [], None),
        (None, None, ["mit"], [], "mit"),
        (None, None, [], [], None),
        ("unknown", None, [], [], None),
        ("gpl", None, ["gpl-3.0"], [], "gpl-3.0"),
        ("gpl", None, [], [], "gpl"),
        ("llama-3", None, [], [], "llama3"),
        ("my-license", None, ["mit"], [], None),
    ],
)
def test_declared_and_detected_give_concluded(
    declared: str | None, name: str | None, texts: list[str], ancestors: list[str], expected: str | None
) -> None:
    found = conclude(declared, name, texts, TABLE, ancestors=ancestors)
    assert (found.terms.id if found.terms else None) == expected
    assert found.terms is not None or found.reason


MIT = """MIT License

Copyright (c) 2026 Acme

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files
(the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge,
publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do
so, subject to the following conditions: The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE
FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""


def test_texts_are_recognised() -> None:
    apache = (ROOT / "LICENSE").read_text()
    assert detect(apache, TABLE).ids == ("apache-2.0",)
    assert not detect(apache, TABLE).modified
    assert detect(MIT, TABLE).ids == ("mit",)
    assert set(detect(f"{apache}\n\n{MIT}", TABLE).ids) == {"apache-2.0", "mit"}
    assert detect(MIT + "\nCommons Clause: the software may not be sold. " * 3, TABLE).modified
    assert (
        detect("Attribution-NonCommercial-ShareAlike 4.0 International\nCreative Commons Corporation", TABLE).id
        == "cc-by-nc-sa-4.0"
    )
    assert detect("META LLAMA 3 COMMUNITY LICENSE AGREEMENT", TABLE).id == "llama3"
    assert detect("# SPDX-License-Identifier: GPL-3.0-only", TABLE).id == "gpl-3.0"
    assert detect("All rights reserved.", TABLE).id is None
    assert detect(apache[: len(apache) // 4], TABLE).modified
    assert detect(apache[: len(apache) * 5 // 8], TABLE).modified


CONTEXTS = (
    "",
    "commercial",
    "internal",
    "outputs-only",
    "where=DE mau=800000000 revenue=20000000",
    "where=KR commercial multimodal=yes",
)


def test_laws_over_random_lineages() -> None:
    """More evidence never worsens a verdict, a parent never improves it; order and case of ids change nothing."""
    chance = random.Random(7)
    ids = sorted(k for k, t in TABLE.items() if t.family != "service")
    tokens = ["notice", "display", "changes", "copyright", "restrictions", "attribution"]
    for _ in range(2_000):
        child, *named = chance.sample(ids, 4)
        child, kinds = chance.choice([child, child, child, named[0]]), chance.choices(["", "", "dataset:", "teacher:"], k=3)
        parents = [f"{kind}{one}" for kind, one in zip(kinds, named, strict=True)]
        holds = [t for t in [*tokens, f"text:{child}", f"text:{named[0]}"] if chance.random() < 0.5]
        given = (chance.choice(get_args(Relation)), " ".join(holds), " ".join(parents), chance.choice(CONTEXTS))
        case = lineage(child, "u/x", *given)
        duties = judge(case)
        before = verdict(duties)
        more = case.model_copy(update={"holds": case.holds | {chance.choice([*tokens, f"text:{chance.choice(named)}"])}})
        assert worse(before, verdict(judge(more))), (child, given, more.holds)
        turned = lineage(
            child.upper(), "u/x", given[0], given[1].upper().replace("TEXT:", "text:"), " ".join(parents[::-1]), given[3]
        )
        assert judge(turned) == duties
        fewer = case.model_copy(update={"parents": tuple(p for p in case.parents if p.kind != "dataset")})
        assert worse(before, verdict(judge(fewer)))
        assert before == max((model_verdict(duties), use_verdict(duties)), key=lambda v: -LEVELS.index(v))


def worse(first: Level, second: Level) -> bool:
    return LEVELS.index(first) <= LEVELS.index(second)


def test_all_ids_of_the_hub_are_known() -> None:
    assert sum(t.hub for t in TABLE.values()) == 83
    assert sum(not t.hub and t.family != "service" for t in TABLE.values()) == 17


@pytest.mark.parametrize("terms", TABLE.values(), ids=TABLE)
def test_a_row_that_was_read_names_its_clauses(terms: LicenseTerms) -> None:
    if terms.text_seen and terms.family != "permissive":
        assert terms.clauses
    for duty, asked in (("naming", terms.naming), ("notice", terms.notice), ("outputs", terms.outputs.excepted)):
        if asked and terms.text_seen:
            assert terms.clauses.get(duty) or terms.outputs.clause, (terms.id, duty)


def test_what_would_clear_it() -> None:
    carried = answer(child="any", name="u/Llama-x", parents=("base:llama3.1",), has=("display",))
    assert next(row["license"] for row in carried["allowed"]) == "llama3.1"
    assert "LIC-COPY" in next(row["because"] for row in carried["refused"] if row["license"] == "mit")
    bases = answer(child="mit", name="u/x", has=("text:mit", "copyright"), parents=("base:any", "dataset:cc0-1.0"))
    assert {"apache-2.0", "mit"} <= {row["base"] for row in bases["allowed"]}
    assert {"llama3.1", "gemma", "cc-by-nc-4.0"} <= {row["base"] for row in bases["refused"]}


def answer(**asked: str | tuple[str, ...]) -> dict[str, list[dict[str, str]]]:
    made: dict[str, list[dict[str, str]]] = json.loads(json.dumps(whatif.answer(whatif.Question.model_validate(asked), TABLE)))
    return made


@pytest.mark.parametrize(
    "asked",
    [
        {"parents": ("llama3",)}, {"parents": ("lora:mit",)}, {"relation": "copy"}, {"has": ("signature",)},
        {"context": ("mau=many",)}, {"context": ("purpose=fun",)}, {"context": ("where=Europe",)}, {"context": ("age=3",)},
        {"child": "any", "parents": ("base:any",)},
    ],
)  # fmt: skip
def test_a_question_nobody_can_understand_is_refused(asked: dict[str, str | tuple[str, ...]]) -> None:
    with pytest.raises(whatif.QuestionError):
        answer(**asked)


def test_a_row_that_lies_about_its_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mit.yaml").write_text((ROOT / "policies/licenses/apache-2.0.yaml").read_text())
    with pytest.raises(PolicyError, match="holds the id"):
        license_table(tmp_path)


def test_an_unknown_field_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mit.yaml").write_text((ROOT / "policies/licenses/mit.yaml").read_text() + "\ncomercial: 'no'\n")
    with pytest.raises(PolicyError, match="comercial"):
        license_table(tmp_path)


def test_reference_cases(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every worked case is judged as a person wrote."""
    found = cases.report(cases.read((shared / "data/licenses/cases.csv").read_text(encoding="utf-8")), TABLE)
    with capsys.disabled():
        print(f"\nlicense cases: {found['agree']} of {found['cases']} agree, grounding {found['grounding']}")
    assert found["agree"] == found["cases"] == 40
