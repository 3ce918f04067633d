"""The rules of ``scanners.adapter_config``, and how a finding of them is made."""

from __future__ import annotations

from governance.evidence import Basis, Confidence, Finding, Location, Rule, Severity

_POISON = ("AML.T0018",)
RANK = Rule(
    id="adapter-rank-mismatch", summary="configuration and tensors differ in rank", severity=Severity.HIGH, references=_POISON
)
SCALING = Rule(
    id="adapter-scaling",
    summary="the update's scale is zero, negative, no number or far from what training leaves",
    severity=Severity.HIGH,
    references=_POISON,
)
SCALING_LOADER = Rule(
    id="adapter-scaling-loader",
    summary="loaders would apply different updates",
    severity=Severity.MEDIUM,
    references=("CWE-436",),
)
TARGETS = Rule(
    id="adapter-targets-mismatch",
    summary="target modules and tensors do not cover each other",
    severity=Severity.MEDIUM,
    references=_POISON,
)
PAIR = Rule(id="adapter-pair-broken", summary="half an update, or parts that do not fit", severity=Severity.HIGH)
FULL = Rule(
    id="adapter-full-weights",
    summary="whole weights of the base are replaced without being declared",
    severity=Severity.HIGH,
    references=_POISON,
)
FOREIGN = Rule(id="adapter-foreign-tensor", summary="tensors of no known kind", severity=Severity.MEDIUM, references=_POISON)
DIALECT = Rule(id="adapter-dialect", summary="not a LoRA adapter as peft writes it", severity=Severity.INFO)
MISMATCH = Rule(
    id="base-mismatch", summary="the tensors cannot belong to the base", severity=Severity.HIGH, references=("AML.T0010.003",)
)
CLAIMS = Rule(id="base-claims-differ", summary="several bases are named", severity=Severity.MEDIUM, references=("AML.T0073",))
LOOKALIKE = Rule(
    id="base-lookalike",
    summary="the base's name only looks like a well-known one",
    severity=Severity.HIGH,
    references=("CWE-1007", "AML.T0073"),
)
UNRESOLVED = Rule(id="base-unresolved", summary="the base named is no repository", severity=Severity.LOW, references=("CWE-829",))
RULES = (RANK, SCALING, SCALING_LOADER, TARGETS, PAIR, FULL, FOREIGN, DIALECT, MISMATCH, CLAIMS, LOOKALIKE, UNRESOLVED)


def said(
    rule: Rule, message: str, remedy: str, *places: Location, severity: Severity | None = None,
    confidence: Confidence = Confidence.HIGH, **evidence: str,
) -> Finding:  # fmt: skip
    """Return a finding.

    Args:
        rule: Which one.
        message: What was seen.
        remedy: What to do.
        places: Where.
        severity: If it is not the rule's.
        confidence: How sure.
        evidence: Further facts by name.
    """
    return Finding(
        rule=rule.id,
        severity=severity or rule.severity,
        confidence=confidence,
        basis=Basis.BYTES,
        message=message,
        locations=places,
        remediation=remedy,
        references=rule.references,
        evidence=evidence,
    )


def cut(text: str, most: int = 120) -> str:
    """Return a subject's text as messages show it: escaped and cut."""
    return ascii(text[:most])
