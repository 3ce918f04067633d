"""Archives against the writers of the standard library: what they write is read whole and without a word."""

from __future__ import annotations

import io
import random
import struct
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.context import Limits
from scanners._formats.archives import CONTAINERS, members
from scanners._formats.kinds import kind_of_bytes
from scanners._formats.members import Member
from scanners._formats.zips import is_zip
from tests.recipes import cook, zipped

NAMES = st.text(alphabet="abcdé/._", min_size=1, max_size=12).filter(
    lambda n: ".." not in n and not n.startswith("/") and not n.endswith("/")
)


class Unseekable(io.BytesIO):
    """A stream that is only written on, so that the writer must put lengths behind the data."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise io.UnsupportedOperation

    def tell(self) -> int:
        raise io.UnsupportedOperation


def read(content: bytes, kind: str = "zip", limits: Limits | None = None) -> list[Member]:
    return list(members(io.BytesIO(content), kind, len(content), limits or Limits(), lambda name, head: True))


def words(found: list[Member]) -> list[str]:
    return [w for m in found for w in (m.problem, m.disagreement, m.escape) if w]


def written(contents: dict[str, bytes], *, method: int, streamed: bool, wide: bool, comment: bytes) -> bytes:
    out = Unseekable() if streamed else io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.comment = comment
        for name, data in contents.items():
            with archive.open(name, "w", force_zip64=wide) as member:
                member.write(data)
    return out.getvalue()


@settings(database=None, deadline=None, max_examples=150)
@given(
    st.dictionaries(NAMES, st.binary(max_size=200), max_size=4),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]), st.booleans(), st.booleans(), st.binary(max_size=30),
)  # fmt: skip
def test_what_the_library_writes_is_read_without_a_word(
    contents: dict[str, bytes], method: int, streamed: bool, wide: bool, comment: bytes
) -> None:
    contents = {k: v for k, v in contents.items() if [n.lower() for n in contents].count(k.lower()) == 1}
    content = written(contents, method=method, streamed=streamed, wide=wide, comment=comment)
    found = read(content)
    assert words(found) == []
    assert {m.name: m.data for m in found} == contents
    assert is_zip(io.BytesIO(content), len(content))


@pytest.mark.parametrize("size", [0, 1, 4_095, 4_096, 4_097, 8_192, 300_000])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("noise", [True, False])
def test_members_of_any_size_are_whole(size: int, method: int, noise: bool) -> None:
    data = random.Random(size).randbytes(size) if noise else b"a" * size
    found = read(written({"x": data}, method=method, streamed=False, wide=False, comment=b""))
    assert (words(found), [m.data for m in found]) == ([], [data])


@settings(database=None, deadline=None, max_examples=200)
@given(st.integers(0, 2**32))
def test_no_change_is_silent_if_the_library_would_read_something_else(seed: int) -> None:
    choose = random.Random(seed)
    original = zipped({"a.txt": "one" * 5, "b.txt": "two" * 5})
    content = bytearray(original)
    for _ in range(choose.randrange(1, 4)):
        content[choose.randrange(len(content))] = choose.randrange(256)
    try:
        with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
            theirs = {i.filename: archive.read(i) for i in archive.infolist()}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, EOFError, OverflowError):
        theirs = {}
    found = read(bytes(content))
    ours = {m.name: m.data for m in found}
    assert words(found) or all(ours.get(name.split("\0")[0]) == data or name not in ours for name, data in theirs.items())


@settings(database=None, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(sorted(CONTAINERS)))
def test_any_bytes_are_survived(data: bytes, kind: str) -> None:
    prefix = {"zip": b"PK\x03\x04", "numpy": b"\x93NUMPY\x01\x00", "gzip": b"\x1f\x8b\x08", "bzip2": b"BZh9", "xz": b"\xfd7zXZ\x00"}
    read(prefix.get(kind, b"") + data, kind)


@pytest.mark.parametrize("kind", ["gzip", "bz2", "xz", "lzma", "zlib"])
def test_compressed_data_is_recognised_read_and_bounded(kind: str) -> None:
    content = cook({kind: "hello " * 1_000})
    known = kind_of_bytes(content)
    assert known in CONTAINERS
    assert read(content, known)[0].data == b"hello " * 1_000
    assert not read(content[:-9], known)[0].whole
    bomb = read(cook({kind: {"repeat": 30_000_000, "of": "0"}}), known)[0]
    assert bomb.bomb
    assert len(bomb.data) < 20_000_000


def test_streams_one_after_the_other_are_all_read() -> None:
    assert read(cook({"join": [{"gzip": "one"}, {"gzip": "two"}]}), "gzip")[0].data == b"onetwo"
    assert not read(cook({"join": [{"zlib": "one"}, "more"]}), "zlib")[0].whole


def test_a_length_beyond_every_file_is_survived() -> None:
    wide = struct.pack("<HHQQ", 1, 16, 2**63, 2**63)
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 45, 0, 0, 0, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF, 1, len(wide)) + b"x" + wide
    assert [m.whole for m in read(local + b"data")] == [False, False]


def test_too_many_members_are_a_gap() -> None:
    content = zipped({f"{k}.txt": "x" for k in range(50)})
    assert not read(content, limits=Limits(archive_entries=10))[-1].whole


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_of_every_form(form: int) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in {"a.txt": b"one", "é/b.txt": b"two" * 2_000}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    assert kind_of_bytes(out.getvalue()) == "tar"
    assert [(m.name, m.data) for m in read(out.getvalue(), "tar")] == [("a.txt", b"one"), ("é/b.txt", b"two" * 2_000)]
