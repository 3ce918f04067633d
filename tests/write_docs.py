"""Documents made from the code: ``python -m tests.write_docs`` writes them, ``tests/test_house.py`` compares them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import evaluators
import scanners
from governance.contracts import Evaluator, Plugin, Scanner
from governance.evidence import Rule
from governance.plugins import discover

DOCS = Path(__file__).resolve().parents[1] / "docs"


def rules() -> str:
    """Return docs/rules.md: every plug-in with its docstring, rules and metrics."""
    out = [
        "# Rules and metrics",
        "",
        "Made by `make docs` from the plug-ins' own docstrings. `curator rules` prints the same list.",
        "",
    ]
    for title, plugins in (("Scanners", discover(scanners, Scanner)), ("Evaluators", discover(evaluators, Evaluator))):
        out += [f"## {title}", ""]
        for plugin in plugins.values():
            out += _plugin(plugin)
    return "\n".join(out).rstrip() + "\n"


def _plugin(plugin: Plugin) -> list[str]:
    out = [f"### {plugin.id}", "", f"Version {plugin.version}.", ""]
    out += [line.rstrip() for line in inspect.cleandoc(type(plugin).__doc__ or "").splitlines()] + [""]
    found = [d for d in plugin.declares if isinstance(d, Rule)]
    if found:
        out += ["| rule | severity | means | references |", "|---|---|---|---|"]
        out += [f"| `{r.id}` | {r.severity} | {r.summary} | {', '.join(r.references)} |" for r in found] + [""]
    measured = [d for d in plugin.declares if not isinstance(d, Rule)]
    if measured:
        out += ["| metric | unit | direction | means |", "|---|---|---|---|"]
        out += [f"| `{m.id}` | {m.unit} | {m.direction} | {m.summary} |" for m in measured] + [""]
    return out


def scorecard_schema() -> str:
    """Return docs/scorecard.schema.json."""
    from reports.scorecard_json import json_schema

    return _text(json_schema())


def policy_schema() -> str:
    """Return docs/policy.schema.json."""
    from policies.document import json_schema

    return _text(json_schema())


def evaluation_schema() -> str:
    """Return docs/evaluation.schema.json."""
    from governance.evaluation import json_schema

    return _text(json_schema())


def openapi() -> str:
    """Return docs/openapi.json."""
    from api.rest.app import openapi_document

    return _text(openapi_document())


def _text(document: object) -> str:
    text = document if isinstance(document, str) else json.dumps(document, indent=2, ensure_ascii=False, sort_keys=True)
    return text.rstrip() + "\n"


#: File in docs/ → what makes it.
DOCUMENTS: Mapping[str, Callable[[], str]] = {
    "rules.md": rules,
    "scorecard.schema.json": scorecard_schema,
    "policy.schema.json": policy_schema,
    "evaluation.schema.json": evaluation_schema,
    "openapi.json": openapi,
}


if __name__ == "__main__":
    for name, make in DOCUMENTS.items():
        (DOCS / name).write_text(make())
