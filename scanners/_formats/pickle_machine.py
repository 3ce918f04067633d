"""The abstract machine under the walk over a pickle: stack, marks and memo as the C unpickler keeps them, values never made.

Driven by ``pickles``; what it notes goes into a ``Walk``.

Source:
    Python's ``pickletools`` (opcode table, argument readers) and ``_pickle.c`` (what each opcode does); PEP 3154 for frames.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable
from io import BytesIO

from scanners._formats.pickle_arrays import raw_array
from scanners._formats.pickle_values import (
    MARK,
    UNKNOWN,
    Box,
    Call,
    Import,
    Made,
    Name,
    Persistent,
    Walk,
    argument_of,
    name_of,
    plant,
    reach_fault,
    tuple_of,
)  # fmt: skip

#: Most imports, calls and nested constants kept of one stream.
_KEPT = 200_000
#: Constants shorter than this hold no pickle that acts.
_NESTED_BYTES = 12
_PROTOCOL = 5
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|[0-7]{1,3}|.)", re.DOTALL)


class Machine:
    """Stack, marks and memo of one pickle."""

    def __init__(self, data: bytes, stream: BytesIO, seen: Walk, limit: int) -> None:
        self.data, self.stream, self.seen, self.limit = data, stream, seen, limit
        self.stack: list[object] = []
        self.memo: dict[int, object] = {}
        self.offset = 0
        self.frame_end = 0
        self.code = ""

    def run(self) -> None:
        """Follow opcodes up to STOP, the end, or one that cannot be read."""
        seen, stream = self.seen, self.stream
        while True:
            self.offset = stream.tell()
            entry = _TABLE.get(stream.read(1))
            if entry is None:
                rest = self.data[self.offset : self.offset + 1]
                self._break(f"the byte 0x{rest.hex()} is no opcode" if rest else "it ends without STOP")
                return
            seen.opcodes += 1
            if seen.opcodes > self.limit:
                self._break(f"it has more than {self.limit:,} opcodes; the rest was not read")
                return
            self.code, reader, act = entry
            try:
                argument = reader(stream) if reader is not None else None
            except (ValueError, OverflowError, MemoryError) as error:
                self._break(f"the argument of {self.code} cannot be read: {error}")
                return
            if self.offset < self.frame_end < stream.tell():
                seen.fault(self.offset, f"{self.code} crosses the end of its frame")
            if self.code == "STOP":
                self._check(1)
                seen.ends.append(stream.tell())
                return
            act(self, argument)
            if seen.broken:
                return

    def _break(self, words: str) -> None:
        self.seen.broken, self.seen.broken_at = words, self.offset

    # -- the stack ----------------------------------------------------------------------------------------------------

    def _check(self, count: int) -> None:
        if len(self.stack) < count or any(v is MARK for v in self.stack[-count:]):
            self.seen.fault(self.offset, f"{self.code} needs {count} value(s), the stack has fewer")

    def pop(self) -> object:
        """Take the top of the stack; a mark or nothing is a fault."""
        if not self.stack or self.stack[-1] is MARK:
            self.seen.fault(self.offset, f"{self.code} finds no value on the stack")
            return UNKNOWN
        return self.stack.pop()

    def top(self) -> object:
        """Look at the top of the stack."""
        if not self.stack or self.stack[-1] is MARK:
            self.seen.fault(self.offset, f"{self.code} finds no value on the stack")
            return UNKNOWN
        return self.stack[-1]

    def pop_to_mark(self) -> list[object]:
        """Take everything above the last mark, and the mark."""
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is MARK:
                taken = self.stack[place + 1 :]
                del self.stack[place:]
                return taken
        self.seen.fault(self.offset, f"{self.code} finds no mark on the stack")
        taken, self.stack = self.stack, []
        return taken

    # -- what opcodes do ----------------------------------------------------------------------------------------------

    def constant(self, argument: object) -> None:
        """Push an argument; bytes may be a file of their own."""
        if isinstance(argument, bytes | bytearray):
            argument = bytes(argument)
            if len(argument) >= _NESTED_BYTES and len(self.seen.constants) < _KEPT:
                self.seen.constants.append((self.offset, argument))
        self.stack.append(argument)

    def fixed(self, _: object) -> None:
        """Push what the opcode itself stands for."""
        self.stack.append(_FIXED[self.code])

    def empty(self, _: object) -> None:
        """Push a new container."""
        self.stack.append(Box(_KINDS[self.code]))

    def unknown(self, _: object) -> None:
        """Push something from outside the stream."""
        self.stack.append(UNKNOWN)

    def nothing(self, _: object) -> None:
        """Change nothing the walk follows."""

    def proto(self, argument: object) -> None:
        """Check the protocol."""
        if argument_of(argument) > _PROTOCOL:
            self.seen.fault(self.offset, f"protocol {argument} does not exist")

    def frame(self, argument: object) -> None:
        """Check the frame against the bytes there are."""
        here = self.stream.tell()
        if here < self.frame_end:
            self.seen.fault(self.offset, "a frame begins inside another")
        self.frame_end = here + argument_of(argument)
        if self.frame_end > len(self.data):
            self.seen.fault(self.offset, f"a frame of {argument_of(argument):,} bytes is longer than the data")

    def mark(self, _: object) -> None:
        """Push a mark."""
        self.stack.append(MARK)

    def drop(self, _: object) -> None:
        """Discard the top, be it a mark."""
        if self.stack:
            self.stack.pop()
        else:
            self.seen.fault(self.offset, "POP finds nothing on the stack")

    def drop_to_mark(self, _: object) -> None:
        """Discard everything to the mark."""
        self.pop_to_mark()

    def twice(self, _: object) -> None:
        """Push the top once more."""
        self.stack.append(self.top())

    def put(self, argument: object) -> None:
        """Remember the top."""
        self.memo[argument_of(argument)] = self.top()

    def memoize(self, _: object) -> None:
        """Remember the top under the next number."""
        self.memo[len(self.memo)] = self.top()

    def get(self, argument: object) -> None:
        """Push what was remembered."""
        key = argument_of(argument)
        if key not in self.memo:
            self.seen.fault(self.offset, f"{self.code} asks for memo {key}, which was never set")
        self.stack.append(self.memo.get(key, UNKNOWN))

    def gather(self, _: object) -> None:
        """Make a container of everything to the mark."""
        self._push_box(_KINDS[self.code], self.pop_to_mark())

    def pack(self, _: object) -> None:
        """Make a tuple of one, two or three values."""
        values = [self.pop() for _ in range(int(self.code[-1]))]
        self._push_box("tuple", values[::-1])

    def _push_box(self, kind: str, values: list[object]) -> None:
        box = Box(kind)
        box.extend(values)
        self._measure(box)
        self.stack.append(box)

    def _measure(self, box: Box) -> None:
        self.seen.deepest, self.seen.largest = max(self.seen.deepest, box.depth), max(self.seen.largest, box.size)

    def add(self, _: object) -> None:
        """Put values into the container below them."""
        values = [self.pop()] if self.code == "APPEND" else self.pop_to_mark()
        if self.code == "SETITEM":
            values = [self.pop(), self.pop()][::-1]
        target = self.top()
        if isinstance(target, Box):
            target.extend(values)
            self._measure(target)
        elif isinstance(target, Name):
            self.seen.planted.append((self.offset, f"adds items to {target} itself"))

    def set_item(self, _: object) -> None:
        """Put one key and value into the container below them."""
        value, key, target = self.pop(), self.pop(), self.top()
        if isinstance(target, Box):
            target.extend([key, value])
            self._measure(target)
        elif isinstance(target, Name):
            self.seen.planted.append((self.offset, f"sets an item of {target} itself"))

    def named(self, argument: object) -> None:
        """Import a name given in the stream."""
        module, _, qualified = str(argument).partition("\n")
        self.stack.append(self._import(name_of(module, qualified)))

    def stack_named(self, _: object) -> None:
        """Import a name given on the stack."""
        qualified, module = self.pop(), self.pop()
        if isinstance(qualified, str) and isinstance(module, str):
            self.stack.append(self._import(name_of(module, qualified)))
        else:
            self.stack.append(self._import(None))

    def instance(self, argument: object) -> None:
        """Import a name and call it with everything to the mark."""
        module, _, qualified = str(argument).partition("\n")
        self._call(self._import(name_of(module, qualified)), tuple(self.pop_to_mark()))

    def object_of(self, _: object) -> None:
        """Call the first value above the mark with the others."""
        values = self.pop_to_mark()
        self._call(values[0] if values else UNKNOWN, tuple(values[1:]))

    def reduce(self, _: object) -> None:
        """Call with a tuple of arguments; NEWOBJ does nearly the same."""
        arguments, callee = self.pop(), self.pop()
        self._call(callee, tuple_of(arguments))

    def new_with_keywords(self, _: object) -> None:
        """Call with arguments and keywords."""
        keywords, arguments, callee = self.pop(), self.pop(), self.pop()
        self._call(callee, (*tuple_of(arguments), keywords))

    def state(self, _: object) -> None:
        """Give an object its state."""
        state, target = self.pop(), self.top()
        words = plant(target, state)
        if words:
            self.seen.planted.append((self.offset, words))
        if isinstance(target, Made):
            target.state = state
            self._array(target)

    def _array(self, made: Made) -> None:
        """Step over an array that joblib wrote here."""
        found = raw_array(made)
        if found is None:
            return
        if found.size is None:
            Machine(self.data, self.stream, self.seen, self.limit).run()
            if not self.seen.broken:
                self.seen.ends.pop()
            return
        padding = self.stream.read(1)[0:1] if found.padded else b""
        self.stream.seek(int.from_bytes(padding, "little") + found.size, 1)
        if self.stream.tell() > len(self.data):
            self.seen.fault(self.offset, f"an array of {found.size:,} bytes is longer than the data")

    def stored(self, argument: object) -> None:
        """Ask the loader for something by a persistent id."""
        identity = argument if self.code == "PERSID" else self.pop()
        made = Persistent(self.offset, identity)
        if len(self.seen.persistent) < _KEPT:
            self.seen.persistent.append(made)
        self.stack.append(made)

    def extension(self, _: object) -> None:
        """Import from a registry nobody sees here."""
        self.seen.extensions.append(self.offset)
        self.stack.append(UNKNOWN)

    def _import(self, name: Name | None) -> object:
        if len(self.seen.imports) < _KEPT:
            self.seen.imports.append(Import(name, self.offset, self.code))
        elif not self.seen.broken:
            self.seen.fault(self.offset, f"more than {_KEPT:,} imports; the rest was not kept")
        return name if name is not None else UNKNOWN

    def _call(self, callee: object, arguments: tuple[object, ...]) -> None:
        made = Made(callee, arguments)
        if isinstance(callee, Name):
            callee.called = True
            if str(callee) == "_codecs.encode" and arguments[:1] and isinstance(arguments[0], str):  # how protocol 2 spells bytes
                self._call_noted(callee, arguments, made)
                self.constant(arguments[0].encode("latin-1", "replace"))
                return
        self._call_noted(callee, arguments, made)
        words = reach_fault(callee, arguments)
        if words:
            self.seen.reach.append((self.offset, words))
        self.stack.append(made)

    def _call_noted(self, callee: object, arguments: tuple[object, ...], made: Made) -> None:
        if len(self.seen.calls) < _KEPT:
            self.seen.calls.append(Call(callee, arguments, self.offset, self.code, made))


def _lines(count: int) -> Callable[[BytesIO], str]:
    """Return a reader of that many lines, joined by a line break, as the C unpickler takes them: no escapes."""

    def read(stream: BytesIO) -> str:
        lines = [stream.readline() for _ in range(count)]
        if not all(line.endswith(b"\n") for line in lines):
            raise ValueError("it is cut off")
        return "\n".join(line[:-1].decode("utf-8", "backslashreplace") for line in lines)

    return read


def _quoted(stream: BytesIO) -> str:
    """Read a STRING; escapes are undone here, because Python's own reader warns of unknown ones."""
    line = stream.readline()
    text = line.strip()
    if not line.endswith(b"\n") or len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise ValueError("it is no quoted line")
    return _ESCAPE.sub(_unescaped, text[1:-1].decode("latin-1"))


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] == "x":
        return chr(int(code[1:], 16))
    return chr(int(code, 8) & 0xFF) if code[0] in "01234567" else {"n": "\n", "t": "\t", "r": "\r"}.get(code, code)


_Act = Callable[[Machine, object], None]
_Reader = Callable[[BytesIO], object]
_FIXED: dict[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_KINDS = {
    "EMPTY_TUPLE": "tuple", "TUPLE": "tuple", "EMPTY_LIST": "list", "LIST": "list", "EMPTY_DICT": "dict", "DICT": "dict",
    "EMPTY_SET": "set", "FROZENSET": "set",
}  # fmt: skip
_ACTS: dict[str, _Act] = {
    **dict.fromkeys(("NONE", "NEWTRUE", "NEWFALSE"), Machine.fixed),
    **dict.fromkeys(("EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET"), Machine.empty),
    **dict.fromkeys(("TUPLE", "LIST", "DICT", "FROZENSET"), Machine.gather),
    **dict.fromkeys(("TUPLE1", "TUPLE2", "TUPLE3"), Machine.pack),
    **dict.fromkeys(("APPEND", "APPENDS", "SETITEMS", "ADDITEMS"), Machine.add),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine.get),
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), Machine.extension),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), Machine.reduce),
    **dict.fromkeys(("PERSID", "BINPERSID"), Machine.stored),
    "GLOBAL": Machine.named, "INST": Machine.instance, "STACK_GLOBAL": Machine.stack_named, "OBJ": Machine.object_of,
    "NEWOBJ_EX": Machine.new_with_keywords, "BUILD": Machine.state, "SETITEM": Machine.set_item, "MARK": Machine.mark,
    "POP": Machine.drop, "POP_MARK": Machine.drop_to_mark, "DUP": Machine.twice, "MEMOIZE": Machine.memoize,
    "PROTO": Machine.proto, "FRAME": Machine.frame, "NEXT_BUFFER": Machine.unknown, "READONLY_BUFFER": Machine.nothing,
    "STOP": Machine.nothing,
}  # fmt: skip
_READERS: dict[str, _Reader] = {"GLOBAL": _lines(2), "INST": _lines(2), "PERSID": _lines(1), "STRING": _quoted}
#: Name, reader of the argument and effect, by the opcode's byte; an opcode without an effect of its own pushes its argument.
_TABLE: dict[bytes, tuple[str, _Reader | None, _Act]] = {
    op.code.encode("latin-1"): (
        op.name,
        _READERS.get(op.name, op.arg.reader if op.arg is not None else None),
        _ACTS.get(op.name, Machine.constant),
    )
    for op in pickletools.opcodes
}
