"""What the walk over a pickle puts on its stack: constants as they are, and stand-ins for everything else.

Stand-ins are shared, never expanded: a memo bomb costs its opcodes. Made and read by ``pickles.streams``; judged by
``pickles.names`` and ``scanners.pickle_imports``.

Source:
    Python ``_compat_pickle`` (names of Python 2); torch ``_utils._rebuild_tensor_v2`` (storage, offset, size, stride).
"""

from __future__ import annotations

from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

#: Values of a container that are kept for looking at arguments.
_KEPT_ITEMS = 64
_SHOWN = 80
#: Names are read as they stand from this protocol on.
_NAMES_AS_THEY_ARE = 3
_MODULES = {**IMPORT_MAPPING, "exceptions": "builtins", "commands": "subprocess"}


class _Sign:
    """A value with no content."""


UNKNOWN: Final = _Sign()


@dataclass(eq=False, slots=True)
class Name:
    """A name the pickle imports; one for all its imports.

    Attributes:
        module: As Python 3 spells it.
        qualified: Of the class or function, dots included.
        imported: Whether an import of it was noted.
        called: Whether something calls it.
        handed: Whether it is put into a container, an argument or a state, where others may call it.
        careful: Whether each of its calls is to be looked at.
        allocates: Whether its arguments decide how much memory a call takes.
    """

    module: str
    qualified: str
    imported: bool = False
    called: bool = False
    handed: bool = False
    careful: bool = False
    allocates: bool = False

    def __str__(self) -> str:
        return f"{self.module}.{self.qualified}"


@dataclass(eq=False, slots=True, repr=False)  # values may hold themselves: nothing may spell them out
class Made:
    """A call and what it returns.

    Attributes:
        callee: What is called; a ``Name`` unless it is built while loading.
        arguments: Its arguments, keywords last.
        offset: Of the opcode.
        opcode: Its name.
        state: What BUILD gives the result.
        content: What is put into the result as if it were a list or a dictionary.
    """

    callee: object
    arguments: tuple[object, ...]
    offset: int = 0
    opcode: str = ""
    state: object = UNKNOWN
    content: Box | None = None


@dataclass(eq=False, slots=True, repr=False)
class Box:
    """A container: its first values, and how large and deep it is once every reference is followed."""

    kind: str
    items: list[object] = field(default_factory=list)
    count: int = 0
    size: float = 1.0
    depth: int = 1
    hooks: list[str] = field(default_factory=list)

    def extend(self, values: list[object]) -> None:
        """Take further values; keys and values of a dictionary alternate."""
        if len(self.items) < _KEPT_ITEMS:
            self.items += values[: _KEPT_ITEMS - len(self.items)]
        self.count += len(values)
        for value in values:
            if type(value) is Box:
                self.size = min(self.size + value.size, 1e30)
                self.depth = max(self.depth, value.depth + 1)
            else:
                self.size += 1
                if type(value) is Name:
                    value.handed = True
        if self.kind == "dict":
            self.hooks += [words for key in values[::2] if (words := _hook(key))][:_KEPT_ITEMS]


@dataclass(frozen=True, slots=True)
class Import:
    """One import; ``name`` is None if it is built at run time."""

    name: Name | None
    offset: int
    opcode: str


@dataclass(eq=False, slots=True, repr=False)
class Persistent:
    """Something the loader is asked for by an id.

    Attributes:
        offset: Of the opcode.
        identity: The id.
    """

    offset: int
    identity: object

    @property
    def storage(self) -> tuple[str, str, int] | None:
        """Kind, key and number of elements of a torch storage, or None if the id names something else."""
        values = tuple_of(self.identity)
        if len(values) < 5 or values[0] != "storage" or not isinstance(values[1], Name):
            return None
        key, count = values[2], values[4]
        return (str(values[1]), key, count) if isinstance(key, str) and isinstance(count, int) else None


@dataclass
class Walk:
    """Everything seen in one byte string.

    Attributes:
        imports: In order.
        calls: In order; ``NEWOBJ`` and ``OBJ`` count, as they run a class's code. Of a name that needs no care, the first.
        planted: Offset, opcode and words for state set on a class or function, or state that replaces how an object is made.
        constants: Offset and value of byte constants long enough to be a file themselves; a long one is read when it is called.
        persistent: Persistent ids: torch's storages, or something only a loader of its own would understand.
        reach: Offset and words for tensors that reach outside their storage.
        extensions: Offsets of EXT opcodes, whose names come from a registry nobody sees here.
        faults: Offset and words for what a real unpickler would stop at, although the walk went on.
        ends: Where each complete pickle ends.
        resumes: Ends of frames that lie after STOP.
        memo: The largest number something is remembered under, if it is far above those in use.
        wanted: Where the argument ends that goes on after the end of the data; 0 if none does.
        cut: Whether more bytes after the end could have changed what was seen.
        broken: Why the walk ended early, or None.
        broken_at: Where.
        opcodes: How many were followed.
        sound_opcodes: How many until the first fault; None if there was none.
        deepest: Levels of nesting.
        largest: Elements of the largest value once every reference is followed.
        vast: The first call that allocates more than any honest one.
    """

    imports: list[Import] = field(default_factory=list)
    calls: list[Made] = field(default_factory=list)
    planted: list[tuple[int, str, str]] = field(default_factory=list)
    constants: list[tuple[int, bytes | Callable[[], bytes | None]]] = field(default_factory=list)
    persistent: list[Persistent] = field(default_factory=list)
    reach: list[tuple[int, str]] = field(default_factory=list)
    extensions: list[int] = field(default_factory=list)
    faults: list[tuple[int, str]] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    resumes: list[int] = field(default_factory=list)
    memo: int = 0
    wanted: int = 0
    cut: bool = False
    broken: str | None = None
    broken_at: int = 0
    opcodes: int = 0
    sound_opcodes: int | None = None
    deepest: int = 0
    largest: float = 0.0
    vast: Made | None = None

    @property
    def pickles(self) -> int:
        """Complete pickles found one after the other."""
        return len(self.ends)

    @property
    def end(self) -> int:
        """Where the last complete pickle ends; 0 if there is none."""
        return self.ends[-1] if self.ends else 0

    @property
    def sound(self) -> bool:
        """Whether a real unpickler would have met no fault."""
        return self.sound_opcodes is None

    def fault(self, offset: int, words: str) -> None:
        """Note what a real unpickler would stop at."""
        if self.sound_opcodes is None:
            self.sound_opcodes = self.opcodes
        if len(self.faults) < 20:
            self.faults.append((offset, words))


def name_of(module: str, qualified: str, protocol: int = 0) -> Name:
    """Return a name as Python 3 takes it; a stream of protocol 0 to 2 may spell it as Python 2 did."""
    if protocol >= _NAMES_AS_THEY_ARE:
        return Name(module, qualified)
    module, qualified = NAME_MAPPING.get((module, qualified), (module, qualified))
    return Name(_MODULES.get(module, module), qualified)


def tuple_of(value: object) -> tuple[object, ...]:
    """Return the values of a tuple on the stack; something else is one unknown value."""
    return tuple(value.items) if isinstance(value, Box) and value.kind == "tuple" else (UNKNOWN,)


def values_of(value: object) -> tuple[object, ...]:
    """Return the values of any container: ``pickle.py`` takes arguments from each, C from tuples alone."""
    return tuple(value.items) if isinstance(value, Box) else (UNKNOWN,)


def hand_on(values: list[object]) -> None:
    """Note that names leave the stack for somewhere they may be called from."""
    for value in values:
        if isinstance(value, Name):
            value.handed = True


def plant(target: object, state: object) -> str | None:
    """Return why giving this target this state changes more than an object's data, or None."""
    if isinstance(target, Name):
        return f"sets state on {target} itself, for every later use"
    if isinstance(target, Made) and str(target.callee) == "builtins.getattr":
        return "sets state on an attribute of a class, for every later use"
    hooks = sorted({h for part in (state, *tuple_of(state)) for h in _hooks(part)})
    return f"plants {', '.join(hooks[:8])} in an object's state" if hooks else None


def _hooks(part: object) -> list[str]:
    """Return the keys of a dictionary that act; one made by a call counts with its content and its arguments."""
    if isinstance(part, Box):
        return part.hooks if part.kind == "dict" else []
    if not isinstance(part, Made):
        return []
    found = list(part.content.hooks) if part.content is not None else []
    for given in part.arguments:
        if isinstance(given, Box):
            pairs = [v for v in given.items if isinstance(v, Box) and v.kind != "dict" and v.count == 2]
            found += [*(given.hooks if given.kind == "dict" else ()), *(w for p in pairs if (w := _hook(p.items[0])))]
    return found


def _hook(key: object) -> str | None:
    """Return a key of a state in words if it changes what an object does, or is built while loading."""
    if isinstance(key, str):
        return key if key in _HOOKS else None
    return "a key built while loading" if isinstance(key, Made) and str(key.callee) == "builtins.str" else None


def reach_fault(callee: object, arguments: tuple[object, ...]) -> str | None:
    """Return how a tensor reaches outside its storage, or None.

    Args:
        callee: What is called.
        arguments: Storage, offset, size and stride, in elements.
    """
    if not isinstance(callee, Name) or str(callee) not in _REBUILD or len(arguments) < 4:
        return None
    storage = arguments[0].storage if isinstance(arguments[0], Persistent) else None
    offset, size, stride = arguments[1], _numbers(arguments[2]), _numbers(arguments[3])
    if storage is None or not isinstance(offset, int) or size is None or stride is None or len(size) != len(stride):
        return None
    if offset < 0 or any(n < 0 for n in (*size, *stride)):
        return "a tensor has a negative offset, size or stride"
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if all(size) else offset - 1
    return f"a tensor reaches element {last:,} of a storage of {storage[2]:,}" if last >= storage[2] else None


def _numbers(value: object) -> tuple[int, ...] | None:
    values = tuple_of(value)
    return tuple(v for v in values if isinstance(v, int)) if all(isinstance(v, int) for v in values) else None


def shown(value: object, depth: int = 2) -> str:
    """Return a value in words, short and escaped."""
    match value:
        case str() | bytes():
            text = ascii(value)
            return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
        case Name():
            return ascii(str(value))[1:-1][:200]
        case Made():
            inner = ", ".join(shown(a, depth - 1) for a in value.arguments[:4]) if depth > 0 else "…"
            return f"{shown(value.callee, depth - 1)}({inner})"
        case Box():
            inner = ", ".join(shown(v, depth - 1) for v in value.items[:4]) if depth > 0 else "…"
            return f"({inner}{', …' if value.count > 4 and depth > 0 else ''})"
        case int() if abs(value) >> 256:
            return "a huge number"
        case None | bool() | int() | float():
            return ascii(value)[:_SHOWN]
        case _:
            return "…"


#: State under these keys changes what an object does, not what it holds.
_HOOKS = frozenset({
    "__setstate__", "__reduce__", "__reduce_ex__", "__class__", "__del__", "__getattr__", "__getattribute__", "__call__",
    "__init__", "__new__", "__code__", "__globals__", "__import__",
})  # fmt: skip
_REBUILD = frozenset({"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3"})
