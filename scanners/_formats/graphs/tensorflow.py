"""Operations of a TensorFlow graph that touch files, processes, Python or the network; graph and function library are walked.

Reads SavedModel, MetaGraphDef and GraphDef alike, and the Keras configurations a SavedModel carries.

Source:
    tensorflow 2.20.0, core/framework/{graph,function,node_def,attr_value}.proto, core/protobuf/{saved_model,meta_graph,
    saved_object_graph}.proto, python/keras/protobuf/saved_metadata.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import BinaryIO

from governance.context import Limits
from governance.evidence import Severity
from scanners._formats.documents import parse_json
from scanners._formats.graphs import keras
from scanners._formats.graphs.kinds import tensorflow_roots
from scanners._formats.graphs.onnx import Reading
from scanners._formats.graphs.protobuf import BYTES, Message, Wire, walk
from scanners._formats.paths import escapes
from scanners._formats.tables import table
from scanners._formats.tree import Remark

_GRAPH: Mapping[str, Mapping[int, str]] = {
    "saved": {2: "meta"},
    "meta": {2: "graph", 6: "asset", 7: "objects"},
    "graph": {1: "node", 2: "library"},
    "library": {1: "function"},
    "function": {1: "signature", 3: "node"},
    "objects": {1: "object"},
    "object": {4: "user"},
    "metadata": {1: "keras"},
}
_WORDS = {
    "python": (Severity.HIGH, "graph-side-effect", "calls Python code of the process that runs the graph"),
    "file": (Severity.HIGH, "graph-side-effect", "reads or writes files where the graph runs"),
    "network": (Severity.HIGH, "graph-side-effect", "speaks to other machines"),
    "process": (Severity.HIGH, "graph-side-effect", "stops or stalls the process"),
    "program": (Severity.MEDIUM, "custom-operator", "carries or starts a compiled program"),
}
_HOPS, _MOST, _JSON = 8, 100_000, 16 << 20


@dataclass
class _Node:
    op: str
    name: str
    inputs: tuple[str, ...]
    texts: Mapping[str, tuple[str, ...]]
    offset: int


@dataclass
class _Scope:
    nodes: dict[str, _Node] = field(default_factory=dict)
    acting: list[_Node] = field(default_factory=list)


def read(stream: BinaryIO, size: int, limits: Limits) -> Reading:
    """Read whatever TensorFlow message this is; never raises on content.

    Args:
        stream: Its bytes, seekable; tensors are not read.
        size: How many.
        limits: Ceiling for findings.
    """
    remarks, gaps, known = list[Remark](), list[str](), 0
    for root in tensorflow_roots(stream, size):
        wire, review = Wire(stream, size), _Review()
        for message in walk(wire, root, _GRAPH):
            review.take(wire, message)
        if review.sound:
            known += 1
            remarks += review.said()
            gaps += [wire.broken] if wire.broken else []
            gaps += ["it has more operations than are read"] if review.full else []
    if not known:
        gaps.append("no operation of it could be read")
    return Reading(tuple(dict.fromkeys(remarks))[: limits.findings], tuple(dict.fromkeys(gaps)))


class _Review:
    def __init__(self) -> None:
        self._scopes, self._own = dict[int, _Scope](), set[str]()
        self._remarks, self._unknown = list[Remark](), dict[str, int]()
        self.sound, self.full, self._count = False, False, 0

    def take(self, wire: Wire, message: Message) -> None:
        """Look at one message."""
        match message.name:
            case "node":
                self._node(wire, message)
            case "signature":
                self._own |= {wire.text(f) for f in message.fields.get(1, ())}
            case "asset":
                for name in (wire.text(f) for f in message.fields.get(2, ())):
                    why = escapes(name)
                    if why:
                        self._say("external-data-path", Severity.HIGH, f"it loads the asset {name[:120]!a}: {why}", message.start)
            case "keras" | "user":
                self._config(wire, message, 5 if message.name == "keras" else 3)

    def _config(self, wire: Wire, message: Message, number: int) -> None:
        for held in message.fields.get(number, ()):
            data = wire.data(held, _JSON) if held.wire == BYTES else b""
            if data[:1] == b"{":
                self.sound = True
                document = parse_json(data)
                if document.value is None:
                    self._say(
                        "graph-broken", Severity.MEDIUM, "the configuration of a Keras layer in it cannot be read", held.start
                    )
                self._remarks += keras.review(document.value, restored=True)

    def _node(self, wire: Wire, message: Message) -> None:
        names = [wire.text(f) for f in message.fields.get(1, ()) if f.wire == BYTES]
        ops = [wire.text(f) for f in message.fields.get(2, ()) if f.wire == BYTES]
        if not names or not ops:
            return
        self._count += 1
        self.full = self._count > _MOST * 20
        if self.full:
            return
        effects, known = _ops()
        self.sound = self.sound or ops[-1] in known
        acts = effects.get(ops[-1])
        keep = acts in ("path", "url", "stream") or ops[-1] == "Const"
        texts = dict(_texts(wire, message)) if keep else {}
        inputs = tuple(wire.text(f).split(":", 1)[0] for f in message.fields.get(3, ())[:64])
        node = _Node(ops[-1], names[-1], inputs, texts, message.start)
        scope = self._scopes.setdefault(message.parent, _Scope())
        scope.nodes[node.name] = node
        if acts is not None:
            scope.acting.append(node)
        elif node.op not in known and len(self._unknown) < 1_000:
            self._unknown.setdefault(node.op, node.offset)

    def said(self) -> Iterator[Remark]:
        """Yield everything there is to say, once all was taken."""
        yield from self._remarks
        seen = dict[str, _Node]()
        for scope in self._scopes.values():
            for node in scope.acting:
                kind = _ops()[0][node.op]
                if kind in _WORDS:
                    seen.setdefault(node.op, node)
                else:
                    yield from _depends(node, kind, scope)
        for op, node in seen.items():
            severity, rule, words = _WORDS[_ops()[0][op]]
            yield Remark(rule, severity, f"the operation {op} ({node.name[:80]!a}) {words}", node.offset)
        for op, at in self._unknown.items():
            if op not in self._own:
                words = f"the operation {op[:80]!a} is not one of TensorFlow: it needs native code"
                yield Remark("custom-operator", Severity.MEDIUM, words, at, "publish it with standard operations")

    def _say(self, rule: str, severity: Severity, words: str, offset: int) -> None:
        self._remarks.append(Remark(rule, severity, words, offset))


def _depends(node: _Node, kind: str, scope: _Scope) -> Iterator[Remark]:
    """Yield what an operation does that acts only with certain settings or inputs."""
    values = [(key, text) for key, many in node.texts.items() for text in many]
    if kind == "url":
        bad = [t for k, t in values if k == "debug_urls" and t]
        effect = "sends what it sees to"
    elif kind == "stream":
        bad = [t for k, t in values if k == "output_stream" and t.lower().startswith("file:")]
        effect = "writes to"
    else:
        bad = [t for k, t in values if k == "descriptor_source" and t and not t.startswith(("local://", "bytes://"))]
        bad += [t for t in _constants(node, scope) if escapes(t)]
        effect = "reads or writes"
    for text in bad[:1]:
        yield Remark(
            "graph-side-effect", Severity.HIGH, f"the operation {node.op} ({node.name[:80]!a}) {effect} {text[:120]!a}", node.offset
        )


def _constants(node: _Node, scope: _Scope) -> Iterator[str]:
    """Yield the constant texts an operation's inputs are made of, some steps back."""
    level, seen = list(node.inputs), {node.name}
    for _ in range(_HOPS):
        below = list[str]()
        for name in level[:200]:
            source = scope.nodes.get(name.lstrip("^"))
            if source is None or source.name in seen:
                continue
            seen.add(source.name)
            yield from (t for many in source.texts.values() for t in many)
            below += source.inputs
        level = below


def _texts(wire: Wire, message: Message) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the text settings of a node: single, listed, and in a constant tensor."""
    for entry in message.fields.get(5, ())[:200]:
        pair = {f.number: f for f in wire.fields(entry.start, entry.end)}
        if 1 in pair and 2 in pair:
            texts = list[str]()
            for value in wire.fields(pair[2].start, pair[2].end):
                if value.number == 2 and value.wire == BYTES:
                    texts.append(wire.text(value))
                elif value.number in (1, 8) and value.wire == BYTES and value.end - value.start < 1 << 20:
                    wanted = 2 if value.number == 1 else 8
                    texts += [wire.text(f) for f in wire.fields(value.start, value.end) if f.number == wanted and f.wire == BYTES]
            yield wire.text(pair[1]), tuple(texts[:1_000])


@cache
def _ops() -> tuple[Mapping[str, str], frozenset[str]]:
    """Return what operations do that reach out of a graph, and every operation TensorFlow has."""
    rows = table("graph_ops")
    return {op: effect for effect, ops in rows["effects"].items() for op in ops}, frozenset(rows["known"])
