"""A scorecard in rows and words, once for all formats: nothing here knows HTML, Markdown or a terminal.

Made by ``view``; read by ``reports.html``, ``markdown``, ``table`` and the web page. Every string in it has gone through
``reports._render.words``, so it is one line, shows what it holds and is short enough; escaping is left to the format.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from governance.dossier import Dossier
from governance.evidence import Check
from governance.subject import COMMIT, HUB_NAME, SourceKind, Subject
from governance.verdict import Decision, RuleResult, RuleStatus, Scorecard
from reports._render import words
from reports._render.files import Matrix, matrix
from reports._render.findings import FindingRow, finding_row
from reports._render.measured import MeasuredGroup, group_measurements

_STATUS_ORDER = (RuleStatus.FAIL, RuleStatus.UNKNOWN, RuleStatus.WAIVED, RuleStatus.PASS, RuleStatus.NOT_APPLICABLE)
#: Most gaps and findings shown one by one.
MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One rule of the policy."""

    id: str
    title: str
    severity: str
    effect: str
    status: RuleStatus
    word: str
    reason: str
    remediation: str
    references: tuple[str, ...]
    reads: tuple[tuple[str, str], ...]
    waiver: str
    asks: Decision | None


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One plug-in and how far it got."""

    id: str
    version: str
    step: str
    outcome: str
    word: str
    checked: bool
    reason: str
    covered: str
    isolation: str
    seconds: str


@dataclass(frozen=True, slots=True)
class Gap:
    """One thing that was not looked at."""

    check: str
    item: str
    word: str
    reason: str


@dataclass(frozen=True, slots=True)
class PartRow:
    """One part of the composition."""

    role: str
    name: str
    link: str
    commit: str
    digest: str
    detail: str


@dataclass(frozen=True, slots=True)
class LicenseRow:
    """What is known of one component's license."""

    role: str
    name: str
    version: str
    relation: str
    declared: str
    detected: str
    concluded: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure of the summary. ``tone``: good, bad, open or empty."""

    label: str
    figure: str
    text: str
    tone: str


@dataclass(frozen=True, slots=True)
class View:
    """Everything a person is shown."""

    decision: Decision
    word: str
    meaning: str
    reason: str
    title: str
    on_base: str
    created: str
    run_id: str
    policy: str
    tiles: tuple[Tile, ...]
    decisive: tuple[RuleRow, ...]
    rules: tuple[RuleRow, ...]
    parts: tuple[PartRow, ...]
    gaps: tuple[Gap, ...]
    gaps_left_out: int
    checks: tuple[CheckRow, ...]
    files: Matrix
    findings: tuple[FindingRow, ...]
    findings_left_out: int
    measured: tuple[MeasuredGroup, ...]
    evaluation_gap: str
    backdoor: tuple[FindingRow, ...]
    licenses: tuple[LicenseRow, ...]
    notes: tuple[str, ...]
    made_with: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]


def view(card: Scorecard) -> View:
    """Return the scorecard as rows and words.

    Args:
        card: A recorded scorecard; its strings may be hostile.
    """
    dossier, verdict = card.dossier, card.verdict
    composition = dossier.composition
    rules = tuple(_rule(r) for r in sorted(verdict.results, key=_rule_order))
    gaps = tuple(_gaps(dossier.checks))
    findings = tuple(finding_row(f) for f in sorted(dossier.findings, key=lambda f: (-f.severity.rank, f.plugin, f.rule)))
    return View(
        decision=verdict.decision,
        word=words.DECISIONS[verdict.decision],
        meaning=words.MEANINGS[verdict.decision],
        reason=words.visible(verdict.reason),
        title=short_name(composition.adapter),
        on_base=short_name(composition.base) if composition.base else "",
        created=f"{card.created:%Y-%m-%d %H:%M} UTC",
        run_id=words.name(card.run_id),
        policy=f"{words.name(verdict.policy)} {words.name(verdict.policy_version)}".strip(),
        tiles=_tiles(rules, dossier),
        decisive=tuple(r for r in rules if r.asks is not None and r.asks is not Decision.APPROVE),
        rules=rules,
        parts=tuple(_parts(dossier)),
        gaps=gaps[:MOST_ROWS],
        gaps_left_out=max(0, len(gaps) - MOST_ROWS),
        checks=tuple(_check(c) for c in dossier.checks),
        files=matrix(dossier),
        findings=findings[:MOST_ROWS],
        findings_left_out=max(0, len(findings) - MOST_ROWS),
        measured=group_measurements(dossier.measurements),
        evaluation_gap=_evaluation_gap(dossier.checks),
        backdoor=tuple(f for f in findings if f.plugin == "backdoor"),
        licenses=tuple(_licenses(dossier)),
        notes=tuple(words.visible(n) for n in verdict.notes),
        made_with=tuple(_made_with(card)),
        settings=tuple(_settings(card.settings)),
    )


def short_name(subject: Subject) -> str:
    """Return a repository's name, or a folder's own name without the way to it."""
    text = subject.name if subject.source is SourceKind.HUB else PurePosixPath(subject.name).name or subject.name
    return words.name(text)


def _rule_order(result: RuleResult) -> tuple[int, int, int, str]:
    asks = result.decision.rank if result.decision else -1
    return (-asks, _STATUS_ORDER.index(result.status), -result.severity.rank, result.rule)


def _rule(r: RuleResult) -> RuleRow:
    return RuleRow(
        id=words.name(r.rule),
        title=words.name(r.title),
        severity=r.severity.value,
        effect=r.effect,
        status=r.status,
        word=words.STATUSES[r.status],
        reason=words.visible(r.reason),
        remediation=words.visible(r.remediation),
        references=words.names(r.references),
        reads=words.pairs(r.reads),
        waiver=words.visible(r.waiver or ""),
        asks=r.decision,
    )


def _check(c: Check) -> CheckRow:
    done = sum(x.outcome.checked for x in c.coverage)
    return CheckRow(
        id=words.name(c.id),
        version=words.name(c.version),
        step=c.step,
        outcome=c.outcome.value,
        word=words.OUTCOMES[c.outcome],
        checked=c.outcome.checked,
        reason=words.visible(c.reason),
        covered=f"{done} of {len(c.coverage)}" if c.coverage else "",
        isolation=words.visible(c.isolation),
        seconds=words.seconds(c.seconds) + (" (reused)" if c.reused else ""),
    )


def _gaps(checks: Iterable[Check]) -> Iterable[Gap]:
    """Yield what was not looked at: the items of a check that got through in part, or the whole check."""
    for check in checks:
        if check.outcome.checked:
            continue
        missed = [c for c in check.coverage if not c.outcome.checked]
        if not missed or check.outcome.value != "partial":
            yield Gap(
                words.name(check.id),
                "everything" if not missed else "the rest",
                words.OUTCOMES[check.outcome],
                words.visible(check.reason),
            )
        for c in missed:
            yield Gap(words.name(check.id), words.name(c.item), words.OUTCOMES[c.outcome], words.visible(c.reason))


def _parts(dossier: Dossier) -> Iterable[PartRow]:
    c = dossier.composition
    said = c.description
    yield _part("Adapter", c.adapter, ", ".join(filter(None, (words.name(said.dialect), words.name(said.peft_type or "")))))
    if c.base:
        yield _part("Base", c.base, "")
    else:
        yield PartRow("Base", "missing", "", "", "", words.visible(c.base_reason) or "no base was found")
    for ancestor in c.lineage:
        yield _part("Ancestor", ancestor, "")
    for role, digest, absent in (
        ("Tokenizer", c.tokenizer_digest, "neither the adapter nor the base ships one"),
        ("Chat template", c.template_digest, "neither the adapter nor the base has one"),
    ):
        yield PartRow(role, "as shipped" if digest else "none", "", "", words.name(digest or ""), "" if digest else absent)
    yield PartRow("Quantization", c.quantization.value, "", "", "", "how the base was loaded for measuring")
    yield PartRow("Composition", "identity of all of the above", "", "", c.digest, "all evidence is bound to this digest")


def _part(role: str, subject: Subject, detail: str) -> PartRow:
    files = words.count(len(subject.files), "file") + ", " + words.bytes_(sum(f.size for f in subject.files))
    where = "" if subject.source is SourceKind.HUB else f"folder {words.name(subject.name)}"
    asked = f"asked for as {words.name(subject.requested_revision)}" if subject.requested_revision else ""
    link = ""
    if subject.source is SourceKind.HUB and HUB_NAME.match(subject.name) and subject.commit and COMMIT.match(subject.commit):
        link = f"https://huggingface.co/{subject.name}/tree/{subject.commit}"
    return PartRow(
        role=role,
        name=short_name(subject),
        link=link,
        commit=words.name(subject.commit or ""),
        digest=subject.digest,
        detail=" · ".join(filter(None, (detail, files, where, asked))),
    )


def _licenses(dossier: Dossier) -> Iterable[LicenseRow]:
    for c in dossier.components:
        if c.license_declared or c.license_detected or c.license_concluded or c.type in ("adapter", "base", "dataset", "ancestor"):
            yield LicenseRow(
                role=c.type,
                name=words.name(PurePosixPath(c.name).name if c.name.startswith("/") else c.name),
                version=words.name((c.version or "")[:12]),
                relation=words.name(c.relation),
                declared=words.name(c.license_declared or ""),
                detected=words.name(c.license_detected or ""),
                concluded=words.name(c.license_concluded or ""),
            )


def _tiles(rules: tuple[RuleRow, ...], dossier: Dossier) -> tuple[Tile, ...]:
    failed = sum(r.status is RuleStatus.FAIL for r in rules)
    unknown = sum(r.status is RuleStatus.UNKNOWN for r in rules)
    passed = sum(r.status is RuleStatus.PASS for r in rules)
    checked = sum(c.outcome.checked for c in dossier.checks)
    total = len(dossier.checks)
    by_severity = [(s, sum(f.severity.value == s for f in dossier.findings)) for s in ("critical", "high", "medium", "low", "info")]
    serious = by_severity[0][1] + by_severity[1][1]
    kinds = len({m.metric for m in dossier.measurements})
    spoken = f"of {words.count(kinds, 'metric')}" if kinds else "no model was run"
    return (
        Tile(
            "Rules failed", str(failed), f"{unknown} not known, {passed} passed", "bad" if failed else "open" if unknown else "good"
        ),
        Tile("Checks completed", f"{checked} of {total}", _gap_words(total - checked), "good" if checked == total else "open"),
        Tile(
            "Findings",
            str(len(dossier.findings)),
            ", ".join(f"{n} {s}" for s, n in by_severity if n) or "none reported",
            "bad" if serious else "",
        ),
        Tile("Measurements", str(len(dossier.measurements)), spoken, "" if dossier.measurements else "open"),
    )


def _gap_words(gaps: int) -> str:
    return "nothing was left out" if not gaps else f"{words.count(gaps, 'check')} with gaps, listed below"


def _evaluation_gap(checks: Iterable[Check]) -> str:
    """Return why nothing was measured, or an empty text."""
    asked = [c for c in checks if c.step == "evaluate"]
    if not asked:
        return "No evaluator was asked: this audit inspected files only."
    if all(not c.outcome.checked for c in asked):
        reasons = dict.fromkeys(words.visible(c.reason) for c in asked if c.reason)
        return "; ".join(reasons) or "No evaluator completed."
    return ""


def _made_with(card: Scorecard) -> Iterable[tuple[str, str]]:
    v = card.verdict
    yield "model curator", words.name(card.curator_version)
    yield "policy", f"{words.name(v.policy)} {words.name(v.policy_version)}, sha256:{words.name(v.policy_digest)}"
    yield "policy engine", f"{words.name(v.engine)} {words.name(v.engine_version)}"
    yield "evidence judged", f"sha256:{words.name(v.input_digest)}"
    yield "duration", words.seconds(card.seconds)
    for library, version in sorted(card.versions.items()):
        yield words.name(library), words.name(version)


def _settings(settings: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Yield settings one by one; a value that is a JSON object is opened up."""
    for key, value in settings.items():
        try:
            opened = json.loads(value)
        except ValueError:
            opened = None
        if isinstance(opened, dict):
            for inner, said in opened.items():
                if said not in (None, "", [], {}):
                    yield words.name(f"{key}.{inner}"), words.visible(said if isinstance(said, str) else json.dumps(said))
        else:
            yield words.name(key), words.visible(value)
