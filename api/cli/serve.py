"""``curator serve``: the same audits over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.session import command_app, curator, errors_shown


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


app = command_app(serve)
