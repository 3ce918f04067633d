"""What an ONNX model reads from outside itself, and which native code it needs; its graphs, subgraphs and functions are walked.

Source:
    onnx.proto3 (IR version 13); ONNX "External Data"; ONNX Runtime contrib operators; CVE-2022-25882,
    CVE-2024-27318, CVE-2024-5187.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from governance.context import Limits
from governance.evidence import Severity
from scanners._formats.graphs.onnx_tensors import External, carried, external, faults
from scanners._formats.graphs.protobuf import Field, Message, Wire, walk
from scanners._formats.paths import escapes
from scanners._formats.tree import Remark

_SCHEMA = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
#: Operator sets a runtime brings itself.
_DOMAINS = frozenset({
    "", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview", "ai.onnx.preview.training", "com.microsoft",
    "com.microsoft.nchwc", "com.microsoft.experimental", "com.microsoft.dml", "com.ms.internal.nhwc",
})  # fmt: skip
#: Operators that hand over to Python, or to a compiled engine, whatever their domain.
_PYTHON = frozenset({"PythonOp", "PythonOpGrad", "PyOp", "PyCustomOp"})
_ENGINES = frozenset({"EPContext"})
_KEYS = frozenset({"location", "offset", "length", "checksum", "basepath"})
_PATH_WORDS = ("path", "file", "lib", "dll", "cache", "url", "dir")
_MOST = 200


@dataclass(frozen=True)
class Reading:
    """What a reader of a graph saw: what is to be said, what was not read, and which files it names beside itself."""

    remarks: tuple[Remark, ...] = ()
    gaps: tuple[str, ...] = ()
    refers: tuple[str, ...] = ()
    outside: tuple[External, ...] = ()


def read(stream: BinaryIO, size: int, limits: Limits) -> Reading:
    """Read an ONNX model; never raises on content.

    Args:
        stream: Its bytes, seekable; tensors are not read.
        size: How many.
        limits: Ceiling for findings.
    """
    wire, review = Wire(stream, size), _Review()
    for message in walk(wire, "model", _SCHEMA):
        review.take(wire, message)
    remarks = [*review.remarks, *review.custom()][: limits.findings]
    gaps = (wire.broken,) if wire.broken else ()
    return Reading(tuple(remarks), gaps, tuple(dict.fromkeys(review.refers)), tuple(review.outside.values()))


class _Review:
    def __init__(self) -> None:
        self.remarks, self.refers = list[Remark](), list[str]()
        self._native = dict[tuple[str, str], int]()
        self._own = set[tuple[str, str]]()
        self.outside = dict[str, External]()
        self._graphs, self._initial = set[int](), set[tuple[int, str]]()

    def take(self, wire: Wire, message: Message) -> None:
        """Look at one message."""
        for words, at in carried(wire, message):
            self._say("graph-carries-file", Severity.MEDIUM, words, at)
        match message.name:
            case "tensor":
                self._tensor(wire, message)
                self._twice(wire, message)
            case "graph":
                self._graphs.add(message.start)
            case "node":
                self._node(wire, message)
            case "function":
                names = [wire.text(f) for f in message.fields.get(1, ())]
                self._own |= {(wire.text(f), name) for f in message.fields.get(10, ()) for name in names}

    def custom(self) -> Iterator[Remark]:
        """Yield the operator domains that need native code; the model's own functions need none."""
        domains = dict[str, dict[str, int]]()
        for (domain, op), at in self._native.items():
            if (domain, op) not in self._own:
                domains.setdefault(domain, {})[op] = at
        for domain, ops in domains.items():
            words = f"it needs native code for the operators {domain[:80]!a} ({', '.join(f'{op[:60]!a}' for op in list(ops)[:5])})"
            yield Remark("custom-operator", Severity.MEDIUM, words, next(iter(ops.values())), "publish it with standard operators")

    def _tensor(self, wire: Wire, message: Message) -> None:
        for words, at in faults(wire, message):
            self._say("graph-broken", Severity.MEDIUM, words, at)
        if (place := external(wire, message)) and place.end > self.outside.get(place.location, place).end - 1:
            self.outside[place.location] = place  # the one that reaches farthest
        for entry in message.fields.get(13, ()):
            pair = {f.number: wire.text(f) for f in wire.fields(entry.start, entry.end) if f.number in (1, 2)}
            key, value = pair.get(1, ""), pair.get(2, "")
            if key in ("location", "basepath"):
                self._path(value, entry, "a tensor's data lies in")
            elif key not in _KEYS:
                words = f"a tensor's external data carries {key[:60]!a}, which is no setting of external data"
                self._say("external-data-path", Severity.MEDIUM, words, entry.start)

    def _twice(self, wire: Wire, message: Message) -> None:
        """Look for initializers of one name in one graph: which of them counts depends on the runtime."""
        for name in (wire.text(f) for f in message.fields.get(8, ()) if message.parent in self._graphs):
            if name and (message.parent, name) in self._initial:
                words = f"two initializers have the name {name[:80]!a}: runtimes differ in which one counts"
                self._say("graph-broken", Severity.MEDIUM, words, message.start)
            self._initial.add((message.parent, name))

    def _path(self, value: str, entry: Field, what: str) -> None:
        if "_ORT_MEM_ADDR_" in value.upper():
            why: str | None = "it names memory of the process that loads it"
        else:
            why = escapes(value) if value else "it is empty"
        if why:
            self._say("external-data-path", Severity.HIGH, f"{what} {value[:120]!a}: {why}", entry.start)
        else:
            self.refers.append(value)

    def _node(self, wire: Wire, message: Message) -> None:
        ops = [wire.text(f) for f in message.fields.get(4, ())] or [""]
        domains = [wire.text(f) for f in message.fields.get(7, ())] or [""]
        for op in ops:
            if op in _PYTHON:
                words = f"the operator {op!a} calls Python code of the process that runs the graph"
                self._say("graph-side-effect", Severity.HIGH, words, message.start)
            elif op in _ENGINES:
                words = f"the operator {op!a} hands a compiled program to an accelerator's runtime"
                self._say("custom-operator", Severity.MEDIUM, words, message.start)
        for domain in domains:
            if domain not in _DOMAINS and len(self._native) < _MOST:
                self._native.setdefault((domain, ops[-1]), message.start)
        if any(domains):
            self._attributes(wire, message)

    def _attributes(self, wire: Wire, message: Message) -> None:
        """Look for paths among the settings of an operator that is not of the standard."""
        for field in wire.fields(message.start, message.end):
            if field.number != 5:
                continue
            parts = list(wire.fields(field.start, field.end))
            name = next((wire.text(f).lower() for f in parts if f.number == 1), "")
            if any(word in name for word in _PATH_WORDS) and len(name) < 200:
                for part in parts:
                    value = wire.text(part) if part.number in (4, 9) and part.end - part.start <= 4_096 else ""
                    why = escapes(value) if value and value.isprintable() else None
                    if why:
                        words = f"its setting {name[:60]!a} is {value[:120]!a}: {why}"
                        self._say("external-data-path", Severity.HIGH, words, part.start)

    def _say(self, rule: str, severity: Severity, words: str, offset: int) -> None:
        if len(self.remarks) < 1_000:
            self.remarks.append(Remark(rule, severity, words, offset))
