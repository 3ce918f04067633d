"""Policy documents as types, and the words they may use.

``policies.loader`` makes them from YAML; ``policies.engine`` applies them; ``docs/policy.schema.json`` is their schema, for
editors. A document is data: nothing in it can approve by default.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, field_validator, model_validator
from pydantic.alias_generators import to_camel

from governance.contracts import Evaluator, Scanner
from governance.evidence import Basis, Confidence, Metric, Outcome, Rule, Severity
from governance.licensing import Intent
from governance.subject import Noun
from policies._source import meant

API_VERSION = "curator/v1"
Effect = Literal["reject", "review", "note"]
ParamType = Literal["double", "int", "string", "bool", "list(string)"]
Expression = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=500)]
#: Kebab-case, or the owner's own code such as MED-EVAL-010.
Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*$", max_length=80)]
Kebab = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=80)]
Semver = Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+\.[0-9]+$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
Age = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,4}[dh]$")]

#: Names expressions already have; a variable may not shadow one.
RESERVED = ("subject", "findings", "measurements", "components", "checks", "intent", "params", "now")


class Part(Noun):
    """A part of a document; written in camel case, unknown fields refused, no value is silently converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_camel, populate_by_name=True)


def _day(value: object) -> object:
    """Return a date written as text, as a date; anything else is left for the type check to refuse."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return date.fromisoformat(value)
    return value


class Metadata(Part):
    """Who stands behind a document."""

    name: Kebab
    version: Semver
    owner: Line = Field(description="address of who answers for it")
    description: str = ""
    extends: tuple[str, ...] = Field(
        default=(),
        strict=False,
        max_length=10,
        description="shipped policies, or files beside this one; their rules hold here too",
    )


class Param(Part):
    """A typed constant; part of the digest."""

    type: ParamType
    value: bool | int | float | str | tuple[str, ...]
    stricter: Literal["lower", "higher"] | None = None

    @field_validator("value", mode="plain")
    @classmethod
    def _of_a_kind(cls, value: object) -> bool | int | float | str | tuple[str, ...]:
        if isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
            return tuple(value)
        raise ValueError("expected a number, true or false, text, or a list of text")

    @model_validator(mode="after")
    def _as_declared(self) -> Self:
        kinds: dict[str, tuple[type, ...]] = {"double": (float, int), "int": (int,), "string": (str,), "bool": (bool,)}
        fits = isinstance(self.value, kinds.get(self.type, (tuple,))) and isinstance(self.value, bool) == (self.type == "bool")
        if not fits:
            raise ValueError(f"the value is no {self.type}")
        return self


class Loosened(Part):
    """What an inherited policy says and this one does not, with the person who answers for it.

    ``rule``: the inherited rule is left out, or replaced by the one of that name here. ``param``, ``margin``, ``setting``: the
    value here may be weaker than the inherited one.
    """

    rule: str | None = None
    param: str | None = None
    margin: str | None = None
    setting: Literal["onUnknown", "maxEvidenceAge", "maxWaiverDays"] | None = None
    reason: Line
    owner: Line

    @model_validator(mode="after")
    def _one(self) -> Self:
        if len(self.named) != 1:
            raise ValueError("name one of rule, param, margin and setting")
        return self

    @property
    def named(self) -> tuple[tuple[str, str], ...]:
        """What is loosened: kind and name."""
        every = (("rule", self.rule), ("param", self.param), ("margin", self.margin), ("setting", self.setting))
        return tuple((kind, name) for kind, name in every if name is not None)


class Variable(Part):
    """A named expression; rules that use it read what it reads."""

    name: Name
    expression: Expression

    @field_validator("name")
    @classmethod
    def _free(cls, value: str) -> str:
        if value in RESERVED:
            raise ValueError(f"{value!r} is already the name of what a rule reads")
        return value


class Reference(Part):
    """An entry of a published list of risks; the author's judgement that it fits."""

    framework: Line
    id: Line
    note: str = ""

    def __str__(self) -> str:
        return f"{self.framework} {self.id}"


def _severity(value: object) -> object:
    if not isinstance(value, str) or value not in list(Severity):
        raise ValueError(f"{value!r} is not one of {', '.join(Severity)}{meant(str(value), Severity)}")
    return Severity(value)


class PolicyRule(Part):
    """One rule: ``expression`` is true when all is well."""

    id: Id
    title: Line = Field(description="the good state, in one sentence")
    severity: Severity
    effect: Effect = Field(description="what a failure asks for; a note never counts")
    expression: Expression = Field(description="CEL, bool; true means good")
    when: Expression | None = Field(default=None, description="CEL, bool; false: the rule does not apply")
    message: Expression | None = Field(default=None, description="CEL, string; said when the rule fails")
    remediation: str = ""
    references: tuple[Reference, ...] = Field(default=(), strict=False)
    waivable: bool = True

    _named_severity = field_validator("severity", mode="before")(_severity)


class WaiverSubject(Part):
    """What a waiver speaks of, pinned: a repository at a commit, or a composition."""

    repo: str | None = None
    commit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")] | None = None
    composition: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None

    @model_validator(mode="after")
    def _pinned(self) -> Self:
        if self.composition is None and (self.repo is None or self.commit is None):
            raise ValueError("a waiver pins repo and commit, or a composition digest")
        return self


class Waiver(Part):
    """A named person's decision to live with one failed rule, for one subject, until a day."""

    id: Id
    rule: str
    subject: WaiverSubject
    reason: Line
    owner: Line
    approved_by: Line
    created: date
    expires: date
    ticket: str = ""
    covers: tuple[Literal["fail", "unknown"], ...] = Field(default=("fail",), strict=False)

    _dates = field_validator("created", "expires", mode="before")(_day)


def _finite(value: dict[str, float]) -> dict[str, float]:
    if not all(0 <= v <= 1 for v in value.values()):
        raise ValueError("a margin is a share between 0 and 1")
    return value


class PolicySpec(Part):
    """What is judged."""

    on_unknown: Literal["reject", "review"] = Field(default="reject", description="what an unknown on a reject rule asks for")
    requires: tuple[str, ...] = Field(default=(), strict=False, description="plug-ins that must complete, whatever the rules read")
    params: dict[Name, Param] = Field(default_factory=dict)
    variables: tuple[Variable, ...] = Field(default=(), strict=False, max_length=50)
    effects: dict[Id, Effect] = Field(default_factory=dict, description="inherited rules that ask for more here")
    loosens: tuple[Loosened, ...] = Field(default=(), strict=False, max_length=50)
    max_evidence_age: Age = Field(default="90d", description="a recorded verdict older than this is not reused: 90d, 12h")
    max_waiver_days: int = Field(default=180, ge=1, le=180, description="longest life of a waiver")
    margins: Annotated[dict[str, float], AfterValidator(_finite)] = Field(
        default_factory=dict, description="non-inferiority margins the evaluators test at, by family"
    )
    rules: tuple[PolicyRule, ...] = Field(default=(), strict=False, max_length=500)
    waivers: tuple[Waiver, ...] = Field(default=(), strict=False)

    @property
    def evidence_age(self) -> timedelta:
        """``max_evidence_age`` as a duration."""
        count = int(self.max_evidence_age[:-1])
        return timedelta(days=count) if self.max_evidence_age.endswith("d") else timedelta(hours=count)


class ModelPolicy(Part):
    """The document that judges."""

    api_version: Literal["curator/v1"]
    kind: Literal["ModelPolicy"]
    metadata: Metadata
    spec: PolicySpec


class Expected(Part):
    """What a case must come to."""

    decision: Literal["approve", "review", "reject"]
    rules: dict[str, Literal["pass", "fail", "unknown", "waived", "not-applicable"]] = Field(default_factory=dict)


class Evidence(Part):
    """Facts of a case, beside the baseline's. Fields as in a scorecard, written short."""

    checks: dict[str, Outcome] = Field(default_factory=dict, strict=False, description="outcome by plug-in; unlisted: completed")
    absent: tuple[str, ...] = Field(default=(), strict=False, description="plug-ins that were never asked")
    findings: tuple[dict[str, str], ...] = Field(default=(), strict=False)
    measurements: dict[str, dict[str, float | int | str]] = Field(default_factory=dict, strict=False, description="by metric/scope")
    components: tuple[dict[str, str], ...] = Field(
        default=(), strict=False, description="replaced as a whole by a case that has some"
    )

    @field_validator("checks", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        return {k: Outcome(v) if v in list(Outcome) else v for k, v in value.items()} if isinstance(value, dict) else value


class Case(Evidence):
    """One dossier, in short, and the verdict it must get."""

    name: Line
    intent: Intent = Field(default_factory=Intent, strict=False)
    expect: Expected


class TestSpec(Part):
    """Cases over a common baseline."""

    __test__ = False

    now: datetime = Field(strict=False)
    baseline: Evidence = Evidence()
    cases: tuple[Case, ...] = Field(strict=False, min_length=1)


class TestMetadata(Part):
    """Which policy the cases are about."""

    __test__ = False

    name: Kebab
    policy: str


class PolicyTest(Part):
    """Cases beside a policy; they run with the test suite."""

    api_version: Literal["curator/v1"]
    kind: Literal["PolicyTest"]
    metadata: TestMetadata
    spec: TestSpec


@dataclass(frozen=True)
class Words:
    """What one plug-in may say."""

    step: Literal["inspect", "evaluate"]
    rules: frozenset[str] = frozenset()
    metrics: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Vocabulary:
    """Every plug-in id and what it may say; a policy that uses another word is refused.

    Args:
        plugins: Words by plug-in id.
    """

    plugins: Mapping[str, Words]

    @classmethod
    def of(cls, *, inspect: Iterable[Scanner], evaluate: Iterable[Evaluator]) -> Self:
        """Return the vocabulary of registered plug-ins.

        Args:
            inspect: Scanners.
            evaluate: Evaluators.
        """
        found: dict[str, Words] = {}
        for scanner in inspect:
            found[scanner.id] = _words("inspect", scanner.declares)
        for evaluator in evaluate:
            found[evaluator.id] = _words("evaluate", evaluator.declares)
        return cls(found)

    def sayers(self, metric: str) -> tuple[str, ...]:
        """Return the plug-ins that may report a metric, by id."""
        return tuple(sorted(p for p, words in self.plugins.items() if metric in words.metrics))

    def unit(self, metric: str) -> str:
        """Return the unit of a metric; nothing if plug-ins differ or none says it."""
        units = {words.units[metric] for words in self.plugins.values() if metric in words.units}
        return units.pop() if len(units) == 1 else ""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric, in order."""
        return tuple(sorted({m for words in self.plugins.values() for m in words.metrics}))


def _words(step: Literal["inspect", "evaluate"], declares: Iterable[Rule | Metric]) -> Words:
    said = tuple(declares)
    return Words(
        step=step,
        rules=frozenset(d.id for d in said if isinstance(d, Rule)),
        metrics={d.id: d.direction for d in said if isinstance(d, Metric)},
        units={d.id: d.unit for d in said if isinstance(d, Metric)},
    )


#: Closed lists a field's value comes from; a literal outside them is refused, as it could never match.
CLOSED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("findings", "severity"): tuple(s.value for s in Severity),
    ("findings", "confidence"): tuple(c.value for c in Confidence),
    ("findings", "basis"): tuple(b.value for b in Basis),
    ("findings", "subject"): ("adapter", "base"),
    ("checks", "outcome"): tuple(o.value for o in Outcome),
    ("checks", "step"): ("inspect", "evaluate"),
    ("measurements", "verdict"): ("retained", "degraded", "inconclusive"),
    ("intent", "use"): ("research", "internal", "commercial", "redistribute"),
}


def json_schema() -> str:
    """Return the JSON Schema of policy files as text, for editors.

    Source:
        JSON Schema 2020-12.
    """
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Policy files of model curator",
        **ModelPolicy.model_json_schema(by_alias=True),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False, sort_keys=True)
