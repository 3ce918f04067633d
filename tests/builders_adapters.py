"""Small real adapters and bases, file by file, for the scanners over meaning.

A composition is given as two mappings from path to content: text, bytes, a JSON value, or ``{"tensors": …}`` for a
safetensors file with one entry ``name: [dtype, *shape]`` each (zeros unless ``fill`` says otherwise).
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from math import prod

from governance.context import RunContext
from governance.licensing import Intent
from governance.subject import Composition, FileEntry, SourceKind, Subject
from policies.licenses import license_table
from scanners._formats.claims.description import describe

Files = Mapping[str, object]
_WIDTH = {"F32": 4, "BF16": 2, "I64": 8, "F16": 2, "U8": 1}
#: One, as each type stores it.
_ONE = {"F32": b"\x00\x00\x80\x3f", "BF16": b"\x80\x3f", "F16": b"\x00\x3c", "U8": b"\x01"}
_FILLS = {"zero": {}, "one": _ONE, "nan": {"F32": b"\x00\x00\xc0\x7f", "BF16": b"\xc0\x7f", "F16": b"\x00\x7e"}}


def safetensors(tensors: Mapping[str, list[str | int]], fills: Mapping[str, str] | None = None) -> bytes:
    """Return a safetensors file, written byte by byte.

    Args:
        tensors: ``name: [dtype, *shape]``.
        fills: ``zero``, ``one`` or ``nan`` by tensor name; the key ``*`` is for the rest, which is ``one`` by default.
    """
    header: dict[str, object] = {}
    body = b""
    for name, (dtype, *shape) in tensors.items():
        kind = str(dtype)
        count = prod(int(n) for n in shape)
        fill = (fills or {}).get(name, (fills or {}).get("*", "one"))
        data = _FILLS[fill].get(kind, b"\x00" * _WIDTH[kind]) * count
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def subject(files: Files, ctx: RunContext, *, name: str, tag: str | None = None) -> Subject:
    """Return a pinned folder in the context's store.

    Args:
        files: Content by path; None: listed but not downloaded.
        ctx: Holds the store.
        name: Of the subject.
        tag: The Hub's license tag.
    """
    entries = []
    for path, content in sorted(files.items()):
        if content is None:
            entries.append(FileEntry(path=path, size=1, sha256="0" * 64, present=False))
            continue
        data = _bytes(content)
        sha256, sha512, size = ctx.store.take(io.BytesIO(data), limit=1 << 30)
        entries.append(FileEntry(path=path, size=size, sha256=sha256, sha512=sha512))
    made = Subject(source=SourceKind.LOCAL, name=name, files=tuple(entries), license=tag)
    ctx.store.materialize(made)
    return made


def composition(
    adapter: Files, base: Files | None, ctx: RunContext, *, name: str = "acme/adapter", base_name: str = "acme/base",
    base_license: str | None = None,
) -> Composition:  # fmt: skip
    """Return a described composition over files of the test's own making."""
    child = subject(adapter, ctx, name=name)
    parent = subject(base, ctx, name=base_name, tag=base_license) if base is not None else None
    return Composition(
        adapter=child,
        base=parent,
        base_reason="" if parent else "nothing names it",
        description=describe(child, ctx),
        base_description=describe(parent, ctx) if parent else None,
    )


def with_licenses(ctx: RunContext, use: str | None = None) -> RunContext:
    """Return a context that knows the shipped license table, and a use if one is asked for."""
    return replace(ctx, license_terms=license_table(), intent=Intent.model_validate({"use": use}))


def _bytes(content: object) -> bytes:
    match content:
        case bytes():
            return content
        case str():
            return content.encode()
        case {"tensors": dict(tensors), **rest}:
            fills = rest.get("fill")
            data = safetensors(tensors, fills if isinstance(fills, dict) else {"*": fills} if isinstance(fills, str) else None)
            return data[: int(str(rest["cut"]))] if "cut" in rest else data
        case _:
            return json.dumps(content).encode()
