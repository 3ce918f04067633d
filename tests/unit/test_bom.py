"""The bill of materials: valid, pinned, and refused by our linter when it is not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from governance.errors import PluginError
from reports._bom import lint as linter
from reports._bom import splice
from reports._bom.licenses import license_choices, spdx_id
from reports._bom.parts import LicensePart
from reports.cyclonedx import PLUGIN as V17
from reports.cyclonedx_1_6 import PLUGIN as V16
from tests.scorecards import SCORECARDS

BOMS: Mapping[str, dict[str, Any]] = {name: json.loads(V17.render(card)) for name, card in SCORECARDS.items()}


@pytest.mark.parametrize("name", SCORECARDS)
def test_both_versions_pass_the_strict_validator(name: str) -> None:
    for form, version in ((V17, SchemaVersion.V1_7), (V16, SchemaVersion.V1_6)):
        text = form.render(SCORECARDS[name]).decode()
        assert JsonStrictValidator(version).validate_str(text) is None
        assert not [p for p in linter.lint(json.loads(text)) if p.is_error]


@pytest.mark.parametrize("name", [n for n in SCORECARDS if n != "hostile"])
def test_the_linter_finds_nothing_at_all_in_ours(name: str) -> None:
    assert linter.lint(BOMS[name]) == ()


def test_root_and_base_are_pinned_with_digests() -> None:
    bom = BOMS["approve"]
    root, base = bom["metadata"]["component"], linter.components(bom)["base"]
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
    assert {p["name"] for p in root["properties"]} >= {"modelcurator:absent:purl", "modelcurator:absent:version"}
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
    before, after = (x["citations"][0]["pointers"] for x in (BOMS["approve"], json.loads(V17.render(changed))))
    assert set(before) - set(after) == {f"/components/{place}/hashes"}


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


def _dangle(bom: dict[str, Any]) -> None:
    bom["dependencies"][0]["dependsOn"] = ["nobody"]


def _dangle_dataset(bom: dict[str, Any]) -> None:
    bom["metadata"]["component"]["modelCard"]["modelParameters"]["datasets"] = [{"ref": "nobody"}]


def _twice(bom: dict[str, Any]) -> None:
    bom["components"][0]["bom-ref"] = bom["components"][1]["bom-ref"]


def _float(bom: dict[str, Any]) -> None:
    bom["metadata"]["component"]["purl"] = "pkg:huggingface/acme-health/discharge-lora@main"


def _no_hash(bom: dict[str, Any]) -> None:
    del linter.components(bom)["base"]["hashes"]


def _short_hash(bom: dict[str, Any]) -> None:
    bom["metadata"]["component"]["hashes"][0] = {"alg": "SHA-512", "content": "ab" * 32}


def _unlisted_base(bom: dict[str, Any]) -> None:
    bom["metadata"]["component"]["pedigree"]["ancestors"][0]["purl"] = "pkg:huggingface/other/model@" + "1" * 40


def _nowhere(bom: dict[str, Any]) -> None:
    bom["citations"][0]["pointers"].append("/components/99/hashes")


def _external_root(bom: dict[str, Any]) -> None:
    bom["metadata"]["component"]["isExternal"] = True


def _no_license(bom: dict[str, Any]) -> None:
    bom["metadata"]["component"]["licenses"] = [{"license": {"id": "llama3.1"}}]


def _upside_down(bom: dict[str, Any]) -> None:
    metrics = bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    metrics[0]["confidenceInterval"] = {"lowerBound": "0.4", "upperBound": "0.1"}


def _path(bom: dict[str, Any]) -> None:
    bom["metadata"]["component"]["description"] = "trained in /home/alice/runs"


def _filler(bom: dict[str, Any]) -> None:
    bom["metadata"]["component"]["modelCard"]["modelParameters"]["architectureFamily"] = "transformer"


def _unpinned(bom: dict[str, Any]) -> None:
    data = next(c for c in bom["components"] if c["bom-ref"].startswith("dataset-"))
    data["properties"] = [p for p in data["properties"] if not p["name"].endswith("absent:version")]


@pytest.mark.parametrize(
    ("rule", "damage"),
    [
        ("BOM-REF", _dangle), ("BOM-REF", _dangle_dataset), ("BOM-UNIQ", _twice), ("BOM-PURL", _float), ("BOM-HASH", _no_hash),
        ("BOM-HASH", _short_hash), ("BOM-BASE", _unlisted_base), ("BOM-PTR", _nowhere), ("BOM-EXT", _external_root),
        ("BOM-LIC", _no_license), ("BOM-NUM", _upside_down), ("BOM-PATH", _path), ("BOM-FILL", _filler), ("BOM-PIN", _unpinned),
    ],
)  # fmt: skip
def test_the_linter_sees_each_fault(rule: str, damage: Callable[[dict[str, Any]], None]) -> None:
    bom = copy.deepcopy(BOMS["approve"])
    damage(bom)
    assert rule in {p.rule for p in linter.lint(bom)}


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
