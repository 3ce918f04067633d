"""``curator audit``, ``report`` and ``history``: make a verdict, show one, list them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

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
from api.cli.session import (
    ExecutorOption,
    Interrupt,
    RayActors,
    RayAddress,
    command_app,
    curator,
    end_with,
    err,
    errors_shown,
    watched,
)
from api.curator import Curator
from api.references import parse_reference
from governance.errors import SubjectError
from governance.licensing import Intent
from governance.subject import CompositionRef
from governance.verdict import Scorecard

AUDIT_HELP = """Audit one adapter and decide: approve, review or reject.

REF is a folder, or owner/name[@revision] on a Hub (HF_ENDPOINT and HF_TOKEN are respected). The reference is pinned,
scanned without executing anything, measured against its base in 4-bit, judged by a policy, and recorded.

Exit codes: 0 approve, 10 review, 11 reject, 1 no verdict, 2 bad usage.

Examples:

  curator audit ./my-adapter --base ./base-model

  curator audit acme/med-lora@main --use commercial --report html=card.html

  curator audit ./my-adapter --stage inspect --format json

An interrupted audit is taken over by the same command; finished checks are not run again.
"""


class Stage(StrEnum):
    """How far an audit goes."""

    ALL = "all"
    INSPECT = "inspect"


Format = Annotated[str, typer.Option("--format", "-f", help="table, json, markdown, html, cyclonedx, compliance-html, …")]


def audit(
    ref: Annotated[str, typer.Argument(help="a folder, or owner/name[@revision]", metavar="REF")],
    base: BaseOption = None,
    policy: PolicyOption = None,
    stage: Annotated[Stage, typer.Option(help="inspect: load no model; what needs one stays unknown")] = Stage.ALL,
    suite: SuiteOption = "auto",
    tasks: Annotated[list[str] | None, typer.Option(help="lm-eval task by name, fetched from the Hub (repeatable)")] = None,
    data: DataOption = None,
    limit: LimitOption = None,
    probe: ProbeOption = Probe.FAST,
    device: DeviceOption = Device.AUTO,
    use: UseOption = None,
    domain: DomainOption = None,
    region: RegionOption = None,
    mau: Annotated[int | None, typer.Option(help="your monthly active users", min=0)] = None,
    revenue: Annotated[int | None, typer.Option(help="your revenue, US dollars a year", min=0)] = None,
    format_id: Format = "table",
    report: Annotated[list[str] | None, typer.Option(help="also write FORMAT=FILE (repeatable)", metavar="FORMAT=FILE")] = None,
    executor: ExecutorOption = None,
    ray_address: RayAddress = None,
    ray_actors: RayActors = None,
    quiet: QuietOption = False,
) -> None:
    """Audit one adapter."""
    where = {"executor": executor, "ray_address": ray_address, "ray_actors": ray_actors}
    with errors_shown(as_json=format_id == "json"), curator(**where) as opened:
        wanted = list(_destinations(opened, report or []))
        _assert_format(opened, format_id)
        ref_asked = CompositionRef(adapter=parse_reference(ref), base=parse_reference(base) if base else None)
        evaluation = measured(suite, data, limit, device, probe, tasks)
        intent = Intent(use=use.value if use else None, domain=domain, region=region, mau=mau, revenue=revenue)
        interrupt = Interrupt()
        with watched(quiet=quiet) as emit:
            card = opened.audit(
                ref_asked, policy=policy, intent=intent, evaluation=evaluation, stage=stage.value, emit=emit, checkpoint=interrupt
            )
        _write(opened, card, format_id, wanted)
    end_with(card.verdict.decision, card.verdict.reason)


def report(
    run: Annotated[str, typer.Argument(help="run id, or the name of an adapter: its newest", metavar="RUN")],
    format_id: Format = "table",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="a file instead of standard output")] = None,
) -> None:
    """Show a recorded scorecard again, in any format."""
    with errors_shown(as_json=format_id == "json"), curator() as opened:
        card = find(opened, run)
        document = opened.render(card, format_id)
        if output:
            _save(output, document)
        else:
            _to_stdout(document)


def history(
    name: Annotated[str | None, typer.Argument(help="only this adapter: owner/name or a folder")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 20,
    format_id: Annotated[Literal["table", "json"], typer.Option("--format", "-f")] = "table",
) -> None:
    """List recorded verdicts, newest first."""
    from api.cli.tables import print_rows

    with errors_shown(as_json=format_id == "json"), curator() as opened:
        rows = opened.ledger.list_scorecards(name=name, limit=limit)
        print_rows(
            [
                {
                    "run": r.run_id,
                    "created": r.created.isoformat(),
                    "decision": r.decision,
                    "adapter": r.name,
                    "commit": r.commit or "",
                    "policy": r.policy,
                }
                for r in rows
            ],
            as_json=format_id == "json",
            empty="nothing recorded yet: curator audit REF",
        )


def find(opened: Curator, run: str) -> Scorecard:
    """Return the scorecard of a run, or the newest of an adapter.

    Raises:
        SubjectError: Nothing is recorded under that name.
    """
    card = opened.ledger.scorecard(run) or opened.ledger.latest(run) or opened.ledger.latest(str(Path(run).expanduser().resolve()))
    if card is None:
        raise SubjectError(f"nothing is recorded under {run!r}", hint="curator history lists what there is")
    return card


def _assert_format(opened: Curator, format_id: str) -> None:
    if format_id not in opened.formats:
        raise typer.BadParameter(f"{format_id!r}; one of: {', '.join(opened.formats)}", param_hint="--format")


def _destinations(opened: Curator, asked: Iterable[str]) -> Iterable[tuple[str, Path]]:
    for text in asked:
        format_id, sign, path = text.partition("=")
        if not sign or not path:
            raise typer.BadParameter(f"{text!r} is not FORMAT=FILE", param_hint="--report")
        _assert_format(opened, format_id)
        yield format_id, Path(path)


def _write(opened: Curator, card: Scorecard, format_id: str, wanted: Iterable[tuple[str, Path]]) -> None:
    _to_stdout(opened.render(card, format_id))
    for kind, path in wanted:
        _save(path, opened.render(card, kind))
        err.print(f"wrote {path} ({kind})", markup=False, soft_wrap=True)


def _save(path: Path, document: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(document)
    except OSError as error:
        raise SubjectError(
            f"{path} cannot be written: {error.strerror}", hint="the verdict is recorded: curator report RUN"
        ) from error


def _to_stdout(document: bytes) -> None:
    typer.echo(document.decode("utf-8").rstrip("\n"))


audit_app = command_app(audit, help=AUDIT_HELP)
report_app = command_app(report)
history_app = command_app(history)
