"""``curator gate`` and ``curator lock``: let models through a pipeline, or not; pin what was approved."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from api.cli.groups import by_default
from api.cli.options import (
    BaseOption,
    DataOption,
    Device,
    DeviceOption,
    DomainOption,
    LimitOption,
    PolicyOption,
    Probe,
    ProbeOption,
    QuietOption,
    RegionOption,
    SuiteOption,
    UseOption,
    measured,
)
from api.cli.session import Interrupt, RowFormat, command_app, curator, err, errors_shown, watched
from api.cli.tables import print_rows
from api.gate import Asked, Gated, gate, worst
from api.gate_files import Files, write_all
from api.outcomes import EXIT_CODES, OK, REJECT
from api.references import parse_reference
from governance import lock as locks
from governance.context import EvaluationSettings, utc_now
from governance.errors import SubjectError
from governance.licensing import Intent
from governance.subject import CompositionRef
from reports._ci.results import Entry, Failure, Place

GATE_HELP = """Let models through a pipeline, or not: one exit code for all, and the files your forge shows.

A recorded verdict on the same composition, policy, purpose and evaluation is taken while it is younger than the policy's
maxEvidenceAge; anything else is audited. Models are named as REF, or by the entries of a lock file.

Exit codes: 0 all approved, 10 a person must look, 11 one is rejected, 1 one could not be audited or nothing was asked, 2 bad usage.

Examples:

  curator gate acme/discharge-lora@main --policy strict --sarif curator.sarif --junit curator.xml

  curator gate --lock models.lock --summary "$GITHUB_STEP_SUMMARY"
"""
LOCK_HELP = """Audit models and pin the approved ones in models.lock; or check a repository against it, offline.

Only approvals are locked: adapter, base, composition digest, policy digest, and the last day it holds. `curator lock check` reads
the lock and the files given, names every model that is not pinned or not approved, and needs no network: it is the hook
`curator-lock` for pre-commit.

Examples:

  curator lock acme/discharge-lora@main --policy strict

  curator lock check deploy/*.yaml src/serve.py
"""
lock_app = typer.Typer(
    cls=by_default("add"),
    no_args_is_help=True,
    help=LOCK_HELP,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)
LockFile = Annotated[Path, typer.Option("--lock", help="the lock file")]


def gate_(
    refs: Annotated[list[str] | None, typer.Argument(help="folders, or owner/name[@revision]", metavar="REF…")] = None,
    lock: Annotated[Path | None, typer.Option(help="judge every model of this lock file")] = None,
    base: BaseOption = None,
    policy: PolicyOption = None,
    use: UseOption = None,
    domain: DomainOption = None,
    region: RegionOption = None,
    suite: SuiteOption = "auto",
    data: DataOption = None,
    limit: LimitOption = None,
    probe: ProbeOption = Probe.FAST,
    device: DeviceOption = Device.AUTO,
    fresh: Annotated[bool, typer.Option("--fresh", help="audit again, whatever is on record")] = False,
    sarif: Annotated[Path | None, typer.Option(help="write SARIF 2.1.0, for code scanning")] = None,
    junit: Annotated[Path | None, typer.Option(help="write JUnit XML")] = None,
    gitlab: Annotated[Path | None, typer.Option(help="write GitLab's Code Quality report")] = None,
    summary: Annotated[Path | None, typer.Option(help="append a Markdown summary")] = None,
    badge: Annotated[Path | None, typer.Option(help="write an SVG badge; for one model")] = None,
    format_id: RowFormat = "table",
    quiet: QuietOption = False,
) -> None:
    """Judge models for a pipeline."""
    if not refs and lock is None:
        raise typer.BadParameter("name a model, or --lock FILE: a gate without models is no gate", param_hint="REF")
    if badge and (lock is not None or len(refs or []) != 1):
        raise typer.BadParameter("a badge speaks of one model", param_hint="--badge")
    wanted = Files(sarif=sarif, junit=junit, gitlab=gitlab, summary=summary, badge=badge)
    with errors_shown(as_json=format_id == "json"), curator() as opened:
        judge = opened.policy(policy or opened.settings.policy)
        asked = [_asked(r, base) for r in refs or []] + ([] if lock is None else _locked(lock))
        intent = Intent(use=use.value if use else None, domain=domain, region=region)
        evaluation = measured(suite, data, limit, device, probe)
        interrupt = Interrupt()
        with watched(quiet=quiet) as emit:
            found = gate(opened, asked, judge, intent=intent, evaluation=evaluation, fresh=fresh, emit=emit, checkpoint=interrupt)
        entries = [Entry(g.card, g.asked.place) for g in found if g.card]
        failures = [
            Failure(g.asked.text, f"{g.error.message}; {g.error.hint}".rstrip("; "), g.asked.place) for g in found if g.error
        ]
        write_all(wanted, entries, failures)
        _show(found, as_json=format_id == "json")
    code = worst(found)
    err.print(f"exit {code} ({EXIT_CODES[code]})")
    raise typer.Exit(code)


def _asked(text: str, base: str | None) -> Asked:
    return Asked(CompositionRef(adapter=parse_reference(text), base=parse_reference(base) if base else None), text)


def _locked(path: Path) -> list[Asked]:
    found = []
    for line in locks.read(path):
        entry = line.entry
        ref = CompositionRef(
            adapter=parse_reference(entry.reference), base=parse_reference(entry.base) if entry.base is not None else None
        )
        found.append(Asked(ref, entry.reference, Place(path.as_posix(), line.line), entry))
    return found


def _show(found: list[Gated], *, as_json: bool) -> None:
    if as_json:
        document = {
            "exit": worst(found),
            "models": [
                {
                    "model": g.asked.text,
                    "decision": g.card.verdict.decision.value if g.card else None,
                    "reason": g.card.verdict.reason if g.card else None,
                    "error": g.error.message if g.error else None,
                    "reused": g.reused,
                    "run": g.card.run_id if g.card else None,
                    "composition": f"sha256:{g.card.dossier.composition.digest}" if g.card else None,
                }
                for g in found
            ],
        }
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    rows = [
        {
            "model": g.asked.text,
            "decision": g.card.verdict.decision.value if g.card else "none",
            "because": g.error.message if g.error else g.card.verdict.reason if g.card else "",
            "run": f"{g.card.run_id}{' (on record)' if g.reused else ''}" if g.card else "",
        }
        for g in found
    ]
    print_rows(rows, as_json=False, empty="no model")


@lock_app.command("add")
def add(
    refs: Annotated[list[str], typer.Argument(help="folders, or owner/name[@revision]", metavar="REF…")],
    lock: LockFile = Path(locks.LOCK),
    base: BaseOption = None,
    policy: PolicyOption = None,
    use: UseOption = None,
    limit: LimitOption = None,
    quiet: QuietOption = False,
) -> None:
    """Audit models, unless a verdict is on record, and pin the approved ones. Exit as `curator gate`."""
    with errors_shown(), curator() as opened:
        judge = opened.policy(policy or opened.settings.policy)
        interrupt = Interrupt()
        with watched(quiet=quiet) as emit:
            found = gate(
                opened,
                [_asked(r, base) for r in refs],
                judge,
                intent=Intent(use=use.value if use else None),
                evaluation=EvaluationSettings(limit=limit),
                fresh=False,
                emit=emit,
                checkpoint=interrupt,
            )
        for one in found:
            try:
                if one.card is None:
                    raise one.error or SubjectError(f"{one.asked.text} has no verdict")
                entry = locks.entry_of(one.card, valid=judge.document.spec.evidence_age)
                replaced = locks.write(lock, entry)
                typer.echo(f"{'replaced' if replaced else 'locked'} {entry.reference} until {entry.expires} in {lock}")
            except SubjectError as error:
                err.print(f"not locked: {error.message} — {error.hint}", markup=False, soft_wrap=True)
    raise typer.Exit(worst(found))


@lock_app.command("check")
def check(
    files: Annotated[list[Path] | None, typer.Argument(help="files that name models", metavar="FILE…")] = None,
    lock: LockFile = Path(locks.LOCK),
    ignore: Annotated[list[str] | None, typer.Option(help="owner/name that needs no lock (repeatable)")] = None,
    soon: Annotated[int, typer.Option(help="warn this many days before an approval ends", min=0)] = 14,
    format_id: RowFormat = "table",
) -> None:
    """Check that every model named in files is pinned, locked and still approved. Exit 0, or 11 with each place."""
    with errors_shown(as_json=format_id == "json"):
        today = utc_now().date()
        found = locks.check(lock, files or [], today=today, ignored=ignore or [])
        for line in locks.read(lock):
            if today <= line.entry.expires <= today + timedelta(days=soon):
                err.print(f"{lock}:{line.line}: {line.entry.reference} is approved until {line.entry.expires} only", markup=False)
        if format_id == "json":
            typer.echo(json.dumps([vars(p) for p in found], indent=2))
        else:
            for problem in found:
                typer.echo(str(problem))
    raise typer.Exit(REJECT if found else OK)


gate_app = command_app(gate_, help=GATE_HELP)
