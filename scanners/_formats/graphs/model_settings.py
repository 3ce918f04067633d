"""Settings in model archives and folders that make a loader import, install or open something: NeMo, Hydra, TorchServe.

Source:
    hydra-core 1.3 instantiate; omegaconf 2.3 resolvers; NeMo 2 core/classes/common.py (``_target_`` and ``target``); PyYAML tags;
    TorchServe model archiver 0.12 (MAR-INF/MANIFEST.json); CVE-2025-23304 (`_target_` in NeMo).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import yaml

from governance.evidence import Severity
from scanners._formats.documents import parse_yaml
from scanners._formats.paths import escapes
from scanners._formats.pickles.names import grade
from scanners._formats.pickles.values import Name
from scanners._formats.tree import Remark

_PYTHON_TAG = "tag:yaml.org,2002:python"
_NAMED = re.compile(r"^[ \t-]*[\"']?_target_[\"']?[ \t]*:[ \t]*[\"']?([\w.]{1,200})", re.MULTILINE)
_KEYS = re.compile(r"_target_|\btarget\b|\$\{|!|\\")
_RESOLVER = re.compile(r"\$\{\s*(oc\.(?:env|decode|create)|[A-Za-z_][\w.]{0,60})\s*:")
_SAFE_ROOTS = frozenset(
    {"nemo", "nemo_text_processing", "torch", "pytorch_lightning", "lightning", "torchmetrics", "omegaconf", "megatron"}
)
#: Parts of those packages that run, load or fetch what their arguments name.
_REACH = frozenset(
    {"load", "hub", "jit", "package", "utils", "os", "sys", "subprocess", "importlib", "load_library", "_dynamo", "compile"}
)
_FILES = ("serializedFile", "modelFile", "handler", "requirementsFile", "extraFiles", "modelConfigFile")
_HANDLERS = frozenset({"image_classifier", "image_segmenter", "object_detector", "text_classifier", "base_handler"})
_VALUES = 500_000
#: YAML is read slowly; settings are short.
_LARGEST = 1 << 20


def settings(text: str) -> Iterator[Remark]:
    """Yield what a YAML settings file would import.

    Args:
        text: The file.
    """
    if not _KEYS.search(text):
        return
    if len(text) > _LARGEST:
        yield Remark("graph-broken", Severity.LOW, f"its settings are longer than {_LARGEST:,} characters, which is not read")
        for name in sorted({m[1] for m in _NAMED.finditer(text)})[:1_000]:
            yield from _target(name)
        return
    for tag in sorted(_python_tags(text)) if "!" in text else ():
        yield Remark("graph-target", Severity.HIGH, f"it holds the YAML tag {tag[:100]!a}, which builds a Python object",
                     remediation="remove the tag; read it with a safe loader")  # fmt: skip
    document = parse_yaml(text)
    if document.value is None and "_target_" in text:
        yield Remark("graph-broken", Severity.MEDIUM, f"its settings cannot be read: it {'; '.join(document.problems)}")
        for name in sorted({m[1] for m in _NAMED.finditer(text)}):
            yield from _target(name)
    yield from targets(document.value, ("_target_", "target"))


def _python_tags(text: str) -> set[str]:
    """Return the tags of a YAML text that stand for Python objects, as a parser resolves them."""
    found = set[str]()
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            tag = getattr(event, "tag", None)
            if isinstance(tag, str) and tag.startswith(_PYTHON_TAG) and len(found) < 100:
                found.add(tag.removeprefix("tag:yaml.org,2002:"))
    except (yaml.YAMLError, RecursionError, ValueError):
        pass  # what came before the fault counts; the fault itself is told by the reader of the document
    return found


def targets(value: object, keys: tuple[str, ...] = ("_target_",)) -> Iterator[Remark]:
    """Yield what a parsed settings document, YAML or JSON, would import.

    Args:
        value: The document.
        keys: Which keys hold a name to import; ``target`` counts if its value is a dotted name.
    """
    seen, stack, left = set[str](), [value], _VALUES
    while stack and left:
        value, left = stack.pop(), left - 1
        if isinstance(value, dict):
            for key, inner in value.items():
                if key in keys and isinstance(inner, str) and (key == "_target_" or _is_name(inner)):
                    seen.add(inner)
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
        elif isinstance(value, str) and "${" in value:
            seen.update(f"${{{m[1]}" for m in _RESOLVER.finditer(value))
    for name in sorted(seen):
        yield from _resolver(name[2:]) if name.startswith("${") else _target(name)


def _is_name(text: str) -> bool:
    return "." in text and all(part.isidentifier() for part in text.split("."))


def _resolver(name: str) -> Iterator[Remark]:
    if name != "oc.create":
        words = f"a value is filled in by the resolver {name!a} when it is read, from the loader's process"
        yield Remark("graph-target", Severity.LOW, words, remediation="write the value itself")


def _target(name: str) -> Iterator[Remark]:
    parts = name.split(".")
    known = parts[0] in _SAFE_ROOTS and not _REACH & set(parts[1:])
    if known and _is_name(name):
        return
    dangerous = (
        grade(Name(name.rpartition(".")[0], parts[-1])) == "dangerous"
        or parts[0] in ("builtins", "os", "subprocess", "sys", "posix")
        or not _is_name(name)
    )
    severity = Severity.HIGH if dangerous or parts[0] in _SAFE_ROOTS else Severity.MEDIUM
    yield Remark("graph-target", severity, f"its settings make the loader import and call {name[:120]!a}",
                 remediation="check that the name belongs to the model's own library")  # fmt: skip


def manifest(value: object) -> Iterator[Remark]:
    """Yield what the manifest of a TorchServe archive makes the server run, install or open."""
    model = value.get("model") if isinstance(value, dict) else None
    if not isinstance(model, Mapping):
        return
    for key in _FILES:
        many = model.get(key)
        for text in many if isinstance(many, list) else [many]:
            if not isinstance(text, str) or not text:
                continue
            why = escapes(text)
            if why:
                yield Remark("external-data-path", Severity.HIGH, f"its {key} is {text[:120]!a}: {why}")
            if key == "handler" and text not in _HANDLERS:
                yield Remark("graph-target", Severity.MEDIUM, f"the server runs its handler {text[:120]!a}",
                             remediation="read the handler before serving the archive")  # fmt: skip
            elif key == "requirementsFile":
                yield Remark("graph-target", Severity.MEDIUM, f"the server may install what {text[:120]!a} names",
                             remediation="install reviewed packages beforehand")  # fmt: skip
