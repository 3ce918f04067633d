"""Which functions of a Python file run when it is only imported: called there, decorating, or hooks of the interpreter.

Read by ``code.python_source``. Over-approximates: a name counts as a function of this file wherever it is called.

Source:
    Python data model, sections 3.3.2 to 3.3.5; PEP 487, PEP 562.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from scanners._formats.code.python_names import Names

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_HOOKS = ("__getattr__", "__dir__")
_BUILDING = ("__init_subclass__", "__set_name__", "__prepare__", "__class_getitem__", "__instancecheck__", "__del__")


def run_on_import(tree: ast.Module, names: Names) -> set[str]:
    """Return names of functions and methods that importing the file runs: called there, decorating, or hooks of the interpreter."""
    bodies = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    classes = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)}
    early = {n.name for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in _HOOKS}
    early |= {m.name for c in classes.values() for m in c.body if isinstance(m, ast.FunctionDef) and m.name in _BUILDING}
    waiting = [*_early_names(tree.body, names), *early]
    for _ in range(len(bodies) + len(classes) + len(waiting)):
        if not waiting:
            break
        name = waiting.pop()
        if name in classes and f"{name}()" not in early:
            early.add(f"{name}()")
            inside = [
                m for m in classes[name].body if isinstance(m, ast.FunctionDef) and m.name in ("__init__", "__new__", "__call__")
            ]
            early |= {m.name for m in inside}
            waiting += [n for m in inside for n in _early_names(m.body, names)]
        elif name in bodies and (name not in early or name in _HOOKS):
            early.add(name)
            waiting += [n for n in _early_names(bodies[name].body, names) if n not in early]
    return early


def _early_names(body: list[ast.stmt], names: Names) -> Iterator[str]:
    """Yield the local names that running some statements calls, hands on, or decorates with."""
    waiting: list[ast.AST] = [s for s in body if not (isinstance(s, ast.If) and is_main_guard(s.test))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for decorator in node.decorator_list:
                yield from _local(decorator, names)
        if isinstance(node, ast.Call):
            yield from _local(node.func, names)
            for argument in (*node.args, *(k.value for k in node.keywords)):
                if isinstance(argument, ast.Name):
                    yield argument.id
        if isinstance(node, ast.ClassDef):
            yield from (n for k in node.keywords if k.arg == "metaclass" for n in _local(k.value, names))
        waiting += [c for c in ast.iter_child_nodes(node) if not isinstance(node, Function) or c in outside(node)]


def _local(node: ast.expr, names: Names) -> Iterator[str]:
    inner = node.func if isinstance(node, ast.Call) else node
    if isinstance(inner, ast.Name):
        yield inner.id
    elif isinstance(inner, ast.Attribute):
        yield inner.attr
        yield from _local(inner.value, names)


def outside(node: Function) -> list[ast.AST]:
    """Return the parts of a function that run where it is defined: decorators, defaults and annotations."""
    body = node.body if isinstance(node.body, list) else [node.body]
    return [child for child in ast.iter_child_nodes(node) if child not in body]


def is_main_guard(test: ast.expr) -> bool:
    """Return whether a test asks if the file is the program."""
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"
