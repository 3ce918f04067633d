"""License questions about repositories: one license check without an audit, and what changed between two revisions.

Put together here for ``curator license``; nothing is recorded, and no model is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from pydantic import Field

import scanners
from api.assembly import local_executor, run_context, source
from api.settings import Settings
from governance.context import Progress
from governance.contracts import Scanner
from governance.dossier import Dossier
from governance.errors import SubjectError
from governance.evidence import Check, Component, Finding
from governance.hub.local import folder_of, readable_of
from governance.licensing import Intent
from governance.pipeline import inspect
from governance.plugins import discover
from governance.subject import ArtifactRef, CompositionRef, Noun, SourceKind
from policies.licenses import license_table

_PLUGIN = "license-terms"
_LEVELS = ("violation", "conflict", "unknown", "obligation", "ok")
Level = str


class LicenseReport(Noun):
    """What the license check says of one reference. Both verdicts are the worst of their rules."""

    adapter: str
    commit: str | None
    verdict: Level
    model_verdict: Level
    use_verdict: Level
    components: tuple[Component, ...]
    findings: tuple[Finding, ...]
    check: Check | None
    open_questions: tuple[str, ...] = ()
    remedies: dict[str, str] = Field(default_factory=dict)

    @property
    def licenses(self) -> Mapping[str, str]:
        """Concluded license by part."""
        return {f"{c.type} {c.name}": c.license_concluded or "unknown" for c in self.components}


def license_report(
    ref: CompositionRef,
    settings: Settings,
    *,
    intent: Intent,
    emit: Callable[[Progress], None] = lambda _: None,
    checkpoint: Callable[[], None] = lambda: None,
) -> LicenseReport:
    """Return what the license check says of a folder or repository.

    Args:
        ref: What to judge; of a Hub's repositories only cards, configurations and license texts are taken.
        settings: Endpoint, limits, isolation.
        intent: Who asks, and for what.
        emit: Takes progress.
        checkpoint: Called often; raises ``Cancelled`` to end.

    Raises:
        SubjectError: There is no such thing, or it may not be read.
    """
    dossier = _judged(ref, settings, intent=intent, emit=emit, checkpoint=checkpoint)
    findings = tuple(f for f in dossier.findings if f.plugin == _PLUGIN)
    components = tuple(c for c in dossier.components if c.plugin == _PLUGIN)
    by_axis = {
        axis: [f.rule.removeprefix("license-") for f in findings if f.evidence.get("verdict") == axis] for axis in ("model", "use")
    }
    made = {axis: min(found, key=_LEVELS.index, default="ok") for axis, found in by_axis.items()}
    return LicenseReport(
        adapter=dossier.composition.adapter.name,
        commit=dossier.composition.adapter.commit,
        verdict=min(made.values(), key=_LEVELS.index),
        model_verdict=made["model"],
        use_verdict=made["use"],
        components=components,
        findings=tuple(sorted(findings, key=lambda f: _LEVELS.index(f.rule.removeprefix("license-")))),
        check=next((c for c in dossier.checks if c.id == _PLUGIN), None),
        open_questions=_questions(intent),
        remedies=_remedies(findings),
    )


def _judged(
    ref: CompositionRef,
    settings: Settings,
    *,
    intent: Intent,
    emit: Callable[[Progress], None],
    checkpoint: Callable[[], None],
) -> Dossier:
    plugins = {k: p for k, p in discover(scanners, Scanner).items() if k == _PLUGIN}
    ctx = replace(run_context(settings, emit=emit, checkpoint=checkpoint), license_terms=license_table(), intent=intent)
    ctx.store.root.mkdir(parents=True, exist_ok=True)  # before a child starts: what is not there cannot be opened to it
    name = ref.adapter.name
    local = ref.adapter.source is SourceKind.LOCAL and Path(name).exists()
    ctx = replace(ctx, folders={name: folder_of(name)} if local else {})
    reachable = readable_of(name) if local else ()
    with local_executor(settings, readable=reachable) as executor:
        acquirer = source(settings, executor.describe(), documents_only=True)
        return inspect(acquirer.acquire(ref, ctx), executor.scanners(plugins), ctx)


def _questions(intent: Intent) -> tuple[str, ...]:
    """Return what was not told and could change the answer."""
    asked = {"purpose": intent.use, "where": intent.region, "mau": intent.mau, "revenue": intent.revenue}
    return tuple(key for key, value in asked.items() if value is None)


def _remedies(findings: tuple[Finding, ...]) -> dict[str, str]:
    """Return every text that closes a duty, by kind, equal ones once."""
    found: dict[str, list[str]] = {}
    for finding in findings:
        for key, text in finding.evidence.items():
            if key.startswith("remedy-") and text not in found.setdefault(key.removeprefix("remedy-"), []):
                found[key.removeprefix("remedy-")].append(text)
    return {kind: "\n\n".join(texts) for kind, texts in found.items()}


class Change(Noun):
    """One part of a lineage that is not what it was."""

    part: str
    what: str
    before: str
    after: str


class Drift(Noun):
    """What changed in the terms between two revisions, and both verdicts."""

    adapter: str
    before: str
    after: str
    changes: tuple[Change, ...]
    verdict_before: Level
    verdict_after: Level
    rule: str = "LIC-DRIFT"
    new_rules: tuple[str, ...] = ()
    gone_rules: tuple[str, ...] = ()


def drift(
    ref: ArtifactRef,
    first: str,
    second: str,
    settings: Settings,
    *,
    intent: Intent,
    emit: Callable[[Progress], None] = lambda _: None,
) -> Drift:
    """Return what changed in the terms of a repository and its lineage between two revisions.

    Args:
        ref: A Hub repository, or a folder that holds one folder for each revision.
        first: Branch, tag or commit.
        second: The later one.
        settings: As for a license check.
        intent: Who asks.
        emit: Takes progress.

    Raises:
        SubjectError: One of the revisions cannot be read.
    """
    reports = []
    for revision in (first, second):
        at = ref.model_copy(update={"revision": revision})
        if ref.source is SourceKind.LOCAL:
            at = ref.model_copy(update={"name": f"{ref.name.rstrip('/')}/{_safe(revision)}"})
        reports.append(license_report(CompositionRef(adapter=at), settings, intent=intent, emit=emit))
    before, after = reports
    rules = [{f"{f.evidence.get('rule', '')} {_at(f.evidence.get('parent', ''), r)}".strip() for f in r.findings} for r in reports]
    return Drift(
        adapter=ref.name,
        before=before.commit or first,
        after=after.commit or second,
        changes=tuple(_changes(before, after)),
        verdict_before=before.verdict,
        verdict_after=after.verdict,
        new_rules=tuple(sorted(rules[1] - rules[0])),
        gone_rules=tuple(sorted(rules[0] - rules[1])),
    )


def _safe(revision: str) -> str:
    if "/" in revision or revision in ("", ".", ".."):
        raise SubjectError(f"{revision!r} is no revision of a folder", hint="a folder's revisions are the folders in it, by name")
    return revision


def _at(parent: str, report: LicenseReport) -> str:
    return parent.replace(report.adapter, "the adapter")


def _changes(before: LicenseReport, after: LicenseReport) -> list[Change]:
    """Return what is no longer as it was: licenses, texts, use policies, links, what could be read; and parts that came or went."""
    old, new = ({_part(c): c for c in r.components} for r in (before, after))
    changes: list[Change] = []
    for part in dict.fromkeys([*old, *new]):
        a, b = old.get(part), new.get(part)
        if a is None or b is None:
            changes.append(Change(part=part, what="lineage", before=_said(a), after=_said(b)))
            continue
        for what in ("license_declared", "license_detected", "license_concluded"):
            was, now = getattr(a, what), getattr(b, what)
            if was != now:
                changes.append(_changed(part, what.removeprefix("license_"), was, now))
        for what in ("license-text", "use-policy-text", "license-link", "not-reached"):
            was, now = a.properties.get(what), b.properties.get(what)
            if was != now:
                changes.append(_changed(part, what, was, now))
    return changes


def _changed(part: str, what: str, was: str | None, now: str | None) -> Change:
    return Change(part=part, what=what, before=was or "nothing", after=now or "nothing")


def _part(component: Component) -> str:
    return "adapter" if component.type == "adapter" else f"{component.type} {component.name}"


def _said(component: Component | None) -> str:
    return "not there" if component is None else component.license_concluded or "license unknown"
