"""An index of sharded weights against the shards: which are there, and whether they hold what it says. Read by ``tensor_layout``.

Names that leave the folder, and shards of another format than the index is for, are ``config_fields``' to report.

Source:
    transformers, ``utils/hub.py`` (get_checkpoint_shard_files); huggingface_hub, ``serialization/_base.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from posixpath import dirname, join, normpath

from governance.context import RunContext
from governance.evidence import Severity
from governance.subject import FileEntry, Subject
from scanners._formats.documents import read_json
from scanners._formats.names import shown
from scanners._formats.paths import escapes
from scanners._formats.pickles.torch_shapes import torch_tensors
from scanners._formats.tensors.safetensors import Tensor, read_header
from scanners._formats.tensors.spans import Problem
from scanners._formats.tree import Whose, content

ENDS = (".safetensors.index.json", ".bin.index.json")
#: Bytes of the tensors a total may be away from them: the total counts tied weights twice, or is of another type of number.
_NEAR, _FAR = 1.01, 10.0


def is_index(path: str) -> bool:
    """Return whether loaders take a file for an index of shards, by its name."""
    return path.endswith(ENDS)


def index_problems(subject: Subject, entry: FileEntry, whose: Whose, ctx: RunContext) -> Iterator[Problem]:
    """Yield where an index and its shards do not agree.

    Args:
        subject: Holds both.
        entry: The index.
        whose: Which subject it is; of a base, weights may not have been taken in.
        ctx: Opens files.
    """
    said = read_json(subject, entry.path, ctx).mapping
    places = said.get("weight_map")
    if not isinstance(places, dict):
        yield _lie("it has no weight_map: no loader finds a shard by it")
        return
    named = {k: v for k, v in places.items() if isinstance(v, str)}
    if len(named) < len(places):
        yield _lie(f"{len(places) - len(named):,} entries of its weight_map name no file")
    shards: dict[str, list[str]] = {}
    for tensor, shard in named.items():
        shards.setdefault(shard, []).append(tensor)
    known = {f.path: f for f in subject.files}
    refused = {name for name, _ in subject.refused}
    missing, total, whole = list[str](), 0, True
    for shard, tensors in shards.items():
        if escapes(shard):
            whole = False
            continue
        path = normpath(join(dirname(entry.path), shard))
        file = known.get(path)
        if file is None and path not in refused and whose == "adapter":
            missing.append(shard)
        held = _held(subject, file, whose, ctx) if file is not None and file.present else None
        if held is None:
            whole = False
            continue
        whole = whole and any(t.end for t in held.values())  # a pickle is read for its names alone
        total += sum(t.end - t.start for t in held.values())
        lost = [t for t in tensors if t not in held]
        if lost:
            words = f"{len(lost):,} of {len(tensors):,} tensors it puts into {shown(shard)[:120]!a} are not there"
            yield Problem("tensor-header", Severity.MEDIUM, f"{words}, first {shown(lost[0])[:120]!a}")
    if missing:
        severity = Severity.MEDIUM if len(missing) < len(shards) else Severity.LOW
        words = f"{len(missing):,} of its {len(shards):,} shards are not in the folder, first {shown(missing[0])[:120]!a}"
        yield Problem("tensor-header", severity, f"{words}: what is loaded is not what was scanned")
    yield from _size(said.get("metadata"), total if whole and shards else None)


def _held(subject: Subject, file: FileEntry, whose: Whose, ctx: RunContext) -> Mapping[str, Tensor] | None:
    """Return the tensors of a shard by name, or None if they cannot be read."""
    root = content(subject, file, ctx, whose)
    if root.kind == "safetensors":
        header = read_header(subject, file.path, ctx)
        return {t.name: t for t in header.tensors} if header.sound else None
    if root.kind in ("torch-zip", "pickle"):
        tensors, why = torch_tensors(root)
        return None if why else {t.name: t for t in tensors}
    return None


def _size(metadata: object, total: int | None) -> Iterator[Problem]:
    if not isinstance(metadata, dict) or "total_size" not in metadata:
        return
    said = metadata["total_size"]
    if isinstance(said, float) and said.is_integer():
        said = int(said)
    if not isinstance(said, int) or isinstance(said, bool) or said < 0:
        yield _lie(f"its total_size is {str(said)[:40]!a}, which is no number of bytes")
    elif total is not None:
        times = max(said, total) / max(1, min(said, total))
        if times > _NEAR:
            severity = Severity.MEDIUM if times > _FAR else Severity.LOW
            yield Problem("tensor-header", severity, f"its total_size is {said:,}, the shards hold {total:,} bytes of tensors")


def _lie(words: str) -> Problem:
    return Problem("tensor-header", Severity.MEDIUM, words)
