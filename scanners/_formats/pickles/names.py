"""What the names a pickle imports mean: known-good, of a trainer, dangerous, or unknown; and which calls of careful names are fine.

An allow-list: what no table knows is unknown and named. Nothing is looked up in an installed package, so that the answer
depends on the bytes and on ``tables/pickle_imports.yaml`` alone. Read by ``scanners.pickle_imports``.

Source:
    Python ``enum`` (members pickled by ``getattr`` in some versions), ``copyreg``, ``functools.partial.__reduce__``; PickleBall,
    arXiv:2508.15987 (why lists of what is forbidden lose).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from math import prod
from typing import Literal

from scanners._formats.pickles.values import Box, Made, Name, tuple_of
from scanners._formats.tables import table

Grade = Literal["known", "careful", "setting", "enum", "family", "dangerous", "unknown"]
#: The magic number of torch's old layout, as the long in its first pickle.
TORCH_MAGIC = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
#: A bytes or bytearray of more is an attempt to exhaust memory.
LARGEST_ALLOCATION = 64 * 2**20
_LONGEST_NAME = 2_000
_SHAPED = frozenset({"numpy.ndarray", "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"})
#: Calls whose arguments alone decide how much memory they take: sizes, shapes, ranges, powers of ten.
ALLOCATING = _SHAPED | frozenset({
    "array.array", "builtins.bytearray", "builtins.bytes", "builtins.frozenset", "builtins.list", "builtins.set", "builtins.tuple",
    "collections.Counter", "collections.deque", "fractions.Fraction",
})  # fmt: skip
_EXPONENT = re.compile(r"[eE]\+?(\d{1,20})\s*\Z")
#: Modules and functions of the interpreter, dangerous under whatever module they are reached through.
_INNER = frozenset({
    "os", "sys", "subprocess", "builtins", "importlib", "ctypes", "socket", "shutil", "runpy", "marshal", "pickle", "pty", "eval",
    "exec", "execfile", "system", "popen", "compile", "getattr", "setattr", "import_module", "open", "input", "breakpoint",
})  # fmt: skip
#: The only text encodings whose result is bytes of the same length, and how protocol 2 spells bytes.
_LATIN = ("latin1", "latin-1")
#: Families whose modules a script or the folder it runs in may bring along.
_OWN = ("__main__", "swift", "unsloth_compiled_cache", "UnslothSFTTrainer", "UnslothDPOTrainer", "UnslothGRPOTrainer", "alignment")


@dataclass(frozen=True)
class _Table:
    known: frozenset[str]
    careful: frozenset[str]
    settings: frozenset[str]
    enums: frozenset[str]
    families: frozenset[str]
    dangerous: frozenset[str]


def _full(rows: dict[str, list[str]]) -> frozenset[str]:
    return frozenset(f"{module}.{name}" for module, names in rows.items() for name in names)


@cache
def _table() -> _Table:
    rows = table("pickle_imports")
    return _Table(
        known=_full(rows["known"]),
        careful=frozenset(rows["careful"]),
        settings=_full(rows["settings"]),
        enums=_full(rows["enums"]),
        families=frozenset(rows["families"]),
        dangerous=frozenset(name for part in rows["dangerous"] for name in part),
    )


def grade(name: Name) -> Grade:
    """Return what importing this name means.

    Args:
        name: With dots in ``qualified`` if the pickle walks through attributes.
    """
    return _grade(name.module, name.qualified)


@lru_cache(maxsize=10_000)
def _grade(module: str, qualified: str) -> Grade:
    rows, full = _table(), f"{module}.{qualified}"
    if len(full) > _LONGEST_NAME:
        return "unknown"
    listed: tuple[tuple[Grade, frozenset[str]], ...] = (
        ("known", rows.known), ("careful", rows.careful), ("setting", rows.settings), ("enum", rows.enums)
    )  # fmt: skip
    for found, names in listed:
        if full in names:
            return found
    inner, parts = qualified.split("."), full.split(".")
    if any(".".join(parts[:k]) in rows.dangerous for k in range(1, len(parts) + 1)):
        return "dangerous"
    if not _INNER.isdisjoint(inner) or any(p.startswith("__") and p.endswith("__") for p in parts[1:]):
        return "dangerous"
    if len(inner) > 1 and not inner[0][:1].isupper():  # through a module or function that the module imported
        return "dangerous"
    return "family" if parts[0] in rows.families and len(inner) == 1 and inner[0].lstrip("_")[:1].isupper() else "unknown"


def call_is_fine(call: Made) -> bool:
    """Return whether this call of a careful name does nothing but make data.

    Args:
        call: Its callee is a name graded ``careful``, ``setting`` or ``enum``. Names among its arguments are imports of their
            own and graded there.
    """
    given = call.arguments
    match str(call.callee):
        case "builtins.getattr":  # how some versions of Python pickle the member of an enumeration
            return (
                len(given) == 2
                and _is_class(given[0])
                and isinstance(given[1], str)
                and given[1].isidentifier()
                and given[1][0] != "_"
            )
        case "builtins.type":
            return len(given) == 1 and given[0] is None
        case "builtins.bytearray" | "builtins.bytes":
            return all(isinstance(v, str | bytes | int | Box) for v in given)  # its size is looked at by ``allocation``
        case "_codecs.encode":
            return 0 < len(given) <= 2 and all(isinstance(v, str) for v in given) and given[-1] in _LATIN
        case "copyreg._reconstructor" | "copyreg.__newobj__" | "copyreg.__newobj_ex__":
            return bool(given) and isinstance(given[0], Name) and grade(given[0]) not in ("careful", "dangerous")
        case "dill._dill._create_array":  # calls its first argument with its second
            made = given[0] if given else None
            return isinstance(made, Name) and made.qualified == "_reconstruct" and grade(made) == "known"
        case "functools.partial":
            state = tuple_of(call.state)
            return bool(given) and _is_class(given[0]) and (len(state) < 4 or _is_class(state[0]))
        case "operator.itemgetter" | "_operator.itemgetter":
            return bool(given) and all(isinstance(v, int | str) for v in given)
        case "torch.storage._load_from_bytes":  # the bytes are walked as a pickle of their own
            return len(given) == 1 and isinstance(given[0], bytes) and (TORCH_MAGIC in given[0][:64] or given[0][:2] == b"PK")
        case _:
            return _is_as_saved(call, grade(call.callee)) if isinstance(call.callee, Name) else False


def _is_as_saved(call: Made, known: Grade) -> bool:
    """Return whether a trainer's class is made as its pickles make it: settings without arguments, an enumeration of a value."""
    if known == "enum":
        return len(call.arguments) == 1 and isinstance(call.arguments[0], str | int)
    return known == "setting" and _holds_nothing(call)


def is_bare(name: Name, calls: list[Made]) -> bool:
    """Return whether a class of a published package is only made and never called: ``object.__new__`` runs none of its code."""
    own = name.module.split(".")[0] not in _OWN
    return own and bool(calls) and all(c.opcode == "NEWOBJ" and _holds_nothing(c) for c in calls)


def _holds_nothing(call: Made) -> bool:
    return not [v for v in call.arguments if not (isinstance(v, Box) and v.count == 0)]


def allocation(call: Made) -> int | None:
    """Return how many bytes a call of one of ``ALLOCATING`` would allocate out of nothing, or None if it is no such call."""
    given, name = call.arguments, str(call.callee)
    if name in _SHAPED:
        shape = tuple_of(given[1] if len(given) > 1 and name.endswith("_reconstruct") else given[0] if given else None)
        counts = [n for n in shape if isinstance(n, int)]
        return 8 * prod(counts) if len(counts) == len(shape) > 0 else None
    if name == "fractions.Fraction":
        power = _EXPONENT.search(given[0]) if given and isinstance(given[0], str) else None
        return int(power[1][:12]) if power else None
    one = given[0] if len(given) == 1 or (given and name == "array.array") else None
    many = given[-1] if isinstance(one, str) else one
    if isinstance(many, Made) and str(many.callee) == "builtins.range":
        return 8 * _length(many.arguments)
    sized = name in ("builtins.bytearray", "builtins.bytes") and isinstance(one, int) and not isinstance(one, bool)
    return one if sized and isinstance(one, int) else None


def _length(bounds: tuple[object, ...]) -> int:
    numbers = [n for n in bounds if isinstance(n, int)]
    try:
        made = range(*numbers[:3])
        return (made.stop - made.start) // made.step
    except (TypeError, ValueError):
        return 0


def _is_class(value: object) -> bool:
    """Return whether a value is a class that the tables know; by convention classes begin with a capital."""
    return isinstance(value, Name) and value.qualified[:1].isupper() and grade(value) in ("known", "setting", "enum", "family")
