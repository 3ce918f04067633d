"""The words of a small world of plug-ins, and policies written in them."""

from __future__ import annotations

from pathlib import Path

from policies.document import Vocabulary, Words
from policies.loader import LoadedPolicy, load

HIGHER, LOWER = "higher-is-better", "lower-is-better"
VOCABULARY = Vocabulary(
    {
        "alpha": Words("inspect", frozenset({"bad-file", "odd-file"})),
        "beta": Words("inspect", frozenset({"bad-code"})),
        "skill": Words("evaluate", frozenset(), {"skill": HIGHER}),
        "share": Words("evaluate", frozenset(), {"share": LOWER}, {"share": "1"}),
        "probe": Words("evaluate", frozenset({"hit"}), {"rate": LOWER}),
        "license-terms": Words("inspect", frozenset({"license-unknown"})),
    }
)
HEAD = """\
apiVersion: curator/v1
kind: ModelPolicy
metadata: {name: small, version: 1.0.0, owner: owner@example.org}
spec:
"""
NO_BAD_FILE = """\
    - id: no-bad-file
      title: No bad file
      severity: high
      effect: reject
      expression: findings["alpha"].all(f, f.rule != "bad-file")
"""


def rule(expression: str, *, id: str = "the-rule", effect: str = "reject", more: str = "") -> str:  # noqa: A002 - the field's name
    """Return one rule as YAML."""
    text = expression.replace("'", "''")
    return (
        f"    - id: {id}\n      title: All is well\n      severity: high\n      effect: {effect}\n      expression: '{text}'\n"
    ) + more


def policy(folder: Path, rules: str, *, spec: str = "", vocabulary: Vocabulary = VOCABULARY) -> LoadedPolicy:
    """Write a policy and load it."""
    path = folder / "small.yaml"
    path.write_text(f"{HEAD}{spec}  rules:\n{rules}")
    return load(path, vocabulary)
