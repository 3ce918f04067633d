"""The bill of materials: valid, pinned, and refused by our linter when it is not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from governance.errors import PluginError
from governance.verdict import Scorecard
from reports._bom import lint as linter
from reports._bom import splice
from reports._bom.licenses import license_choices, spdx_id
from reports._bom.parts import LicensePart
from reports._bom.tree import components
from reports.cyclonedx import PLUGIN as V17
from reports.cyclonedx_1_6 import PLUGIN as V16
from tests.bom_samples import ANSWERS, reference
from tests.scorecards import SCORECARDS, poisoned

#: Every sample scorecard, one with every fact, the same with a person's answers, and that one hostile throughout.
CARDS: Mapping[str, Scorecard] = {
    **SCORECARDS,
    "reference": reference(),
    "answered": reference(ANSWERS),
    "hostile-reference": Scorecard.model_validate_json(poisoned(reference()).model_dump_json()),
}
BOMS: Mapping[str, dict[str, Any]] = {name: json.loads(V17.render(card)) for name, card in CARDS.items()}


@pytest.mark.parametrize("name", CARDS)
def test_both_versions_pass_the_strict_validator(name: str) -> None:
    for form, version in ((V17, SchemaVersion.V1_7), (V16, SchemaVersion.V1_6)):
        text = form.render(CARDS[name]).decode()
        assert JsonStrictValidator(version).validate_str(text) is None
        assert not [p for p in linter.lint(json.loads(text)) if p.is_error]


@pytest.mark.parametrize("name", [n for n in CARDS if "hostile" not in n])
def test_the_linter_finds_nothing_at_all_in_ours(name: str) -> None:
    assert linter.lint(BOMS[name]) == ()


def origins(bom: Mapping[str, Any]) -> dict[str, str]:
    return {p: c["note"] for c in bom["citations"] for p in c["pointers"]}


def test_root_and_base_are_pinned_with_digests() -> None:
    bom = BOMS["approve"]
    root, base = bom["metadata"]["component"], components(bom)["base"]
    assert root["type"] == "machine-learning-model"
    assert PackageURL.from_string(root["purl"]).version == "0123456789abcdef0123456789abcdef01234567"
    assert {h["alg"] for h in root["hashes"]} == {"SHA-256", "SHA-512"}
    assert base["isExternal"] is True
    assert "isExternal" not in root
    assert root["pedigree"]["ancestors"][0]["purl"] == base["purl"]
    assert "base" in next(d["dependsOn"] for d in bom["dependencies"] if d["ref"] == "adapter")


def test_measurements_become_metrics_with_slice_and_interval() -> None:
    metrics = BOMS["review"]["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert len(metrics) == len(SCORECARDS["review"].dossier.measurements)
    assert metrics[0] == {
        "type": "retention",
        "value": "-0.1344",
        "slice": "general",
        "confidenceInterval": {"lowerBound": "-0.1774", "upperBound": "-0.0914"},
    }


def test_without_a_base_nothing_is_invented() -> None:
    bom = BOMS["no-base"]
    root = bom["metadata"]["component"]
    assert "purl" not in root
    assert "ancestors" not in root["pedigree"]
    assert "quantitativeAnalysis" not in root["modelCard"]
    assert {p["name"] for p in root["properties"]} >= {"modelcurator:absent:purl", "modelcurator:absent:commit"}
    assert root["version"].startswith("sha256:")
    assert "/srv/" not in json.dumps(bom)


def test_time_and_serial_number_come_from_the_card() -> None:
    card = SCORECARDS["approve"]
    again = card.model_copy(update={"run_id": "01JD7XK3QZT0V5M9W2A8C4E6GJ"})
    assert BOMS["approve"]["metadata"]["timestamp"] == "2026-11-24T12:00:00+00:00"
    assert json.loads(V17.render(again))["serialNumber"] != BOMS["approve"]["serialNumber"]
    assert json.loads(V17.render(card))["serialNumber"] == BOMS["approve"]["serialNumber"]


def test_security_findings_are_vulnerabilities_and_others_are_notes() -> None:
    bom = BOMS["reject-pickle"]
    assert [(v["cwes"], v["affects"]) for v in bom["vulnerabilities"]] == [([502], [{"ref": "adapter"}])]
    assert [a["text"].split(":")[0] for a in bom["annotations"]] == [
        "reject under policy default 1",
        "training-by-product (info)",
    ]
    assert "vulnerabilities" not in BOMS["approve"]


def test_a_digest_the_hub_only_told_is_not_called_measured() -> None:
    card = SCORECARDS["approve"]
    base = card.dossier.composition.base
    assert base is not None
    told = base.model_copy(update={"files": tuple(f.model_copy(update={"digest_source": "hub-lfs-oid"}) for f in base.files)})
    composition = card.dossier.composition.model_copy(update={"base": told})
    changed = card.model_copy(update={"dossier": card.dossier.model_copy(update={"composition": composition})})
    place = [c["bom-ref"] for c in json.loads(V17.render(changed))["components"]].index("base")
    before, after = (origins(x) for x in (BOMS["approve"], json.loads(V17.render(changed))))
    moved = {p for p in before if before[p] != after[p]}
    assert moved == {f"/components/{place}/hashes", f"/components/{place}/components"}
    assert {after[p].partition(":")[0] for p in moved} == {"declared"}


@pytest.mark.parametrize(
    ("declared", "concluded", "expected"),
    [
        ("apache-2.0", None, [{"license": {"id": "Apache-2.0", "acknowledgement": "declared"}}]),
        ("llama3.1", None, [{"license": {"name": "llama3.1", "acknowledgement": "declared"}}]),
        (None, "Apache-2.0 AND MIT", [{"expression": "Apache-2.0 AND MIT", "acknowledgement": "concluded"}]),
        (None, "MIT AND llama3.1", [{"license": {"name": "MIT AND llama3.1", "acknowledgement": "concluded"}}]),
        (None, None, []),
    ],
)
def test_licenses(declared: str | None, concluded: str | None, expected: list[dict[str, object]]) -> None:
    assert license_choices(LicensePart(declared, None, concluded), mixed=True) == expected


def test_the_shipped_license_list_is_read() -> None:
    assert spdx_id("gpl-3.0-ONLY") == "GPL-3.0-only"
    assert spdx_id("openmdw-9.9") is None


@pytest.mark.parametrize("document", [{}, {"components": 3}, {"components": [None, []], "citations": "x"}, {"metadata": []}])
def test_the_linter_survives_what_is_no_bom(document: dict[str, object]) -> None:
    assert linter.lint(document) == ()


def test_a_document_that_is_not_valid_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splice, "model_card", lambda card, found: {"modelParameters": {"datasets": [{"ref": "nobody"}]}})
    with pytest.raises(PluginError, match="BOM-REF"):
        V17.render(SCORECARDS["approve"])
    monkeypatch.setattr(splice, "model_card", lambda card, found: {"invented": True})
    with pytest.raises(PluginError, match=r"schema of CycloneDX 1\.7"):
        V17.render(SCORECARDS["approve"])


def test_every_field_says_where_it_comes_from() -> None:
    said = origins(BOMS["reference"])
    at = "/metadata/component"
    expected = {
        f"{at}/hashes": "measured", f"{at}/description": "declared", f"{at}/supplier": "declared", f"{at}/licenses/0": "declared",
        f"{at}/licenses/1": "inferred", f"{at}/modelCard/quantitativeAnalysis/performanceMetrics/0": "measured",
        f"{at}/modelCard/quantitativeAnalysis/performanceMetrics/{len(reference().dossier.measurements)}": "declared",
        f"{at}/modelCard/considerations/technicalLimitations/0": "declared",
        f"{at}/modelCard/considerations/performanceTradeoffs/0": "measured", f"{at}/pedigree/notes": "inferred",
    }  # fmt: skip
    assert {p: said[p].partition(":")[0] for p in expected} == expected
    older = json.loads(V16.render(CARDS["reference"]))
    told = {p["name"].partition("provenance:")[2] for p in older["metadata"]["properties"] if "provenance:" in p["name"]}
    assert told >= expected.keys()
    assert "citations" not in older


def test_model_card_pedigree_and_data_hold_the_facts() -> None:
    bom = BOMS["reference"]
    root, every = bom["metadata"]["component"], components(bom)
    card = root["modelCard"]
    assert card["modelParameters"]["architectureFamily"] == "llama"
    assert card["modelParameters"]["approach"] == {"type": "supervised"}
    assert card["considerations"]["useCases"] == ["Drafts for a clinician to check."]
    assert card["quantitativeAnalysis"]["performanceMetrics"][-1] == {
        "type": "rouge",
        "value": "0.41",
        "slice": "self-reported: discharge",
    }
    assert [a["name"] for a in root["pedigree"]["ancestors"]] == ["SmolLM2-135M-Instruct", "SmolLM2-135M"]
    assert "r=16, alpha=32" in root["pedigree"]["patches"][0]["diff"]["text"]["content"]
    data = next(c for c in bom["components"] if c["bom-ref"].startswith("dataset-"))
    assert data["purl"].endswith("?repo_type=dataset")
    assert data["data"][0]["contents"]["properties"][0] == {"name": "rows", "value": "120"}
    assert every["ancestor-1"]["licenses"][0]["license"]["id"] == "Apache-2.0"
    assert {c["name"] for c in bom["components"] if c["type"] == "library"} == {"peft", "transformers"}


def test_answers_of_a_person_change_root_serial_and_nothing_recorded() -> None:
    plain, answered = BOMS["reference"], BOMS["answered"]
    assert answered["metadata"]["component"]["name"] == "Triage assistant"
    assert "adapter" in components(answered)
    assert answered["metadata"]["supplier"]["name"] == "Acme Health"
    assert answered["serialNumber"] != plain["serialNumber"]
    assert {"ref": "system", "dependsOn": ["adapter"]} in answered["dependencies"]


def test_what_was_not_measured_is_a_limit_with_its_reason() -> None:
    limits = BOMS["no-base"]["metadata"]["component"]["modelCard"]["considerations"]["technicalLimitations"]
    assert len([t for t in limits if t.startswith("not measured: ") and "the base is not known" in t]) == 4


@pytest.mark.parametrize("form", [V17, V16])
@pytest.mark.parametrize("name", ["reference", "answered", "hostile-reference"])
def test_a_second_rendering_is_equal(form: Any, name: str) -> None:
    assert form.render(CARDS[name]) == form.render(CARDS[name])


@pytest.mark.parametrize("name", CARDS)
def test_spdx_passes_the_official_model_and_our_linter(name: str) -> None:
    pytest.importorskip("spdx_python_model", reason="the SPDX model is not installed")
    from reports._bom import lint_spdx
    from reports.spdx import PLUGIN

    text = PLUGIN.render(CARDS[name])
    document = json.loads(text)
    assert PLUGIN.render(CARDS[name]) == text
    assert list(lint_spdx.against_model(document)) == []
    assert [p for p in lint_spdx.lint(document) if p.is_error or "hostile" not in name] == []


def test_spdx_speaks_of_the_same_things() -> None:
    pytest.importorskip("spdx_python_model", reason="the SPDX model is not installed")
    from reports.spdx import PLUGIN

    graph = json.loads(PLUGIN.render(CARDS["reference"]))["@graph"]
    by_type: dict[str, list[dict[str, Any]]] = {}
    for element in graph:
        by_type.setdefault(element["type"], []).append(element)
    adapter, root = by_type["ai_AIPackage"][0], BOMS["reference"]["metadata"]["component"]
    assert adapter["software_packageUrl"] == root["purl"]
    assert [h["hashValue"] for h in adapter["verifiedUsing"]] == [h["content"] for h in root["hashes"]]
    assert {r["relationshipType"] for r in by_type["Relationship"]} == {
        "contains", "descendantOf", "dependsOn", "trainedOn", "hasDeclaredLicense", "hasConcludedLicense",
    }  # fmt: skip
    assert len(by_type["dataset_DatasetPackage"]) == 1
    assert not any("safetyRiskAssessment" in key for e in graph for key in e)
