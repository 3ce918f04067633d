"""Facts, and how far they reach. No judgement lives here: no threshold, no "safe", no "approve".

Scanners and evaluators yield ``Fact | Coverage``; the pipeline moves coverage into the plug-in's ``Check``. Policies and
reports read them. A missing measurement is absent and its check says why: there is no NaN and no 0.0 for "nothing".
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from governance.subject import Noun


class Severity(StrEnum):
    """How bad it is if the finding is true."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for info to 4 for critical."""
        return ("info", "low", "medium", "high", "critical").index(self.value)


class Confidence(StrEnum):
    """How sure the plug-in is that the finding is true."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Basis(StrEnum):
    """What a finding rests on."""

    BYTES = "bytes"
    TEXT = "text"
    MEASURED = "measured"
    JUDGEMENT = "judgement"


class Rule(Noun):
    """A kind of finding a plug-in may report; SARIF's word. A rule of a policy is a ``PolicyRule``."""

    id: str
    summary: str
    severity: Severity = Severity.MEDIUM
    references: tuple[str, ...] = Field(default=(), description="CWE-…, AML.T…, CVE-…")


class Metric(Noun):
    """A kind of measurement a plug-in may report."""

    id: str
    summary: str
    unit: str = Field(description="UCUM code or a word: 1, percent, bit/byte, nat")
    direction: Literal["higher-is-better", "lower-is-better", "neutral"]


class Location(Noun):
    """Where in a subject something was seen."""

    path: str
    entry: tuple[str, ...] = Field(default=(), description="path inside nested containers, outermost first")
    offset: int | None = Field(default=None, description="byte offset in the innermost entry")
    opcode: str | None = None
    tensor: str | None = None
    key: str | None = Field(default=None, description="key in a configuration document")

    def __str__(self) -> str:
        text = "!".join((self.path, *self.entry))
        for mark, value in (("#", self.key), (" tensor ", self.tensor), (" at byte ", self.offset), (" ", self.opcode)):
            if value is not None:
                text += f"{mark}{value}"
        return text


class Finding(Noun):
    """Something a plug-in saw; cites a declared ``Rule``."""

    kind: Literal["finding"] = "finding"
    plugin: str = Field(default="", description="filled in by the pipeline")
    rule: str
    severity: Severity
    confidence: Confidence = Confidence.HIGH
    basis: Basis = Basis.BYTES
    message: str
    subject: Literal["adapter", "base"] = "adapter"
    locations: tuple[Location, ...] = ()
    remediation: str = ""
    references: tuple[str, ...] = ()
    evidence: dict[str, str] = Field(default_factory=dict, description="short, escaped excerpts by name")


class Interval(Noun):
    """An interval estimate and how it was made."""

    low: float
    high: float
    level: float = Field(default=0.95, gt=0, lt=1)
    method: str


class Example(Noun):
    """One item that changed between base and adapter. Its texts come from data and models: escape them where they are shown."""

    item: str = Field(description="item key, as in the kept rows")
    task: str
    change: Literal["lost", "gained"]
    question: str = Field(max_length=400, description="what was asked, cut from the left")
    gold: str = Field(default="", max_length=240, description="the right answer, where the task says it")
    base: str = Field(default="", max_length=240, description="the base's answer")
    adapter: str = Field(default="", max_length=240, description="the adapter's answer")


class Measurement(Noun):
    """One number, with everything needed to read it."""

    kind: Literal["measurement"] = "measurement"
    plugin: str = Field(default="", description="filled in by the pipeline")
    metric: str
    scope: str = Field(description="task, family, trigger or text set the number speaks of")
    value: float
    unit: str
    n: int = Field(ge=0, description="items behind the number")
    interval: Interval | None = None
    verdict: str | None = Field(default=None, description="statistical outcome, e.g. retained, degraded, inconclusive")
    margin: float | None = Field(default=None, description="non-inferiority margin the verdict was tested at")
    base_value: float | None = Field(default=None, description="the same quantity for the base, same items")
    adapter_value: float | None = Field(default=None, description="the same quantity for the adapter")
    details: dict[str, float | int | str] = Field(default_factory=dict)
    examples: tuple[Example, ...] = Field(default=(), max_length=40, description="some of the items that changed")
    seed: int | None = None
    data_revision: str | None = Field(default=None, description="digest of the items")
    quantization: str | None = None
    device: str | None = Field(default=None, description="device and kernel path")
    versions: dict[str, str] = Field(default_factory=dict)
    rows: str | None = Field(default=None, description="digest of the item rows behind it")


class Component(Noun):
    """A part of the composition or its history, for the bill of materials."""

    kind: Literal["component"] = "component"
    plugin: str = Field(default="", description="filled in by the pipeline")
    type: Literal["adapter", "base", "ancestor", "dataset", "tokenizer", "library"]
    name: str
    version: str | None = None
    relation: str = ""
    license_declared: str | None = None
    license_detected: str | None = None
    license_concluded: str | None = None
    digest: str | None = None
    properties: dict[str, str] = Field(default_factory=dict)


Fact = Finding | Measurement | Component


class ItemRow(Noun):
    """One scored item under a content key. Kept once, never changed."""

    kind: Literal["item"] = "item"
    model_key: str
    item_key: str
    task: str
    group: str | None = None
    values: dict[str, float | int | str | bool | list[float] | list[str]] = Field(
        description="log-probabilities, answers and scores by name"
    )


class Outcome(StrEnum):
    """How far a check got. Only ``completed`` and ``not-applicable`` count as checked."""

    COMPLETED = "completed"
    PARTIAL = "partial"
    NOT_APPLICABLE = "not-applicable"
    SKIPPED = "skipped"
    FAILED = "failed"
    TIMED_OUT = "timed-out"

    @property
    def checked(self) -> bool:
        """True if a policy may rely on the absence of findings."""
        return self in (Outcome.COMPLETED, Outcome.NOT_APPLICABLE)


class Coverage(Noun):
    """One item a plug-in did or did not look at."""

    kind: Literal["coverage"] = "coverage"
    item: str = Field(description="file, task, stage or context")
    outcome: Outcome
    reason: str = ""


class Reached(Noun):
    """What a child process was cut off from. Said by the executor, never by a plug-in."""

    kind: Literal["reached"] = "reached"
    isolation: str


class Check(Noun):
    """That a plug-in ran, or why not."""

    id: str
    version: str
    step: Literal["inspect", "evaluate"]
    outcome: Outcome
    reason: str = ""
    coverage: tuple[Coverage, ...] = ()
    isolation: str = Field(default="", description="what the child process was cut off from")
    seconds: float = Field(default=0.0, ge=0)
    reused: bool = Field(default=False, description="taken over from an interrupted attempt of the same run")
