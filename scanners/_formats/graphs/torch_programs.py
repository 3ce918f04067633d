"""Programs in PyTorch archives: TorchScript sources, and the graphs of torch.export; read as text, never compiled.

Source:
    torch 2.13: torch/csrc/jit/serialization/python_print.cpp, torch/_export/serde/serialize.py (deserialize_operator),
    torch/export/pt2_archive/constants.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from governance.evidence import Severity
from scanners._formats.tree import Remark

#: Operator libraries that come with torch itself.
_LIBRARIES = frozenset({
    "aten", "prim", "prims", "quantized", "_quantized", "mkldnn", "mkldnn_prepacked", "prepacked", "sparse", "static", "tensorexpr",
    "rngprims", "onednn", "metal", "metal_prepack", "vulkan_prepack", "cuda", "cudnn", "profiler", "inductor", "_c10d_functional",
    "_c10d_functional_autograd", "c10d_functional", "higher_order", "quantized_decomposed", "debugprims", "_prims",
    "xnnpack", "fbgemm", "export", "symm_mem", "_caffe2", "upsample", "torch", "streams", "c10d", "dist_autograd", "rpc",
})  # fmt: skip
_OPS = re.compile(r"\b(?:torch\.)?ops\.([A-Za-z_]\w{0,80})\.([A-Za-z_]\w{0,80})")
_CLASSES = re.compile(r"__torch__\.torch\.classes\.([A-Za-z_]\w{0,80})\.(\w{1,80})")
#: Operators that read or write files, load code, wait, or speak to other processes; by their last name.
_ACTING = re.compile(
    r"\b(?:torch|ops\.\w{1,80}|torch\.ops\.\w{1,80})\.(from_file|save|_save|load|load_library|load_state_dict_from_url|_load_for_lite)\s*\("
    r"|\b(?:torch\.)?ops\.(?:c10d|rpc|dist_autograd)\.(\w{1,80})|\b(rpc_async|rpc_sync|rpc_remote)\s*\("
)
_OWN_CLASSES = frozenset({"quantized", "xnnpack", "mkldnn", "metal", "vulkan", "sparse", "rnn", "profiling", "c10d"})
_TARGETS = re.compile(
    r"torch\.ops\.(\w{1,80})\.|torch\.(sym_\w{1,30}|_check\w{0,20}|_sym_\w{1,20}|_higher_order_ops\.[\w.]{1,80})\Z"
    r"|(?:_operator|operator|math)\.\w{1,40}\Z|#?[\w.]{1,80}:?call_\w{1,40}\Z"
)
#: Functions of the operator module that reach attributes or call what they are given.
_REACH = ("attrgetter", "methodcaller", "call", "setitem", "delitem", "itemgetter")
_TARGETS_MOST = 1_000_000


def script(text: str) -> tuple[Remark, ...]:
    """Return what TorchScript source does beside arithmetic."""
    found = dict[str, Remark]()
    for match in _ACTING.finditer(text):
        name = next(g for g in match.groups() if g)
        words = f"its TorchScript code calls {name!a}, which reaches files, code or other processes"
        found.setdefault(words, Remark("graph-side-effect", Severity.HIGH, words, match.start()))
    for match in _OPS.finditer(text):
        if match[1] not in _LIBRARIES:
            words = f"its TorchScript code calls operators of the native library {match[1]!a}"
            found.setdefault(words, Remark("custom-operator", Severity.MEDIUM, words, match.start()))
    for match in _CLASSES.finditer(text):
        if match[1] not in _OWN_CLASSES:
            words = f"its TorchScript code uses the native class {f'{match[1]}.{match[2]}'!a}"
            found.setdefault(words, Remark("custom-operator", Severity.MEDIUM, words, match.start()))
    return tuple(found.values())


def exported(program: object) -> Iterator[Remark]:
    """Yield what the graph of an exported program calls beside the operators of torch.

    Args:
        program: The parsed JSON of ``models/<name>.json``.
    """
    seen, stack, left = set[str](), [program], _TARGETS_MOST
    while stack and left:
        value, left = stack.pop(), left - 1
        if isinstance(value, dict):
            target = value.get("target")
            if isinstance(target, str) and "inputs" in value and target not in seen:
                seen.add(target)
                yield from _target(target)
            stack.extend(v for k, v in value.items() if isinstance(v, dict | list) and k != "metadata")
        elif isinstance(value, list):
            stack.extend(v for v in value if isinstance(v, dict | list))
    if stack:
        yield Remark("graph-broken", Severity.MEDIUM, f"its graph holds more than {_TARGETS_MOST:,} values")


def _target(target: str) -> Iterator[Remark]:
    match, last = _TARGETS.match(target), target.rsplit(".", 1)[-1]
    if match is None or (not target.startswith("torch.") and last in _REACH):
        words = f"its graph calls {target[:120]!a}, which is no operator"
        yield Remark("graph-side-effect", Severity.HIGH, words)
    elif match[1] and match[1] not in _LIBRARIES:
        yield Remark("custom-operator", Severity.MEDIUM, f"its graph calls operators of the native library {match[1]!a}")
    elif match[1] in ("c10d", "rpc", "dist_autograd") or target.split(".")[3:4] in (["from_file"], ["save"]):
        yield Remark(
            "graph-side-effect", Severity.HIGH, f"its graph calls {target[:120]!a}, which reaches files or other processes"
        )
