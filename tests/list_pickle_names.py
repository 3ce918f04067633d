"""Lists classes of library sources that honest pickles may hold, for a person to grade into ``tables/pickle_imports.yaml``.

Sources are parsed, never imported. A class is a candidate if it, or a class it derives from in the same package, is marked as
wanted; classes with methods that run while unpickling are listed apart, with those methods, to be read before they are graded.

    python -m tests.list_pickle_names enums transformers SITE-PACKAGES 'transformers/trainer*.py' …
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

#: What marks a class as wanted, by kind: names of bases, or of decorators.
KINDS = {
    "enums": {"Enum", "IntEnum", "StrEnum", "IntFlag", "Flag"},
    "settings": {"dataclass"},
    "modules": {"Module"},
    "optimizers": {"Optimizer", "LRScheduler", "_LRScheduler"},
    "estimators": {"BaseEstimator"},
}
#: Methods an unpickler calls.
HOOKS = {"__setstate__", "__new__", "__del__", "__reduce__", "__reduce_ex__", "__getattr__", "__setattr__", "__setitem__"}


def _last(node: ast.expr) -> str:
    inner = node.func if isinstance(node, ast.Call) else node.value if isinstance(node, ast.Subscript) else node
    return inner.attr if isinstance(inner, ast.Attribute) else inner.id if isinstance(inner, ast.Name) else ""


def classes(root: Path, pattern: str) -> Iterator[tuple[str, ast.ClassDef]]:
    """Yield module and definition of each class at the top of a module, also under an ``if`` or ``try``."""
    for path in sorted(root.glob(pattern)):
        parts = path.relative_to(root).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        try:
            queue = list(ast.parse(path.read_text(encoding="utf-8")).body)
        except SyntaxError:  # tests of newer versions of Python
            continue
        while queue:
            node = queue.pop(0)
            if isinstance(node, ast.ClassDef):
                yield module, node
            elif isinstance(node, ast.If | ast.Try):
                queue += [*node.body, *node.orelse]


def candidates(kind: str, package: str, root: Path, patterns: list[str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return wanted classes by module, and the hooks of those that have some."""
    everything = list(classes(root, f"{package}/**/*.py"))
    wanted = set(KINDS[kind])
    while True:
        more = {c.name for _, c in everything if wanted & {_last(n) for n in (*c.bases, *c.decorator_list)}} - wanted
        if not more:
            break
        wanted |= more
    found: dict[str, list[str]] = {}
    hooks: dict[str, list[str]] = {}
    for pattern in patterns:
        for module, node in classes(root, pattern):
            if node.name not in wanted or node.name.startswith("_"):
                continue
            found.setdefault(module, []).append(node.name)
            own = sorted(HOOKS & {f.name for f in node.body if isinstance(f, ast.FunctionDef)})
            if own:
                hooks[f"{module}.{node.name}"] = own
    return found, hooks


def main(kind: str, package: str, root: str, *patterns: str) -> None:
    """Print candidates as rows of the table, then what is to be read first."""
    found, hooks = candidates(kind, package, Path(root), list(patterns))
    for module, names in found.items():
        print(f"  {module}: [{', '.join(sorted(set(names)))}]")
    for name, own in hooks.items():
        print(f"# read first: {name} has {', '.join(own)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
