"""``curator ledger``: look after what was recorded."""

from __future__ import annotations

import typer

from api.cli.session import curator, errors_shown

app = typer.Typer(help="Look after the ledger.", no_args_is_help=True)


@app.callback()
def ledger() -> None:
    """Look after the ledger."""


@app.command()
def verify() -> None:
    """Check that no recorded event was changed or removed."""
    with errors_shown(), curator() as opened:
        typer.echo(f"{opened.ledger.verify()} events, chain intact")
