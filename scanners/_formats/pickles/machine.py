"""The abstract machine under the walk over a pickle: every opcode acts as in an unpickler, and no value is made.

Driven by ``pickles.streams``; what it notes goes into a ``Walk``. Where ``pickle.py`` would act otherwise than ``_pickle.c``, or
either would stop, a fault is noted and the walk goes on, so that what any loader could reach is seen.

Source:
    ``_pickle.c`` and ``pickle.py`` of Python 3.11 (what each opcode does); Python's ``pickletools`` (opcode table); PEP 3154.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable

from scanners._formats.pickles.arguments import READERS, Cut, Reader
from scanners._formats.pickles.arrays import raw_array
from scanners._formats.pickles.names import ALLOCATING, LARGEST_ALLOCATION, allocation, grade
from scanners._formats.pickles.pages import Octets
from scanners._formats.pickles.stack import KEPT, NO_FRAME, LongText, Stack
from scanners._formats.pickles.values import (
    UNKNOWN,
    Box,
    Import,
    Made,
    Name,
    Persistent,
    Walk,
    hand_on,
    name_of,
    plant,
    reach_fault,
    tuple_of,
    values_of,
)  # fmt: skip

#: How deep joblib's arrays of objects may hold further ones.
_NESTING = 8
_MODULE_PARTS = 4
_LONGEST_NAMES = 1 << 20


class Machine(Stack):
    """Follows one pickle from its first opcode to STOP."""

    def __init__(self, data: Octets, seen: Walk, limit: int, at: int = 0, depth: int = 0) -> None:
        super().__init__(data, seen, limit, at, depth)
        self._names: dict[tuple[str, str, bool], Name] = {}

    def run(self) -> None:
        """Follow opcodes up to STOP, the end, or one that cannot be read."""
        data, seen, stack, marks, memo, size = self.data, self.seen, self.stack, self.marks, self.memo, len(self.data)
        at, before, frame_end = self.at, seen.opcodes, self.frame_end
        count = before
        try:
            for count in range(before + 1, self.limit + 1):
                if at >= size:
                    seen.cut, seen.opcodes = True, count - 1
                    self.stop_at("it ends without STOP", size)
                    return
                start, code = at, data[at]
                # The branches before the last are the bulk of real streams, and do what the table would do.
                if code in _FIXED:
                    stack.append(_FIXED[code])
                    at += 1
                elif code == _BINPUT and not marks and stack and at + 1 < size:
                    memo[data[at + 1]] = stack[-1]
                    at += 2
                elif code == _BINGET and at + 1 < size and data[at + 1] in memo:
                    stack.append(memo[data[at + 1]])
                    at += 2
                elif code == _MARK:
                    marks.append(len(stack))
                    at += 1
                elif code == _POP and not marks and stack:
                    stack.pop()
                    at += 1
                else:
                    self.offset, seen.opcodes = start, count
                    self.code, reader, act = _TABLE[code]
                    if reader is None:
                        self.at = at + 1
                        act(self, None)
                    else:
                        argument, self.at = reader(data, at + 1)
                        act(self, argument)
                    at, frame_end = self.at, self.frame_end
                    if code == _STOP or seen.broken:
                        return
                if at > frame_end:
                    if start < frame_end:
                        seen.opcodes = count
                        seen.fault(start, "an opcode crosses the end of its frame")
                    self.frame_end = frame_end = NO_FRAME
            seen.opcodes = count + 1
            self.stop_at(f"it has more than {self.limit:,} opcodes; the rest was not read", at)
        except Cut as cut:
            seen.cut, seen.wanted = True, cut.end
            self._cut(cut)
        finally:
            if not seen.cut or seen.wanted:
                seen.opcodes = max(count, seen.opcodes)

    def _cut(self, cut: Cut) -> None:
        """Note an argument that goes on after the end; a name that lacks only its line break is imported all the same."""
        if self.code in ("GLOBAL", "INST") and cut.end == len(self.data) + 1:
            module, found, qualified = self.data[self.offset + 1 : self.offset + _LONGEST_NAMES].partition(b"\n")
            if found and len(qualified) > 1:
                self._import(self._named(module.decode("utf-8", "replace"), qualified[:-1].decode("utf-8", "replace")))
        self.stop_at(f"the argument of {self.code} goes on after the end", self.offset)

    # -- names, calls and state ------------------------------------------------------------------------------------------

    def named(self, argument: object) -> None:
        """Import a name given in the stream."""
        self.stack.append(self._import(self._argument_name(argument)))

    def stack_named(self, _: object) -> None:
        """Import a name given on the stack; as bytes it is refused by C, and read all the same."""
        parts = [self.pop(), self.pop()][::-1]
        words = [p.decode("utf-8", "replace") if isinstance(p, bytes) else p for p in parts]
        if any(isinstance(p, bytes) for p in parts):
            self.fault("STACK_GLOBAL takes a name from bytes")
        module, qualified = words
        if isinstance(module, str) and isinstance(qualified, str):
            self.stack.append(self._import(self._named(module, qualified)))
        else:
            self.stack.append(self._import(None))

    def instance(self, argument: object) -> None:
        """Import a name and call it with everything to the mark."""
        values = self.pop_to_mark()
        hand_on(values)
        self._call(self._import(self._argument_name(argument)), tuple(values))

    def object_of(self, _: object) -> None:
        """Call the first value above the mark with the others."""
        values = self.pop_to_mark()
        if not values:
            self.fault("OBJ has nothing to call")
        hand_on(values[1:])
        self._call(values[0] if values else UNKNOWN, tuple(values[1:]))

    def reduce(self, _: object) -> None:
        """Call with a tuple of arguments; NEWOBJ does nearly the same."""
        arguments, callee = self.pop(), self.pop()
        if not (isinstance(arguments, Box) and arguments.kind == "tuple"):
            self.fault(f"{self.code} has no tuple of arguments")
            hand_on([arguments])
        self._call(callee, values_of(arguments))

    def new_with_keywords(self, _: object) -> None:
        """Call with arguments and keywords."""
        keywords, arguments, callee = self.pop(), self.pop(), self.pop()
        hand_on([keywords])
        self._call(callee, (*values_of(arguments), keywords))

    def state(self, _: object) -> None:
        """Give an object its state."""
        state, target = self.pop(), self.top()
        hand_on([state])
        words = plant(target, state)
        if words:
            self.seen.planted.append((self.offset, "BUILD", words))
        if isinstance(target, Made):
            target.state = state
            self._array(target)

    def _array(self, made: Made) -> None:
        """Step over an array that joblib wrote here."""
        found = raw_array(made)
        if found is None:
            return
        if self.at >= self.frame_end:  # joblib ends the frame before it
            self.frame_end = NO_FRAME
        if found.size is None:
            if self.depth >= _NESTING:
                self.stop_at("arrays of objects lie in one another too deep", self.offset)
                return
            inner = Machine(self.data, self.seen, self.limit, self.at, self.depth + 1)
            inner.run()
            if not self.seen.broken:
                self.at = self.seen.ends.pop()
            return
        padding = self.data[self.at] + 1 if found.padded and self.at < len(self.data) else 0
        self.at += padding + found.size
        if self.at > len(self.data):
            raise Cut(self.at)

    def stored(self, argument: object) -> None:
        """Ask the loader for something by a persistent id."""
        identity = argument if self.code == "PERSID" else self.pop()
        hand_on([identity])
        parts = tuple_of(identity)
        if parts[0:1] == ("module",) and len(parts) == _MODULE_PARTS and isinstance(parts[1], Name):
            self.stack.append(parts[1])  # torch's old layout: a class, and its source for a warning
            return
        made = Persistent(self.offset, identity)
        if len(self.seen.persistent) < KEPT:
            self.seen.persistent.append(made)
        else:
            self.stop_at(f"more than {KEPT:,} persistent ids; the rest was not read", self.offset)
        self.stack.append(made)

    def extension(self, _: object) -> None:
        """Import from a registry nobody sees here."""
        if len(self.seen.extensions) < KEPT:
            self.seen.extensions.append(self.offset)
        self.stack.append(UNKNOWN)

    def _argument_name(self, argument: object) -> Name:
        module, qualified = argument if isinstance(argument, tuple) else ("", "")
        return self._named(str(module), str(qualified))

    def _named(self, module: str, qualified: str) -> Name:
        key = module, qualified, self.protocol < 3  # which decides how the name is read
        known = self._names.get(key)
        if known is None:
            known = self._names[key] = name_of(module, qualified, self.protocol)
            known.careful = grade(known) in ("careful", "setting", "enum")
            known.allocates = str(known) in ALLOCATING
        return known

    def _import(self, name: Name | None) -> object:
        if name is None or not name.imported:
            if len(self.seen.imports) >= KEPT:
                self.stop_at(f"more than {KEPT:,} imports; the rest was not read", self.offset)
            else:
                self.seen.imports.append(Import(name, self.offset, self.code))
        if name is None:
            return UNKNOWN
        name.imported = True
        return name

    def _call(self, callee: object, arguments: tuple[object, ...]) -> None:
        made = Made(callee, arguments, self.offset, self.code)
        if not isinstance(callee, Name):
            self._keep(made)
        elif callee.careful or not callee.called:
            self._keep(made)
            callee.called = True
        if isinstance(callee, Name) and callee.allocates and self.seen.vast is None:
            self.seen.vast = made if (allocation(made) or 0) > LARGEST_ALLOCATION else None
        words = reach_fault(callee, arguments)
        if words:
            self.seen.reach.append((self.offset, words))
        first = arguments[0] if arguments else None
        if isinstance(first, str) and str(callee) == "_codecs.encode":  # how protocol 2 spells bytes
            if isinstance(first, LongText):
                self.later(first.offset, latin=True)
                self.stack.append(first.encode("latin-1", "replace"))
            else:
                self.constant(first.encode("latin-1", "replace"))
        else:
            self.stack.append(made)

    def _keep(self, made: Made) -> None:
        if len(self.seen.calls) < KEPT:
            self.seen.calls.append(made)
        else:
            self.stop_at(f"more than {KEPT:,} calls; the rest was not read", self.offset)


_Act = Callable[[Machine, object], None]
_NUMBERS = ("BININT", "BININT1", "BININT2", "BINFLOAT", "LONG1", "LONG4")
_ACTS: dict[str, _Act] = {
    **dict.fromkeys(_NUMBERS, Machine.number),
    **dict.fromkeys(("EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET"), Machine.empty),
    **dict.fromkeys(("TUPLE", "LIST", "DICT", "FROZENSET"), Machine.gather),
    **dict.fromkeys(("TUPLE1", "TUPLE2", "TUPLE3"), Machine.pack),
    **dict.fromkeys(("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS"), Machine.add),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), Machine.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine.get),
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), Machine.extension),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), Machine.reduce),
    **dict.fromkeys(("PERSID", "BINPERSID"), Machine.stored),
    "GLOBAL": Machine.named, "INST": Machine.instance, "STACK_GLOBAL": Machine.stack_named, "OBJ": Machine.object_of,
    "NEWOBJ_EX": Machine.new_with_keywords, "BUILD": Machine.state, "MARK": Machine.mark, "STOP": Machine.stop,
    "POP": Machine.drop, "POP_MARK": Machine.drop_to_mark, "DUP": Machine.twice, "MEMOIZE": Machine.memoize,
    "PROTO": Machine.proto, "FRAME": Machine.frame, "NEXT_BUFFER": Machine.buffer, "READONLY_BUFFER": Machine.read_only,
}  # fmt: skip
_CODES = {op.name: ord(op.code) for op in pickletools.opcodes}
_BINPUT, _BINGET, _POP, _MARK, _STOP = (_CODES[n] for n in ("BINPUT", "BINGET", "POP", "MARK", "STOP"))
_FIXED: dict[int, object] = {_CODES["NONE"]: None, _CODES["NEWTRUE"]: True, _CODES["NEWFALSE"]: False}
#: Name, reader of the argument and effect, by the opcode's byte; an opcode without an effect of its own pushes its argument.
_TABLE: list[tuple[str, Reader | None, _Act]] = [("", None, Machine.invalid)] * 256
for _name, _code in _CODES.items():
    _TABLE[_code] = (_name, READERS.get(_name), _ACTS.get(_name, Machine.constant))
