"""``curator bom``: write the bill of materials of a composition, and judge one of any tool."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from api.cli.groups import by_default
from api.cli.session import Interrupt, curator, err, errors_shown, watched
from api.outcomes import OK, REJECT
from api.references import parse_reference
from governance.errors import SubjectError
from governance.subject import CompositionRef

if TYPE_CHECKING:
    from api.curator import Curator
    from governance.verdict import Scorecard
    from reports._bom.judge import Judgement

BOM_HELP = """Write the AI bill of materials of a recorded run, or of an adapter.

A run id is rendered from the record. A folder or owner/name[@revision] is first audited without loading a model
(--stage inspect), and that audit is recorded; --latest takes the newest record instead.

`curator bom lint FILE` judges a document of any tool.

Exit codes: 0 written, 1 error: nothing was written, 2 bad usage.

Examples:

  curator bom 01JD7XK3QZT0V5M9W2A8C4E6GH --format spdx -o adapter.spdx3.json

  curator bom ./my-adapter --base ./base-model -o bom.cdx.json

  curator bom acme/med-lora@main --system "triage assistant" --supplier "Acme Health"
"""
LINT_HELP = """Judge a bill of materials of any tool: its official schema, and whether it holds together.

Read are CycloneDX JSON 1.4 to 1.7 and SPDX 3.0.1 JSON-LD.

Exit codes: 0 sound (advice may be given), 11 it has faults, 1 it cannot be read, 2 bad usage.
"""
_RUN = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}\Z")


class BomFormat(StrEnum):
    """What can be written."""

    CYCLONEDX = "cyclonedx"
    CYCLONEDX_1_6 = "cyclonedx-1.6"
    SPDX = "spdx"


class Tlp(StrEnum):
    """To whom a document may be passed on."""

    CLEAR = "CLEAR"
    GREEN = "GREEN"
    AMBER = "AMBER"
    AMBER_AND_STRICT = "AMBER_AND_STRICT"
    RED = "RED"


app = typer.Typer(
    cls=by_default("write"), help=BOM_HELP, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
)


@app.command(help=BOM_HELP)
def write(
    target: Annotated[str, typer.Argument(help="run id, a folder, or owner/name[@revision]", metavar="RUN|REF|FOLDER")],
    format_id: Annotated[BomFormat, typer.Option("--format", "-f", help="cyclonedx is 1.7")] = BomFormat.CYCLONEDX,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="a file instead of standard output")] = None,
    base: Annotated[str | None, typer.Option(help="the base model, if not the one the adapter names", metavar="REF")] = None,
    latest: Annotated[bool, typer.Option("--latest", help="take the newest record of the adapter; audit nothing")] = False,
    system: Annotated[str | None, typer.Option(help="the system the adapter is used in; it becomes the root")] = None,
    system_version: Annotated[str | None, typer.Option(help="version of that system")] = None,
    supplier: Annotated[str | None, typer.Option(help="your organization, as author of the document")] = None,
    author: Annotated[str | None, typer.Option(help="the person who answers for the document")] = None,
    hardware: Annotated[str | None, typer.Option(help="hardware the adapter was trained or is run on")] = None,
    tlp: Annotated[Tlp | None, typer.Option(help="to whom it may be passed on (CycloneDX 1.7)")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
) -> None:
    """Write a bill of materials."""
    answers = {"system": system, "system-version": system_version, "supplier": supplier, "author": author, "hardware": hardware}
    with errors_shown(), curator() as opened:
        card = _card(opened, target, base=base, latest=latest, quiet=quiet)
        document = opened.render(_answered(card, {**answers, "tlp": tlp}), format_id.value.replace(".", "-"))
        _put(document, output)
        err.print(f"run {card.run_id} ({card.verdict.decision.value}), {len(document):,} bytes of {format_id.value}", markup=False)


@app.command(help=LINT_HELP)
def lint(
    file: Annotated[Path, typer.Argument(help="the document", metavar="FILE")],
    format_id: Annotated[Literal["table", "json"], typer.Option("--format", "-f")] = "table",
) -> None:
    """Judge a bill of materials."""
    from reports._bom.judge import judge

    with errors_shown(as_json=format_id == "json"):
        found = judge(_bytes(file))
    _show(found, as_json=format_id == "json")
    code = REJECT if found.errors else OK
    advice = len(found.problems) - found.errors
    said = f"{found.errors} faults, {advice} pieces of advice" if found.problems else "sound"
    err.print(f"exit {code} ({said}: {found.form}, {found.components} components)", markup=False, soft_wrap=True)
    raise typer.Exit(code)


def _card(opened: Curator, target: str, *, base: str | None, latest: bool, quiet: bool) -> Scorecard:
    """Return a recorded scorecard, or that of a new inspection."""
    card = opened.ledger.scorecard(target) if _RUN.match(target) else None
    if latest and card is None:
        card = opened.ledger.latest(target) or opened.ledger.latest(str(Path(target).expanduser().resolve()))
    if card is not None:
        return card
    if latest or (_RUN.match(target) and not Path(target).exists()):
        raise SubjectError(f"nothing is recorded under {target!r}", hint="curator history lists what there is")
    ref = CompositionRef(adapter=parse_reference(target), base=parse_reference(base) if base else None)
    interrupt = Interrupt()
    with watched(quiet=quiet) as emit:
        return opened.audit(ref, stage="inspect", emit=emit, checkpoint=interrupt)


def _answered(card: Scorecard, answers: dict[str, str | None]) -> Scorecard:
    """Return the card with what a person answered; the record is not changed."""
    given = {f"bom:{key}": str(value) for key, value in answers.items() if value}
    return card.model_copy(update={"settings": {**card.settings, **given}})


def _put(document: bytes, output: Path | None) -> None:
    if output is None:
        typer.echo(document.decode("utf-8").rstrip("\n"))
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(document)
    except OSError as error:
        raise SubjectError(
            f"{output} cannot be written: {error.strerror}", hint="name a file in a folder that may be written"
        ) from error


def _bytes(file: Path) -> bytes:
    from reports._bom.judge import LARGEST

    try:
        with file.open("rb") as stream:
            return stream.read(LARGEST + 1)
    except OSError as error:
        raise SubjectError(f"{file} cannot be read: {error.strerror}", hint="name a file") from error


def _show(found: Judgement, *, as_json: bool) -> None:
    """Print every problem."""
    from api.cli.tables import print_rows
    from reports._render.words import visible

    rows = [
        {"rule": p.rule, "level": "fault" if p.is_error else "advice", "where": visible(p.where), "what": visible(p.message)}
        for p in found.problems
    ]
    print_rows(rows, as_json=as_json, empty="nothing is wrong with it")
