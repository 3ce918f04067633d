"""What an HDF5 file refers to outside itself, and the texts it carries; no link is followed and no data set is read.

The HDF5 library itself reads the structure, from a stream it is given, so it opens no other file; objects are visited
by link, each once.

Source:
    HDF5 file format 3.0; h5py 3.12, low-level interface; PyTables (pickled attributes); CVE-2025-9905, CVE-2026-1669.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from governance.context import Limits
from governance.evidence import Severity
from scanners._formats.graphs.apart import apart
from scanners._formats.graphs.hdf5_guard import Guard, plain
from scanners._formats.graphs.kinds import superblock
from scanners._formats.kinds import is_pickle
from scanners._formats.paths import escapes
from scanners._formats.pickles.review import acts
from scanners._formats.tensors.carried_files import carried_file
from scanners._formats.tree import Remark

_OBJECTS, _TEXT, _LINKS = 200_000, 64 << 20, 1_000_000
#: How long the library may take over one file.
_SECONDS = 20.0
#: Filters that come with the library; larger numbers are plug-ins it loads as shared objects.
_OWN_FILTERS = 255
#: Byte strings of one data set that are read, and bytes that may be a pickle by chance.
_FEW, _SHORT = 64, 16
_FAULTS = (
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    MemoryError,
    UnicodeError,
    OverflowError,
    AttributeError,
    IndexError,
)


@dataclass
class Hdf5:
    """What was seen.

    Attributes:
        texts: Attributes that are one text: where, and the bytes.
        remarks: What is to be said.
        gaps: What was not read.
        refers: Files named inside the folder.
    """

    texts: list[tuple[str, bytes]] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    refers: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, object]:
        """Return everything as JSON can say it."""
        return {
            "texts": [(name, text.decode("latin-1")) for name, text in self.texts],
            "remarks": [(r.rule, r.severity.value, r.words, r.remediation) for r in self.remarks],
            "gaps": self.gaps,
            "refers": self.refers,
        }

    def outside(self, name: bytes | str, what: str) -> None:
        """Note a file named in this one."""
        text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
        why = escapes(text)
        words = f"{what} {text[:120]!a}" + (f": {why}" if why else ", another file, which is opened in its place")
        if len(self.remarks) < 1_000:
            self.remarks.append(Remark("external-data-path", Severity.HIGH if why else Severity.MEDIUM, words,
                                       remediation="ask for a file that holds its data itself"))  # fmt: skip
        if not why:
            self.refers.append(text)


def read(stream: BinaryIO, size: int, limits: Limits) -> Hdf5:
    """Read the structure of an HDF5 file; never raises on content.

    Args:
        stream: Its bytes, seekable.
        size: How many.
        limits: Ceilings.
    """
    seen = Hdf5()
    try:
        import h5py
    except ImportError:
        seen.gaps.append("the HDF5 library is not installed (pip install h5py)")
        return seen
    if not plain(stream, superblock(stream, size)):
        seen.gaps.append("it counts in numbers of an unusual width")
        return seen
    known = stream if isinstance(stream, io.BytesIO | io.BufferedReader) else None
    if known is None:  # bytes asked of the parent come over a channel that two processes cannot share
        _structure(seen, h5py, stream, limits)
        return seen
    said, why = apart(lambda: _structure(Hdf5(), h5py, known, limits).plain(), _SECONDS)
    if why is not None:
        seen.gaps.append(why)
    elif isinstance(said, dict):
        seen.texts = [(name, text.encode("latin-1")) for name, text in said["texts"]]
        seen.remarks = [
            Remark(rule, Severity(severity), words, remediation=hint) for rule, severity, words, hint in said["remarks"]
        ]
        seen.gaps, seen.refers = said["gaps"], said["refers"]
    return seen


def _structure(seen: Hdf5, h5py: Any, stream: BinaryIO, limits: Limits) -> Hdf5:
    try:
        with h5py.File(Guard(stream), "r", driver="fileobj") as file:
            _Visit(seen, h5py, min(_TEXT, limits.document_bytes), stream).all(file.id)
    except _FAULTS as error:
        seen.gaps.append(f"the HDF5 library cannot read it: {' '.join(str(error).split())[:160]}")
    return seen


class _Visit:
    """One walk over the objects of a file."""

    def __init__(self, seen: Hdf5, h5py: Any, limit: int, stream: BinaryIO) -> None:
        self._seen, self._h5, self._limit, self._stream = seen, h5py, limit, stream
        self._left = _LINKS

    def all(self, root: Any) -> None:
        """Visit everything that hard links reach."""
        h5 = self._h5
        visited, stack = set[tuple[object, ...]](), [("/", h5.h5o.open(root, b"/"))]
        while stack:
            where, found = stack.pop()
            info = h5.h5g.get_objinfo(found)
            key = tuple(info.objno) if hasattr(info, "objno") else (where,)
            if key in visited:
                continue
            visited.add(key)
            if len(visited) > _OBJECTS:
                self._seen.gaps.append(f"it holds more than {_OBJECTS:,} objects")
                return
            self._attributes(where, found)
            if isinstance(found, h5.h5g.GroupID):
                stack.extend(self._links(where, found))
            elif isinstance(found, h5.h5d.DatasetID):
                self._dataset(where, found)

    def _links(self, where: str, group: Any) -> Iterator[tuple[str, Any]]:
        h5 = self._h5
        for name in group:
            self._left -= 1
            if self._left < 0:
                self._seen.gaps.append(f"it holds more than {_LINKS:,} links")
                return
            inner = f"{where.rstrip('/')}/{name.decode('utf-8', 'backslashreplace')}"[:2_000]
            kind = group.links.get_info(name).type
            if kind == h5.h5l.TYPE_HARD:
                try:
                    yield inner, h5.h5o.open(group, name)
                except _FAULTS as error:
                    self._seen.gaps.append(f"{inner[:100]!a} cannot be opened: {' '.join(str(error).split())[:120]}")
            elif kind == h5.h5l.TYPE_EXTERNAL:
                self._seen.outside(group.links.get_val(name)[0], f"the link {inner[:80]!a} leads to")
            elif kind != h5.h5l.TYPE_SOFT:
                words = f"the link {inner[:80]!a} is of a kind that only a plug-in of the library follows"
                self._seen.remarks.append(Remark("custom-operator", Severity.MEDIUM, words))

    def _dataset(self, where: str, data: Any) -> None:
        h5, seen, plan = self._h5, self._seen, data.get_create_plist()
        for i in range(min(plan.get_external_count(), 100)):
            seen.outside(plan.get_external(i)[0], f"the numbers of {where[:80]!a} lie in")
        virtual = plan.get_layout() == h5.h5d.VIRTUAL
        if virtual:
            names = {plan.get_virtual_filename(i) for i in range(min(plan.get_virtual_count(), 1_000))}
            for name in sorted(names - {"."}):
                seen.outside(name, f"the numbers of {where[:80]!a} are mapped from")
        for i in range(min(plan.get_nfilters(), 32)):
            number = plan.get_filter(i)[0]
            if number > _OWN_FILTERS:
                words = f"{where[:80]!a} is packed by filter {number}, for which the library loads a plug-in"
                seen.remarks.append(Remark("custom-operator", Severity.LOW, words))
        kind = data.get_type().get_class()
        plain = not virtual and plan.get_layout() == h5.h5d.CONTIGUOUS and not plan.get_external_count()
        if kind == h5.h5t.OPAQUE and plain and data.get_storage_size() <= 1 << 20:
            place = data.get_offset()
            if place is not None:
                self._pickle(where, self._raw(data, place))
        elif kind == h5.h5t.INTEGER and data.get_type().get_size() == 1 and plain and data.get_storage_size() <= 1 << 20:
            place = data.get_offset()
            if place is not None:
                self._carried(where, self._raw(data, place))
        elif kind == h5.h5t.VLEN and not virtual and 0 < data.get_space().get_simple_extent_npoints() <= _FEW:
            for value in self._lengthy(data):
                self._carried(where, value)

    def _lengthy(self, data: Any) -> Iterator[bytes]:
        """Yield the byte strings of a data set of a few of them."""
        import numpy as np

        if data.get_type().get_super().get_size() == 1:
            held = np.empty(data.get_space().get_simple_extent_npoints(), dtype=self._h5.special_dtype(vlen=np.uint8))
            data.read(self._h5.h5s.ALL, self._h5.h5s.ALL, held.reshape(data.shape))
            yield from (bytes(value.tobytes()) for value in held if value is not None)

    def _carried(self, where: str, value: bytes) -> None:
        """Note a pickle or another intact file where numbers should be."""
        if len(value) > _SHORT and is_pickle(value, whole=True):
            self._pickle(where, value)
        elif words := carried_file(value):
            self._seen.remarks.append(Remark("graph-carries-file", Severity.MEDIUM, f"{where[:100]!a} begins with {words}"))

    def _raw(self, data: Any, place: int) -> bytes:
        self._stream.seek(place)
        return self._stream.read(data.get_storage_size())

    def _attributes(self, where: str, found: Any) -> None:
        h5 = self._h5
        for index in range(min(h5.h5a.get_num_attrs(found), 10_000)):
            attribute = h5.h5a.open(found, index=index)
            kind, space = attribute.get_type(), attribute.get_space()
            name = f"{where}@{attribute.name.decode('utf-8', 'backslashreplace')[:200]}"
            if kind.get_class() not in (h5.h5t.STRING, h5.h5t.OPAQUE) or space.get_simple_extent_npoints() != 1:
                continue
            if attribute.get_storage_size() > self._limit:
                self._seen.gaps.append(f"the attribute {name[:100]!a} is larger than is read")
                continue
            self._value(name, self._read(attribute, kind))

    def _read(self, attribute: Any, kind: Any) -> bytes:
        import numpy as np

        value: object
        if kind.get_class() == self._h5.h5t.STRING and kind.is_variable_str():
            text = np.empty((), dtype=object)
            attribute.read(text)
            value = text[()]
        else:
            held = np.empty((), dtype=f"V{kind.get_size()}")
            attribute.read(held, mtype=kind)
            value = held.tobytes().rstrip(b"\0")
        return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")

    def _value(self, name: str, value: bytes) -> None:
        if name.endswith("@PSEUDOATOM") and value.strip() == b"object":
            words = f"{name.rsplit('@', 1)[0][:80]!a} holds pickled objects, which PyTables and pandas unpickle"
            self._seen.remarks.append(Remark("hdf5-pickle", Severity.HIGH, words))
        elif value.lstrip()[:1] in (b"{", b"["):
            self._seen.texts.append((name, value))
        self._pickle(name, value)

    def _pickle(self, name: str, value: bytes) -> None:
        if len(value) > 2 and is_pickle(value, whole=True):
            severity = Severity.HIGH if acts(value) else Severity.LOW
            words = f"{name[:100]!a} is a pickle, which PyTables and pandas unpickle when they read it"
            self._seen.remarks.append(Remark("hdf5-pickle", severity, words))
