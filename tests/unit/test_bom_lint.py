"""The linter of bills of materials: each way to break one is named in the right words; what is no such document is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from governance.errors import SubjectError
from reports._bom import lint as linter
from reports._bom.judge import judge
from reports._bom.tree import components
from reports.cyclonedx import PLUGIN as V17
from reports.cyclonedx_1_6 import PLUGIN as V16
from tests.bom_samples import reference

Damage = Callable[[dict[str, Any]], object]
GOOD: dict[str, Any] = json.loads(V17.render(reference()))
COMMIT = "1" * 40


def root(bom: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = bom["metadata"]["component"]
    return found


def part(bom: dict[str, Any], ref: str) -> dict[str, Any]:
    return next(c for r, c in components(bom).items() if r.startswith(ref))


def metric(bom: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = root(bom)["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0]
    return found


def without(component: dict[str, Any], absent: str) -> None:
    component["properties"] = [p for p in component["properties"] if not p["name"].endswith(absent)]


def needs(bom: dict[str, Any], ref: str) -> dict[str, Any]:
    found: dict[str, Any] = next(d for d in bom["dependencies"] if d["ref"] == ref)
    return found


#: Rule, words of its message, and the damage.
DAMAGES: tuple[tuple[str, str, Damage], ...] = (
    ("BOM-REF", "'nobody' is the bom-ref of nothing", lambda b: needs(b, "adapter").update(dependsOn=["nobody"])),
    ("BOM-REF", "'gone'", lambda b: b["dependencies"].append({"ref": "gone"})),
    ("BOM-REF", "'nobody'", lambda b: root(b)["modelCard"]["modelParameters"].update(datasets=[{"ref": "nobody"}])),
    ("BOM-REF", "'nobody'", lambda b: b["compositions"][0].update(assemblies=["nobody"])),
    ("BOM-REF", "'nobody'", lambda b: b["annotations"][0].update(subjects=["nobody"])),
    ("BOM-REF", "'nobody'", lambda b: b["citations"][0].update(attributedTo="nobody")),
    ("BOM-REF", "'nobody'", lambda b: b["vulnerabilities"][0].update(affects=[{"ref": "nobody"}])),
    ("BOM-REF", "'nobody'", lambda b: b["formulation"][0]["workflows"][0].update(inputs=[{"resource": {"ref": "nobody"}}])),
    ("BOM-UNIQ", "is given to 2 things", lambda b: b["components"][0].update({"bom-ref": b["components"][1]["bom-ref"]})),
    ("BOM-UNIQ", "is given to 2 things", lambda b: root(b)["components"][0].update({"bom-ref": "adapter"})),
    ("BOM-PTR", "'/components/99/hashes' points to nothing",
        lambda b: b["citations"][0]["pointers"].append("/components/99/hashes")),
    ("BOM-PTR", "points to nothing", lambda b: b["citations"][0]["pointers"].append("metadata")),
    ("BOM-HASH", "without a hash and without a reason", lambda b: part(b, "base").pop("hashes")),
    ("BOM-HASH", "SHA-512 has 128 digits, not 64",
        lambda b: root(b)["hashes"].__setitem__(1, {"alg": "SHA-512", "content": "ab" * 32})),
    ("BOM-HASH", "not hexadecimal", lambda b: root(b)["hashes"][0].update(content="xy" * 32)),
    ("BOM-HASH", "digest of an empty file", lambda b: root(b)["hashes"][0].update(
        content="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")),
    ("BOM-HASH", "a stand-in and no digest", lambda b: root(b)["hashes"][0].update(content="0" * 64)),
    ("BOM-HASH", "2 digests by SHA-256", lambda b: root(b)["hashes"].append({"alg": "SHA-256", "content": "ab" * 32})),
    ("BOM-HASH", "is no digest algorithm", lambda b: root(b)["hashes"][0].update(alg="CRC-32")),
    ("BOM-PURL", "not pinned to a commit", lambda b: root(b).update(purl="pkg:huggingface/acme-health/discharge-lora@main")),
    ("BOM-PURL", "not pinned to a commit", lambda b: root(b).update(purl="pkg:huggingface/acme-health/discharge-lora@0123456")),
    ("BOM-PURL", "no purl", lambda b: root(b).update(purl="huggingface/acme-health/discharge-lora")),
    ("BOM-PURL", "already stands at",
        lambda b: part(b, "ancestor-1").update(purl=part(b, "base")["purl"], version=part(b, "base")["version"])),
    ("BOM-PURL", "without repo_type=dataset",
        lambda b: part(b, "dataset-").update(purl=f"pkg:huggingface/a/b@{COMMIT}", version=COMMIT)),
    ("BOM-PURL", "is another version than", lambda b: root(b).update(version=COMMIT)),
    ("BOM-LIC", "'llama3.1' is no SPDX id", lambda b: root(b).update(licenses=[{"license": {"id": "llama3.1"}}])),
    ("BOM-LIC", "is no license expression", lambda b: root(b).update(licenses=[{"expression": "MIT AND AND"}])),
    ("BOM-LIC", "neither an SPDX id nor a LicenseRef-", lambda b: root(b).update(licenses=[{"expression": "MIT OR llama3.1"}])),
    ("BOM-LIC", "neither a text nor an address", lambda b: root(b).update(licenses=[{"license": {"name": "LicenseRef-own"}}])),
    ("BOM-LIC", "without a name", lambda b: root(b).update(licenses=[{"license": {"name": " "}}])),
    ("BOM-PIN", "neither a version nor a reason", lambda b: [part(b, "dataset-").pop(k) for k in ("version", "hashes")]),
    ("BOM-BASE", "is an ancestor but no component",
        lambda b: root(b)["pedigree"]["ancestors"][0].update(purl=f"pkg:huggingface/other/model@{COMMIT}")),
    ("BOM-BASE", "is an ancestor nothing depends on", lambda b: needs(b, "adapter").update(dependsOn=["tokenizer"])),
    ("BOM-GRAPH", "has 2 entries", lambda b: b["dependencies"].append({"ref": "base"})),
    ("BOM-GRAPH", "depends on itself", lambda b: needs(b, "base")["dependsOn"].append("base")),
    ("BOM-GRAPH", "a loop: adapter → base → adapter", lambda b: needs(b, "base")["dependsOn"].insert(0, "adapter")),
    ("BOM-GRAPH", "is not reached from the root", lambda b: needs(b, "adapter")["dependsOn"].remove("tokenizer")),
    ("BOM-GRAPH", "so nothing hangs together", lambda b: b["dependencies"].remove(needs(b, "adapter"))),
    ("BOM-EXT", "the root cannot be external", lambda b: root(b).update(isExternal=True)),
    ("BOM-EXT", "versionRange is for external", lambda b: part(b, "base").update(versionRange="vers:generic/1.0")),
    ("BOM-NUM", "is not in order", lambda b: metric(b).update(confidenceInterval={"lowerBound": "0.4", "upperBound": "0.1"})),
    ("BOM-NUM", "lies outside its interval", lambda b: metric(b).update(value="7")),
    ("BOM-NUM", "no number", lambda b: metric(b).update(value="good")),
    ("BOM-DATE", "no date and time with a zone", lambda b: b["metadata"].update(timestamp="yesterday")),
    ("BOM-DATE", "no date and time with a zone", lambda b: b["annotations"][0].update(timestamp="2026-11-24T12:00:00")),
    ("BOM-DATE", "no day of the calendar", lambda b: b["metadata"].update(timestamp="2026-02-30T12:00:00Z")),
    ("BOM-ROOT", "does not say what it is about", lambda b: b["metadata"].pop("component")),
    ("BOM-ROOT", "does not say when it was made", lambda b: b["metadata"].pop("timestamp")),
    ("BOM-ROOT", "does not say what made it", lambda b: b["metadata"].pop("tools")),
    ("BOM-ROOT", "serial number is missing or no urn:uuid", lambda b: b.update(serialNumber="urn:uuid:1")),
    ("BOM-ROOT", "the root has no bom-ref", lambda b: root(b).pop("bom-ref")),
    ("BOM-PROV", "nothing says where this field comes from", lambda b: root(b).update(author="someone")),
    ("BOM-FILL", "'transformer' says nothing",
        lambda b: root(b)["modelCard"]["modelParameters"].update(architectureFamily="transformer")),
    ("BOM-FILL", "'N/A' says nothing", lambda b: part(b, "base").update(description="N/A")),
    ("BOM-PATH", "a path of a machine", lambda b: root(b).update(description="trained in /home/alice/runs")),
    ("BOM-PATH", "an access token", lambda b: root(b).update(description="hf_" + "a" * 34)),
    ("BOM-SCHEMA", "Additional properties are not allowed", lambda b: root(b).update(invented=True)),
    ("BOM-SCHEMA", "'name' is a required property", lambda b: part(b, "base").pop("name")),
    ("BOM-SCHEMA", "is not one of", lambda b: root(b).update(type="model")),
)  # fmt: skip


def problems(document: dict[str, Any]) -> list[linter.Problem]:
    return list(judge(json.dumps(document).encode()).problems)


def test_the_undamaged_document_is_sound() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(("rule", "words", "damage"), DAMAGES, ids=[f"{i}-{r}" for i, (r, _, _) in enumerate(DAMAGES)])
def test_each_damage_is_named(rule: str, words: str, damage: Damage) -> None:
    bom = copy.deepcopy(GOOD)
    damage(bom)
    assert [p for p in problems(bom) if p.rule == rule and words in p.message], problems(bom)


def spdx() -> dict[str, Any]:
    pytest.importorskip("spdx_python_model", reason="the SPDX model is not installed")
    from reports.spdx import PLUGIN

    document: dict[str, Any] = json.loads(PLUGIN.render(reference()))
    return document


def of(document: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(e for e in document["@graph"] if e["type"] == kind)
    return found


SPDX_DAMAGES: tuple[tuple[str, str, Damage], ...] = (
    ("BOM-REF", "is no element of this document", lambda d: of(d, "Relationship").update(to=["urn:nobody"])),
    ("BOM-REF", "is no element of this document", lambda d: of(d, "Annotation").update(subject="urn:nobody")),
    ("BOM-REF", "is no element of this document", lambda d: of(d, "ai_AIPackage").update(suppliedBy="urn:nobody")),
    ("BOM-UNIQ", "is given to 2 elements", lambda d: d["@graph"].append(copy.deepcopy(of(d, "Tool")))),
    ("BOM-ROOT", "0 elements of type SpdxDocument", lambda d: d["@graph"].remove(of(d, "SpdxDocument"))),
    ("BOM-ROOT", "no rootElement", lambda d: of(d, "SpdxDocument").pop("rootElement")),
    ("BOM-HASH", "without a hash and without a reason", lambda d: of(d, "ai_AIPackage").pop("verifiedUsing")),
    ("BOM-HASH", "sha256 has 64 digits, not 4", lambda d: of(d, "ai_AIPackage")["verifiedUsing"][0].update(hashValue="abcd")),
    ("BOM-PURL", "not pinned", lambda d: of(d, "ai_AIPackage").update(software_packageUrl="pkg:huggingface/a/b@main")),
    ("BOM-LIC", "is no license expression", lambda d: of(d, "simplelicensing_LicenseExpression").update(
        simplelicensing_licenseExpression="MIT OR")),
    ("BOM-LIC", "neither a text nor an address", lambda d: of(d, "simplelicensing_LicenseExpression").update(
        simplelicensing_licenseExpression="LicenseRef-own")),
    ("BOM-PIN", "neither a version nor a reason", lambda d: of(d, "ai_AIPackage").pop("software_packageVersion")),
    ("BOM-NUM", "is no number", lambda d: of(d, "ai_AIPackage")["ai_metric"][0].update(value="good")),
    ("BOM-DATE", "no date and time", lambda d: of(d, "CreationInfo").update(created="yesterday")),
    ("BOM-FILL", "says nothing", lambda d: of(d, "ai_AIPackage").update(ai_typeOfModel=["transformer"])),
    ("BOM-PATH", "a path of a machine", lambda d: of(d, "ai_AIPackage").update(description="in /home/alice/x")),
    ("BOM-GRAPH", "is related to nothing", lambda d: d["@graph"].append(
        {"type": "software_File", "spdxId": "urn:x", "creationInfo": "_:creationinfo", "name": "x"})),
    ("BOM-SCHEMA", "", lambda d: of(d, "ai_AIPackage").update(ai_autonomyType="perhaps")),
    ("BOM-SCHEMA", "", lambda d: of(d, "ai_AIPackage").update(invented=1)),
    ("BOM-SCHEMA", "", lambda d: of(d, "Relationship").pop("relationshipType")),
    ("BOM-SCHEMA", "", lambda d: d.update({"@graph": [{"type": "Nothing", "spdxId": "urn:x"}]})),
)  # fmt: skip


@pytest.mark.parametrize(("rule", "words", "damage"), SPDX_DAMAGES, ids=[f"{i}-{r}" for i, (r, _, _) in enumerate(SPDX_DAMAGES)])
def test_each_damage_of_spdx_is_named(rule: str, words: str, damage: Damage) -> None:
    document = spdx()
    assert problems(document) == []
    damage(document)
    assert [p for p in problems(document) if p.rule == rule and words in p.message], problems(document)


@pytest.mark.parametrize("version", ["1.4", "1.5", "1.6"])
def test_documents_of_other_tools_and_versions_are_judged(version: str) -> None:
    bom = {
        "bomFormat": "CycloneDX", "specVersion": version, "version": 1,
        "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
        "metadata": {"timestamp": "2026-11-24T12:00:00Z", "tools": [{"name": "x", "version": "1"}],
                     "component": {"type": "application", "name": "thing", "bom-ref": "thing"}},
        "components": [{"type": "library", "name": "lib", "bom-ref": "lib", "purl": "pkg:npm/%40scope/lib@1.0.0"}],
        "dependencies": [{"ref": "thing", "dependsOn": ["lib"]}],
    }  # fmt: skip
    assert problems(bom) == []
    bom["dependencies"] = [{"ref": "thing", "dependsOn": ["pkg:npm/lib@1.0.0"]}]
    assert {p.rule for p in problems(bom)} == {"BOM-REF", "BOM-GRAPH"}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"), (b" \n", "empty"),
        (b'<?xml version="1.0"?><bom xmlns="http://cyclonedx.org/schema/bom/1.6"/>', "CycloneDX XML"),
        (b"<html>", "this is XML"), (b"SPDXVersion: SPDX-2.3\n", "tag-value"), (b'{"spdxVersion": "SPDX-2.3"}', "SPDX-2.3"),
        (b'{"@context": "https://spdx.org/rdf/3.0.0/spdx-context.jsonld"}', "version of"), (b"{}", "neither"), (b"[]", "no object"),
        (b"\xff\xfe{", "not UTF-8"), (b"{", "not JSON"), (b'{"bomFormat": "CycloneDX", "specVersion": "1.3"}', "'1.3' is not read"),
        (b'{"bomFormat": "CycloneDX", "specVersion": 17}', "'17' is not read"), (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, "nested"), (b'{"a":' * 300 + b"1" + b"}" * 300, "nested deeper than 200"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "not JSON"), (b"\x00" * 40, "not JSON"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_named(data: bytes, words: str) -> None:
    with pytest.raises(SubjectError, match=words):
        judge(data)


@pytest.mark.parametrize(
    "document",
    [
        {}, {"components": 3}, {"components": [None, []], "citations": "x"}, {"metadata": []}, {"metadata": {"component": []}},
        {"dependencies": [{"ref": []}, {"ref": "a", "dependsOn": [{}]}, 3]},
        {"components": [{"hashes": [3, {}], "licenses": [None, {}]}]},
        {"components": [{"purl": 3, "bom-ref": []}]},
        {"citations": [{"pointers": [None, 3, {}]}], "components": [{"type": "data"}]},
        {"components": [{"properties": [None, {"name": 3}], "type": "data", "bom-ref": {}}]},
        {"x": {"licenses": [{"license": {"id": {}}}]}},
    ],
)  # fmt: skip
def test_the_linter_survives_what_is_no_bom(document: dict[str, Any]) -> None:
    linter.lint(document)
    judge(json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.7", **document}).encode())


@pytest.mark.parametrize(
    "graph", [3, None, {}, [None], [[]], [{"type": {}, "spdxId": []}], [{"to": {}, "from": [{}], "import": 3}]]
)
def test_the_spdx_linter_survives_what_is_no_bom(graph: object) -> None:
    pytest.importorskip("spdx_python_model", reason="the SPDX model is not installed")
    document = {"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": graph}
    assert judge(json.dumps(document).encode()).errors


def test_a_key_that_stands_twice_is_a_fault() -> None:
    text = json.dumps(GOOD).replace('"version": 1,', '"version": 1, "version": 1,', 1)
    assert [p.message for p in judge(text.encode()).problems] == ["the key 'version' occurs more than once in one object"]


def test_the_command_ends_as_it_says(tmp_path: Path) -> None:
    good, bad, none = tmp_path / "good.json", tmp_path / "bad.json", tmp_path / "none.json"
    good.write_bytes(V16.render(reference()))
    broken = copy.deepcopy(GOOD)
    needs(broken, "adapter").update(dependsOn=["nobody\u001b[31m\u202e"])
    bad.write_text(json.dumps(broken))
    none.write_text("<bom/>")

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["bom", "lint", *arguments])

    assert run(str(good)).exit_code == 0
    told = run(str(bad), "--format", "json")
    assert told.exit_code == 11
    rows = json.loads(told.stdout)
    assert {"rule", "level", "where", "what"} == rows[0].keys()
    assert "BOM-REF" in {r["rule"] for r in rows}
    assert "\u001b" not in run(str(bad)).output
    for wrong in (none, tmp_path / "missing.json", tmp_path):
        ended = run(str(wrong))
        assert ended.exit_code == 1
        assert "Traceback" not in ended.output
    assert run(str(none), "--format", "json").exit_code == 1
    assert run().exit_code == 2
