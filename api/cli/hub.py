"""``curator hub``: work with model hubs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.session import err

app = typer.Typer(help="Work with model hubs.", no_args_is_help=True)


@app.callback()
def hub() -> None:
    """Work with model hubs."""


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
