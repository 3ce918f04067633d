"""Which reader answers for which content of a model graph, and what it says. Read by ``scanners.model_graph``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import BinaryIO

from governance.context import Limits
from governance.evidence import Severity
from scanners._formats.documents import parse_json
from scanners._formats.graphs import hdf5, keras, model_settings, msgpack, onnx, tensorflow, text_graphs, tflite, torch_programs
from scanners._formats.graphs.kinds import recognise
from scanners._formats.graphs.onnx_tensors import External
from scanners._formats.graphs.protobuf import Wire
from scanners._formats.kind_table import words_of
from scanners._formats.tree import Content, Remark

_PROTOBUFS = ("onnx", "tensorflow", "coreml", "sentencepiece", "protobuf")
#: JSON that one of the readers wants, by what stands in it.
_WANTED = (b'"class_name"', b'"_target_"', b'"graph_module"')
#: An escape that hides a letter.
_HIDDEN = re.compile(rb"\\u00[4-7][0-9A-Fa-f]")
#: Where a TorchScript archive keeps its sources.
_SOURCE = re.compile(r"/code/.*\.py\Z", re.DOTALL)
_CUSTOM_COREML = (555, 556)


@dataclass(frozen=True)
class Said:
    """What is to be said of one content, what of it was not read, and which files it names."""

    remarks: tuple[Remark, ...] = ()
    gaps: tuple[str, ...] = ()
    refers: tuple[str, ...] = ()
    outside: tuple[External, ...] = ()


def look(content: Content, limits: Limits) -> Said | None:
    """Return what the readers of graphs say of some content; None if it is nothing of theirs.

    Raises:
        OSError: It cannot be read.
        SubjectError: Its bytes cannot be had.
    """
    if content.entry and _SOURCE.search("/" + content.entry[-1].replace("\\", "/")):
        return _script(content, limits)
    parts = [said for kind in content.kinds if (said := _look(content, kind, limits)) is not None]
    if not parts:
        return None
    return Said(
        tuple(dict.fromkeys(r for p in parts for r in p.remarks)),
        tuple(g for p in parts for g in p.gaps),
        tuple(name for p in parts for name in p.refers),
        tuple(place for p in parts for place in p.outside),
    )


def _look(content: Content, kind: str, limits: Limits) -> Said | None:
    if kind in _PROTOBUFS or kind in ("hdf5", "tflite", "msgpack"):
        with content.open() as stream:
            return _binary(stream, content.size, kind, limits)
    match kind:
        case "json":
            return _json(content, limits)
        case "text":
            return _text(content, limits)
        case "keras":
            return _keras(content)
        case "torch-export":
            found = [c for c in content.walk() if c.kind == "native"]
            words = "the exported program is compiled: loading it loads shared objects"
            return Said((Remark("custom-operator", Severity.HIGH, words),) if found else ())
        case "tf-index":
            return Said()
        case "tensorrt" | "rdata" if content.entry:
            return Said(gaps=(f"{words_of(kind)} is not read",))
    return None


def _binary(stream: BinaryIO, size: int, kind: str, limits: Limits) -> Said:
    match kind:
        case "hdf5":
            return _hdf5(hdf5.read(stream, size, limits), limits)
        case "tflite":
            return _of(tflite.read(stream, size))
        case "msgpack":
            return _of(msgpack.read(stream, size))
    parts, formats = list[Said](), recognise(stream, size)
    if "onnx" in formats:
        parts.append(_of(onnx.read(stream, size, limits)))
    if "tensorflow" in formats:
        parts.append(_of(tensorflow.read(stream, size, limits)))
    if "coreml" in formats:
        custom = any(f.number in _CUSTOM_COREML for f in Wire(stream, size, 20_000).fields(0, size))
        remark = Remark(
            "custom-operator", Severity.MEDIUM, "it is a Core ML model of a class of its own, or links to another model"
        )
        parts.append(Said((remark,) if custom else (), ("Core ML models are not read",)))
    if not formats or formats == ("protobuf",):
        parts.append(Said(gaps=("a protocol buffer of no known model is not read",)))
    return Said(
        tuple(r for p in parts for r in p.remarks),
        tuple(g for p in parts for g in p.gaps),
        tuple(n for p in parts for n in p.refers),
        tuple(place for p in parts for place in p.outside),
    )


def _of(reading: onnx.Reading) -> Said:
    broken = [g for g in reading.gaps if not any(r.rule == "graph-broken" for r in reading.remarks)]
    remarks = tuple(Remark("graph-broken", Severity.MEDIUM, words) for words in broken)
    return Said((*reading.remarks, *remarks), reading.gaps, reading.refers, reading.outside)


def _hdf5(seen: hdf5.Hdf5, limits: Limits) -> Said:
    remarks, gaps = list(seen.remarks), list(seen.gaps)
    for name, data in seen.texts:
        document = parse_json(data)
        if document.value is None and name.endswith("config"):
            remarks.append(Remark("graph-broken", Severity.MEDIUM, f"{name[:100]!a} {'; '.join(document.problems)}"))
            gaps.append(f"{name[:100]!a} cannot be read")
        remarks += keras.review(document.value)
    return Said(tuple(remarks), tuple(gaps), tuple(seen.refers))


def _keras(content: Content) -> Said:
    config = next((c for c in content.children if c.entry[-1] == "config.json"), None)
    if config is None or config.kind != "json":
        words = "its config.json is missing, or is no JSON"
        return Said((Remark("graph-broken", Severity.MEDIUM, words),), (words,))
    return Said()


def _json(content: Content, limits: Limits) -> Said | None:
    name = content.entry[-1].replace("\\", "/") if content.entry else ""
    served = f"/{name}".lower().endswith("/mar-inf/manifest.json")
    of_keras = name == "config.json"
    if content.size > limits.document_bytes:
        return Said(gaps=(f"it is larger than {limits.document_bytes:,} bytes",)) if served or of_keras else None
    data = content.read(limits.document_bytes)
    if data is None or not (served or of_keras or any(word in data for word in _WANTED) or _HIDDEN.search(data)):
        return None
    document = parse_json(data)
    value = document.value
    remarks = list[Remark]()
    model = _is_keras(value)
    if model:
        remarks += keras.review(value)
    remarks += model_settings.targets(value)
    if served:
        remarks += model_settings.manifest(value)
    program = isinstance(value, dict) and "graph_module" in value
    if program:
        remarks += torch_programs.exported(value)
    if value is None and (served or of_keras):
        why = "; ".join(document.problems)
        return Said((Remark("graph-broken", Severity.MEDIUM, f"it {why}"),), (f"it {why}",))
    return Said(tuple(remarks)) if remarks or model or served or program else None


def _is_keras(value: object) -> bool:
    """Return whether JSON is a Keras configuration, or holds one a few steps in."""
    level = [value]
    for _ in range(4):
        if any(keras.is_config(v) for v in level):
            return True
        level = [c for v in level for c in (v.values() if isinstance(v, dict) else v if isinstance(v, list) else ())][:10_000]
    return False


def _script(content: Content, limits: Limits) -> Said:
    """Return what a source of a TorchScript archive does, whatever its bytes look like."""
    data = content.read(limits.document_bytes)
    if data is None:
        return Said(gaps=(f"it is larger than {limits.document_bytes:,} bytes",))
    return Said(torch_programs.script(data.decode("utf-8", "replace")))


def _text(content: Content, limits: Limits) -> Said | None:
    """Return what settings in YAML, or a graph written as text, would do; prose that only speaks of them is neither."""
    data = content.read(limits.document_bytes)
    settings = content.suffix in (".yaml", ".yml")
    if data is None:
        return Said(gaps=(f"it is larger than {limits.document_bytes:,} bytes",)) if settings else None
    text = data.decode("utf-8", "replace")
    if settings or (not content.suffix and ("_target_" in text or "python/" in text)):
        remarks = tuple(model_settings.settings(text))
        broken = tuple(r.words for r in remarks if r.rule == "graph-broken")
        return Said(remarks, broken) if remarks else None
    if content.suffix != ".md" and text_graphs.looks_like_one(text):
        return Said(tuple(text_graphs.read(text)), ("a graph written as text is read for its operations and paths alone",))
    return None
