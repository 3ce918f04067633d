"""A CycloneDX document: the library's output, the parts it lacks spliced in, then validated and linted.

Made from a ``Scorecard``; read by ``reports.cyclonedx`` and ``reports.cyclonedx_1_6``. The library has no model card, data
sets, annotations, compositions, formulation or citations; they are joined to its output by ``bom-ref``. A document that is
not valid is not written.

Source:
    CycloneDX 1.7 (ECMA-424), sections "Component", "Model Card", "Pedigree", "Formulation", "Citations".
"""

from __future__ import annotations

import json
from typing import Literal

from governance.errors import PluginError
from governance.verdict import Scorecard
from reports._bom import lint
from reports._bom.composition import parts
from reports._bom.licenses import detected, license_choices
from reports._bom.model_card import model_card, model_card_of, remarks, vulnerabilities
from reports._bom.parts import OWN, Part, Parts, asked, split_name, text_of
from reports._bom.provenance import groups
from reports._bom.stock import TOOL, stock

Specification = Literal["1.6", "1.7"]


def render(card: Scorecard, specification: Specification) -> bytes:
    """Return the bill of materials as UTF-8 JSON.

    Args:
        card: A recorded scorecard; its strings may be hostile.
        specification: Version of CycloneDX.

    Raises:
        PluginError: The document would not be valid; says where.
    """
    found = parts(card)
    document = _spliced(stock(card, found, specification), card, found, specification)
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    _assert_valid(text, document, specification)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _spliced(document: dict[str, object], card: Scorecard, found: Parts, specification: Specification) -> dict[str, object]:
    """Return the document with everything the library lacks."""
    by_ref = lint.components(document)
    newest = specification == "1.7"
    for p in found.every():
        _complete(by_ref[p.ref], p, newest=newest)
    adapter = by_ref[found.adapter.ref]
    adapter["modelCard"] = model_card(card, found)
    adapter["pedigree"] = _pedigree(card, found)
    if found.base and (said := model_card_of(found.base, found.base_datasets)):
        by_ref[found.base.ref]["modelCard"] = said
    document["compositions"] = [
        {"aggregate": "complete", "assemblies": [p.ref for p in (found.adapter, found.base) if p and p.files]},
        {"aggregate": "incomplete", "dependencies": [found.adapter.ref]},
    ]
    document["formulation"] = _formulation(card, found)
    if weak := vulnerabilities(card):
        document["vulnerabilities"] = weak
    if notes := remarks(card):
        document["annotations"] = notes
    if newest and (level := asked(card, "tlp")):
        _metadata(document)["distributionConstraints"] = {"tlp": level}
    _cite(document, card, found, newest=newest)
    return document


def _complete(target: dict[str, object], p: Part, *, newest: bool) -> None:
    """Add to one component what the library cannot say."""
    if licenses := license_choices(p.licenses, mixed=newest):
        target["licenses"] = licenses
    if evidence := detected(p.licenses):
        target["evidence"] = {"licenses": evidence}
    if p.kind in ("dataset", "configuration"):
        contents: dict[str, object] = {"url": p.url} if p.url else {}
        if p.contents:
            contents["properties"] = [{"name": k, "value": v} for k, v in p.contents]
        owner = {"governance": {"owners": [{"organization": {"name": p.group}}]}} if p.group else {}
        target["data"] = [{"type": p.kind, "name": p.name, **({"contents": contents} if contents else {}), **owner}]
    if p.external and newest:
        target["isExternal"] = True


def _metadata(document: dict[str, object]) -> dict[str, object]:
    metadata = document.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _cite(document: dict[str, object], card: Scorecard, found: Parts, *, newest: bool) -> None:
    """Write where each field comes from: citations, or from 1.6 backwards properties."""
    known = groups(document, found, tool=TOOL)
    if newest:
        document["citations"] = [
            {
                "bom-ref": f"citation-{place}",
                "pointers": list(g.pointers),
                "timestamp": card.created.isoformat(),
                "attributedTo": g.speaker,
                **({"process": "step-audit"} if g.provenance == "measured" else {}),
                "note": g.note,
            }
            for place, g in enumerate(known, 1)
        ]
        return
    metadata = _metadata(document)
    before = metadata.get("properties")
    cited = [{"name": f"{OWN}provenance:{pointer}", "value": g.note} for g in known for pointer in g.pointers]
    metadata["properties"] = [*(before if isinstance(before, list) else []), *sorted(cited, key=lambda p: p["name"])]


def _formulation(card: Scorecard, found: Parts) -> list[dict[str, object]]:
    """Return how the adapter came to be, as far as that can be told, and how this document did."""
    used = [{"resource": {"ref": p.ref}} for p in (found.base, *found.datasets) if p]
    made = [{"resource": {"ref": found.adapter.ref}}]
    training = {
        "bom-ref": "step-training",
        "uid": "training",
        "name": "training of the adapter",
        "description": "inferred from the configuration and the card; it was not seen",
        "taskTypes": ["build"],
        **({"inputs": used} if used else {}),
        "outputs": made,
    }
    audit = {
        "bom-ref": "step-audit",
        "uid": card.run_id,
        "name": "audit by model curator",
        "description": f"{len(card.dossier.checks)} checks over the files as acquired",
        "taskTypes": ["scan", "test"],
        "inputs": made,
        "timeEnd": card.created.isoformat(),
    }
    return [{"bom-ref": "formula-1", "workflows": [training, audit]}]


def _pedigree(card: Scorecard, found: Parts) -> dict[str, object]:
    """Return where the adapter comes from: every ancestor, and the adapter as a patch on the first."""
    base = card.dossier.composition.base
    on = "/".join(filter(None, split_name(base))) if base else "a base that is not known"
    claims = sorted({f"{claim.by} ({text_of(card, claim.name)})" for claim in card.dossier.composition.description.claims})
    notes = f"fine-tuned from {on}; named by: {', '.join(claims) or 'the request'}"
    patch = {
        "type": "unofficial",
        "diff": {"text": {"contentType": "text/plain", "content": text_of(card, _delta(found.adapter, on))}},
    }
    ancestors = [_ancestor(p) for p in (found.base, *found.ancestors) if p]
    return {**({"ancestors": ancestors} if ancestors else {}), "patches": [patch], "notes": notes}


def _delta(adapter: Part, on: str) -> str:
    """Return what the adapter changes, in one line."""
    settings = [
        f"{label}={v}"
        for key, label in (("r", "r"), ("lora_alpha", "alpha"), ("target_modules", "targets"))
        for v in adapter.states(f"peft:{key}")[:1]
    ]
    kind = f"low-rank delta ({', '.join(settings)})" if settings else "adapter"
    return f"{kind}: its tensors are added to those of {on}"


def _ancestor(p: Part) -> dict[str, object]:
    return {
        "type": "machine-learning-model",
        "bom-ref": f"pedigree-{p.ref}",
        **({"group": p.group} if p.group else {}),
        "name": p.name,
        **({"version": p.version} if p.version else {}),
        **({"purl": p.purl} if p.purl else {}),
        **({"hashes": [{"alg": a, "content": h} for a, h in p.hashes]} if p.hashes else {}),
        **({} if p.version else {"properties": [{"name": f"{OWN}absent:version", "value": "no commit is known"}]}),
    }


def _assert_valid(text: str, document: dict[str, object], specification: Specification) -> None:
    wrong = next(iter(lint.against_schema(text, specification)), None)
    if wrong is not None:
        raise PluginError(f"the bill of materials breaks the schema of CycloneDX {specification}: {wrong.where}: {wrong.message}")
    problems = [p for p in lint.lint(document) if p.is_error]
    if problems:
        shown = "; ".join(str(p) for p in problems[:5])
        raise PluginError(
            f"the bill of materials has {len(problems)} inner faults: {shown}", hint="report this: it is a fault of ours"
        )
