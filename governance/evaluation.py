"""What an evaluation without a verdict says: adapters side by side, each against its base on the same items.

Made from dossiers by ``evaluated``; written by ``curator evaluate``. It holds no approval: what is retained, degraded or open
is the statistics' word at a margin, and what could not be measured is said with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from pydantic import Field, JsonValue

from governance.context import EvaluationSettings
from governance.dossier import Dossier
from governance.evidence import Check, ItemRow, Measurement
from governance.subject import Noun, SourceKind, Subject

#: How the metrics are called that repeat a family's number for one task; what is claimed is said of families.
_DETAIL = "-task"
Standing = Literal["retained", "incomplete", "inconclusive", "degraded", "not-measured"]


class Identity(Noun):
    """One pinned model."""

    name: str
    source: SourceKind
    commit: str | None = Field(default=None, description="40 hexadecimal digits; None for a folder")
    requested_revision: str | None = None
    digest: str = Field(description="SHA-256 over path and content of every file")


class Trouble(Noun):
    """Why an adapter could not be taken in."""

    message: str
    hint: str = ""


class Gap(Noun):
    """One thing that was not measured."""

    check: str = Field(description="the evaluator; empty: the adapter was not taken in")
    item: str = ""
    reason: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.check, self.item, self.reason)))


class Costs(Noun):
    """What one adapter took."""

    seconds: float = Field(default=0.0, ge=0, description="wall time of its evaluators")
    answered: int = Field(default=0, ge=0, description="answers and passages that a model was asked for in this run")
    from_rows: int = Field(default=0, ge=0, description="answers to items of tasks that were taken from the rows of earlier runs")


class Evaluated(Noun):
    """One adapter."""

    asked: str = Field(description="as it was named in the call")
    adapter: Identity | None = None
    base: Identity | None = None
    composition: str | None = Field(default=None, description="digest of adapter, base, tokenizer, template and quantization")
    measurements: tuple[Measurement, ...] = ()
    checks: tuple[Check, ...] = Field(default=(), description="each evaluator, how far it got, and what it did not cover")
    costs: Costs = Costs()
    trouble: Trouble | None = None

    def claims(self) -> tuple[Measurement, ...]:
        """Return the measurements whose outcome counts: those of families; the same number under two scopes counts once."""
        found: dict[tuple[str, str], Measurement] = {}
        for m in self.measurements:
            if m.verdict is not None and not is_detail(m.metric):
                found.setdefault((m.metric, str(m.details.get("family", m.scope))), m)
        return tuple(found.values())

    def gaps(self) -> tuple[Gap, ...]:
        """Return what was not measured, each with its reason."""
        if self.trouble is not None:
            return (Gap(check="", reason=self.trouble.message),)
        found: list[Gap] = []
        for check in self.checks:
            missed = [c for c in check.coverage if not c.outcome.checked]
            found += [Gap(check=check.id, item=c.item, reason=c.reason or c.outcome.value) for c in missed]
            if not check.outcome.checked and not missed:
                found.append(Gap(check=check.id, reason=check.reason or check.outcome.value))
        return tuple(found)

    def standing(self) -> Standing:
        """Return how it stands: a loss that was shown is the worst, and with a gap nothing is retained as a whole."""
        said = {m.verdict for m in self.claims()}
        if "degraded" in said:
            return "degraded"
        if not said:
            return "not-measured"
        if said != {"retained"}:
            return "inconclusive"
        return "incomplete" if self.gaps() else "retained"


class EvaluationDocument(Noun):
    """One evaluation: equal models, items, seed and kernels give equal measurements."""

    schema_version: Literal["1"] = "1"
    curator_version: str
    run_id: str
    created: datetime
    suite: str = Field(description="id and version of the suite the tasks came from")
    settings: EvaluationSettings
    seed: int
    policy: str = Field(description="whose margins were tested at, with its digest")
    margins: dict[str, float] = Field(default_factory=dict, description="largest acceptable loss, by family")
    asked: tuple[str, ...] = Field(default=(), description="evaluators that were asked")
    not_asked: dict[str, str] = Field(default_factory=dict, description="the others, and why")
    versions: dict[str, str] = Field(default_factory=dict, description="libraries the measurements were made with")
    kernel_paths: tuple[str, ...] = Field(default=(), description="devices and numerics the measurements were made with")
    adapters: tuple[Evaluated, ...] = Field(default=(), description="in the order they were named")
    seconds: float = Field(default=0.0, ge=0)


def json_schema() -> dict[str, JsonValue]:
    """Return the JSON Schema (draft 2020-12) of the document; committed as ``docs/evaluation.schema.json``."""
    schema: dict[str, JsonValue] = EvaluationDocument.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:model-curator:evaluation:1", **schema}


def is_detail(metric: str) -> bool:
    """Return whether a metric repeats a family's number for one task."""
    return metric.endswith(_DETAIL)


def identity(subject: Subject) -> Identity:
    """Return what identifies a subject."""
    return Identity(
        name=subject.name,
        source=subject.source,
        commit=subject.commit,
        requested_revision=subject.requested_revision,
        digest=subject.digest,
    )


def evaluated(asked: str, dossier: Dossier, *, seconds: float, fresh: Iterable[ItemRow]) -> Evaluated:
    """Return one adapter's part of the document.

    Args:
        asked: As it was named in the call.
        dossier: What the evaluators said.
        seconds: What they took.
        fresh: Every row that was kept during this run.
    """
    answers = Counter((row.task, row.model_key) for row in fresh)
    composition = dossier.composition
    return Evaluated(
        asked=asked,
        adapter=identity(composition.adapter),
        base=identity(composition.base) if composition.base is not None else None,
        composition=composition.digest,
        measurements=dossier.measurements,
        checks=dossier.checks,
        costs=Costs(seconds=seconds, answered=answers.total(), from_rows=_from_rows(dossier.measurements, answers)),
    )


def _from_rows(measurements: Iterable[Measurement], answers: Counter[tuple[str, str]]) -> int:
    """Return how many answers of tasks were known: base and adapter answer each item of a task once.

    A third model key is the base asked again, to see how far it is from itself; it answers a part of the items only.
    """
    scopes = {m.scope: m.n for m in measurements if is_detail(m.metric)}
    found = 0
    for task, n in scopes.items():
        asked = sorted((count for (name, _), count in answers.items() if name == task), reverse=True)
        found += max(0, 2 * n - sum(asked[:2]))
    return found
