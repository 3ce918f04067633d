"""The closed list of fields is only closed if every sink of the installed loaders was looked at: this walks them and compares.

``loader_sinks.yaml`` says for each place what its argument comes from: ``field`` (a configuration's field, which must be in
``config_fields.yaml`` or belong to remote-code), ``subject`` (the repository that was asked for, under a fixed name), ``table`` (a
mapping or constant of the library itself), ``caller`` (an argument of whoever calls), ``input`` (data at inference or training),
``tool`` (command line, tests, training, conversion).
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

KINDS = {"field", "subject", "table", "caller", "input", "tool"}
NAMES = frozenset({
    "import_module", "exec", "eval", "__import__", "cached_file",
    "cached_files", "hf_hub_download", "snapshot_download", "get_class_from_dynamic_module", "get_cached_module_file",
    "get_kernel", "urlopen", "LocalLayerRepository", "LayerRepository", "create_model",
    "load_custom_generate", "load_dataset", "lazy_load_kernel", "check_python_requirements", "spec_from_file_location",
    "exec_module", "torch_load", "direct_transformers_import", "load_state_dict_from_url", "load_library",
})  # fmt: skip
LOADS = ("torch.load", "np.load", "numpy.load", "pickle.load", "joblib.load", "load")
KNOWN = Path(__file__).with_name("loader_sinks.yaml")


def dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{dotted(value)}.{attr}"
        case _:
            return "?"


def is_sink(call: ast.Call) -> str:
    name = dotted(call.func)
    last = name.rsplit(".", 1)[-1]
    if (last in NAMES and not (last in ("eval", "exec") and "." in name)) or name in LOADS:
        return name
    if name.split(".")[0] in ("httpx", "requests", "subprocess"):
        return name
    fixed = not call.args or isinstance(call.args[0], ast.Constant) or name.startswith(("super", "?"))
    return name if last == "from_pretrained" and not fixed else ""


def sinks(package: str) -> Iterator[str]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{package} is not installed")
    root = Path(next(iter(spec.submodule_search_locations)))
    for path in sorted(root.rglob("*.py")):
        if "convert" in path.name or path.name.startswith("modular_"):
            continue
        waiting: list[tuple[ast.AST, tuple[str, ...]]] = [(ast.parse(path.read_text(encoding="utf-8")), ())]
        while waiting:
            node, within = waiting.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                within = (*within, node.name)
            name = is_sink(node) if isinstance(node, ast.Call) else ""
            if name:
                yield f"{package}/{path.relative_to(root).as_posix()} {'.'.join(within) or '-'} {name}"
            waiting += [(child, within) for child in ast.iter_child_nodes(node)]


@pytest.mark.slow
@pytest.mark.parametrize("package", ["transformers", "peft"])
def test_every_sink_of_the_loaders_is_classified(package: str) -> None:
    known = yaml.safe_load(KNOWN.read_text(encoding="utf-8"))
    found = set(sinks(package))
    assert sorted(found - set(known)) == [], "classify these in loader_sinks.yaml, and add their fields to config_fields.yaml"
    assert set(known.values()) <= KINDS
