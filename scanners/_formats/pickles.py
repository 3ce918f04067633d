"""What a pickle would import and call, read from its opcodes. Nothing is unpickled and no name is resolved.

A linear walk over every pickle of a stream with a small stack and memo, so that ``STACK_GLOBAL`` finds its names. A broken
stream gives what was seen before it broke, then the break.

Source:
    Python's ``pickletools`` (opcode table), PEP 307, PEP 3154, PEP 574.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO

#: Opcodes by their byte.
_OPCODES = {op.code.encode("latin-1"): op for op in pickletools.opcodes}
_STRINGS = frozenset(
    {
        "STRING",
        "BINSTRING",
        "SHORT_BINSTRING",
        "UNICODE",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
    }
)
_CALLS = frozenset({"REDUCE", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
_PYTHON_2 = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "exceptions": "builtins",
    "__main__": "__main__",
    "cPickle": "pickle",
    "commands": "subprocess",
}


@dataclass(frozen=True)
class Import:
    """One name a pickle would import.

    Attributes:
        name: ``module.qualified_name``, or None if it is built at run time.
        offset: Of the opcode that imports it, in bytes from the start of the stream.
        opcode: That opcode.
        called: Whether an opcode right after it calls what was imported.
    """

    name: str | None
    offset: int
    opcode: str
    called: bool = False


@dataclass
class Walk:
    """Everything seen in one stream.

    Attributes:
        imports: In order.
        pickles: Complete pickles found one after the other.
        broken: Why the walk ended early, or None.
        trailing: Bytes after the last complete pickle.
        extensions: Offsets of EXT opcodes, whose names come from a registry nobody sees here.
        opcodes: How many were followed.
        sound_opcodes: How many until one asked for more than the stack held; None if none did.
    """

    imports: list[Import] = field(default_factory=list)
    pickles: int = 0
    broken: str | None = None
    broken_at: int = 0
    trailing: int = 0
    extensions: list[int] = field(default_factory=list)
    opcodes: int = 0
    sound_opcodes: int | None = None

    @property
    def sound(self) -> bool:
        """Whether no opcode asked for more than the stack held; a real unpickler stops at the first that does."""
        return self.sound_opcodes is None


class _Unknown:
    """A value the walk does not follow."""


_UNKNOWN = _Unknown()
_MARK = object()


def walk(data: bytes, *, limit: int, first_only: bool = False) -> Walk:
    """Walk every pickle at the start of a byte string.

    Args:
        data: The stream.
        limit: Most opcodes followed.
        first_only: Stop after the first pickle; what follows is raw data.

    Returns:
        What was seen; never raises on content.
    """
    seen, stream = Walk(), BytesIO(data)
    while stream.tell() < len(data) and seen.broken is None:
        start = stream.tell()
        if seen.pickles and (first_only or data[start : start + 1] not in (b"\x80", b"(", b"]", b"}", b"c")):
            break
        _one(stream, seen, limit)
    if seen.broken is None:
        seen.trailing = len(data) - stream.tell()
    return seen


def _one(stream: BytesIO, seen: Walk, limit: int) -> None:
    stack: list[object] = []
    memo: dict[int, object] = {}
    last: int | None = None
    for name, argument, offset in _opcodes(stream, seen, limit):
        match name:
            case "STOP":
                seen.pickles += 1
                return
            case "GLOBAL" | "INST":
                module, _, qualified = str(argument).partition(" ")
                last = _note(seen, _name(module, qualified), offset, name, called=name == "INST")
                stack.append(_UNKNOWN)
            case "STACK_GLOBAL":
                operands = [stack.pop() if stack else _UNKNOWN for _ in range(2)]
                known = [o for o in operands if isinstance(o, str)]
                last = _note(seen, _name(known[1], known[0]) if len(known) == 2 else None, offset, name)
                stack.append(_UNKNOWN)
            case "EXT1" | "EXT2" | "EXT4":
                seen.extensions.append(offset)
                stack.append(_UNKNOWN)
            case "MARK":
                stack.append(_MARK)
            case "MEMOIZE":
                memo[len(memo)] = stack[-1] if stack else _UNKNOWN
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[int(argument or 0)] = stack[-1] if stack else _UNKNOWN  # type: ignore[call-overload]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo.get(int(argument or 0), _UNKNOWN))  # type: ignore[call-overload]
            case "DUP":
                stack.append(stack[-1] if stack else _UNKNOWN)
            case "POP":
                if stack:
                    stack.pop()
            case _ if name in _STRINGS:
                stack.append(argument.decode("utf-8", "replace") if isinstance(argument, bytes) else argument)
            case _:
                if name in _CALLS and last is not None:
                    seen.imports[last] = Import(**{**vars(seen.imports[last]), "called": True})
                if not _shape(stack, name) and seen.sound:
                    seen.sound_opcodes = seen.opcodes
    if seen.broken is None:
        seen.broken, seen.broken_at = "ends without STOP", stream.tell()


def _shape(stack: list[object], name: str) -> bool:
    """Change the stack's height as the opcode does, values not followed; return whether it held enough."""
    op = next(o for o in _OPCODES.values() if o.name == name)
    before = op.stack_before
    if pickletools.markobject in before:
        needed = before.index(pickletools.markobject)
        enough = any(v is _MARK for v in stack)
        while stack and stack.pop() is not _MARK:
            pass
    else:
        needed, enough = len(before), True
    enough = enough and len(stack) >= needed
    del stack[max(0, len(stack) - needed) :]
    stack.extend(_UNKNOWN for _ in op.stack_after)
    return enough


def _opcodes(stream: BytesIO, seen: Walk, limit: int) -> Iterator[tuple[str, object, int]]:
    while True:
        offset = stream.tell()
        code = stream.read(1)
        op = _OPCODES.get(code)
        if op is None:
            seen.broken, seen.broken_at = (f"byte {code!r} is no opcode" if code else "ends without STOP"), offset
            return
        seen.opcodes += 1
        if seen.opcodes > limit:
            seen.broken, seen.broken_at = f"more than {limit:,} opcodes; the rest was not read", offset
            return
        try:
            argument = op.arg.reader(stream) if op.arg is not None else None
        except (ValueError, UnicodeDecodeError, OverflowError, MemoryError) as error:
            seen.broken, seen.broken_at = f"the argument of {op.name} cannot be read: {error}", offset
            return
        yield op.name, argument, offset
        if op.name == "STOP":
            return


def _note(seen: Walk, name: str | None, offset: int, opcode: str, *, called: bool = False) -> int:
    seen.imports.append(Import(name, offset, opcode, called))
    return len(seen.imports) - 1


def _name(module: str, qualified: str) -> str:
    return f"{_PYTHON_2.get(module, module)}.{qualified}"
