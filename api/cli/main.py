"""The ``curator`` command. A subcommand's module is imported when it is called, so that a quick one starts quickly."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup

from governance import VERSION

if TYPE_CHECKING:
    from typer._click.core import Command, Context

#: Command → module of this package and name of its ``typer.Typer`` there, in the order of ``--help``.
_COMMANDS = {
    "audit": ("audit", "audit_app"),
    "gate": ("gate", "gate_app"),
    "lock": ("gate", "lock_app"),
    "evaluate": ("evaluate", "app"),
    "scan": ("scan", "app"),
    "license": ("license", "app"),
    "report": ("audit", "report_app"),
    "bom": ("bom", "app"),
    "history": ("audit", "history_app"),
    "attest": ("attest", "attest_app"),
    "verify": ("attest", "verify_app"),
    "policy": ("policy", "app"),
    "rules": ("about", "rules_app"),
    "settings": ("about", "settings_app"),
    "hub": ("hub", "app"),
    "ledger": ("ledger", "app"),
    "serve": ("serve", "app"),
}


class _Commands(TyperGroup):
    """Finds a command by name and imports only its module."""

    def list_commands(self, ctx: Context) -> list[str]:
        """Return every command, in the order people read them."""
        return list(_COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """Return one command, or None."""
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name]
        found = typer.main.get_command(getattr(import_module(f"api.cli.{module}"), attribute))
        found.name = cmd_name
        return found


app = typer.Typer(
    cls=_Commands,
    help="Decide whether a community fine-tune may be trusted: scan, license, measure, decide, record.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"model curator {VERSION}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")] = False,
) -> None:
    """Every command takes --help."""


if __name__ == "__main__":
    app()
