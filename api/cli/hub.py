"""``curator hub``: work with model hubs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from api.cli.session import Interrupt, err, errors_shown, settings, watched
from governance.evidence import Severity

app = typer.Typer(help="Work with model hubs.", no_args_is_help=True)


@app.callback()
def hub() -> None:
    """Work with model hubs."""


TRIAGE_HELP = """Give the static verdict of an adapter repository without downloading its weights.

The revision is pinned to its commit and its files are listed. The same scanners as in `curator scan --no-values --no-voices`
then read what they need of each file by HTTP range: headers, directories, pickles, small files whole. A Hub without ranges is
read by downloading the file, within the limits.

A triage approves nothing: it is bound to the commit and the sizes the Hub lists, and a Hub could send other bytes to a
download than it sends in parts. Only `curator audit`, which verifies whole files, approves.

Exit codes: 0 nothing was found above the threshold and everything was read; 10 something was not scanned; 11 a finding
above the threshold; 1 the triage failed; 2 bad usage.

Examples:

  curator hub triage someone/fast-lora

  curator hub triage someone/fast-lora@v2 --base acme/base-8b --format json

  HF_ENDPOINT=https://hub.example.org curator hub triage someone/fast-lora --budget 5000000
"""


@app.command("triage", help=TRIAGE_HELP)
def hub_triage(
    name: Annotated[str, typer.Argument(help="owner/name[@revision] on the Hub", metavar="NAME")],
    base: Annotated[str | None, typer.Option(help="the base on the Hub, if not the one the adapter names", metavar="NAME")] = None,
    budget: Annotated[
        int | None,
        typer.Option(min=1, help="most bytes to transfer; by default a tenth of what is listed, at least 64 MiB", metavar="BYTES"),
    ] = None,
    threshold: Annotated[Severity, typer.Option(help="findings above this severity end with exit code 11")] = Severity.LOW,
    format_id: Annotated[Literal["table", "json"], typer.Option("--format", "-f")] = "table",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="a file instead of standard output")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="no progress")] = False,
) -> None:
    """Triage one repository."""
    from api.cli.scan import end_scan, show
    from api.references import parse_reference
    from api.triage import triage
    from governance.subject import CompositionRef

    with errors_shown(as_json=format_id == "json"):
        wanted = CompositionRef(
            adapter=parse_reference(f"hub:{name.removeprefix('hub:')}"),
            base=parse_reference(f"hub:{base.removeprefix('hub:')}") if base else None,
        )
        interrupt = Interrupt()
        with watched(quiet=quiet) as emit:
            found = triage(wanted, settings(), budget=budget, emit=emit, checkpoint=interrupt)
        show(found, format_id, output)
    end_scan(found, threshold)


@app.command("serve")
def hub_serve(
    folder: Annotated[Path, typer.Argument(help="holds owner/name/ folders", exists=True, file_okay=False)],
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8322,
) -> None:
    """Serve a folder as a model hub on localhost, for demos and rooms without internet."""
    from api.devhub import serve as serve_hub

    with serve_hub(folder, port=port) as running:
        err.print(f"HF_ENDPOINT={running.url}", markup=False)
        running.wait()
