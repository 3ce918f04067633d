"""What modelling code has no need of: looked for in every Python file, counted only in files that a loader runs by itself.

Read by ``code.python_source``. A list of what is honest, not of what is bad: modules of the standard library that model code uses;
whatever is not on it is named. Packages beyond the standard library are left to the table of calls.

Source:
    Imports of modelling, configuration, processing and tokenization files of transformers and of models on the Hub (from knowledge
    of them); Python library reference.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator

from scanners._formats.code.python_early import is_main_guard
from scanners._formats.code.python_names import Names
from scanners._formats.code.python_sinks import Sink, grade_of
from scanners._formats.code.python_tame import is_known

_HONEST = frozenset({
    "__future__", "abc", "argparse", "array", "ast", "base64", "binascii", "bisect", "calendar", "cmath", "codecs",
    "collections", "colorsys", "concurrent", "contextlib", "contextvars", "copy", "copyreg", "csv", "dataclasses", "datetime",
    "decimal", "difflib", "enum", "errno", "fnmatch", "fractions", "functools", "gc", "getopt", "glob", "gzip", "hashlib",
    "heapq", "html", "importlib", "inspect", "io", "itertools", "json", "keyword", "linecache", "locale", "logging", "math",
    "mimetypes", "multiprocessing", "numbers", "operator", "os", "pathlib", "pickle", "platform", "pprint", "queue", "random",
    "re", "secrets", "shutil", "statistics", "string", "stringprep", "struct", "sys", "tarfile", "tempfile", "textwrap",
    "threading", "time", "timeit", "token", "tokenize", "traceback", "types", "typing", "unicodedata", "urllib", "uuid",
    "warnings", "weakref", "xml", "zipfile", "zlib", "zoneinfo",
})  # fmt: skip
#: Methods that loading or first using a model calls, and what they do there that is nobody's honest way to build one.
BUILDING = {"__init__", "__new__", "__call__", "forward", "_init_weights", "post_init"}
BUILT_EFFECTS = frozenset({
    "writes or removes files", "opens a file", "imports a module named at run time", "turns text into code",
    "reads the whole environment", "changes the interpreter for everything after it",
})  # fmt: skip
_FETCHERS = re.compile(r"(?:read|open|load|get|download|fetch|from|WebDataset|urlretrieve)\w{0,40}\Z")
_FRAMES = ("f_globals", "f_builtins", "f_locals", "f_back", "tb_frame", "gi_frame", "cr_frame", "exec_module", "load_module")
_UPLOADS = ("upload_file", "upload_folder", "upload_large_folder", "create_commit", "create_repo", "delete_repo")
_SYSTEM = ("os", "sys", "subprocess", "builtins", "importlib", "shutil", "socket", "ctypes", "posix", "sys.modules")
_PRESENT = ("torch.backends", "torch._dynamo", "torch._inductor", "numpy.", "warnings.", "os.environ")


def unneeded_in(tree: ast.Module, names: Names) -> Iterator[Sink]:
    """Yield what counts only in code that a loader runs, and calls in annotations written as text."""
    saving = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) and "save" in f.name for n in ast.walk(f)}
    guarded = {id(n) for f in ast.walk(tree) if isinstance(f, ast.If) and is_main_guard(f.test) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if id(node) not in guarded and id(node) not in saving:
            for name, what in _unneeded(node, names):
                yield Sink(name=name, grade="dangerous", what=what, line=getattr(node, "lineno", 0), on_import=False, loaded=True)
        call = _annotated(node)
        if isinstance(call, ast.Call):
            graded = grade_of(names.qualified(call.func))[0] != "ordinary" or any(
                isinstance(c, ast.Call) and grade_of(names.qualified(c.func))[0] != "ordinary" for c in ast.walk(call)
            )
            yield Sink(
                name=ast.unparse(call)[:60],
                grade="dangerous",
                what="hides a call in an annotation",
                line=getattr(node, "lineno", 0),
                on_import=False,
                loaded=not graded,
            )


def _unneeded(node: ast.AST, names: Names) -> Iterator[tuple[str, str]]:
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
        case ast.Attribute(attr=attr) if attr in _FRAMES:
            yield attr, "reaches into callers' names, or runs a module by hand"
        case ast.Call(func=ast.Name(id="getattr"), args=[owner, name, *_]) if names.qualified(owner) in _SYSTEM and not names.text(
            name
        ):
            yield f"getattr({names.qualified(owner)})", "reads an attribute of the system named at run time"
        case ast.Call(func=ast.Attribute(attr=attr) | ast.Name(id=attr), args=[first, *_]) if _FETCHERS.match(attr) and (
            why := _address(names.text(first))
        ):
            yield attr, why
        case ast.Call(func=ast.Attribute(attr="launch"), keywords=keywords) if any(k.arg == "share" for k in keywords):
            yield "launch", "opens this machine to others"
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


def _annotated(node: ast.AST) -> ast.expr | None:
    """Return what an annotation written as text says, if it calls something: readers of annotations evaluate it."""
    note = node.annotation if isinstance(node, ast.AnnAssign | ast.arg) else getattr(node, "returns", None)
    if not isinstance(note, ast.Constant) or not isinstance(note.value, str) or "(" not in note.value or len(note.value) > 2_000:
        return None
    try:
        said = ast.parse(note.value, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return next((c for c in ast.walk(said) if isinstance(c, ast.Call)), None)


def _address(text: str) -> str:
    """Return what a reader does with a constant address; empty if models are kept there, or it is none."""
    if text.startswith("pipe:"):
        return "starts a process to read from"
    return (
        "fetches from an address of somebody's own"
        if text.startswith(("http://", "https://", "ftp://")) and not is_known(text)
        else ""
    )


def _imported(module: str) -> tuple[str, str] | None:
    root = module.split(".")[0]
    if (root in sys.stdlib_module_names and root not in _HONEST) or module == "logging.config":
        return module, "imports a module that models have no need of"
    return None


def _replaced(name: str, value: ast.expr, names: Names) -> tuple[str, str] | None:
    """Return words for a function of an imported module that is replaced; settings, which are constants, are none."""
    root, _, _ = name.rpartition(".")
    if not root or name.startswith(("<local>", "self.", "cls.", *_PRESENT)) or isinstance(value, ast.Constant):
        return None
    head = root.split(".")[0]
    known = head in {v.split(".")[0] for v in names.aliases.values() if "." in v or v in names.aliases} or head == "builtins"
    runs = isinstance(value, ast.Lambda | ast.Call) or names.qualified(value).startswith("<local>")
    return (name[:120], "puts something else in place of") if known and runs and "<local>" not in root else None
