"""What a Keras configuration would make a loader import, run or open; walked at any depth, through every wrapper.

Keras looks a class up by ``module``, ``class_name`` and ``registered_name``; what is known is an allow-list, and everything else
needs code from elsewhere.

Source:
    keras 3.12.0, src/saving/serialization_lib.py and src/layers; Keras 2 layers/core/lambda_layer.py; CVE-2024-3660, CVE-2025-1550,
    CVE-2025-8747, CVE-2025-9905, CVE-2025-9906, CVE-2025-12058, CVE-2025-49655.
"""

from __future__ import annotations

import base64
import binascii
import builtins
from collections.abc import Iterator, Mapping
from functools import cache

from governance.evidence import Severity
from scanners._formats.paths import escapes
from scanners._formats.tables import table
from scanners._formats.tree import Remark

_BUILTINS = frozenset(dir(builtins))
_VALUES = 2_000_000
#: Packages Keras itself may import from; below them, the parts that hold layers and the like.
_ROOTS = frozenset({"keras", "tf_keras", "keras_hub", "keras_cv", "keras_nlp", "keras_core", "tensorflow", "builtins"})
_PARTS = frozenset({
    "activations", "constraints", "dtype_policies", "initializers", "layers", "losses", "metrics", "models", "ops", "optimizers",
    "quantizers", "random", "regularizers", "distillation", "mixed_precision", "engine", "backend", "preprocessing", "tokenizers",
    "samplers", "bounding_box", "legacy_tf_layers", "schedules", "feature_column", "applications", "premade", "premade_models",
})  # fmt: skip
_SPECIAL = frozenset({"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__", "__tuple__",
                      "__typespec__", "CompositeTensor", "TypeSpec", "TensorShape", "TensorSpec", "__class__"})  # fmt: skip
_LAMBDA = frozenset({"lambda", "__lambda__"})
#: Layers that hold a program, or name one, and what they do with it.
_HOLDERS = {
    "TorchModuleWrapper": "it unpickles a whole torch module (CVE-2025-49655)",
    "TFSMLayer": "it loads and runs a TensorFlow program from a path (CVE-2025-9905)",
    "FlaxLayer": "it restores a function of its own",
    "JaxLayer": "it restores a function of its own",
}
#: Settings a layer opens as a file or address (CVE-2025-12058), when they are text.
_OPENED = frozenset({
    "vocabulary", "vocab", "vocabulary_file", "vocab_file", "idf_weights", "filepath", "file_path", "filename", "fname",
    "path", "origin", "url", "merges", "proto", "sentencepiece_model", "log_dir", "backup_dir", "cache_dir",
    "save_path", "directory", "feature_path",
})  # fmt: skip
_IMPORT = "ask for a model of Keras layers alone; load nothing that names other code"


def review(config: object, *, restored: bool = False) -> tuple[Remark, ...]:
    """Return what loading this configuration would do; an empty result says that it names Keras alone.

    Args:
        config: Parsed JSON.
        restored: Whether classes are only looked up and replaced by the saved graph if missing, as a SavedModel does.
    """
    found = dict[tuple[str, str], Remark]()
    stack, left = [config], _VALUES
    while stack and left:
        value, left = stack.pop(), left - 1
        if isinstance(value, dict):
            for remark in _object(value, restored):
                found.setdefault((remark.rule, remark.words), remark)
            stack.extend(v for v in value.values() if isinstance(v, dict | list))
        elif isinstance(value, list):
            if value and isinstance(value[0], str) and _is_code(value[0]):
                remark = _lambda("a list holds marshalled Python code, as functions are saved")
                found.setdefault((remark.rule, remark.words), remark)
            stack.extend(v for v in reversed(value) if isinstance(v, dict | list))
    if stack:
        found["", ""] = Remark("graph-broken", Severity.MEDIUM, f"its configuration holds more than {_VALUES:,} values")
    return tuple(found.values())


def is_config(value: object) -> bool:
    """Return whether JSON is that of a Keras model: an object of a named class with a configuration, or a list of such layers."""
    return isinstance(value, dict) and isinstance(value.get("class_name"), str) and "config" in value


def _object(value: Mapping[str, object], restored: bool) -> Iterator[Remark]:
    name = value.get("class_name")
    if isinstance(name, str):
        yield from _class(value, name, restored)
    elif name is not None:
        yield _import(f"a class name is no text but {type(name).__name__}", Severity.HIGH)
    elif "registered_name" in value and isinstance(value.get("module"), str):
        yield from _module(str(value["module"]), str(value["registered_name"]))
    for key, text in value.items():
        if isinstance(text, str) and key.lower() in _OPENED and text:
            why = escapes(text)
            if why:
                yield Remark("external-data-path", Severity.HIGH, f"{key[:40]!a} is {text[:120]!a}, which a layer opens: {why}")
            elif key.lower() in ("vocabulary", "idf_weights", "filepath") and name is None:
                words = f"{key[:40]!a} is {text[:120]!a}, which a layer opens where the model is loaded"
                yield Remark("external-data-path", Severity.MEDIUM, words)


def _class(value: Mapping[str, object], name: str, restored: bool) -> Iterator[Remark]:
    module, registered, config = value.get("module"), value.get("registered_name"), value.get("config")
    labels = {name, *([registered] if isinstance(registered, str) else [])}
    last = {label.rsplit(">", 1)[-1].rsplit(".", 1)[-1] for label in labels}
    if any(label.lower() in _LAMBDA for label in last) or (isinstance(module, str) and module.endswith("lambda_layer")):
        yield _lambda("it restores Python code of its own") if name == "__lambda__" else _function(config)
        return
    for label in last & set(_HOLDERS):
        yield _import(f"the layer {label}: {_HOLDERS[label]}", Severity.CRITICAL)
    if last & set(_HOLDERS):
        return
    if isinstance(module, str) and module:
        function = name == "function"
        target = (config if module == "builtins" else registered) if function else name
        yield from _module(module, target if isinstance(target, str) else "", function)
        if function and isinstance(config, dict) and isinstance(config.get("module"), str):
            yield from _module(str(config["module"]), str(config.get("function_name", "")), True)
    elif module is not None and not isinstance(module, str):
        yield _import("a module name is no text", Severity.HIGH)
    elif not restored and not _known(name.removeprefix("Custom>")) and name not in _SPECIAL and name != "function":
        if not name.replace(">", "").isidentifier():
            yield _import(f"the class {name[:80]!a} is a path to import, not a class of Keras", Severity.CRITICAL)
        else:
            yield _import(f"the class {name[:80]!a} is not one of Keras: the loader must be given its code", Severity.MEDIUM)
    if isinstance(registered, str) and ">" in registered and not restored:
        yield _import(f"{registered[:80]!a} is registered by code that does not come with Keras", Severity.MEDIUM)


def _module(module: str, name: str, function: bool = False) -> Iterator[Remark]:
    """Yield what is wrong with importing a name from a module."""
    parts = [p for p in module.split(".") if p not in ("src", "python", "api", "_v1", "_v2", "_tf_keras", "v1", "v2", "compat")]
    shown = f"{module[:80]!a} . {name[:80]!a}"
    if not parts or parts[0] not in _ROOTS:
        yield _import(f"its configuration imports {shown}, which is outside Keras", Severity.CRITICAL)
    elif parts[0] == "builtins":
        if not _known(name) and name not in _SPECIAL and (not function or _is_builtin(name)):
            yield _import(f"its configuration imports {shown}, which is no function of Keras", Severity.CRITICAL)
        elif not _known(name) and name not in _SPECIAL:
            yield _import(f"the function {name[:80]!a} is not one of Keras: the loader must be given its code", Severity.MEDIUM)
    else:
        inner = [p for p in parts[1:] if p != "keras"]
        hub = parts[0] in ("keras_hub", "keras_cv", "keras_nlp")
        if inner and inner[0] not in _PARTS and not (hub and name[:1].isupper()):
            yield _import(f"its configuration imports {shown}, which is no layer, loss or the like", Severity.CRITICAL)
        elif not name.isidentifier() or not (_known(name) or name in _SPECIAL or (hub and name[:1].isupper())):
            severity = Severity.MEDIUM if name[:1].isupper() and name.isidentifier() else Severity.CRITICAL
            yield _import(f"its configuration imports {shown}, which is no known class of Keras", severity)


def _is_builtin(name: str) -> bool:
    """Return whether Python itself has this name."""
    return name in _BUILTINS or not name.isidentifier()


def _function(config: object) -> Remark:
    """Return what a Lambda layer holds."""
    if isinstance(config, dict):
        held = config.get("function")
        inner = held.get("config") if isinstance(held, dict) else held
        if isinstance(inner, str) and isinstance(held, str | dict) and not _is_code(inner):
            words = f"a Lambda layer calls the function {inner[:80]!a} of the loader's process"
            return Remark("keras-lambda", Severity.HIGH, words, remediation="ask for the model without Lambda layers")
    return _lambda("a Lambda layer holds Python code")


def _lambda(words: str) -> Remark:
    words += ", which runs when the model is loaded or called"
    return Remark("keras-lambda", Severity.CRITICAL, words, remediation="ask for the model without Lambda layers")


def _import(words: str, severity: Severity) -> Remark:
    return Remark("keras-import", severity, words, remediation=_IMPORT)


def _is_code(text: str) -> bool:
    """Return whether text is a code object, marshalled and in base64 as Keras saves functions."""
    if not 40 <= len(text) <= 1 << 24:
        return False
    try:
        head = base64.b64decode("".join(text[:200].split())[:64], validate=True)
    except (binascii.Error, ValueError):
        return False
    counts = [int.from_bytes(head[at : at + 4], "little") for at in (1, 5, 9, 13)]
    return head[:1] in (b"\xe3", b"c") and all(n < 1 << 16 for n in counts)


@cache
def _names() -> tuple[frozenset[str], frozenset[str]]:
    names = table("keras_names")
    return frozenset(names["classes"]), frozenset(names["functions"])


def _known(name: str) -> bool:
    classes, functions = _names()
    return name in classes or name in functions
