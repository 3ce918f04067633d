"""What modelling code has no need of: looked for in every Python file, counted only in files that a loader runs by itself.

Read by ``code.python_source``. A list of what is honest, not of what is bad: modules of the standard library that model code uses;
whatever is not on it is named. Packages beyond the standard library are left to the table of calls.

Source:
    Imports of modelling, configuration, processing and tokenization files of transformers and of models on the Hub (from knowledge
    of them); Python library reference.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

from scanners._formats.code.python_names import Names

_HONEST = frozenset(["__future__", "abc", "argparse", "array", "base64", "binascii", "bisect", "calendar", "cmath", "collections", "colorsys", "concurrent", "contextlib", "contextvars", "copy", "csv", "dataclasses", "datetime", "decimal", "difflib", "enum", "errno", "fnmatch", "fractions", "functools", "gc", "getopt", "glob", "gzip", "hashlib", "heapq", "html", "importlib", "inspect", "io", "itertools", "json", "keyword", "linecache", "locale", "logging", "math", "mimetypes", "multiprocessing", "numbers", "operator", "os", "pathlib", "pickle", "platform", "pprint", "queue", "random", "re", "secrets", "shutil", "statistics", "string", "stringprep", "struct", "sys", "tempfile", "textwrap", "threading", "time", "timeit", "token", "tokenize", "traceback", "types", "typing", "unicodedata", "urllib", "uuid", "warnings", "weakref", "xml", "zipfile", "zlib", "zoneinfo", "ast", "codecs", "copyreg", "tarfile"])  # fmt: skip
_UPLOADS = ("upload_file", "upload_folder", "upload_large_folder", "create_commit", "create_repo", "delete_repo")
_PRESENT = ("torch.backends", "torch._dynamo", "torch._inductor", "numpy.", "warnings.", "os.environ")


def unneeded(node: ast.AST, names: Names) -> Iterator[tuple[str, str]]:
    """Yield the name and the words of what a piece of syntax does that modelling code has no need of.

    Args:
        node: One node; what lies below it is not looked at.
        names: What the file's names stand for.
    """
    match node:
        case ast.Import(names=aliases):
            yield from (said for a in aliases if (said := _imported(a.name)))
        case ast.ImportFrom(module=str(module), level=0):
            if said := _imported(module):
                yield said
        case ast.Call(func=ast.Attribute(attr=attr)) if attr in _UPLOADS:
            yield attr, "sends files to a repository"
        case ast.Call(func=ast.Attribute(attr="open"), args=args, keywords=keywords):
            mode = args[0] if args else next((k.value for k in keywords if k.arg == "mode"), None)
            if (
                isinstance(mode, ast.Constant)
                and isinstance(mode.value, str)
                and len(mode.value) < 4
                and set(mode.value) & set("wax+")
            ):
                yield "open", "writes a file"
        case ast.Call(func=ast.Attribute(attr="write_text" | "write_bytes" | "symlink_to" | "hardlink_to" as attr)):
            yield attr, "writes a file"
        case ast.Call(func=ast.Name(id="setattr"), args=[owner, name, value]):
            if said := _replaced(f"{names.qualified(owner)}.{names.text(name) or '?'}", value, names):
                yield said
        case ast.Assign(targets=targets, value=value):
            for target in targets:
                if isinstance(target, ast.Attribute) and (said := _replaced(names.qualified(target), value, names)):
                    yield said
                elif isinstance(target, ast.Subscript) and names.qualified(target.value) == "sys.modules":
                    yield "sys.modules", "puts a module in place of another"


def annotated(node: ast.AST) -> ast.expr | None:
    """Return what an annotation written as text says, if it calls something: readers of annotations evaluate it."""
    note = node.annotation if isinstance(node, ast.AnnAssign | ast.arg) else getattr(node, "returns", None)
    if not isinstance(note, ast.Constant) or not isinstance(note.value, str) or "(" not in note.value or len(note.value) > 2_000:
        return None
    try:
        said = ast.parse(note.value, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return next((c for c in ast.walk(said) if isinstance(c, ast.Call)), None)


def _imported(module: str) -> tuple[str, str] | None:
    root = module.split(".")[0]
    if (root in sys.stdlib_module_names and root not in _HONEST) or module == "logging.config":
        return module, "imports a module that models have no need of"
    return None


def _replaced(name: str, value: ast.expr, names: Names) -> tuple[str, str] | None:
    """Return words for a function of an imported module that is replaced; settings, which are constants, are none."""
    root, _, attr = name.rpartition(".")
    if not root or name.startswith(("<local>", "self.", "cls.", *_PRESENT)) or isinstance(value, ast.Constant):
        return None
    head = root.split(".")[0]
    known = head in {v.split(".")[0] for v in names.aliases.values() if "." in v or v in names.aliases} or head == "builtins"
    runs = isinstance(value, ast.Lambda | ast.Call) or names.qualified(value).startswith("<local>")
    return (name[:120], "puts something else in place of") if known and runs and "<local>" not in root else None
