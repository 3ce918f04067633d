"""The model card and what was found, in CycloneDX's shapes: metrics, vulnerabilities, annotations, citations.

Made from a ``Scorecard``; read by ``reports._bom.splice``. Nothing is invented: a field without a fact is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from governance.evidence import Finding, Measurement
from governance.verdict import Scorecard
from reports._bom.parts import OWN, Parts, text_of
from reports._render import words

_WEAKNESS = re.compile(r"CWE-([1-9]\d{0,4})\Z")
_SECURITY = re.compile(r"(CWE-\d+|CVE-\d{4}-\d{4,}|AML\.T\d{4}(\.\d{3})?)\Z")


def model_card(card: Scorecard, found: Parts) -> dict[str, object]:
    """Return the adapter's ``modelCard``: data sets, the numbers measured with slice and interval, and how to read them."""
    said, measured = card.dossier.composition.description, card.dossier.measurements
    parameters: dict[str, object] = {}
    if found.datasets:
        parameters["datasets"] = [{"ref": p.ref} for p in found.datasets]
    if measured:
        parameters |= {"inputs": [{"format": "text"}], "outputs": [{"format": "text"}]}
    properties = [(f"{OWN}peft:dialect", said.dialect), (f"{OWN}peft:type", said.peft_type or "")]
    properties += [p for m in measured for p in _reading(m)]
    metrics = [_metric(m) for m in measured if math.isfinite(m.value)]
    return {
        "bom-ref": "model-card-adapter",
        **({"modelParameters": parameters} if parameters else {}),
        **({"quantitativeAnalysis": {"performanceMetrics": metrics}} if metrics else {}),
        "properties": [{"name": k, "value": words.visible(v)} for k, v in properties if v],
    }


def _metric(m: Measurement) -> dict[str, object]:
    metric: dict[str, object] = {"type": words.name(m.metric), "value": _number(m.value), "slice": words.name(m.scope)}
    if m.interval and math.isfinite(m.interval.low) and math.isfinite(m.interval.high):
        metric["confidenceInterval"] = {"lowerBound": _number(m.interval.low), "upperBound": _number(m.interval.high)}
    return metric


def _number(value: float) -> str:
    return f"{value:.10g}"


def _reading(m: Measurement) -> Iterable[tuple[str, str]]:
    """Yield what a metric has no field for: n, unit, base and adapter, margin, outcome, method, seed."""
    at = f"{OWN}metric:{words.name(m.metric)}/{words.name(m.scope)}"
    yield f"{at}:n", str(m.n)
    yield f"{at}:unit", m.unit
    for key, value in (("base", m.base_value), ("adapter", m.adapter_value), ("margin", m.margin)):
        if value is not None:
            yield f"{at}:{key}", _number(value)
    yield f"{at}:outcome", m.verdict or ""
    if m.interval:
        yield f"{at}:interval", words.level(m.interval)
    yield f"{at}:seed", "" if m.seed is None else str(m.seed)
    yield f"{at}:device", m.device or ""


def _is_security(f: Finding) -> bool:
    return any(_SECURITY.match(r) for r in f.references)


def vulnerabilities(card: Scorecard) -> list[dict[str, object]]:
    """Return findings that cite a weakness, a vulnerability or a technique; a person has still to look at each."""
    found = [f for f in card.dossier.findings if _is_security(f)]
    return [_vulnerability(card, f, place) for place, f in enumerate(found, 1)]


def _vulnerability(card: Scorecard, f: Finding, place: int) -> dict[str, object]:
    weaknesses = [int(m[1]) for r in f.references if (m := _WEAKNESS.match(r))]
    where = ", ".join(text_of(card, p) for p in f.locations[:10])
    return {
        "bom-ref": f"finding-{place}",
        "id": next((r for r in f.references if r.startswith("CVE-") and _SECURITY.match(r)), f"{OWN}{words.name(f.rule)}"),
        "source": {"name": f"model curator, check {words.name(f.plugin)}"},
        "ratings": [{"source": {"name": "model curator"}, "severity": f.severity.value, "method": "other"}],
        **({"cwes": weaknesses} if weaknesses else {}),
        "description": text_of(card, f.message),
        **({"detail": f"Seen in {where}"} if where else {}),
        **({"recommendation": text_of(card, f.remediation)} if f.remediation else {}),
        "analysis": {"state": "in_triage", "detail": f"{f.confidence.value} confidence, rests on {f.basis.value}"},
        "affects": [{"ref": _subject(card, f)}],
    }


def _subject(card: Scorecard, f: Finding) -> str:
    return "base" if f.subject == "base" and card.dossier.composition.base else "adapter"


def remarks(card: Scorecard) -> list[dict[str, object]]:
    """Return the verdict and every other finding as notes on what they speak of."""
    verdict = (
        f"{card.verdict.decision.value} under policy {card.verdict.policy} {card.verdict.policy_version}: {card.verdict.reason}"
    )
    notes = [("adapter", verdict)]
    notes += [
        (_subject(card, f), f"{f.rule} ({f.severity.value}): {f.message}") for f in card.dossier.findings if not _is_security(f)
    ]
    annotator = {"component": {"type": "application", "name": "model-curator", "version": card.curator_version}}
    return [
        {
            "bom-ref": f"annotation-{place}",
            "subjects": [subject],
            "annotator": annotator,
            "timestamp": card.created.isoformat(),
            "text": text_of(card, said),
        }
        for place, (subject, said) in enumerate(notes, 1)
    ]


def citations(card: Scorecard, document: dict[str, object], *, tool: str) -> list[dict[str, object]]:
    """Return which parts of the finished document were measured, by pointer; a digest the Hub only told is not among them.

    Args:
        card: Gives the time.
        document: Everything else already spliced in.
        tool: Reference of the tool that measured.
    """
    pointers = []
    metadata = document.get("metadata")
    root = metadata.get("component") if isinstance(metadata, dict) else None
    if isinstance(root, dict):
        pointers += [f"/metadata/component/{key}" for key in ("hashes", "components") if key in root]
        if isinstance(model := root.get("modelCard"), dict) and "quantitativeAnalysis" in model:
            pointers.append("/metadata/component/modelCard/quantitativeAnalysis")
    listed = document.get("components")
    for place, component in enumerate(listed if isinstance(listed, list) else []):
        if isinstance(component, dict) and component.get("hashes") and "hub-lfs-oid" not in str(component.get("properties")):
            pointers.append(f"/components/{place}/hashes")
    if not pointers:
        return []
    note = "measured: digests of the files as acquired, and metrics of this audit's run"
    return [
        {
            "bom-ref": "citation-measured",
            "pointers": pointers,
            "timestamp": card.created.isoformat(),
            "attributedTo": tool,
            "note": note,
        }
    ]
