"""The adapters of a repository: which folder holds which configuration and which weights. Read by ``scanners.adapter_config``.

Weights are known by their names, because that is how loaders find them; what they are is read from their content.
"""

from __future__ import annotations

from dataclasses import dataclass

from governance.context import RunContext
from governance.subject import FileEntry, Subject
from scanners._formats.documents import read_json
from scanners._formats.kind_table import words_of
from scanners._formats.pickles.torch_shapes import torch_tensors
from scanners._formats.tensors.safetensors import Tensor, read_header
from scanners._formats.tree import content

CONFIG = "adapter_config.json"
#: In the order loaders look.
WEIGHTS = (
    "adapter_model.safetensors", "adapters.safetensors", "pytorch_lora_weights.safetensors", "adapter_model.bin",
    "adapter_model.pt",    "pytorch_adapter.bin", "pytorch_lora_weights.bin", "adapters.npz",
)  # fmt: skip
_TOKENS = ("added_tokens.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Adapter:
    """One folder that holds an adapter.

    Attributes:
        folder: With its slash; empty for the root.
        config: The configuration's file, or None.
        weights: Those there are, in the order loaders look.
    """

    folder: str
    config: FileEntry | None
    weights: tuple[FileEntry, ...]


@dataclass(frozen=True)
class Weights:
    """Names and shapes in one file of weights.

    Attributes:
        tensors: Empty if they could not be read.
        metadata: Of a safetensors header.
        unread: Why there is nothing; empty if there is.
        empty: Whether the file is sound and holds nothing.
        pickled: Whether they are held in a pickle.
    """

    tensors: tuple[Tensor, ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    unread: str = ""
    empty: bool = False
    pickled: bool = False


def is_part(path: str) -> bool:
    """Return whether a file belongs to an adapter by its name."""
    return path.rsplit("/", 1)[-1] in (CONFIG, *WEIGHTS)


def adapters(subject: Subject) -> list[Adapter]:
    """Return every folder that holds an adapter's configuration or weights, in order."""
    folders: dict[str, dict[str, FileEntry]] = {}
    for entry in sorted(subject.files, key=lambda f: f.path):
        folder, name = entry.path.rpartition("/")[0], entry.path.rsplit("/", 1)[-1]
        if is_part(entry.path):
            folders.setdefault(f"{folder}/" if folder else "", {})[name] = entry
    return [Adapter(f, own.get(CONFIG), tuple(own[w] for w in WEIGHTS if w in own)) for f, own in folders.items()]


def read_weights(subject: Subject, entry: FileEntry, ctx: RunContext) -> Weights:
    """Return names and shapes of a file of weights, whatever format it turns out to be; nothing is loaded."""
    if not entry.present:
        return Weights(unread="not downloaded")
    root = content(subject, entry, ctx)
    if root.kind in ("torch-zip", "pickle", "tar", "zip"):
        tensors, why = torch_tensors(root)
        return Weights(tensors, unread=why, pickled=True)
    header = read_header(subject, entry.path, ctx)
    if root.kind in ("safetensors", "lfs-pointer", "empty") or header.tensors or entry.path.endswith(".safetensors"):
        if header.gap or header.pointer or (header.problems and not header.tensors):
            return Weights(unread=header.gap or header.problems[0].message)
        empty = not header.tensors
        return Weights(header.tensors, header.metadata, "holds no tensors" if empty else "", empty and not header.problems)
    return Weights(unread=f"its shapes are not read: it is {words_of(root.kind)}")


def added_tokens(subject: Subject, folder: str, ctx: RunContext) -> int:
    """Return how many tokens the adapter's own tokenizer files add to a vocabulary, at most."""
    found = 0
    for name in _TOKENS:
        entry = subject.file(folder + name)
        if entry is None or not entry.present:
            continue
        said = read_json(subject, entry.path, ctx).mapping
        own = said.get("added_tokens_decoder") if name == "tokenizer_config.json" else said
        found = max(found, len(own) if isinstance(own, dict) else 0)
    return found
