"""The model card and what was found, in CycloneDX's shapes: metrics, limits, vulnerabilities, annotations.

Made from a ``Scorecard``; read by ``reports._bom.splice``. Nothing is invented: a field without a fact is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from governance.evidence import Finding, Measurement
from governance.verdict import Scorecard
from reports._bom.parts import OWN, Part, Parts, text_of
from reports._render import words

_WEAKNESS = re.compile(r"CWE-([1-9]\d{0,4})\Z")
#: Training methods CycloneDX has a word for.
_APPROACHES = frozenset({"supervised", "unsupervised", "reinforcement-learning", "semi-supervised", "self-supervised"})
_SECURITY = re.compile(r"(CWE-\d+|CVE-\d{4}-\d{4,}|AML\.T\d{4}(\.\d{3})?)\Z")


def model_card(card: Scorecard, found: Parts) -> dict[str, object]:
    """Return the adapter's ``modelCard``: what it says of itself, the numbers measured with interval, and their limits."""
    said, measured = card.dossier.composition.description, card.dossier.measurements
    adapter = found.adapter
    parameters = _parameters(adapter, found.base, found.datasets)
    if measured:
        parameters = (
            {**parameters, "inputs": [{"format": "text"}], "outputs": [{"format": "text"}]}
            if "inputs" not in parameters
            else parameters
        )
    properties = [(f"{OWN}peft:dialect", said.dialect), (f"{OWN}peft:type", said.peft_type or "")]
    properties += [(f"{OWN}{s.key}", s.value) for s in adapter.said if s.key.startswith("peft:")]
    properties += [p for m in measured for p in _reading(m)]
    metrics = [_metric(m) for m in measured if math.isfinite(m.value)] + list(_reported(adapter))
    considered = {**_declared(adapter), **_limits(card, adapter)}
    return {
        "bom-ref": "model-card-adapter",
        **({"modelParameters": parameters} if parameters else {}),
        **({"quantitativeAnalysis": {"performanceMetrics": metrics}} if metrics else {}),
        **({"considerations": considered} if considered else {}),
        "properties": [{"name": k, "value": words.visible(v)} for k, v in properties if v],
    }


def model_card_of(part: Part, datasets: Sequence[Part]) -> dict[str, object]:
    """Return the ``modelCard`` of a base: what its configuration and its card say."""
    parameters = _parameters(part, None, datasets)
    metrics = list(_reported(part))
    considered = _declared(part)
    sizes = [(f"{OWN}{s.key}", s.value) for s in part.said if s.key.startswith("config:")]
    made = {
        **({"modelParameters": parameters} if parameters else {}),
        **({"quantitativeAnalysis": {"performanceMetrics": metrics}} if metrics else {}),
        **({"considerations": considered} if considered else {}),
        **({"properties": [{"name": k, "value": words.visible(v)} for k, v in sizes]} if sizes else {}),
    }
    return {"bom-ref": f"model-card-{part.ref}", **made} if made else {}


def _parameters(part: Part, base: Part | None, datasets: Sequence[Part]) -> dict[str, object]:
    """Return ``modelParameters``; an adapter has the architecture and the senses of its base."""
    model = base or part
    kind = next(iter(part.states("approach")), "")
    task = next(iter([*part.states("task"), *(_task(t) for t in part.states("peft:task_type"))]), "")
    family, architecture = (next(iter(model.states(f"config:{k}")), "") for k in ("model_type", "architectures"))
    inputs, outputs = ([{"format": f} for f in dict.fromkeys(model.states(k))] for k in ("input", "output"))
    if not inputs and "CAUSAL_LM" in part.states("peft:task_type"):
        inputs, outputs = [{"format": "text"}], [{"format": "text"}]
    return {
        **({"approach": {"type": kind}} if kind in _APPROACHES else {}),
        **({"task": task} if task else {}),
        **({"architectureFamily": family} if family else {}),
        **({"modelArchitecture": architecture} if architecture else {}),
        **({"datasets": [{"ref": p.ref} for p in datasets]} if datasets else {}),
        **({"inputs": inputs} if inputs else {}),
        **({"outputs": outputs} if outputs else {}),
    }


def _task(kind: str) -> str:
    """Return the Hub's word for a PEFT task type."""
    known = {"CAUSAL_LM": "text-generation", "SEQ_CLS": "text-classification", "TOKEN_CLS": "token-classification"}
    return known.get(kind, words.name(kind).lower())


def _reported(part: Part) -> Iterable[dict[str, object]]:
    """Yield the numbers a card reports of itself; they were not measured here, and their slice says so."""
    for text in part.states("metric"):
        kind, _, rest = text.partition(" | ")
        data, _, value = rest.rpartition(" | ")
        try:
            number = float(value)
        except ValueError:
            continue
        if math.isfinite(number):
            where = f"self-reported: {data}" if data else "self-reported"
            yield {"type": words.name(kind), "value": _number(number), "slice": words.name(where)}


def _declared(part: Part) -> dict[str, object]:
    """Return ``considerations`` as a card words them under the matching headings."""
    uses, misuse = part.states("uses"), [f"out of scope: {t}" for t in part.states("misuse")]
    ethics = [{"name": t} for t in part.states("ethics")]
    found = {"users": part.states("users"), "useCases": [*uses, *misuse], "technicalLimitations": part.states("limitations")}
    return {**{k: v for k, v in found.items() if v}, **({"ethicalConsiderations": ethics} if ethics else {})}


def _limits(card: Scorecard, adapter: Part) -> dict[str, object]:
    """Return what this audit adds: abilities measured as lost, and what was not measured and why."""
    measured = card.dossier.measurements
    lost = [
        f"measured: {words.name(m.metric)} on {words.name(m.scope)} is degraded: {_number(m.value)} against the base, n={m.n}"
        for m in measured
        if m.verdict == "degraded" and math.isfinite(m.value)
    ]
    gaps = [
        f"not measured: {words.name(c.id)}: {text_of(card, c.reason)}"
        for c in card.dossier.checks
        if c.step == "evaluate" and not c.outcome.checked
    ]
    limitations = [*adapter.states("limitations"), *gaps]
    return {
        **({"performanceTradeoffs": lost} if lost else {}),
        **({"technicalLimitations": limitations} if limitations else {}),
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
