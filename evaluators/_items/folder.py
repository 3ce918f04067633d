"""Files of items before they are read: those a suite names, and those a folder's ``manifest.json`` lists.

Solved examples for prompts are found by name: ``law.dev.jsonl`` or ``law.shots.jsonl`` beside ``law.test.jsonl``, with or
without ``.gz``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue, ValidationError

from evaluators._items import files
from evaluators._items.files import DataError, Held, Source
from evaluators._items.kinds import shape
from evaluators._items.suites import Suite
from governance.errors import PrerequisiteError
from governance.evidence import Coverage, Outcome

#: Lists the files of a folder.
MANIFEST = "manifest.json"
_MOST_MANIFEST = 32 * 2**20
#: Parts of a file's name that say it holds solved examples.
_EXAMPLES = (".dev", ".shots")


@dataclass(frozen=True)
class Named:
    """A file of items.

    Attributes:
        name: For people and for ids.
        source: How it is read.
        root: Folder it must lie in; None: the suite gives its whole path.
        family: The family it was given, if so.
        examples: The file of its solved examples, if there is one.
    """

    name: str
    source: Source
    root: Path | None
    family: str | None = None
    examples: Source | None = None

    @property
    def id(self) -> str:
        """Name of its task."""
        return "data-" + self.name.removesuffix(".gz").removesuffix(".jsonl").replace("/", "-").replace(".", "-")

    @property
    def shows(self) -> bool:
        """Whether it holds solved examples, no questions."""
        return any(f"{part}." in self.name for part in _EXAMPLES)

    def family_in(self, suite: Suite) -> str:
        """Return the family it counts for: the one it was given, else by its name."""
        return self.family if self.family in suite.families else suite.family_of(self.name)

    def read(self) -> Held:
        """Return its items.

        Raises:
            DataError: It is not what it should be.
        """
        return _read(self.source, self.root)

    def solved(self, shots: int) -> Held | None:
        """Return its first solved examples, or None if there are none or none are wanted.

        Raises:
            DataError: They are not what they should be.
        """
        if self.examples is None or shots == 0:
            return None
        try:
            held = _read(self.examples, self.root)
        except DataError as error:
            raise DataError(f"its examples in {Path(self.examples.file).name}: {error}") from error
        return replace(held, documents=held.documents[:shots])


def of_suite(suite: Suite, family: str) -> Iterator[Named]:
    """Yield the files a suite names for a family."""
    for source in suite.families[family].data:
        yield Named(Path(source.file).name, source, None, family, source.solved)


def of_folder(root: Path | None) -> list[Named | Coverage]:
    """Return the files a folder's manifest lists, and entries that name none.

    Args:
        root: The folder; None: there is none.

    Raises:
        PrerequisiteError: It has no manifest, or one that lists nothing.
    """
    if root is None:
        return []
    try:
        path = root / MANIFEST
        manifest: JsonValue = json.loads(path.read_bytes() if path.stat().st_size <= _MOST_MANIFEST else b"")
    except (OSError, ValueError, RecursionError) as error:
        raise PrerequisiteError(f"the data folder has no readable {MANIFEST}: {error}", hint="see docs/suites.md") from error
    entries = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(entries, list):
        raise PrerequisiteError(f"{MANIFEST} of the data folder lists no files", hint='it needs {"files": [{"file": …}]}')
    found = [_entry(entry, number, root) for number, entry in enumerate(entries)]
    named = [n for n in found if isinstance(n, Named)]
    shown = {(_stem(n.name), n.source.kind): n.source for n in named if n.shows}
    return [
        replace(n, examples=n.examples or shown.get((_stem(n.name), n.source.kind))) if isinstance(n, Named) and not n.shows else n
        for n in found
    ]


def _entry(entry: JsonValue, number: int, root: Path) -> Named | Coverage:
    known = {k: v for k, v in entry.items() if k in Source.model_fields and v is not None} if isinstance(entry, dict) else {}
    if "fields" in known and not isinstance(known["fields"], dict):
        del known["fields"]  # a list there says which fields the items have
    try:
        source = Source.model_validate({"kind": "", **known})
    except ValidationError as error:
        wrong = error.errors()[0]
        reason = f"entry {number} of {MANIFEST} is wrong: {'.'.join(map(str, wrong['loc']))}: {wrong['msg']}"
        return Coverage(item=str(known.get("file", MANIFEST))[:200], outcome=Outcome.SKIPPED, reason=reason[:400])
    said = entry.get("family") if isinstance(entry, dict) else None
    return Named(source.file, source, root, said if isinstance(said, str) else None, source.solved)


def _read(source: Source, root: Path | None) -> Held:
    kind = shape.known().get(source.kind)
    if kind is None:
        raise DataError(f"data of kind {source.kind!r} are not asked (known are: {', '.join(shape.known())})")
    path = Path(source.file) if root is None else files.inside(root, source.file)
    return files.read(path, source, kind)


def _stem(name: str) -> str:
    bare = name.removesuffix(".gz").removesuffix(".jsonl")
    for part in (".test", ".validation", *_EXAMPLES):
        bare = bare.removesuffix(part)
    return bare
