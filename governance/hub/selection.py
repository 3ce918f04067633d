"""Which files of a repository are needed. Looks at names and sizes only.

Of an adapter everything is needed, because everything is scanned. Of a base only what describes it and the one set of
weights that is loaded; of a data set only its tables.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import PurePosixPath

#: Says, for all paths of a repository and one of them, why it is not needed; None if it is.
Choice = Callable[[Collection[str], str], str | None]

_MODEL_WEIGHTS = re.compile(r"model(-\d{5}-of-\d{5})?\.safetensors\Z")
_LEGAL = re.compile(r"(licen[cs]e|notice|copying|use[_-]policy|acceptable[_-]use)", re.IGNORECASE)
_TEXT = (".json", ".jsonl", ".txt", ".md", ".jinja", ".py", ".yaml", ".yml", ".tiktoken", ".model", ".gitattributes")
_TEMPLATES = ("additional_chat_templates", "chat_templates")
_TABLES = (".parquet", ".json", ".jsonl", ".csv", ".tsv", ".txt", ".json.gz", ".jsonl.gz", ".csv.gz")

#: Documents of a repository that is only read about; a tokenizer's tables are none of them.
_WORDS = ("README.md", "config.json", "adapter_config.json", ".yaml", ".yml")

NOT_NEEDED = "not needed"


def of_adapter(paths: Collection[str], path: str) -> str | None:
    """Return None: every file of an adapter is scanned."""
    return None


def of_base(paths: Collection[str], path: str) -> str | None:
    """Return why a file of a base model is not needed, or None.

    Needed are its documents (configuration, tokenizer, card, license, code), and its safetensors; where a repository has
    ``model*.safetensors``, those only, because the others hold the same tensors in another layout.
    """
    pure = PurePosixPath(path)
    if _LEGAL.match(pure.name):
        return None
    if len(pure.parts) > 1:
        if pure.suffix == ".py" or pure.parts[0] in _TEMPLATES:
            return None
        return f"{NOT_NEEDED}: a copy in another format or layout"
    if pure.suffix == ".safetensors":
        preferred = any(_MODEL_WEIGHTS.match(p) for p in paths)
        return f"{NOT_NEEDED}: a copy of the weights" if preferred and not _MODEL_WEIGHTS.match(path) else None
    if path.endswith(_TEXT):
        return None
    return f"{NOT_NEEDED}: weights of a base are loaded from safetensors only"


def of_base_without_weights(paths: Collection[str], path: str) -> str | None:
    """Return why a file of a base model is not needed when no model will be loaded, or None."""
    if path.endswith(".safetensors"):
        return f"{NOT_NEEDED}: no model is loaded in this audit"
    return of_base(paths, path)


def of_documents(paths: Collection[str], path: str) -> str | None:
    """Return why a file is not needed where only a repository's words are read: card, configuration, license texts."""
    pure = PurePosixPath(path)
    if _LEGAL.search(pure.name) or (len(pure.parts) == 1 and path.endswith(_WORDS)):
        return None
    return f"{NOT_NEEDED}: neither a card, a configuration nor a license text"


def of_dataset(paths: Collection[str], path: str) -> str | None:
    """Return why a file of a data set is not needed, or None: tables and the card are."""
    if path.endswith(_TABLES) or _LEGAL.match(PurePosixPath(path).name) or path == "README.md":
        return None
    return f"{NOT_NEEDED}: neither a table nor the card"


def rank(path: str, size: int) -> tuple[int, int, str]:
    """Return the order of download: what describes the model, then adapter weights, then the rest, small before large."""
    name = PurePosixPath(path).name
    if name.endswith(_TEXT) or _LEGAL.match(name):
        return 0, size, path
    return (1 if name.startswith("adapter_model") else 2), size, path
