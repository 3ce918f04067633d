"""Names a skops archive asks its loader for: ``schema.json`` is a tree of nodes, each with a module and a class.

Read by ``scanners.pickle_imports``, which grades them as those of a pickle.

Source:
    skops 0.13 ``skops/io/_audit.py`` and ``_general.py`` (node types; a MethodNode is ``getattr`` on what it holds);
    CVE-2025-54412, CVE-2025-54413, CVE-2025-54886.
"""

from __future__ import annotations

from collections.abc import Iterator

from scanners._formats.pickles.names import grade
from scanners._formats.pickles.values import Name

SCHEMA = "schema.json"
_MOST = 1_000_000


def is_schema(tree: object) -> bool:
    """Return whether a document is the schema of a skops archive."""
    return isinstance(tree, dict) and {"__loader__", "__module__", "__class__"} <= tree.keys()


def names_in(tree: object) -> Iterator[tuple[Name, bool]]:
    """Yield each name once, and whether it stands for an attribute taken from an object."""
    left, said, count = [tree], set[tuple[str, str, bool]](), 0
    while left and count < _MOST:
        node, count = left.pop(), count + 1
        if isinstance(node, list):
            left += node
        if not isinstance(node, dict):
            continue
        left += node.values()
        module, name, method = node.get("__module__"), node.get("__class__"), node.get("__loader__") == "MethodNode"
        if isinstance(module, str) and isinstance(name, str) and (module, name, method) not in said:
            said.add((module, name, method))
            yield Name(module, name), method


def is_dangerous(name: Name) -> bool:
    """Return whether a node of this name reaches code; what a pickle may call with care is here handed on to be called."""
    known = grade(name)
    return known == "dangerous" or (
        known == "careful" and str(name) not in ("builtins.bytes", "builtins.bytearray", "builtins.type")
    )
