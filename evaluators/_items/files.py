"""A file of items: where it is, how it is read, and every way in which it can be wrong.

Read by ``evaluators._items.sources``. A file with one wrong line is not asked at all: a number over the lines that happened
to be right would speak of other data than its owner has in mind.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from evaluators._items.kinds.shape import How, Item, Kind
from evaluators._items.tasks import Document
from governance.subject import Noun

_MOST_BYTES = 512 * 2**20
_MOST_LINE = 8 * 2**20


class Source(Noun):
    """A file of items, as a manifest or a suite names it."""

    file: str = Field(description="JSON Lines, perhaps compressed (.gz), beside the document that names it")
    kind: str = Field(default="multiple_choice", description="what its items are")
    fields: dict[str, str] = Field(default_factory=dict, description="our name of a field: its name in the file")
    prompt: str = Field(default="", description="a prompt with names of fields in braces; empty: the kind's own")
    answers: Literal["letters", "texts"] = Field(default="letters", description="what of a choice is scored")
    group: str | None = Field(default=None, description="field that says which items share text: a cluster")
    split: str | None = Field(default=None, description="ask only items whose field 'split' says this")
    examples: str | None = Field(default=None, description="file of solved examples for prompts; else found by its name")
    shots: int | None = Field(default=None, ge=0, le=64, description="examples before each question")
    limit: int | None = Field(default=None, ge=1, description="most items")
    tolerance: float = Field(default=0.005, ge=0, lt=1, description="largest relative error of a number that is right")
    sha256: str | None = Field(default=None, description="what the file must be")

    @property
    def solved(self) -> Source | None:
        """The file of examples it names, read as it is read itself."""
        return self.model_copy(update={"file": self.examples, "sha256": None, "group": None}) if self.examples else None

    @property
    def how(self) -> How:
        """What a reader has to know."""
        return How(prompt=self.prompt, answers=self.answers, tolerance=self.tolerance)


class DataError(ValueError):
    """A file cannot be asked; the message says why, and in which line."""


@dataclass(frozen=True)
class Held:
    """A file that was read.

    Attributes:
        documents: What is asked, each with ``id`` and ``group``.
        digest: SHA-256 of the file.
        left_out: What of the file is not asked, and why.
    """

    documents: list[Document]
    digest: str
    left_out: tuple[str, ...] = ()


def inside(root: Path, name: str) -> Path:
    """Return a file of a folder.

    Raises:
        DataError: It is not there, or not in there.
    """
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()) or not path.is_file():
        raise DataError("the manifest names a file that is not in the folder")
    return path


def read(path: Path, source: Source, kind: Kind) -> Held:
    """Return the items of a file.

    Args:
        path: Where it is.
        source: How it is read, and what it must be.
        kind: What its items are.

    Raises:
        DataError: It is not what it should be.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= _MOST_BYTES else b""
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror}") from error
    if size > _MOST_BYTES:
        raise DataError(f"the file is larger than {_MOST_BYTES >> 20} MiB")
    digest = hashlib.sha256(content).hexdigest()
    if source.sha256 not in (None, digest):
        raise DataError("the file is not the one of the manifest: its SHA-256 differs")
    if source.prompt and not kind.prompts:
        raise DataError(f"items of kind {source.kind} take no prompt of their own")
    items, elsewhere = _of_split([(n, _named(i, source)) for n, i in _objects(path, content)], source.split)
    documents = _documents(items, source, kind)
    if not documents:
        raise DataError("the file holds no item" + (f" of split {source.split!r}" if source.split else ""))
    once, left_out = _once(documents)
    if elsewhere:
        left_out = (f"{elsewhere} items of other splits", *left_out)
    return Held(once, digest, left_out)


def _objects(path: Path, content: bytes) -> Iterator[tuple[int, Item]]:
    """Yield the objects of JSON Lines with the numbers of their lines, from 1."""
    total = 0
    raw = io.BytesIO(content)
    with gzip.open(raw, "rb") if path.suffix == ".gz" else raw as stream:
        number = 0
        while True:
            number += 1
            try:
                line = stream.readline(_MOST_LINE)
            except (OSError, EOFError, zlib.error) as error:
                raise DataError(f"line {number}: the file is damaged: {error}") from error
            if not line:
                return
            total += len(line)
            if total > _MOST_BYTES:
                raise DataError(f"the file is larger than {_MOST_BYTES >> 20} MiB when unpacked")
            if len(line) == _MOST_LINE:
                raise DataError(f"line {number} is longer than {_MOST_LINE >> 20} MiB")
            if line.strip():
                yield number, _object(line, number)


def _object(line: bytes, number: int) -> Item:
    try:
        value: JsonValue = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"line {number} is not UTF-8: byte {line[error.start]:#04x} at place {error.start}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"line {number} is no JSON: {str(error)[:120]}") from error
    if not isinstance(value, dict):
        raise DataError(f"line {number} is no object; each line has to be one item")
    return value


def _named(item: Item, source: Source) -> Item:
    return {**item, **{ours: item[theirs] for ours, theirs in source.fields.items() if theirs in item}}


def _of_split(items: list[tuple[int, Item]], wanted: str | None) -> tuple[list[tuple[int, Item]], int]:
    """Return the items to ask; of a file that mixes splits these are those for tests."""
    if wanted is None and any(item.get("split") == "test" for _, item in items):
        wanted = "test"
    found = [(n, item) for n, item in items if wanted is None or item.get("split") == wanted]
    return found, len(items) - len(found)


def _documents(items: list[tuple[int, Item]], source: Source, kind: Kind) -> list[Document]:
    found: list[Document] = []
    wrong: list[str] = []
    for number, item in items:
        try:
            group = _group(item, number, source, kind)
            made: list[Document] = [{**d, "id": str(item.get("id", number)), "group": group} for d in kind.read(item, source.how)]
            json.dumps(made, ensure_ascii=False).encode()
        except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
            wrong.append(f"line {number} is not of kind {source.kind}: {str(error)[:200]}")
        else:
            found.extend(made)
    if wrong:
        more = f"; {len(wrong) - 1} more lines are wrong" if len(wrong) > 1 else ""
        raise DataError(wrong[0] + more)
    return found


def _group(item: Item, number: int, source: Source, kind: Kind) -> str:
    if source.group is None:
        return str(number) if kind.clustered else ""
    value = item.get(source.group)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise DataError(f"its group is to be in {source.group!r}, and there is none")
    return str(value)


def _once(documents: list[Document]) -> tuple[list[Document], tuple[str, ...]]:
    """Return each question once; one that is given with two different answers is not asked at all."""
    solved = ("gold", "final", "targets", "answers", "shown", "true", "first", "label", "solution")
    firsts: dict[str, int] = {}
    answers: dict[str, set[str]] = {}
    keys: list[str] = []
    for index, document in enumerate(documents):
        asked = {k: v for k, v in document.items() if k not in (*solved, "id", "group", "stratum")}
        key = json.dumps(asked, sort_keys=True)
        keys.append(key)
        firsts.setdefault(key, index)
        answers.setdefault(key, set()).add(json.dumps([document.get(k) for k in solved]))
    kept = [d for i, d in enumerate(documents) if firsts[keys[i]] == i and len(answers[keys[i]]) == 1]
    torn = sum(len(answers[k]) > 1 for k in keys)
    same = len(documents) - len(kept) - torn
    said = []
    if same:
        said.append(f"{same} items that repeat an earlier one")
    if torn:
        said.append(f"{torn} items that are the same question with different answers")
    if not kept:
        raise DataError("every question is given with different answers")
    return kept, tuple(said)
