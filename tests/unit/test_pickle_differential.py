"""Our walk over pickles against three readers of Python on small streams: ``pickletools``, ``pickle.py`` and ``_pickle.c``."""

from __future__ import annotations

import contextlib
import pickle
import pickletools
import warnings
from io import BytesIO

from hypothesis import given, settings
from hypothesis import strategies as st

from scanners._formats.pickles.arguments import READERS, Cut
from scanners._formats.pickles.streams import walk
from scanners._formats.pickles.values import name_of
from tests.recipes import opcode

LIMIT = 10_000
BY_CODE = {ord(op.code): op for op in pickletools.opcodes}
TEXT = st.text(st.characters(codec="ascii", exclude_characters="\n\r\\'\""), max_size=6)
NUMBERS = {"uint1": 255, "uint2": 65_535, "uint4": 1_000, "int4": 2**31 - 1, "uint8": 60}
NAMES = ["os system", "collections OrderedDict", "__builtin__ eval", "torch os.system", "builtins getattr"]


def _argument(name: str) -> st.SearchStrategy[object]:
    kind = next(op.arg.name if op.arg else "" for op in pickletools.opcodes if op.name == name)
    if name in ("GLOBAL", "INST"):
        return st.sampled_from(NAMES)
    if name == "PROTO":
        return st.integers(0, 6)
    if kind in NUMBERS:
        return st.integers(0, NUMBERS[kind])
    if "decimalnl" in kind or kind in ("float8", "floatnl"):
        return st.integers(0, 9)
    return TEXT


STREAMS = st.lists(
    st.sampled_from([op.name for op in pickletools.opcodes]).flatmap(lambda n: st.tuples(st.just(n), _argument(n))), max_size=20
).map(lambda ops: b"".join(opcode(name, argument) for name, argument in ops))


def boundaries(data: bytes) -> list[int]:
    """Return where opcodes begin, by our readers, up to STOP or the first that cannot be read."""
    at, found = 0, []
    while at < len(data) and data[at] in BY_CODE:
        name = BY_CODE[data[at]].name
        try:
            after = READERS[name](data, at + 1)[1] if name in READERS else at + 1
        except Cut:
            break
        found.append(at)
        at = after
        if name == "STOP":
            break
    return found


def reference(data: bytes) -> tuple[list[int], bool]:
    """Return where opcodes begin by ``pickletools``, and whether it came to STOP."""
    found: list[int] = []
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for op, _, at in pickletools.genops(data):
            found.append(at or 0)
            if op.name == "STOP":
                return found, True
    return found, False


@settings(database=None, deadline=None, max_examples=400)
@given(STREAMS)
def test_opcodes_begin_where_pickletools_says(data: bytes) -> None:
    theirs, whole = reference(data)
    ours = boundaries(data)
    assert ours[: len(theirs)] == theirs  # it stops earlier at what it reads more strictly than an unpickler
    if whole:
        assert ours == theirs
        assert walk(data, limit=LIMIT, most=1).opcodes == len(theirs)


def _asked(base: type[pickle.Unpickler] | type[pickle._Unpickler], data: bytes) -> set[str]:
    """Return the names an unpickler asks for; each gets a stand-in that does nothing."""
    names: set[str] = set()

    class Recorder(base):  # type: ignore[misc, valid-type]
        def find_class(self, module: str, name: str) -> object:
            names.add(str(name_of(module, name, getattr(self, "proto", 0))))
            names.add(f"{module}.{name}")
            return lambda *_, **__: None

        def persistent_load(self, pid: object) -> object:
            return None

    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Recorder(BytesIO(data)).load()
    return names


def _seen(data: bytes) -> set[str]:
    return {str(i.name) for i in walk(data, limit=LIMIT).imports}


@settings(database=None, deadline=None, max_examples=400)
@given(STREAMS, st.binary(max_size=3), st.integers(0, 60))
def test_no_unpickler_imports_what_the_walk_has_not_seen(data: bytes, noise: bytes, at: int) -> None:
    mixed = data[:at] + noise + data[at:]
    if b"r" in mixed or b"p" in mixed or b"j" in mixed:
        mixed = mixed.replace(b"r", b"q")  # C would make a memo of any size
    seen = _seen(mixed)
    mapped = {str(name_of(module, qualified)) for module, _, qualified in (n.rpartition(".") for n in seen)}
    for base in (pickle.Unpickler, pickle._Unpickler):
        for name in _asked(base, mixed):
            module, _, qualified = name.rpartition(".")
            assert {name, str(name_of(module, qualified))} & (seen | mapped), name


@settings(database=None, deadline=None, max_examples=100)
@given(STREAMS, STREAMS)
def test_a_pickle_after_another_is_walked(first: bytes, second: bytes) -> None:
    call = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00echo\x85R."
    assert "os.system" in _seen(b"\x80\x02N." + call + first)
    assert "os.system" in _seen(call + second)


def test_readers_are_lenient_where_unpicklers_are() -> None:
    for data in (b"I0x10\n.", b"L0x10L\n.", b"I1_0\n.", b"I 7 \n.", b"F1e3\n.", b"S'\\xff'\n."):
        assert len(boundaries(data)) == 2
        assert walk(data, limit=LIMIT).sound
        pickle.loads(data, encoding="latin1")


def test_text_that_is_no_number_is_a_fault_and_hides_nothing() -> None:
    seen = walk(b"Inone\ncos\nsystem\n.", limit=LIMIT)
    assert not seen.sound
    assert [str(i.name) for i in seen.imports] == ["os.system"]
