"""Names and shapes of the tensors in a torch file, from its opcodes alone: nothing is unpickled, no name is resolved.

Reads the plain state dict that ``torch.save`` writes, in both layouts; anything else gives a reason and no tensors. Read by
``scanners.adapter_config``; what a pickle would execute is the business of ``scanners.pickle_imports``.

Source:
    torch ``_utils._rebuild_tensor_v2`` (storage, offset, size, stride); Python's ``pickletools``.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

from governance.errors import SubjectError
from scanners._formats.tensors.safetensors import Tensor
from scanners._formats.tree import Content

_MOST_BYTES, _MOST_OPCODES, _MOST_AXES = 32 << 20, 2_000_000, 8
_REBUILD = ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter")
_DTYPES = {
    "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16", "DoubleStorage": "F64", "LongStorage": "I64",
    "IntStorage": "I32", "ByteStorage": "U8", "CharStorage": "I8", "BoolStorage": "BOOL", "ShortStorage": "I16",
}  # fmt: skip


@dataclass(frozen=True)
class _Global:
    name: str


@dataclass(frozen=True)
class _Shape:
    size: tuple[int, ...]
    dtype: str


class _Mark:
    """The mark of a pickle's stack."""


_MARK = _Mark()
_STRINGS = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING")
_NUMBERS = ("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1")


def torch_tensors(root: Content) -> tuple[tuple[Tensor, ...], str]:
    """Return the tensors of a torch file, and why there are none if so; never raises on content.

    Args:
        root: The file; an archive of torch's, or a pickle.
    """
    wanted = [c for c in root.walk() if c.kind == "pickle" and (c is root or c.name == "data.pkl")]
    if not wanted:
        return (), f"it is no pickle torch would write, but {root.kind}"
    try:
        data = wanted[0].read(_MOST_BYTES) if wanted[0] is not root else _head(root)
    except (OSError, SubjectError) as error:
        return (), f"it cannot be read: {getattr(error, 'strerror', None) or error}"
    if data is None:
        return (), "its pickle is larger than is read here"
    found: dict[str, _Shape] = {}
    stream = BytesIO(data)
    for _ in range(5):  # the older layout has three small pickles before the state dict
        if stream.tell() == len(data):
            break
        try:
            found |= _state(stream)
        except (ValueError, IndexError, KeyError, TypeError, RecursionError, OverflowError, MemoryError) as error:
            return (), f"its opcodes are none of a plain state dict ({type(error).__name__})"
        if found:
            break
    tensors = tuple(Tensor(name, s.dtype, s.size, 0, 0) for name, s in found.items())
    return tensors, "" if tensors else "its pickle holds no state dict"


def _head(root: Content) -> bytes:
    with root.open() as stream:
        return stream.read(_MOST_BYTES)


def _state(stream: BytesIO) -> dict[str, _Shape]:
    """Follow one pickle; return every tensor that a dictionary holds under a name."""
    stack: list[object] = []
    memo: dict[int, object] = {}
    found: dict[str, _Shape] = {}
    for count, (op, argument, _) in enumerate(pickletools.genops(stream)):
        if count > _MOST_OPCODES:
            raise ValueError("too many opcodes")
        _step(op.name, argument, stack, memo, found)
    return found


def _step(name: str, argument: object, stack: list[object], memo: dict[int, object], found: dict[str, _Shape]) -> None:
    if name in _STRINGS or name in _NUMBERS:
        stack.append(argument)
    elif name in _PLAIN:
        stack.append(_PLAIN[name]())
    elif name in ("BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"):
        memo[len(memo) if name == "MEMOIZE" else int(str(argument))] = stack[-1]
    elif name in ("BINGET", "LONG_BINGET", "GET"):
        stack.append(memo[int(str(argument))])
    elif name == "GLOBAL":
        stack.append(_Global(str(argument)))
    elif name == "STACK_GLOBAL":
        qualified, module = stack.pop(), stack.pop()
        stack.append(_Global(f"{module} {qualified}"))
    elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        size = int(name[-1])
        values = tuple(stack[-size:])
        del stack[-size:]
        stack.append(values)
    elif name in ("TUPLE", "LIST", "DICT"):
        stack.append(tuple(_to_mark(stack)))
    elif name in ("SETITEMS", "APPENDS", "ADDITEMS"):
        _keep(_to_mark(stack), found)
    elif name == "SETITEM":
        value, key = stack.pop(), stack.pop()
        _keep([key, value], found)
    elif name in ("APPEND", "POP", "BUILD"):
        stack.pop()
    elif name in ("REDUCE", "NEWOBJ"):
        arguments, callee = stack.pop(), stack.pop()
        stack.append(_made(callee, arguments))
    elif name not in ("PROTO", "FRAME", "STOP", "BINPERSID"):
        raise ValueError(name)


_PLAIN: dict[str, Callable[[], object]] = {
    "MARK": lambda: _MARK, "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set, "NONE": lambda: None,
    "NEWTRUE": lambda: True, "NEWFALSE": lambda: False, "BINFLOAT": float, "BINBYTES": bytes, "SHORT_BINBYTES": bytes,
}  # fmt: skip


def _to_mark(stack: list[object]) -> list[object]:
    values: list[object] = []
    while (value := stack.pop()) is not _MARK:
        values.append(value)
    return values[::-1]


def _keep(values: list[object], found: dict[str, _Shape]) -> None:
    for key, value in zip(values[::2], values[1::2], strict=False):
        if isinstance(key, str) and isinstance(value, _Shape):
            found[key] = value


def _made(callee: object, arguments: object) -> object:
    """Return a tensor's shape if the call rebuilds one, else a stand-in."""
    if not isinstance(callee, _Global) or callee.name not in _REBUILD or not isinstance(arguments, tuple) or not arguments:
        return None
    if isinstance(arguments[0], _Shape):
        return arguments[0]
    size = arguments[2] if len(arguments) > 2 else None
    if not isinstance(size, tuple) or len(size) > _MOST_AXES:
        return None
    counts = tuple(n for n in size if isinstance(n, int) and not isinstance(n, bool) and n >= 0)
    storage = arguments[0]
    kinds = [v.name.rpartition(" ")[2] for v in storage if isinstance(v, _Global)] if isinstance(storage, tuple) else []
    return _Shape(counts, _DTYPES.get(kinds[0] if kinds else "", "?")) if len(counts) == len(size) else None
