"""``curator rules`` and ``curator settings``: what there is to speak of, and what is set."""

from __future__ import annotations

import evaluators
import scanners
from api.cli.session import RowFormat, command_app, settings
from api.cli.tables import print_rows
from governance.contracts import Evaluator, Scanner
from governance.evidence import Rule
from governance.plugins import discover


def rules(format_id: RowFormat = "table") -> None:
    """List every rule and metric a policy can speak of."""
    rows = [
        {"plug-in": p.id, "kind": "rule" if isinstance(d, Rule) else "metric", "id": d.id, "summary": d.summary}
        for p in (*discover(scanners, Scanner).values(), *discover(evaluators, Evaluator).values())
        for d in p.declares
    ]
    print_rows(rows, as_json=format_id == "json", empty="no plug-ins")


def show_settings(format_id: RowFormat = "table") -> None:
    """Print every setting, its value and where it came from."""
    rows = [{"setting": k, "value": v, "origin": o} for k, (v, o) in settings().shown().items()]
    print_rows(rows, as_json=format_id == "json", empty="")


rules_app = command_app(rules)
settings_app = command_app(show_settings)
