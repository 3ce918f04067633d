"""``curator policy``: check and show policy files."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

import evaluators
import scanners
from api.cli.session import errors_shown
from api.cli.tables import print_rows
from api.curator import vocabulary
from governance.contracts import Evaluator, Scanner
from governance.plugins import discover
from policies.document import json_schema
from policies.loader import LoadedPolicy, load, shipped

app = typer.Typer(help="Check and show policy files.", no_args_is_help=True)
Reference = Annotated[str, typer.Argument(help="a shipped policy's name, or a YAML file", metavar="POLICY")]


def load_policy(reference: str) -> LoadedPolicy:
    """Return a checked policy.

    Raises:
        PolicyError: It cannot be used.
    """
    return load(reference, vocabulary(discover(scanners, Scanner), discover(evaluators, Evaluator)))


@app.command()
def lint(reference: Reference) -> None:
    """Check a policy: fields, types, names of facts. Exit 1 and the place of each fault if it cannot be used."""
    with errors_shown():
        policy = load_policy(reference)
        typer.echo(f"{policy.id} {policy.version} is sound: sha256:{policy.digest}")


@app.command()
def show(
    reference: Reference = "default", format_id: Annotated[Literal["table", "json"], typer.Option("--format", "-f")] = "table"
) -> None:
    """List the rules of a policy."""
    with errors_shown(as_json=format_id == "json"):
        rows = [
            {
                "rule": r.id,
                "effect": r.effect,
                "severity": r.severity.value,
                "title": r.title,
                "expression": " ".join(r.expression.split()),
            }
            for r in load_policy(reference).rules
        ]
        print_rows(rows, as_json=format_id == "json", empty="no rules")


@app.command("list")
def list_() -> None:
    """List the shipped policies."""
    for name in shipped():
        typer.echo(name)


@app.command()
def schema() -> None:
    """Print the JSON Schema of policy files, for editors."""
    typer.echo(json_schema())
