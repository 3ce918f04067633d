"""Core types as typed CEL variables: what a rule may read, and what of it is present in a dossier.

Read by ``policies._cel.expressions`` (types) and ``policies.engine`` (values). A key of an evidence map exists only if the
check behind it completed or was not applicable; fields are wrapper types, so that an absent one is absent and not zero.

Source:
    Common Expression Language specification, sections "Protocol buffers" and "Wrapper types".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from governance.dossier import Dossier
from governance.evidence import Check, Component, Finding, Measurement
from governance.licensing import Intent
from governance.subject import Composition
from policies.document import Param, Vocabulary

Kind = Literal["string", "double", "int", "bool", "strings", "base"]
Scalar = bool | int | float | str | tuple[str, ...]
#: A value of a message's field; None and a missing field are the same.
Fields = Mapping[str, Scalar | None]

#: Evidence: maps reached by literal key; the message their values (or elements) are.
EVIDENCE: Mapping[str, str] = {
    "findings": "Finding",
    "measurements": "Measurement",
    "components": "Component",
    "checks": "Check",
}
LISTS = ("findings", "components")
COMPONENT_TYPES = ("adapter", "base", "ancestor", "dataset", "tokenizer", "library")
#: A scope of measurements that stands for the worst of all scopes of its metric.
ANY_SCOPE = "*"

MESSAGES: Mapping[str, Mapping[str, Kind]] = {
    "Finding": dict.fromkeys(("rule", "severity", "confidence", "basis", "path", "message", "subject"), "string"),
    "Measurement": {
        "value": "double", "low": "double", "high": "double", "n": "int", "unit": "string", "margin": "double",
        "verdict": "string", "base": "double", "adapter": "double", "scope": "string", "lost": "int", "gained": "int",
        "needed": "int",
    },
    "Component": dict.fromkeys(("name", "version", "license", "relation"), "string"),
    "Check": dict.fromkeys(("outcome", "reason", "isolation", "step"), "string"),
    "Subject": {
        **dict.fromkeys(("kind", "repo", "owner", "commit", "composition", "peft_type", "quantization"), "string"),
        "base": "base", "tokenizer_digest": "string", "template_digest": "string",
    },
    "Base": {"repo": "string", "owner": "string", "commit": "string"},
    "Intent": dict.fromkeys(("use", "domain", "region", "environment"), "string"),
}  # fmt: skip

PARAM_KINDS: Mapping[str, Kind] = {"double": "double", "int": "int", "string": "string", "bool": "bool", "list(string)": "strings"}
_INT64 = 2**63


@dataclass(frozen=True)
class Facts:
    """What rules read, as plain values; absent keys and fields are simply not there.

    Args:
        lists: ``findings`` and ``components``: variable → key → elements.
        singles: ``measurements`` and ``checks``: variable → key → fields.
        plain: ``subject``, ``intent`` and ``params``: fields, dotted below ``subject.base``.
        now: The instant of judgement.
        missing: Why a key that might have been there is not: ``variable/key`` → reason.
    """

    lists: Mapping[str, Mapping[str, tuple[Fields, ...]]]
    singles: Mapping[str, Mapping[str, Fields]]
    plain: Mapping[str, Fields]
    now: datetime
    missing: Mapping[str, str]

    def has(self, variable: str, key: str) -> bool:
        """Return whether an evidence key exists."""
        return key in (self.lists if variable in LISTS else self.singles).get(variable, {})


def gather(
    dossier: Dossier,
    *,
    on: datetime,
    intent: Intent,
    params: Mapping[str, Param],
    margins: Mapping[str, float],
    vocabulary: Vocabulary,
    partial: bool = False,
) -> Facts:
    """Return a dossier as rules see it.

    Args:
        dossier: Facts and checks.
        on: The instant of judgement.
        intent: What the asker wants.
        params: Constants of the policy.
        margins: Of the policy; a measurement tested at a wider one does not count.
        vocabulary: Which plug-in says what.
        partial: True: everything that was recorded, also by checks that did not complete.
    """
    missing: dict[str, str] = {}
    checked = {c.id for c in dossier.checks if c.outcome.checked} - {c.id for c in dossier.checks if not c.outcome.checked}
    findings: dict[str, tuple[Fields, ...]] = {}
    for check in dossier.checks:
        said = tuple(_finding(f) for f in dossier.findings if f.plugin == check.id)
        if check.id in checked or (partial and said):
            findings[check.id] = said
    allowed = {c.id for c in dossier.checks} if partial else checked
    measured = _measurements([m for m in dossier.measurements if m.plugin in allowed], margins, missing, vocabulary)
    return Facts(
        lists={"findings": findings, "components": _components(dossier, checked, partial=partial)},
        singles={"measurements": measured, "checks": {c.id: _check(c) for c in dossier.checks}},
        plain={
            "subject": _subject(dossier.composition),
            "intent": {**intent.model_dump()},
            "params": {n: float(p.value) if p.type == "double" and not isinstance(p.value, tuple | str) else p.value
                       for n, p in params.items()},
        },
        now=on,
        missing=missing,
    )  # fmt: skip


def _finding(finding: Finding) -> Fields:
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "confidence": finding.confidence.value,
        "basis": finding.basis.value,
        "path": str(finding.locations[0]) if finding.locations else "",
        "message": finding.message,
        "subject": finding.subject,
    }


def _measurement(m: Measurement) -> Fields:
    counts = {k: v for k in ("lost", "gained") if isinstance(v := m.details.get(k), int)}
    needed = m.details.get("needed-n")
    if isinstance(needed, float) and math.isfinite(needed):
        needed = math.ceil(needed)
    return {
        "value": m.value, "low": m.interval.low if m.interval else None, "high": m.interval.high if m.interval else None,
        "n": m.n, "unit": m.unit, "margin": m.margin, "verdict": m.verdict, "base": m.base_value, "adapter": m.adapter_value,
        "scope": m.scope, **counts, "needed": needed if isinstance(needed, int) else None,
    }  # fmt: skip


def _measurements(
    said: Iterable[Measurement], margins: Mapping[str, float], missing: dict[str, str], vocabulary: Vocabulary
) -> dict[str, Fields]:
    """Return measurements by ``metric/scope``, and by ``metric/*`` the worst; ambiguous and too lenient ones are absent."""
    found: dict[str, Fields] = {}
    refused: set[str] = set()
    for one in said:
        key, fields = f"{one.metric}/{one.scope}", _measurement(one)
        widest = margins.get(one.scope, max(margins.values(), default=None)) if margins else None
        if one.margin is not None and widest is not None and one.margin > widest + 1e-12:
            missing[f"measurements/{key}"] = f"it was tested at margin {one.margin:g}, the policy allows {widest:g}"
            refused.add(key)
        elif not math.isfinite(one.value):
            missing[f"measurements/{key}"] = f"its value is {one.value}, which is no number"
            refused.add(key)
        elif key in found and found[key] != fields:
            missing[f"measurements/{key}"] = "it was reported twice with different values"
            refused.add(key)
        found[key] = fields
    for metric in {key.split("/", 1)[0] for key in found}:
        scopes = [k for k in sorted(found) if k.split("/", 1)[0] == metric]
        lower = any(vocabulary.plugins[p].metrics[metric] == "lower-is-better" for p in vocabulary.sayers(metric))
        if not refused & set(scopes):
            found[f"{metric}/{ANY_SCOPE}"] = max((found[k] for k in scopes), key=lambda f: _badness(f, lower=lower))
        else:
            missing[f"measurements/{metric}/{ANY_SCOPE}"] = "; ".join(missing[f"measurements/{k}"] for k in scopes if k in refused)
    return {k: v for k, v in found.items() if k not in refused}


def _badness(fields: Fields, *, lower: bool) -> tuple[int, float]:
    """Order scopes from best to worst: first by verdict, an unknown word last, then by value."""
    words = ("retained", None, "inconclusive", "degraded")
    verdict, value = fields["verdict"], fields["value"]
    rank = words.index(verdict) if verdict in words else len(words)
    number = float(value) if isinstance(value, float | int) else 0.0
    return rank, number if lower else -number


def _components(dossier: Dossier, checked: set[str], *, partial: bool) -> dict[str, tuple[Fields, ...]]:
    """Return components by type; there are keys only if everyone who named a component completed."""
    said: tuple[Component, ...] = dossier.components
    if not said or (not partial and not {c.plugin for c in said} <= checked):
        return {}
    found = {t: tuple(_component(c) for c in said if c.type == t) for t in COMPONENT_TYPES}
    return {t: c for t, c in found.items() if c} if partial else found


def _component(c: Component) -> Fields:
    return {"name": c.name, "version": c.version, "license": c.license_concluded, "relation": c.relation}


def _check(c: Check) -> Fields:
    return {"outcome": c.outcome.value, "reason": c.reason, "isolation": c.isolation, "step": c.step}


def _subject(composition: Composition) -> Fields:
    adapter, base = composition.adapter, composition.base
    fields: dict[str, Scalar | None] = {
        "kind": composition.description.kind,
        "repo": adapter.name,
        "owner": _owner(adapter.name, adapter.source.value),
        "commit": adapter.commit,
        "composition": composition.digest,
        "peft_type": composition.description.peft_type,
        "quantization": composition.quantization.value,
        "tokenizer_digest": composition.tokenizer_digest,
        "template_digest": composition.template_digest,
    }
    if base is not None:
        fields |= {"base.repo": base.name, "base.owner": _owner(base.name, base.source.value), "base.commit": base.commit}
    return fields


def _owner(name: str, source: str) -> str | None:
    return name.split("/", 1)[0] if source == "hub" and "/" in name else None


class Types:
    """The message types of one policy: the fixed ones, and its params.

    Args:
        params: Declared constants.

    Raises:
        ImportError: Protocol buffers are not installed.
    """

    def __init__(self, params: Mapping[str, Param]) -> None:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

        self.fields = {**MESSAGES, "Params": {n: PARAM_KINDS[p.type] for n, p in params.items()}}
        file = descriptor_pb2.FileDescriptorProto(name="curator/v1.proto", package="curator", syntax="proto3")
        file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
        for name, fields in self.fields.items():
            message = file.message_type.add(name=name)
            for number, (field, kind) in enumerate(fields.items(), 1):
                _declare(message, field, kind, number)
        self.pool = descriptor_pool.DescriptorPool()
        self.pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
        self.pool.AddSerializedFile(file.SerializeToString())
        find = self.pool.FindMessageTypeByName
        self._made = {name: message_factory.GetMessageClass(find(f"curator.{name}")) for name in self.fields}

    def activation(self, facts: Facts) -> dict[str, Any]:
        """Return the facts as CEL takes them: protobuf messages in maps and lists."""
        data: dict[str, Any] = {"now": facts.now}
        for variable, by_key in facts.lists.items():
            data[variable] = {k: [self._message(EVIDENCE[variable], f) for f in every] for k, every in by_key.items()}
        for variable, single in facts.singles.items():
            data[variable] = {k: self._message(EVIDENCE[variable], f) for k, f in single.items()}
        for variable, fields in facts.plain.items():
            data[variable] = self._message(variable.capitalize(), fields)
        return data

    def _message(self, name: str, fields: Fields) -> Any:
        message = self._made[name]()
        for field, kind in self.fields[name].items():
            if kind == "base":
                part = {k.removeprefix("base."): v for k, v in fields.items() if k.startswith("base.")}
                if part:
                    getattr(message, field).CopyFrom(self._message("Base", part))
            elif (value := settable(kind, fields.get(field))) is not None:
                if isinstance(value, tuple):
                    getattr(message, field).extend(value)
                else:
                    getattr(message, field).value = value
        return message


def settable(kind: Kind, value: Scalar | None) -> Scalar | None:
    """Return a value as the field can hold it, or None if it cannot: no NaN, no infinity, no text that is not Unicode."""
    match kind, value:
        case "double", float() | int():
            return float(value) if math.isfinite(value) else None
        case "int", int():
            return value if -_INT64 <= value < _INT64 else None
        case "string", str():
            return value.encode("utf-8", "backslashreplace").decode()
        case "bool", bool():
            return value
        case "strings", tuple():
            return value
        case _:
            return None


def _declare(message: Any, field: str, kind: Kind, number: int) -> None:
    wrapped = {"string": "StringValue", "double": "DoubleValue", "int": "Int64Value", "bool": "BoolValue"}
    if kind == "strings":
        message.field.add(name=field, number=number, type=9, label=3)
    else:
        target = ".curator.Base" if kind == "base" else f".google.protobuf.{wrapped[kind]}"
        message.field.add(name=field, number=number, type=11, type_name=target, label=1)
