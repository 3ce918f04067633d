"""What a qualified name reaches when it is called: ``tables/python_sinks.yaml`` as values. Read by ``code.python_source``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal

from governance.subject import Noun
from scanners._formats.tables import table

Grade = Literal["dangerous", "effect", "ordinary"]


class Sink(Noun):
    """One thing the source does; ``loaded`` if it counts only in a file that a loader runs."""

    name: str
    grade: Grade
    what: str
    line: int
    on_import: bool
    hidden: bool = False
    loaded: bool = False


#: Modules whose very name, held in a variable, is worth following.
KNOWN = frozenset(
    (
        "os",
        "sys",
        "subprocess",
        "builtins",
        "importlib",
        "socket",
        "ctypes",
        "pickle",
        "marshal",
        "shutil",
        "posix",
        "nt",
        "pty",
        "code",
        "types",
        "base64",
        "codecs",
        "zlib",
        "requests",
        "urllib",
        "urllib.request",
        "http.client",
        "torch",
        "pathlib.Path",
        "sys.modules",
        "globals",
        "multiprocessing",
        "asyncio",
        "os.environ",
    )
)
#: Modules of the library that others import and so hold as attributes: ``torch.serialization.os.system``.
_REACHED = frozenset({
    "os", "subprocess", "builtins", "importlib", "socket", "ctypes", "pickle", "marshal", "shutil", "posix", "pty", "runpy",
})  # fmt: skip


def grade_of(name: str) -> tuple[Grade, str]:
    """Return what calling a qualified name does, also when it is reached through another module that imported its own."""
    graded = _grade(name)
    parts = name.split(".")
    if graded[0] == "dangerous" or len(parts) < 3:
        return graded
    through = next((at for at in range(len(parts) - 2, 0, -1) if parts[at] in _REACHED), 0)
    return _grade(".".join(parts[through:])) if through else graded


def _grade(name: str) -> tuple[Grade, str]:
    exact, prefixes = sinks()
    if name in exact:
        return exact[name]
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        head = ".".join(parts[:end])
        if head in prefixes and end < len(parts):
            return prefixes[head]
    if len(parts) > 1 and parts[0] in ("os", "posix"):
        return next((graded for p, graded in prefixes.items() if p.endswith("*") and name.startswith(p[:-1])), ("ordinary", ""))
    return "ordinary", ""


@cache
def sinks() -> tuple[Mapping[str, tuple[Grade, str]], Mapping[str, tuple[Grade, str]]]:
    exact: dict[str, tuple[Grade, str]] = {}
    prefixes: dict[str, tuple[Grade, str]] = {}
    for row in table("python_sinks"):
        for name in row["names"]:
            graded: tuple[Grade, str] = (row["grade"], row["what"])
            if name.endswith("."):
                prefixes[name[:-1]] = graded
            elif name.endswith("*"):
                prefixes[name] = graded
            else:
                exact[name] = graded
    return exact, prefixes
