"""The walk over pickles against Python's own tools: whatever a real unpickler would import, the walk must have seen."""

from __future__ import annotations

import collections
import contextlib
import datetime
import decimal
import pickle
import pickletools
import warnings
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanners._formats.kinds import is_pickle, kind_of_bytes
from scanners._formats.pickles.names import grade
from scanners._formats.pickles.review import acts, review
from scanners._formats.pickles.streams import walk
from scanners._formats.pickles.values import Name, name_of, shown
from tests.recipes import assemble, opcode

LIMIT = 100_000
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.decimals()
    | st.dates()
    | st.complex_numbers(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner) | st.frozensets(st.integers()),
    max_leaves=20,
)


class Recorder(pickle.Unpickler):
    """A real unpickler that resolves no name: it notes what it is asked for and hands out a harmless stand-in."""

    def __init__(self, data: bytes) -> None:
        super().__init__(BytesIO(data))
        self.names: list[str] = []

    def find_class(self, module: str, name: str) -> object:
        self.names.append(str(name_of(module, name)))
        return lambda *_, **__: None

    def persistent_load(self, pid: object) -> object:
        return None


def named(data: bytes) -> list[str]:
    return [str(i.name) for i in walk(data, limit=LIMIT).imports]


@settings(database=None, deadline=None)
@given(VALUES, st.integers(0, 5))
def test_what_pickle_writes_is_read_to_its_end(value: object, protocol: int) -> None:
    data = pickle.dumps(value, protocol)
    seen = walk(data, limit=LIMIT)
    assert (seen.broken, seen.faults, seen.ends) == (None, [], [len(data)])
    assert seen.opcodes == sum(1 for _ in pickletools.genops(data))
    assert all(i.name is not None and grade(i.name) in ("known", "careful") for i in seen.imports)
    assert not [
        r for r in review(data, limit=LIMIT, by_product=False).remarks if r.severity.rank >= 1 and r.rule != "pickle-nested"
    ]


@pytest.mark.parametrize("protocol", range(6))
def test_ordinary_objects_stay_quiet(protocol: int) -> None:
    value = [collections.OrderedDict(a=1), collections.Counter("aab"), datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
             {1, 2}, decimal.Decimal("1.5"), b"bytes", bytearray(b"more"), 1j,
             slice(1, 2), range(3), collections.defaultdict(list)]  # fmt: skip
    assert review(pickle.dumps(value, protocol), limit=LIMIT, by_product=False).remarks == ()


@settings(database=None, deadline=None, max_examples=300)
@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(0, 80))
def test_nothing_a_real_unpickler_imports_is_unseen(before: bytes, after: bytes, at: int) -> None:
    call = assemble(["PROTO 2", "GLOBAL os system", "BINUNICODE echo", "TUPLE1", "REDUCE", "STOP"])
    data = call[:at] + before + call[at:] + after
    recorder = Recorder(data)
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recorder.load()  # finds no class: every name it asks for is a stand-in that does nothing
    assert set(recorder.names) <= set(named(data))


@settings(database=None, deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(sorted(op.name for op in pickletools.opcodes)), max_size=25), st.randoms(use_true_random=False))
def test_every_opcode_in_any_order_is_survived(names: list[str], random: object) -> None:
    data = b"".join(opcode(n, {"FRAME": 3, "PROTO": 4}.get(n, "1")) for n in names)
    seen = walk(data, limit=LIMIT)
    assert seen.opcodes <= len(names) + 1
    review(data, limit=LIMIT, by_product=True)


@settings(database=None, deadline=None, max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_are_survived(data: bytes) -> None:
    walk(data, limit=LIMIT)
    review(data, limit=LIMIT, by_product=False)
    kind_of_bytes(data)
    acts(data)


@settings(database=None, deadline=None)
@given(st.integers(0, 60))
def test_truncation_keeps_what_came_before(end: int) -> None:
    data = assemble(["PROTO 2", "GLOBAL os system", "BINUNICODE echo", "TUPLE1", "REDUCE", *["BINUNICODE more"] * 3, "STOP"])
    seen = review(data[:end], limit=LIMIT, by_product=False)
    assert ("pickle-import" in {r.rule for r in seen.remarks}) == (end >= len(b"\x80\x02cos\nsy"))  # C imports it without its end
    assert seen.gap or end in (0, *range(len(data), 61))


@pytest.mark.parametrize(
    "text",
    ["cos\nsystem\nand so on\n", "I like it.\n", "(c) 2026 the authors.\n", "N.\n", "", "torch>=2.0\n", "code\nname\nvalue\n",
     "0.5\n", "].\n", "[]", "}.", "version 1\n", "import os\nos.system('x')\n", "(lp0\nhello\n"],
)  # fmt: skip
def test_text_is_no_pickle(text: str) -> None:
    assert not is_pickle(text.encode(), whole=True)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("prefix", [b"", b"N0", b"N0" * 4_000, b"(0", b"I1\n0"])
def test_a_call_is_a_pickle_whatever_stands_before_it(protocol: int, prefix: bytes) -> None:
    call = (
        b"cposix\nsystem\n(Vecho\ntR."
        if protocol < 2
        else b"\x80" + bytes([protocol]) + b"cposix\nsystem\n(X\x04\x00\x00\x00echotR."
    )
    assert kind_of_bytes(prefix + call) == "pickle"


def test_names_of_python_2_are_those_of_python_3() -> None:
    assert named(assemble(["GLOBAL __builtin__ eval", "STOP"])) == ["builtins.eval"]
    assert named(assemble(["GLOBAL copy_reg _reconstructor", "STOP"])) == ["copyreg._reconstructor"]


def test_escapes_hide_no_name() -> None:
    assert named(assemble([["STRING", "os"], ["STRING", "system"], "STACK_GLOBAL", "STOP"])) == ["os.system"]
    assert named(b"S'\\x6fs'\nS'\\163ystem'\n\x93.") == ["os.system"]
    assert named(b"V\\u006fs\nVsystem\n\x93.") == ["os.system"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("collections OrderedDict", "known"), ("builtins getattr", "careful"), ("os system", "dangerous"),
     ("torch.hub load", "dangerous"),
     ("collections OrderedDict.__init__", "dangerous"), ("dataclasses builtins.eval", "dangerous"),
     ("torch os.system", "dangerous"),
     ("trl.trainer.sft_config SFTConfig", "setting"), ("trl.trainer.sft_config os.system", "dangerous"),
     ("trl.other Thing", "family"),
     ("trl.other thing", "unknown"), ("somewhere Thing", "unknown"), ("numpy.lib.npyio load", "dangerous")],
)  # fmt: skip
def test_grades(name: str, expected: str) -> None:
    module, _, qualified = name.partition(" ")
    assert grade(Name(module, qualified)) == expected


def test_values_are_shown_short_and_escaped() -> None:
    assert shown("a\u202eb\n") == "'a\\u202eb\\n'"
    assert len(shown("x" * 10_000)) < 100
    assert shown(Name("os\n\x1b[31m", "system")) == "os\\n\\x1b[31m.system"


def test_values_that_hold_themselves_are_survived() -> None:
    loop = ["EMPTY_DICT", "MEMOIZE", "BINGET 0", "BINGET 0", "SETITEM", *["BINGET 0", "DUP", "TUPLE2", "MEMOIZE"] * 40]
    call = [
        "GLOBAL joblib.numpy_pickle NumpyArrayWrapper",
        "EMPTY_TUPLE",
        "REDUCE",
        "BINGET 0",
        "BUILD",
        "BINGET 0",
        "TUPLE1",
        "REDUCE",
    ]
    seen = review(assemble(["PROTO 4", *loop, *call, "STOP"]), limit=LIMIT, by_product=False)
    assert "pickle-built-name" in {r.rule for r in seen.remarks}


def test_two_million_opcodes_are_no_excuse() -> None:
    data = b"\x80\x02" + b"N0" * 1_000_000 + assemble(["GLOBAL os system", "STOP"])
    assert [r.rule for r in review(data, limit=5_000_000, by_product=False).remarks] == ["pickle-import"]


@pytest.mark.slow
def test_what_torch_writes_is_accepted(tmp_path: object) -> None:
    import torch

    tensors = {"a": torch.arange(6).reshape(2, 3).float(), "b": torch.zeros(4, dtype=torch.bfloat16), "c": torch.ones(2, 2).t()}
    for zipped in (True, False):
        out = BytesIO()
        torch.save(tensors, out, _use_new_zipfile_serialization=zipped)
        if not zipped:
            assert review(out.getvalue(), limit=LIMIT, by_product=False).remarks == ()
            assert [r.rule for r in review(out.getvalue() + b"more", limit=LIMIT, by_product=False).remarks] == [
                "pickle-after-stop"
            ]
        assert kind_of_bytes(out.getvalue()) == ("torch-zip" if zipped else "pickle")
