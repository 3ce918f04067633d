"""What is to be said of one pickle stream: the walk's notes, graded, in words. Hits come before gaps.

Made for ``scanners.pickle_imports``, which turns remarks into findings.

Source:
    torch ``serialization.py``: a zip holds ``data.pkl``; the old layout is five pickles (magic number, protocol, system, object,
    storage keys), then for each storage its length and its elements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from governance.evidence import Severity
from scanners._formats.pickles.constants import MAGIC
from scanners._formats.pickles.names import TORCH_MAGIC, Grade, allocation, call_is_fine, grade, is_bare
from scanners._formats.pickles.pages import LONGEST, Octets
from scanners._formats.pickles.streams import walk
from scanners._formats.pickles.values import Import, Made, Name, Persistent, Walk, shown

_TORCH_PICKLES = 5
#: Opcodes followed to see whether bytes that may be anything are a pickle that imports.
_ACTING = 1_000_000
#: A pickle's first opcode may stand this far into a file that is nothing else; this many places are tried.
_SEARCHED, _TRIED = 1 << 20, 200
#: Bytes of constants kept to be looked into.
_MOST_HELD = 96 << 20
_BEGINNING = re.compile(rb"\x80[\x02-\x05]")
_MAGIC = frozenset(bytes([b]) for b in MAGIC)
_DEEPEST, _LARGEST = 1_000, 1e7
_EACH = 20
_ELEMENT_BYTES = {
    "Double": 8, "Long": 8, "ComplexFloat": 8, "ComplexDouble": 16, "Float": 4, "Int": 4, "QInt32": 4, "Half": 2, "BFloat16": 2,
    "Short": 2, "Byte": 1, "Char": 1, "Bool": 1, "QInt8": 1, "QUInt8": 1,
}  # fmt: skip
_TYPES = ("builtins.type", "builtins.bytes", "builtins.bytearray")
#: Words in a function's name that say it acts; they only raise the severity of a call nobody knows.
_VERBS = frozenset({
    "call", "command", "compile", "connect", "delete", "download", "dump", "eval", "evaluate", "exec", "execute", "fetch", "import",
    "load", "loads", "open", "popen", "pretrained", "read", "remove", "request", "run", "save", "shell", "spawn", "system",
    "unlink", "urlopen", "write",
})  # fmt: skip
_NEVER = "do not load this file; ask the publisher for safetensors"
_ASK = "ask the publisher for safetensors, or what this is for"


@dataclass(frozen=True)
class Remark:
    """Something to say of a stream; ``rule`` is a rule of the pickle-imports scanner."""

    rule: str
    severity: Severity
    words: str
    offset: int | None = None
    opcode: str | None = None
    remediation: str = _ASK
    called: bool = False


@dataclass(frozen=True)
class Review:
    """What came of a stream.

    Attributes:
        remarks: Hits, in the order of their severity's kind and their place.
        gap: Why not all of it was read, or None.
        constants: Offset and value of constants that are, by their first bytes, files of their own or pickles that act.
        cut: Whether bytes after those given could have changed the answer.
        legacy: Whether it is torch's old layout.
        storages: Bytes each storage must have by its key; 0 if its type is unknown.
    """

    remarks: tuple[Remark, ...]
    gap: str | None
    constants: tuple[tuple[int, bytes], ...]
    cut: bool = False
    legacy: bool = False
    storages: tuple[tuple[str, int], ...] = ()


def review(data: Octets, *, limit: int, by_product: bool, wraps: bool = False, size: int | None = None) -> Review:
    """Walk a stream and say what is in it.

    Args:
        data: The stream, or its beginning.
        limit: Most opcodes followed.
        by_product: Whether the file's name is that of something a trainer leaves behind.
        wraps: Whether raw data may follow the pickle, as in torch's tar layout.
        size: Of the whole stream, if ``data`` is only its beginning; ask again with more if the answer is ``cut``.
    """
    whole = len(data) if size is None else size
    legacy = TORCH_MAGIC in data[:64]
    seen = walk(data, limit=limit, most=_TORCH_PICKLES if legacy else 1 << 30)
    remarks = [
        *_imports(seen, by_product=by_product),
        *_built(seen),
        *(Remark("pickle-state-injection", Severity.HIGH, words, at, code, _NEVER) for at, code, words in seen.planted[:_EACH]),
        *(Remark("storage-bounds", Severity.HIGH, words, at, "REDUCE") for at, words in seen.reach[:_EACH]),
        *_expansion(seen, whole),
        *_ends(seen, whole, legacy=legacy, wraps=wraps),
    ]
    gap = f"{seen.broken} at byte {seen.broken_at:,}" if seen.broken else None
    inner, left = _files(seen)
    gap = gap or (f"{left:,} constants that may be files of their own were not looked into" if left else None)
    needed: dict[str, int] = {}
    for kind, key, count in (s for p in seen.persistent if (s := p.storage) is not None):
        needed[key] = max(needed.get(key, 0), count * _width(kind))
    return Review(tuple(remarks), gap, tuple(inner), seen.cut, legacy, tuple(needed.items()))


def _files(seen: Walk) -> tuple[list[tuple[int, bytes]], int]:
    """Return the constants that are files or pickles that act, as far as they fit, and how many more there are."""
    found, held, left = list[tuple[int, bytes]](), 0, 0
    for at, value in seen.constants:
        constant = value if isinstance(value, bytes) else value()
        if constant is None or not (constant[:1] in _MAGIC or acts(constant)):
            cut = constant is not None and len(constant) >= LONGEST and _BEGINNING.match(constant) is not None
            left += cut  # more than was read could act
            continue
        if held + len(constant) > _MOST_HELD:
            left += 1
            continue
        found.append((at, constant))
        held += len(constant)
    return found, left


def _width(kind: str) -> int:
    """Return the bytes of an element of a storage's type, 0 for one that is unknown."""
    return _ELEMENT_BYTES.get(kind.rsplit(".", 1)[-1].removesuffix("Storage"), 0)


def acts(data: bytes, at: int = 0) -> bool:
    """Return whether bytes that may be anything, such as numbers, are a pickle that imports something.

    Args:
        data: A tensor's storage, or a constant in a pickle.
        at: Where the pickle would begin.
    """
    most = _TORCH_PICKLES if TORCH_MAGIC in data[at : at + 64] else 1
    seen = walk(data, limit=_ACTING, most=most, at=at)
    if seen.broken and seen.sound and seen.opcodes > _ACTING:
        return True  # numbers do not read as so many opcodes: whoever wants to know reads on
    named = [i for i in seen.imports if i.name is None or str(i.name).replace(".", "_").isidentifier()]
    return bool(named) and seen.sound and (seen.pickles > 0 or any(isinstance(c.callee, Name) for c in seen.calls))


def hidden(data: bytes) -> int | None:
    """Return where a pickle that acts begins behind other bytes, or None: a loader may be told to seek there."""
    places = (m.start() for m in islice(_BEGINNING.finditer(data, 1, _SEARCHED), _TRIED))
    return next((at for at in places if acts(data, at)), None)


def _imports(seen: Walk, *, by_product: bool) -> Iterator[Remark]:
    calls: dict[int, list[Made]] = {}
    for call in seen.calls:
        if isinstance(call.callee, Name):
            calls.setdefault(id(call.callee), []).append(call)
    said: dict[tuple[str, str], Remark] = {}
    for found in seen.imports:
        if found.name is None:
            continue
        remark = _graded(found, found.name, calls.get(id(found.name), []), by_product=by_product)
        known = said.get((remark.rule, str(found.name))) if remark else None
        if remark is not None and (known is None or (found.name.called and not known.called)):
            said[remark.rule, str(found.name)] = remark
    yield from sorted(said.values(), key=lambda r: (-r.severity.rank, r.offset or 0))


def _graded(found: Import, name: Name, calls: list[Made], *, by_product: bool) -> Remark | None:
    known = grade(name)
    if known == "careful":
        known = "known" if _carefully_used(name, calls) else "dangerous"
    if known in ("setting", "enum") and not all(call_is_fine(c) for c in calls):
        known = "unknown"
    if known == "known" or (known in ("setting", "enum") and by_product):
        return None
    wrong = next((c for c in calls if not call_is_fine(c)), calls[0] if calls else None)
    act = f"calls {shown(name)}{_arguments(wrong)}" if wrong else f"imports {shown(name)}"
    if known == "dangerous":
        words = f"{act} when it is loaded: this can run code, read or write files, or reach the network"
        return Remark("pickle-import", Severity.CRITICAL, words, found.offset, found.opcode, _NEVER, called=bool(calls))
    words = f"{act}, {_why(known, name)}"
    inert = by_product or is_bare(name, calls)
    severity = Severity.HIGH if calls and known == "unknown" and _acts_by_name(name) else _severity(known, inert)
    return Remark("pickle-import-unknown", severity, words, found.offset, found.opcode, called=bool(calls))


def _acts_by_name(name: Name) -> bool:
    """Return whether a function in no table says by its name that it runs, loads, opens or fetches something."""
    last = name.qualified.rsplit(".", 1)[-1]
    return not last[:1].isupper() and not _VERBS.isdisjoint(last.lower().split("_"))


def _severity(known: Grade, inert: bool) -> Severity:
    harmless = known in ("setting", "enum") or (known == "family" and inert)
    return Severity.LOW if harmless else Severity.MEDIUM


def _why(known: Grade, name: Name) -> str:
    if known == "unknown":
        listed = grade(name) in ("setting", "enum")
        return "which its own pickles never call so" if listed else "which is in no table of what honest files import"
    return "a class of a training library that an adapter has no need of"


def _carefully_used(name: Name, calls: list[Made]) -> bool:
    """Return whether every use of a careful name makes data; handed on, another may call it with anything."""
    if str(name) in _TYPES and not calls:
        return True
    return bool(calls) and (not name.handed or str(name) in _TYPES) and all(call_is_fine(c) for c in calls)


def _arguments(call: Made) -> str:
    return "(" + ", ".join(shown(v) for v in call.arguments[:4]) + (", …" if len(call.arguments) > 4 else "") + ")"


def _built(seen: Walk) -> Iterator[Remark]:
    rule, high = "pickle-built-name", Severity.HIGH
    for found in [i for i in seen.imports if i.name is None][:_EACH]:
        yield Remark(rule, high, "imports a name that it builds while it is loaded", found.offset, found.opcode, _NEVER)
    for offset in seen.extensions[:_EACH]:
        yield Remark(
            rule, high, "takes a name from a registry of extension codes that only the loader knows", offset, "EXT", _NEVER
        )
    indirect = [c for c in seen.calls if not isinstance(c.callee, Name)]
    for call in indirect[:_EACH]:
        yield Remark(rule, high, f"calls what is no plain name: {shown(call.callee)}", call.offset, call.opcode, _NEVER)
    foreign = [p for p in seen.persistent if p.storage is None and not _is_number(p)]
    for one in foreign[:_EACH]:
        words = f"asks its loader for an object by an id that is no tensor storage: {shown(one.identity)}"
        yield Remark(rule, Severity.MEDIUM, words, one.offset, "BINPERSID")


def _is_number(one: Persistent) -> bool:
    """Return whether an id is a number: torch's oldest layout names its tensors so."""
    return isinstance(one.identity, int) or (isinstance(one.identity, str) and one.identity.isdigit())


def _expansion(seen: Walk, size: int) -> Iterator[Remark]:
    rule, medium = "pickle-expansion", Severity.MEDIUM
    if seen.deepest > _DEEPEST:
        yield Remark(rule, medium, f"nests values {seen.deepest:,} levels deep, which exhausts a loader's stack")
    if seen.largest > max(_LARGEST, 100 * size):
        yield Remark(rule, medium, f"grows to {seen.largest:.2g} elements once every reference is followed")
    if seen.memo:
        yield Remark(rule, medium, f"remembers a value under the number {seen.memo:,}: C makes its memo that long")
    if seen.vast is not None:
        words = f"allocates {allocation(seen.vast) or 0:,} bytes out of nothing"
        yield Remark(rule, medium, words, seen.vast.offset, seen.vast.opcode)


def _ends(seen: Walk, size: int, *, legacy: bool, wraps: bool) -> Iterator[Remark]:
    worse = Severity.HIGH if seen.imports else Severity.MEDIUM
    if seen.broken:
        yield Remark("pickle-broken", worse, f"{seen.broken} at byte {seen.broken_at:,}", seen.broken_at)
    elif legacy and seen.pickles < _TORCH_PICKLES:
        yield Remark("pickle-broken", worse, f"the old PyTorch layout needs five pickles, there are {seen.pickles}", seen.end)
    for at, words in seen.faults[:3]:
        yield Remark("pickle-broken", worse, f"at byte {at:,} {words}: loaders differ in what they do then", at)
    rest = size - seen.end
    if seen.broken or wraps:
        return
    if legacy:
        yield from _raw_storages(seen, rest)
    elif rest:
        yield Remark("pickle-after-stop", Severity.MEDIUM, f"{rest:,} bytes follow the end of the pickle", seen.end)
    elif seen.pickles > 1:
        words = f"{seen.pickles:,} pickles follow one another; most loaders read the first"
        yield Remark("pickle-after-stop", Severity.LOW, words, seen.ends[0])


def _raw_storages(seen: Walk, rest: int) -> Iterator[Remark]:
    """Compare what follows the five pickles of torch's old layout with the storages they name."""
    storages = {s[1]: s for p in seen.persistent if (s := p.storage) is not None}
    widths = [_ELEMENT_BYTES.get(kind.rsplit(".", 1)[-1].removesuffix("Storage")) for kind, _, _ in storages.values()]
    if seen.pickles < _TORCH_PICKLES or None in widths:
        return
    expected = sum(8 + count * (width or 0) for (_, _, count), width in zip(storages.values(), widths, strict=True))
    if rest > expected:
        yield Remark("pickle-after-stop", Severity.MEDIUM, f"{rest - expected:,} bytes belong to no storage", seen.end + expected)
    elif rest < expected:
        yield Remark("pickle-broken", Severity.MEDIUM, f"the storages need {expected:,} bytes, {rest:,} are there", seen.end)
