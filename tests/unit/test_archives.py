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
from scanners._formats.archives.members import Budget, Reading, holes
from scanners._formats.archives.readers import CONTAINERS, read_container
from scanners._formats.archives.zips import is_zip
from scanners._formats.kinds import kind_of_bytes
from scanners._formats.tree import Content, grow
from tests.recipes import cook, zipped

METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
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


def read(content: bytes, kind: str = "zip", limits: Limits | None = None) -> Reading:
    return read_container(io.BytesIO(content), kind, len(content), limits or Limits(), Budget())


def held(content: bytes, found: Reading) -> dict[str, bytes]:
    return {m.name: m.view(io.BytesIO(content), True).read() for m in found.members if m.view and m.name != "(comment)"}


def words(found: Reading) -> list[str]:
    said = [*found.gaps, *(r.words for r in found.remarks)]
    return said + [w for m in found.members for w in (*m.gaps, *(r.words for r in m.remarks))]


def tree(content: bytes, name: str = "x", limits: Limits | None = None) -> Content:
    return grow(lambda: io.BytesIO(content), len(content), limits or Limits(), whose="adapter", path=name)


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
    st.sampled_from(METHODS), st.booleans(), st.booleans(), st.binary(max_size=30),
)  # fmt: skip
def test_what_the_library_writes_is_read_without_a_word(
    contents: dict[str, bytes], method: int, streamed: bool, wide: bool, comment: bytes
) -> None:
    contents = {k: v for k, v in contents.items() if [n.lower() for n in contents].count(k.lower()) == 1}
    content = written(contents, method=method, streamed=streamed, wide=wide, comment=comment)
    found = read(content)
    assert words(found) == []
    assert held(content, found) == contents
    assert list(holes(found.spans, len(content))) == []
    assert is_zip(io.BytesIO(content), len(content))


@pytest.mark.parametrize("size", [0, 1, 4_095, 4_096, 4_097, 8_192, 300_000])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("noise", [True, False])
def test_members_of_any_size_are_whole(size: int, method: int, noise: bool) -> None:
    data = random.Random(size).randbytes(size) if noise else b"a" * size
    content = written({"x": data}, method=method, streamed=False, wide=False, comment=b"")
    found = read(content)
    assert (words(found), held(content, found)) == ([], {"x": data})


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
    ours = held(bytes(content), found)
    assert (
        words(found)
        or list(holes(found.spans, len(content)))
        or all(ours.get(name.split("\0")[0]) == data or name not in ours for name, data in theirs.items())
    )


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
    assert held(content, read(content, known)) == {"": b"hello " * 1_000}
    assert read(content[:-9], known).members[0].gaps
    bomb = read(cook({kind: {"repeat": 30_000_000, "of": "0"}}), known)
    assert [r.rule for r in bomb.remarks] == ["archive-bomb"]
    assert bomb.members[0].size < 20_000_000


@pytest.mark.parametrize("kind", ["gzip", "bz2", "xz", "lzma", "zlib"])
def test_large_compressed_data_is_read_at_any_place_without_being_held(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scanners._formats.tree.Budget", lambda: Budget(memory_left=0))
    data = random.Random(1).randbytes(300_000) * (30 if kind in ("gzip", "zlib") else 5)
    content = cook({kind: data})
    inner = tree(content).children[0]
    assert inner.held == 0
    with inner.open() as stream:
        for at in (len(data) - 10, 10, len(data) // 2, len(data) // 3):
            stream.seek(at)
            assert stream.read(100) == data[at : at + 100]


def test_streams_one_after_the_other_are_all_read() -> None:
    content = cook({"join": [{"gzip": "one"}, {"hex": "0000"}, {"gzip": "two"}]})
    assert held(content, read(content, "gzip")) == {"": b"onetwo"}
    content = cook({"join": [{"zlib": "one"}, "more"]})
    assert list(holes(read(content, "zlib").spans, len(content))) == [(len(content) - 4, len(content))]


def test_a_length_beyond_every_file_is_survived() -> None:
    wide = struct.pack("<HHQQ", 1, 16, 2**63, 2**63)
    local = struct.pack("<4s5H3I2H", b"PK\x03\x04", 45, 0, 0, 0, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF, 1, len(wide)) + b"x" + wide
    found = read(local + b"data")
    assert found.gaps
    assert found.members[0].gaps


def test_too_many_members_are_a_gap() -> None:
    content = zipped({f"{k}.txt": "x" for k in range(50)})
    assert read(content, limits=Limits(archive_entries=10)).gaps


def test_zips_nested_without_measure_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scanners._formats.tree.Budget", lambda: Budget(members_left=1_000))
    inner = zipped({f"{k}.txt": "x" * 10 for k in range(100)})
    outer = tree(zipped({f"{k}.zip": inner for k in range(100)}))
    assert sum(1 for _ in outer.walk()) <= 1_101
    assert any("members" in g for c in outer.walk() for g in c.gaps)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_of_every_form(form: int) -> None:
    out = io.BytesIO()
    members = {"a.txt": b"one", "é/b.txt": b"two" * 2_000}
    if form != tarfile.USTAR_FORMAT:
        members |= {"long/" * 60 + "name.txt": b"three", "x" * 300: b"four"}
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        folder = tarfile.TarInfo("long")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    content = out.getvalue()
    assert kind_of_bytes(content) == "tar"
    found = read(content, "tar")
    assert words(found) == []
    assert held(content, found) == members
    assert list(holes(found.spans, len(content))) == []


def test_a_tar_without_magic_is_one_all_the_same() -> None:
    block = bytearray(512)
    block[:5], block[100:108], block[124:136] = b"a.pkl", b"0000644\0", b"00000000003\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    content = bytes(block) + b"N0." + b"\0" * 509 + b"\0" * 1024
    root = tree(content)
    assert (root.kind, [c.entry for c in root.children]) == ("tar", [("a.pkl",)])


def test_a_record_that_gives_a_tar_member_another_size_is_told() -> None:
    record = b"12 size=512\n"

    def header(name: bytes, size: int, kind: bytes) -> bytes:
        block = bytearray(512)
        block[: len(name)], block[124:136], block[156:157] = name, b"%011o\0" % size, kind
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        return bytes(block)

    content = header(b"p", len(record), b"x") + record.ljust(512, b"\0") + header(b"a", 3, b"0") + b"N0.".ljust(512, b"\0")
    assert any("a record gives" in w for w in words(read(content + b"\0" * 1024, "tar")))


def test_torch_archives_are_asked_for_their_headers_only() -> None:
    content = zipped({"archive/data.pkl": b"\x80\x02}.", **{f"archive/data/{k}": b"\xab" * 400_000 for k in range(10)}})
    asked = [0]

    class Asked(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            asked[0] += len(data)
            return data

    root = grow(lambda: Asked(content), len(content), Limits(), whose="adapter", path="x.bin")
    assert {c.kind for c in root.children} == {"pickle", "storage"}
    assert asked[0] < len(content) // 5


@pytest.mark.parametrize(("kind", "module", "name"), [("zstd", "backports.zstd", "compress"), ("lz4", "lz4.frame", "compress")])
def test_what_an_extra_unpacks_is_read_and_bounded(kind: str, module: str, name: str) -> None:
    compress = getattr(pytest.importorskip(module, reason="the extra archives is not installed"), name)
    data = random.Random(1).randbytes(3_000_000)
    content = compress(data[:1_500_000]) + compress(data[1_500_000:])
    root = tree(content)
    assert (root.kind, root.children[0].size, root.children[0].held) == (kind, len(data), len(data))
    with root.children[0].open() as stream:
        stream.seek(2_000_000)
        assert stream.read(5) == data[2_000_000:2_000_005]
        stream.seek(3)
        assert stream.read(5) == data[3:8]
    assert [r.rule for r in tree(compress(b"\0" * 60_000_000)).remarks] == ["archive-bomb"]
    assert tree(content[:-5]).children[0].gaps
    assert tree(content[:50] + b"\xff" * 50 + content[100:]).walk()
    assert list(holes(tree(content + b"zz").spans, len(content) + 2)) == [(len(content), len(content) + 2)]


@pytest.mark.parametrize(("kind", "head"), [("zstd", "28b52ffd"), ("lz4", "04224d18"), ("7z", "377abcaf271c0004")])
def test_without_its_extra_such_a_file_is_not_scanned(kind: str, head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(module: str) -> object:
        raise ImportError(module)

    monkeypatch.setattr("scanners._formats.archives.unpacking.import_module", gone)
    monkeypatch.setattr("scanners._formats.archives.sevenzips.import_module", gone)
    root = tree(bytes.fromhex(head) + b"data")
    assert root.kind == kind
    assert "install" in root.gaps[0]


def test_a_7z_archive_is_read_under_a_ceiling() -> None:
    library = pytest.importorskip("py7zr", reason="the extra archives is not installed")

    def packed(members: dict[str, bytes], **more: str) -> bytes:
        out = io.BytesIO()
        with library.SevenZipFile(out, "w", **more) as archive:
            for name, data in members.items():
                archive.writestr(data, name)
        return out.getvalue()

    content = packed({"a/data.pkl": b"\x80\x02}.", "b.txt": b"hello"})
    root = tree(content + b"after it")
    assert [(c.name, c.kind) for c in root.children][:2] == [("data.pkl", "pickle"), ("b.txt", "text")]
    assert list(holes(root.spans, root.size)) == [(len(content), len(content) + 8)]
    assert root.gaps == ()
    assert tree(packed({"a.txt": b"hello"}, password="x")).gaps
    assert [r.rule for r in tree(packed({"a.bin": b"\0" * 80_000_000})).remarks] == ["archive-bomb"]
    assert tree(content[:-9]).gaps
    for seed in range(60):
        broken = bytearray(content)
        broken[random.Random(seed).randrange(6, len(content))] ^= 0x55
        assert list(tree(bytes(broken)).walk())


def test_what_torch_and_numpy_write_is_mapped_whole_and_odd_in_nothing() -> None:
    torch, numpy = pytest.importorskip("torch"), pytest.importorskip("numpy")
    state = {f"layer.{k}.weight": torch.randn(8, 300) for k in range(20)}
    arrays = {"a": numpy.arange(1_000), "b": numpy.zeros((30, 3), "f2"), "c": numpy.array(["x", "yz"]), "d": numpy.array(3.0)}
    for write in (
        lambda out: torch.save(state, out),
        lambda out: torch.save(state, out, _use_new_zipfile_serialization=False),
        lambda out: numpy.savez(out, **arrays),
        lambda out: numpy.savez_compressed(out, **arrays),
        lambda out: numpy.save(out, numpy.zeros(3, dtype=[("x", "<f4"), ("y", "<i8")])),
    ):
        out = io.BytesIO()
        write(out)
        root = tree(out.getvalue())
        assert [(str(c), c.remarks, c.gaps) for c in root.walk() if c.remarks or c.gaps] == []
        assert [h for c in root.walk() if c.spans for h in holes(c.spans, c.size)] == []
        assert {c.kind for c in root.walk()} <= {"torch-zip", "pickle", "storage", "text", "numpy", "zip"}
