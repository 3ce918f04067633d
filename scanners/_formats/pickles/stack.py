"""Stack, marks and memo of the abstract machine, and the opcodes that need nothing else.

As the C unpickler keeps them: a mark is a fence that no value is taken across. Extended by ``pickles.machine``.

Source:
    ``_pickle.c`` of Python 3.11: ``Pdata`` with its fence, ``_Unpickler_MemoPut``, ``load_memoize`` (numbers by what is in use).
"""

from __future__ import annotations

import pickletools
from functools import partial

from scanners._formats.pickles.arguments import READERS, UNREADABLE
from scanners._formats.pickles.constants import SHORTEST, packed
from scanners._formats.pickles.pages import LONG, Octets
from scanners._formats.pickles.values import UNKNOWN, Box, Made, Name, Walk, hand_on

#: Most imports, calls and nested constants kept of one stream.
KEPT = 200_000
#: No frame ends here.
NO_FRAME = 1 << 65
_PROTOCOL = 5
#: C keeps the memo as an array: a number far above those in use makes it that long.
_LARGEST_MEMO = 1 << 24
#: What stands on the stack for a long constant.
_BEGINNING = 1 << 12
_NAMES = {ord(op.code): op.name for op in pickletools.opcodes}


class LongText(str):
    """The beginning of a long text, and where its opcode stands."""

    offset: int

    def __new__(cls, value: str, offset: int) -> LongText:
        """Return it with its place."""
        made = super().__new__(cls, value)
        made.offset = offset
        return made


def _again(data: Octets, offset: int, latin: bool) -> bytes | None:
    """Return a constant that may be a file of its own, read from the stream once more."""
    value, _ = READERS[_NAMES[data[offset]]](data, offset + 1)
    if latin and isinstance(value, str):
        value = value.encode("latin-1", "replace")
    return packed(value) if isinstance(value, bytes | str) else None


class Stack:
    """What one pickle has on its stack and in its memo."""

    def __init__(self, data: Octets, seen: Walk, limit: int, at: int = 0, depth: int = 0) -> None:
        self.data, self.seen, self.limit, self.at, self.depth = data, seen, limit, at, depth
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[object, object] = {}
        self.offset = at
        self.frame_end = NO_FRAME
        self.protocol = 0
        self.code = ""

    def stop_at(self, words: str, at: int) -> None:
        """End the walk early."""
        self.seen.broken, self.seen.broken_at = words, at

    def fault(self, words: str) -> None:
        """Note what a real unpickler would stop at."""
        self.seen.fault(self.offset, words)

    # -- the stack ----------------------------------------------------------------------------------------------------

    @property
    def _fence(self) -> int:
        return self.marks[-1] if self.marks else 0

    def pop(self) -> object:
        """Take the top of the stack; a mark or nothing is a fault."""
        if len(self.stack) > self._fence:
            return self.stack.pop()
        self.fault(f"{self.code} finds no value on the stack")
        return UNKNOWN

    def top(self) -> object:
        """Look at the top of the stack."""
        if len(self.stack) > self._fence:
            return self.stack[-1]
        self.fault(f"{self.code} finds no value on the stack")
        return UNKNOWN

    def pop_to_mark(self) -> list[object]:
        """Take everything above the last mark, and the mark."""
        if not self.marks:
            self.fault(f"{self.code} finds no mark on the stack")
        place = self.marks.pop() if self.marks else 0
        taken = self.stack[place:]
        del self.stack[place:]
        return taken

    # -- constants, containers and the memo ------------------------------------------------------------------------------

    def invalid(self, _: object) -> None:
        """Stop at a byte that is no opcode."""
        self.stop_at(f"the byte 0x{self.data[self.offset]:02x} is no opcode", self.offset)

    def stop(self, _: object) -> None:
        """End the pickle."""
        if len(self.stack) <= self._fence:
            self.fault("STOP needs 1 value(s), the stack has fewer")
        if self.at < self.frame_end < NO_FRAME:
            self.fault(f"the frame goes on for {self.frame_end - self.at:,} bytes after STOP")
            self.seen.resumes.append(self.frame_end)
        self.seen.ends.append(self.at)

    def constant(self, argument: object) -> None:
        """Push an argument; bytes and text may be a file of their own."""
        if isinstance(argument, (bytes, str)):
            if len(argument) > LONG:
                self.later(self.offset)
                argument = argument[:_BEGINNING] if isinstance(argument, bytes) else LongText(argument[:_BEGINNING], self.offset)
            elif len(argument) >= SHORTEST:
                inner = packed(argument)
                if inner is not None and len(self.seen.constants) < KEPT:
                    self.seen.constants.append((self.offset, inner))
                elif inner is not None:
                    self.stop_at(f"more than {KEPT:,} constants may be files of their own; the rest was not read", self.offset)
        elif argument is UNREADABLE:
            self.fault(f"the argument of {self.code} cannot be read")
        self.stack.append(argument)

    def later(self, offset: int, *, latin: bool = False) -> None:
        """Note a long constant, to be read again when it is looked at."""
        if len(self.seen.constants) < KEPT:
            self.seen.constants.append((offset, partial(_again, self.data, offset, latin)))
        else:
            self.stop_at(f"more than {KEPT:,} constants may be files of their own; the rest was not read", offset)

    def number(self, argument: object) -> None:
        """Push a number."""
        self.stack.append(argument)

    def empty(self, _: object) -> None:
        """Push a new container."""
        self.stack.append(Box(_KINDS[self.code]))

    def buffer(self, _: object) -> None:
        """Push a buffer from outside the stream."""
        self.stack.append(UNKNOWN)

    def read_only(self, _: object) -> None:
        """Replace the top by a view of it."""
        self.top()

    def proto(self, argument: object) -> None:
        """Take the protocol, which decides how names are read."""
        self.protocol = int(argument) if isinstance(argument, int) else 0
        if self.protocol > _PROTOCOL:
            self.fault(f"protocol {argument} does not exist")

    def frame(self, argument: object) -> None:
        """Check the frame against the bytes there are."""
        size = int(argument) if isinstance(argument, int) else 0
        if self.frame_end != NO_FRAME and self.at < self.frame_end:
            self.fault("a frame begins inside another")
        self.frame_end = self.at + size
        if self.frame_end > len(self.data):
            self.seen.cut = True
            self.fault(f"a frame of {size:,} bytes is longer than the data")

    def mark(self, _: object) -> None:
        """Push a mark."""
        self.marks.append(len(self.stack))

    def drop(self, _: object) -> None:
        """Discard the top, be it a mark."""
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        elif self.stack:
            self.stack.pop()
        else:
            self.fault("POP finds nothing on the stack")

    def drop_to_mark(self, _: object) -> None:
        """Discard everything to the mark."""
        self.pop_to_mark()

    def twice(self, _: object) -> None:
        """Push the top once more."""
        self.stack.append(self.top())

    def put(self, argument: object) -> None:
        """Remember the top."""
        if not isinstance(argument, int) or argument < 0:
            self.fault(f"{self.code} has no number to remember under")
        elif argument > _LARGEST_MEMO and argument > self.seen.opcodes:
            self.seen.memo = max(self.seen.memo, argument)
        self.memo[argument] = self.top()

    def memoize(self, _: object) -> None:
        """Remember the top under the next number."""
        self.memo[len(self.memo)] = self.top()

    def get(self, argument: object) -> None:
        """Push what was remembered."""
        if argument not in self.memo:
            self.fault(f"{self.code} asks for memo {argument}, which was never set")
        self.stack.append(self.memo.get(argument, UNKNOWN))

    def gather(self, _: object) -> None:
        """Make a container of everything to the mark."""
        values = self.pop_to_mark()
        if self.code == "DICT" and len(values) % 2:
            self.fault("DICT has a key without a value")
        self._push_box(_KINDS[self.code], values)

    def pack(self, _: object) -> None:
        """Make a tuple of one, two or three values."""
        values = [self.pop() for _ in range(int(self.code[-1]))]
        self._push_box("tuple", values[::-1])

    def _push_box(self, kind: str, values: list[object]) -> None:
        box = Box(kind)
        self._fill(box, values)
        self.stack.append(box)

    def _fill(self, box: Box, values: list[object]) -> None:
        box.extend(values)
        seen = self.seen
        if box.depth > seen.deepest:
            seen.deepest = box.depth
        if box.size > seen.largest:
            seen.largest = box.size

    def add(self, _: object) -> None:
        """Put values into the container below them."""
        if self.code == "APPEND":
            values = [self.pop()]
        elif self.code == "SETITEM":
            values = [self.pop(), self.pop()][::-1]
        else:
            values = self.pop_to_mark()
        if self.code == "SETITEMS" and len(values) % 2:
            self.fault("SETITEMS has a key without a value")
        target = self.top()
        if isinstance(target, Box):
            self._fill(target, values)
        elif isinstance(target, Made):
            if target.content is None:
                target.content = Box("dict" if self.code.startswith("SETITEM") else "list")
            self._fill(target.content, values)
        else:
            hand_on(values)
            if isinstance(target, Name):
                self.seen.planted.append((self.offset, self.code, f"puts items into {target} itself"))


#: Kinds of container by the opcode that makes them.
_KINDS = {
    "EMPTY_TUPLE": "tuple", "TUPLE": "tuple", "EMPTY_LIST": "list", "LIST": "list", "EMPTY_DICT": "dict", "DICT": "dict",
    "EMPTY_SET": "set", "FROZENSET": "set",
}  # fmt: skip
