"""Python source of a subject, read as a syntax tree: what it does, graded, and whether merely importing it does it.

Made from bytes; read by ``scanners.remote_code``. Nothing is compiled, imported or run.

Source:
    Python language reference, ``ast``; CWE-94, CWE-78, CWE-506 for what the graded calls make possible.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Literal

from governance.subject import Noun

Grade = Literal["dangerous", "effect", "ordinary"]

#: What a call reaches, by qualified name. ``dangerous`` wherever it stands; ``effect`` only where importing runs it.
_SINKS: Mapping[str, tuple[Grade, str]] = {
    "eval": ("dangerous", "evaluates text as code"),
    "exec": ("dangerous", "runs text as code"),
    "builtins.eval": ("dangerous", "evaluates text as code"),
    "builtins.exec": ("dangerous", "runs text as code"),
    "compile": ("effect", "turns text into code"),
    "__import__": ("effect", "imports a module named at run time"),
    "importlib.import_module": ("effect", "imports a module named at run time"),
    "marshal.loads": ("dangerous", "loads compiled code"),
    "pickle.load": ("dangerous", "unpickles"),
    "pickle.loads": ("dangerous", "unpickles"),
    "dill.load": ("dangerous", "unpickles"),
    "dill.loads": ("dangerous", "unpickles"),
    "cloudpickle.loads": ("dangerous", "unpickles"),
    "torch.load": ("effect", "may unpickle"),
    "os.system": ("dangerous", "starts a shell"),
    "os.popen": ("dangerous", "starts a shell"),
    "pty.spawn": ("dangerous", "starts a terminal"),
    "ctypes.CDLL": ("dangerous", "loads a native library"),
    "ctypes.cdll.LoadLibrary": ("dangerous", "loads a native library"),
    "shutil.rmtree": ("effect", "deletes a folder"),
    "os.remove": ("effect", "deletes a file"),
    "os.unlink": ("effect", "deletes a file"),
    "open": ("effect", "opens a file"),
}
#: The same for whole modules: any call into them.
_MODULES: Mapping[str, tuple[Grade, str]] = {
    "subprocess": ("dangerous", "starts a process"),
    "os.exec": ("dangerous", "replaces the process"),
    "os.spawn": ("dangerous", "starts a process"),
    "os.posix_spawn": ("dangerous", "starts a process"),
    "socket": ("dangerous", "opens a network connection"),
    "requests": ("dangerous", "opens a network connection"),
    "httpx": ("dangerous", "opens a network connection"),
    "aiohttp": ("dangerous", "opens a network connection"),
    "urllib.request": ("dangerous", "opens a network connection"),
    "http.client": ("dangerous", "opens a network connection"),
    "ftplib": ("dangerous", "opens a network connection"),
    "smtplib": ("dangerous", "opens a network connection"),
    "paramiko": ("dangerous", "opens a network connection"),
    "winreg": ("dangerous", "changes the registry"),
}
_DECODERS = ("base64.b64decode", "base64.b85decode", "base64.b32decode", "bytes.fromhex", "codecs.decode", "zlib.decompress")
_RUNNERS = ("eval", "exec", "compile", "marshal.loads", "pickle.loads", "__import__")
_IMPORT = "importlib.import_module"
_OPAQUE = re.compile(r"[A-Za-z0-9+/=]{400,}\Z")
_DEPTH_GUARD = 4_000_000


class Sink(Noun):
    """One thing the source does."""

    name: str
    grade: Grade
    what: str
    line: int
    on_import: bool
    hidden: bool = False


class Source(Noun):
    """One file's review; ``problem`` says why there is none."""

    sinks: tuple[Sink, ...] = ()
    problem: str = ""


def review(text: str) -> Source:
    """Return what Python source does.

    Args:
        text: One file, decoded.

    Returns:
        Every graded call, in line order; a problem instead if it is no Python this parser reads.
    """
    if len(text) > _DEPTH_GUARD:
        return Source(problem=f"{len(text)} characters of source are more than is reviewed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        return Source(problem=f"no Python that can be read: {error}")
    except (RecursionError, MemoryError):
        return Source(problem="nested too deeply to be reviewed")
    names = _imported(tree)
    try:
        found = [*_calls(tree, names, on_import=True), *_opaque(tree)]
    except RecursionError:
        return Source(problem="nested too deeply to be reviewed")
    return Source(sinks=tuple(sorted(found, key=lambda s: (s.line, s.name))))


def _imported(tree: ast.AST) -> dict[str, str]:
    """Return what each name of the file stands for: ``sp`` → ``subprocess``, ``system`` → ``os.system``."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = alias.name if alias.asname else alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Assign):
            said = _qualified(node.value, names)
            if said in _SINKS:
                names.update({target.id: said for target in node.targets if isinstance(target, ast.Name)})
    return names


def _calls(node: ast.AST, names: Mapping[str, str], *, on_import: bool) -> Iterator[Sink]:
    """Walk a tree; bodies of functions do not run on import, their decorators and defaults do."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        body = node.body if isinstance(node.body, list) else [node.body]
        for child in ast.iter_child_nodes(node):
            yield from _calls(child, names, on_import=on_import and child not in body)
        return
    if isinstance(node, ast.If) and _is_main_guard(node.test):
        for child in ast.iter_child_nodes(node):
            yield from _calls(child, names, on_import=False)
        return
    if isinstance(node, ast.Call):
        yield from _call(node, names, on_import=on_import)
    for child in ast.iter_child_nodes(node):
        yield from _calls(child, names, on_import=on_import)


def _call(node: ast.Call, names: Mapping[str, str], *, on_import: bool) -> Iterator[Sink]:
    name = _qualified(node.func, names)
    grade, what = _grade(name)
    if name in ("getattr", "builtins.getattr") and len(node.args) > 1 and not _text(node.args[1]) and on_import:
        grade, what = "effect", "reads an attribute named at run time"
    if grade == "ordinary":
        return
    arguments = [sub for argument in node.args for sub in ast.walk(argument)]
    hidden = name.removeprefix("builtins.") in _RUNNERS and any(
        isinstance(sub, ast.Call) and _qualified(sub.func, names) in _DECODERS for sub in arguments
    )
    if (name == "open" and not _writes(node)) or (name in (_IMPORT, "__import__") and _constant(node.args)):
        return
    if hidden:
        grade, what = "dangerous", f"{what}, decoded first so that it cannot be read"
    yield Sink(name=name, grade=grade, what=what, line=node.lineno, on_import=on_import, hidden=hidden)


def _grade(name: str) -> tuple[Grade, str]:
    if name in _SINKS:
        return _SINKS[name]
    for module, graded in _MODULES.items():
        if name.startswith(f"{module}.") or (module.startswith("os.") and name.startswith(module)):
            return graded
    return "ordinary", ""


def _opaque(tree: ast.AST) -> Iterator[Sink]:
    """Yield long runs of encoded text: code or data nobody can read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _OPAQUE.match(node.value):
            yield Sink(name="encoded text", grade="effect", what="holds a long encoded block", line=node.lineno, on_import=False)


def _constant(arguments: list[ast.expr]) -> bool:
    return bool(arguments) and bool(_text(arguments[0]))


def _text(node: ast.expr) -> str:
    """Return the text an expression always has, put together from parts if need be; empty if it has none."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            first, second = _text(left), _text(right)
            return first + second if first and second else ""
        case _:
            return ""


def _writes(node: ast.Call) -> bool:
    mode = node.args[1] if len(node.args) > 1 else next((k.value for k in node.keywords if k.arg == "mode"), None)
    return mode is not None and not (isinstance(mode, ast.Constant) and not set(str(mode.value)) & set("wax+"))


def _is_main_guard(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _qualified(node: ast.expr, names: Mapping[str, str]) -> str:
    """Return the dotted name of an expression; empty if it cannot be told from the source."""
    match node:
        case ast.Name(id=name):
            return names.get(name, name)
        case ast.Attribute(value=value, attr=attr):
            owner = _qualified(value, names)
            return f"{owner}.{attr}" if owner else ""
        case ast.Call(func=ast.Name(id="getattr"), args=[owner, attr, *_]):
            said, named = _qualified(owner, names), _text(attr)
            return f"{said}.{named}" if said and named else ""
        case ast.Call(func=func, args=[module, *_]) if _qualified(func, names) in (_IMPORT, "__import__"):
            return _text(module)
        case _:
            return ""
