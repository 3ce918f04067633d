"""Rows for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_rows(rows: Sequence[Mapping[str, str]], *, as_json: bool, empty: str) -> None:
    """Print rows with equal keys to standard output.

    Args:
        rows: Each with the same keys, in column order.
        as_json: Print a JSON list instead of a table.
        empty: What to say when there are none.
    """
    if as_json:
        typer.echo(json.dumps(list(rows), ensure_ascii=False, indent=2))
        return
    if not rows:
        typer.echo(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(value) for value in row.values()))
    Console().print(table)
