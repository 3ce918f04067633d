"""Where a bill of materials gets its facts: what cards and configurations say, digests of files, and how complete it is."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from governance.context import RunContext
from governance.subject import FileEntry, SourceKind, Subject
from reports._bom import digests
from reports._bom.tree import components
from reports.cyclonedx import PLUGIN as V17
from scanners._formats.claims.description import describe
from tests.benchmarks.bom_score import ELEMENTS, Bom, score
from tests.bom_samples import ANSWERS, reference
from tests.builders import composition
from tests.scorecards import SCORECARDS

CARD = b"""---
pipeline_tag: text-generation
library_name: peft
tags: [sft, lora]
co2_eq_emissions: {emissions: 12, hardware_used: 1 x A100}
model-index:
- name: m
  results:
  - dataset: {name: GSM8K, type: gsm8k}
    metrics: [{type: accuracy, value: 0.5}, {type: broken, value: high}]
---
# A title

![badge](x.png)

This adapter answers questions about discharge letters.

```
# Limitations
not a heading, inside code
```

## Intended uses & limitations
Drafts.
## Limitations and bias
English only.
## Training procedure
[More Information Needed]
"""
CONFIG = {
    "peft_type": "LORA",
    "r": 8,
    "lora_alpha": 16,
    "target_modules": ["q_proj", "v_proj"],
    "use_dora": False,
    "task_type": "CAUSAL_LM",
}
MODEL = {"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "vision_config": {}, "hidden_size": 640}


def test_cards_and_configurations_are_read_one_statement_each(ctx: RunContext) -> None:
    files = {"README.md": CARD, "adapter_config.json": json.dumps(CONFIG).encode(), "config.json": json.dumps(MODEL).encode()}
    said = describe(composition(ctx, files).adapter, ctx).statements
    found: dict[str, list[str]] = {}
    for s in said:
        found.setdefault(s.key, []).append(s.value)
    assert found["description"] == ["This adapter answers questions about discharge letters."]
    assert found["limitations"] == ["English only."]
    assert found["uses"] == ["Drafts."]
    assert "training" not in found
    assert found["metric"] == ["accuracy | GSM8K | 0.5"]
    assert found["approach"] == ["supervised"]
    assert found["hardware"] == ["1 x A100"]
    assert found["input"] == ["text", "image"]
    assert (found["peft:r"], found["peft:use_dora"], found["peft:target_modules"]) == (["8"], ["false"], ["q_proj, v_proj"])
    assert all(s.where for s in said)


@pytest.mark.parametrize(
    "card",
    [b"", b"---", b"---\n---", b"\xff\xfe\x00", b"#" * 500_000, b"---\nmodel-index: [[[1]]]\n---\n", b"# L\n" * 50_000, CARD[:300]],
)
def test_a_hostile_card_gives_few_and_short_statements(ctx: RunContext, card: bytes) -> None:
    config = {"r": {"a": 1}, "target_modules": ["x" * 10_000] * 10_000, "lora_alpha": [[[]]]}
    files = {"README.md": card, "adapter_config.json": json.dumps(config).encode()}
    said = describe(composition(ctx, files).adapter, ctx).statements
    assert len(said) <= 120
    assert all(len(s.value) <= 600 and len(s.where) < 200 for s in said)


def test_digests_in_the_document_are_those_of_the_files(ctx: RunContext) -> None:
    files = {
        "adapter_model.safetensors": b"weights",
        "adapter_config.json": b"{}",
        "sub/z": b"1",
        "sub.txt": b"2",
        ".gitattributes": b"3",
    }
    made = composition(ctx, files)
    card = SCORECARDS["no-base"]
    card = card.model_copy(update={"dossier": card.dossier.model_copy(update={"composition": made})})
    bom: dict[str, Any] = json.loads(V17.render(card))
    root = bom["metadata"]["component"]
    stated = {c["name"]: {h["alg"]: h["content"] for h in c["hashes"]} for c in root["components"]}
    assert stated == {
        n: {"SHA-256": hashlib.sha256(b).hexdigest(), "SHA-512": hashlib.sha512(b).hexdigest()} for n, b in files.items()
    }
    assert {h["alg"]: h["content"] for h in root["hashes"]} == stated["adapter_model.safetensors"]
    order = ("adapter_config.json", "adapter_model.safetensors", "sub/z", "sub.txt")
    expected = hashlib.sha256(b"".join(hashlib.sha256(files[n]).digest() for n in order)).hexdigest()
    assert root["version"] == f"sha256:{expected}"
    assert {"name": "modelcurator:digest:oms-root-v1", "value": f"sha256:{expected}"} in root["properties"]


def test_a_file_without_a_digest_is_listed_with_a_reason() -> None:
    base = reference().dossier.composition.base
    assert base is not None
    listed = FileEntry(path="model.safetensors", size=9, sha256="", digest_source="none", present=False)
    subject = Subject(source=SourceKind.HUB, name=base.name, commit=base.commit, files=(listed,))
    card = reference()
    changed = card.dossier.composition.model_copy(update={"base": subject})
    bom = json.loads(V17.render(card.model_copy(update={"dossier": card.dossier.model_copy(update={"composition": changed})})))
    found = components(bom)["base"]
    assert "hashes" not in found
    assert digests.root_digest(subject) == ""
    assert "modelcurator:absent:hashes" in {p["name"] for p in found["properties"]}
    inner = found["components"]
    assert isinstance(inner, list)
    assert "hashes" not in inner[0]


def test_the_elements_are_forty_one() -> None:
    assert len(ELEMENTS) == len({name for name, _, _ in ELEMENTS}) == 41


def test_with_every_fact_all_elements_are_reached() -> None:
    raw = V17.render(reference(ANSWERS))
    statement = json.dumps({"subject": [{"digest": {"sha256": hashlib.sha256(raw).hexdigest()}}]}).encode()
    envelope = json.dumps({"payload": base64.b64encode(statement).decode()}).encode()
    assert [r for r in score(Bom(json.loads(raw), envelope, raw)) if not r[2]] == []


def test_without_a_person_three_elements_are_missing_and_each_says_why() -> None:
    missing = [r for r in score(Bom(json.loads(V17.render(reference())))) if not r[2]]
    assert [r[1] for r in missing] == ["SBOM author", "author signature", "system name"]
    for name in SCORECARDS:
        assert all(why for _, _, reached, why in score(Bom(json.loads(V17.render(SCORECARDS[name])))) if not reached)


def test_words_that_say_nothing_reach_nothing() -> None:
    bom = json.loads(V17.render(reference()))
    before = {r[1] for r in score(Bom(bom)) if r[2]}
    for key in ("description", "version"):
        components(bom)["base"][key] = "unknown"
    assert before - {r[1] for r in score(Bom(bom)) if r[2]} == {"model description", "model version"}


def test_demo_adapters_are_where_the_benchmark_looks() -> None:
    folder = Path(__file__).parents[1] / "demo" / "adapters"
    assert {p.name for p in folder.iterdir() if p.is_dir()} >= {"clean", "forgetful", "backdoored"}
