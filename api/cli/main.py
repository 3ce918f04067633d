"""The ``curator`` command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

import evaluators
import scanners
from api.cli import audit as audits
from api.cli import policy
from api.cli.session import curator, err, errors_shown, settings
from api.cli.tables import print_rows
from governance import VERSION
from governance.contracts import Evaluator, Scanner
from governance.evidence import Rule
from governance.plugins import discover

app = typer.Typer(
    help="Decide whether a community fine-tune may be trusted: scan, license, measure, decide, record.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
hub = typer.Typer(help="Work with model hubs.", no_args_is_help=True)
ledger = typer.Typer(help="Look after the ledger.", no_args_is_help=True)

app.command("audit", help=audits.AUDIT_HELP)(audits.audit)
app.command("report")(audits.report)
app.command("history")(audits.history)
app.add_typer(policy.app, name="policy")
app.add_typer(hub, name="hub")
app.add_typer(ledger, name="ledger")

RowFormat = Annotated[Literal["table", "json"], typer.Option("--format", "-f")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"model curator {VERSION}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")] = False,
) -> None:
    """Every command takes --help."""


@app.command()
def rules(format_id: RowFormat = "table") -> None:
    """List every rule and metric a policy can speak of."""
    rows = [
        {"plug-in": p.id, "kind": "rule" if isinstance(d, Rule) else "metric", "id": d.id, "summary": d.summary}
        for p in (*discover(scanners, Scanner).values(), *discover(evaluators, Evaluator).values())
        for d in p.declares
    ]
    print_rows(rows, as_json=format_id == "json", empty="no plug-ins")


@app.command("settings")
def show_settings(format_id: RowFormat = "table") -> None:
    """Print every setting, its value and where it came from."""
    rows = [{"setting": k, "value": v, "origin": o} for k, (v, o) in settings().shown().items()]
    print_rows(rows, as_json=format_id == "json", empty="")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="another address than localhost needs CURATOR_API_TOKEN")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8321,
    allow_folder: Annotated[
        Path | None, typer.Option(help="folders below this one may be audited by path", exists=True, file_okay=False)
    ] = None,
) -> None:
    """Serve audits and scorecards over HTTP (OpenAPI at /openapi.json, pages at /)."""
    from api.rest.server import run

    with errors_shown(), curator() as opened:
        run(opened, host=host, port=port, allow_folder=allow_folder)


@hub.command("serve")
def hub_serve(
    folder: Annotated[Path, typer.Argument(help="holds owner/name/ folders", exists=True, file_okay=False)],
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8322,
) -> None:
    """Serve a folder as a model hub on localhost, for demos and rooms without internet."""
    from api.devhub import serve as serve_hub

    with serve_hub(folder, port=port) as running:
        err.print(f"HF_ENDPOINT={running.url}", markup=False)
        running.wait()


@ledger.command("verify")
def verify() -> None:
    """Check that no recorded event was changed or removed."""
    with errors_shown(), curator() as opened:
        typer.echo(f"{opened.ledger.verify()} events, chain intact")


if __name__ == "__main__":
    app()
