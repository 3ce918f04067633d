"""What is sent and answered: request bodies, and runs as the API shows them.

References are checked here: a Hub name, or a folder the operator has opened, and nothing else of the server's.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from api.jobs import Job, Request
from api.rest.problems import Refusal
from api.rest.service import Service
from governance.context import EvaluationSettings, Progress
from governance.ledger import RunRow, RunState
from governance.licensing import Intent
from governance.subject import HUB_NAME, ArtifactRef, CompositionRef, Noun, SourceKind
from governance.verdict import SCHEMA_VERSION, Decision, Scorecard

_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}\Z")
Kebab = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=100)]
Task = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=1000)] | ArtifactRef


class Measure(Noun):
    """What is measured; everything else is the installation's choice."""

    suite: Kebab = "auto"
    tasks: tuple[Task, ...] = Field(default=(), max_length=20, description="lm-eval task names")
    limit: int | None = Field(default=None, ge=1, le=100_000, description="items for each task")
    probe: Literal["fast", "off"] = "fast"


class AuditRequest(Noun):
    """Asks for an audit."""

    ref: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | CompositionRef = Field(
        description="owner/name[@revision], a folder below the one the operator has opened, or the whole reference",
        examples=["acme-health/discharge-lora@main"],
    )
    base: Reference | None = Field(default=None, description="the base model, if not the one the adapter names")
    policy: Kebab | None = Field(default=None, description="a shipped policy's name; absent: the installation's")
    intent: Intent = Intent()
    measure: Measure = Measure()
    stage: Literal["inspect", "all"] = Field(default="all", description="inspect: load no model; what needs one stays unknown")

    def resolved(self, here: Service) -> Request:
        """Return the request with every reference and name checked.

        Args:
            here: Says which folders and policies may be named.

        Raises:
            Refusal: 403, a folder that is not open; 422, no valid reference or policy.
        """
        if self.policy is not None and self.policy not in here.policies():
            raise Refusal(422, f"there is no policy {self.policy!r} here", hint="one of: " + ", ".join(sorted(here.policies())))
        given = CompositionRef(adapter=parsed(self.ref)) if isinstance(self.ref, str) else self.ref
        base = parsed(self.base) if isinstance(self.base, str) else self.base or given.base
        ref = CompositionRef(
            adapter=allowed(given.adapter, here.allow_folder),
            base=allowed(base, here.allow_folder) if base else None,
            quantization=given.quantization,
        )
        evaluation = EvaluationSettings.model_validate(self.measure.model_dump())
        return Request(ref=ref, policy=self.policy, intent=self.intent, evaluation=evaluation, stage=self.stage)


def parsed(text: str) -> ArtifactRef:
    """Return a reference as written by hand; what begins like a path is a folder, everything else a Hub name."""
    if text.startswith(("/", ".")):
        return ArtifactRef(source=SourceKind.LOCAL, name=text)
    name, _, revision = text.removeprefix("hub:").partition("@")
    return ArtifactRef(source=SourceKind.HUB, name=name, revision=revision or None)


def allowed(ref: ArtifactRef, root: Path | None) -> ArtifactRef:
    """Return a reference that may be followed.

    Args:
        ref: As asked for.
        root: The folder the operator has opened, or None.

    Raises:
        Refusal: 403, a folder outside of it; 422, no valid Hub name or revision.
    """
    if ref.source is SourceKind.HUB:
        if not HUB_NAME.match(ref.name) or ".." in ref.name:
            raise Refusal(422, f"{ref.name!r} is no Hub name", hint="write owner/name[@revision]")
        if ref.revision and (not _REVISION.match(ref.revision) or ".." in ref.revision):
            raise Refusal(422, f"{ref.revision!r} is no revision", hint="a branch, a tag or a 40-digit commit")
        return ref
    if root is None:
        raise Refusal(403, "folders of the server are not open", hint="start it with: curator serve --allow-folder DIR")
    opened = root.resolve()
    try:
        folder = (opened / ref.name).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise Refusal(403, "this folder is not open") from error
    if not folder.is_relative_to(opened):
        raise Refusal(403, "this folder is not open", hint="only folders below the one given to --allow-folder are")
    return ArtifactRef(source=SourceKind.LOCAL, name=str(folder))


class Links(Noun):
    """Where to go from a run."""

    self: str
    events: str
    page: str
    scorecard: str | None = None
    report: str | None = None


class Trouble(Noun):
    """Why a run has no verdict."""

    detail: str
    hint: str = ""


class RunView(Noun):
    """One run, as a list shows it."""

    schema_version: str = SCHEMA_VERSION
    run_id: str
    state: RunState
    created: datetime
    changed: datetime
    adapter: str | None = None
    ahead: int = Field(default=0, description="runs before it in the queue")
    stage: str | None = Field(default=None, description="acquire, inspect, evaluate, decide or record")
    progress: Progress | None = Field(default=None, description="the last sign of life")
    decision: Decision | None = None
    error: Trouble | None = None
    links: Links


class AuditView(RunView):
    """One run with its scorecard."""

    scorecard: Scorecard | None = Field(default=None, description="once it is recorded")


class Runs(Noun):
    """A page of runs, newest first."""

    schema_version: str = SCHEMA_VERSION
    items: tuple[RunView, ...]
    next: str | None = Field(default=None, description="path of the next page")


def links(run_id: str, state: RunState) -> Links:
    """Return where to go from a run."""
    done = state is RunState.RECORDED
    return Links(
        self=f"/v1/audits/{run_id}",
        events=f"/v1/audits/{run_id}/events",
        page=f"/audits/{run_id}",
        scorecard=f"/v1/scorecards/{run_id}" if done else None,
        report=f"/v1/audits/{run_id}/report?format=html" if done else None,
    )


def run_view(run: RunRow, job: Job | None, *, ahead: int = 0) -> RunView:
    """Return a run from what the ledger says and, if it is of this process, what its job says."""
    said, progress = run.said, job.progress if job else None
    state = job.state if job and job.state.ended and not run.state.ended else run.state
    error = Trouble(detail=str(said["reason"]), hint=str(said.get("hint", ""))) if "reason" in said and state.ended else None
    if job and job.error and error is None:
        error = Trouble(detail=job.error.message, hint=job.error.hint)
    return RunView(
        run_id=run.run_id,
        state=state,
        created=run.created,
        changed=run.changed,
        adapter=adapter_of(run),
        ahead=ahead if state is RunState.QUEUED else 0,
        stage=progress.step if progress and not state.ended else None,
        progress=progress if not state.ended else None,
        decision=Decision(str(said["decision"])) if "decision" in said else None,
        error=error,
        links=links(run.run_id, state),
    )


def adapter_of(run: RunRow) -> str | None:
    """Return the adapter a run was asked about, if it came over HTTP."""
    match run.asked:
        case {"ref": {"adapter": {"name": str(name), **rest}}}:
            revision = rest.get("revision")
            return f"{name}@{revision}" if revision else name
    return None
