"""``curator scan``: what lies in a folder or file, without a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from api.cli.scan_table import print_scan
from api.cli.session import Interrupt, command_app, err, errors_shown, settings, watched
from api.outcomes import scan_exit_code
from api.scan import scan_path
from governance.evidence import Severity
from governance.scan import ScanDocument

SCAN_HELP = """Read every file of a folder, or one file, without executing anything, and say what is in it.

Nothing is copied, no model is loaded, no network is used, and no verdict is recorded: `curator audit` does that.

Exit codes: 0 nothing above the threshold and everything read; 10 something was not scanned; 11 a finding above the
threshold; 1 the scan failed; 2 bad usage.

Examples:

  curator scan ./my-adapter

  curator scan adapter_model.bin --format json

  curator scan ./my-adapter --base ./base-model --threshold medium
"""


def scan(
    path: Annotated[Path, typer.Argument(help="a folder or a file", metavar="PATH", exists=True, resolve_path=False)],
    base: Annotated[
        Path | None, typer.Option(help="the base model's folder, to hold the adapter against", exists=True, file_okay=False)
    ] = None,
    threshold: Annotated[Severity, typer.Option(help="findings above this severity end with exit code 11")] = Severity.LOW,
    values: Annotated[bool, typer.Option(help="read every number of the weights")] = True,
    voice: Annotated[
        list[str] | None, typer.Option(help="another scanner to ask too: modelscan, picklescan, fickling, modelaudit (repeatable)")
    ] = None,
    voices: Annotated[bool, typer.Option(help="ask the other scanners that are switched on, and show what they say")] = True,
    digests: Annotated[bool, typer.Option(help="hash every file")] = True,
    format_id: Annotated[Literal["table", "json"], typer.Option("--format", "-f")] = "table",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="a file instead of standard output")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
) -> None:
    """Scan one folder or file."""
    with errors_shown(as_json=format_id == "json"):
        interrupt = Interrupt()
        installed = settings()
        asked = (*installed.voices, *(voice or ())) if voices else ()
        with watched(quiet=quiet) as emit:
            found = scan_path(
                path, installed, base=base, values=values, voices=asked, digests=digests, emit=emit, checkpoint=interrupt
            )
        show(found, format_id, output)
    end_scan(found, threshold)


def show(found: ScanDocument, format_id: Literal["table", "json"], output: Path | None) -> None:
    """Write the document where it was asked for."""
    if format_id == "json" and output is not None:
        output.write_text(found.model_dump_json(indent=2) + "\n", encoding="utf-8")
    elif format_id == "json":
        typer.echo(found.model_dump_json(indent=2))
    else:
        print_scan(found, output)


def end_scan(found: ScanDocument, threshold: Severity) -> None:
    """Print the last line and leave with the scan's exit code."""
    code, words = scan_exit_code(found, threshold)
    err.print(f"exit {code} ({words})", markup=False, soft_wrap=True)
    raise typer.Exit(code)


app = command_app(scan, help=SCAN_HELP)
