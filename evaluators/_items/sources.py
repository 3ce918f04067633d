"""Where questions come from: shipped files, a folder of JSON Lines with a manifest, lm-eval tasks with fetched data.

What cannot be asked is a ``Coverage`` with the reason, never left out in silence. Data files are data: no template, no code
and no path of theirs is followed outside their folder.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import JsonValue

from evaluators._items import catalog, formats
from evaluators._items.suites import FOLDER, GENERAL, Suite
from evaluators._items.tasks import Document, Questions
from governance.context import RunContext
from governance.errors import PluginError, PrerequisiteError
from governance.evidence import Coverage, Outcome

_MANIFEST = "manifest.json"
_MOST_BYTES = 512 * 2**20
_MOST_LINE = 8 * 2**20


def questions(suite: Suite, family: str, ctx: RunContext) -> Iterator[Questions | Coverage]:
    """Yield the tasks of one family, and what of it cannot be asked.

    Args:
        suite: Says which shipped tasks and which foreign names belong to the family.
        family: One of its families.
        ctx: Gives the folder, lm-eval names and fetched data of this run.

    Yields:
        A folder or lm-eval tasks for the family take the place of the shipped ones.
    """
    foreign = [*_folder(suite, family, ctx), *_hub(suite, family, ctx)]
    yield from foreign
    if not any(isinstance(q, Questions) for q in foreign):
        for name in suite.families[family].tasks:
            yield shipped(name, family, ctx)


def shipped(name: str, family: str, ctx: RunContext) -> Questions:
    """Return one task that comes with the curator.

    Args:
        name: Its id in ``evaluators/tasks``.
        family: The family it counts for.
        ctx: Gives seed and limit.

    Raises:
        PluginError: Its files are not what they were.
    """
    definition: dict[str, Any] = yaml.safe_load((FOLDER / "tasks" / f"{name}.yaml").read_text())
    path = FOLDER / "tasks" / str(definition.pop("data"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != definition.pop("sha256"):
        raise PluginError(f"the items of the shipped task {name} were changed", hint="install the curator again")
    return Questions(
        name=name,
        family=family,
        version=str(definition["metadata"]["version"]),
        digest=digest,
        origin="built-in",
        definition=definition,
        documents=_sample(list(_lines(path)), digest, ctx),
        group="group",
    )


def _folder(suite: Suite, family: str, ctx: RunContext) -> Iterator[Questions | Coverage]:
    root = ctx.evaluation.data
    if root is None:
        return
    try:
        manifest: JsonValue = json.loads((root / _MANIFEST).read_bytes())
    except (OSError, ValueError) as error:
        raise PrerequisiteError(f"the data folder has no readable {_MANIFEST}: {error}", hint="see docs on --data") from error
    entries = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(entries, list):
        raise PrerequisiteError(f"{_MANIFEST} of the data folder lists no files", hint='it needs {"files": [{"file": …}]}')
    for entry in entries:
        name = str(entry.get("file", "")) if isinstance(entry, dict) else ""
        if isinstance(entry, dict) and _family(entry, name, suite) == family:
            yield _file(root, name, entry, family, ctx)


def _family(entry: dict[str, JsonValue], name: str, suite: Suite) -> str:
    said = entry.get("family")
    return said if isinstance(said, str) and said in suite.families else suite.family_of(name)


def _file(root: Path, name: str, entry: dict[str, JsonValue], family: str, ctx: RunContext) -> Questions | Coverage:
    """Return the questions of one file of a folder, or why there are none."""
    if ".dev." in name or ".shots." in name:
        return Coverage(item=name, outcome=Outcome.NOT_APPLICABLE, reason="examples for prompts, no questions")
    kind = str(entry.get("kind", ""))
    if kind in formats.NO_SKILL:
        return Coverage(item=name, outcome=Outcome.NOT_APPLICABLE, reason=formats.NO_SKILL[kind])
    form = formats.FORMATS.get(kind)
    if form is None:
        known = ", ".join(sorted(formats.FORMATS))
        return Coverage(item=name, outcome=Outcome.SKIPPED, reason=f"data of kind {kind!r} are not asked yet (asked are: {known})")
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()) or not path.is_file():
        return Coverage(item=name, outcome=Outcome.SKIPPED, reason="the manifest names a file that is not in the folder")
    if path.stat().st_size > _MOST_BYTES:
        return Coverage(item=name, outcome=Outcome.SKIPPED, reason=f"the file is larger than {_MOST_BYTES >> 20} MiB")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if entry.get("sha256") not in (None, digest):
        return Coverage(item=name, outcome=Outcome.SKIPPED, reason="the file is not the one of the manifest: its SHA-256 differs")
    try:
        documents = [d for line in _lines(path) for d in form.read(line)]
    except (ValueError, KeyError, TypeError, IndexError, OSError, EOFError) as error:
        return Coverage(
            item=name, outcome=Outcome.SKIPPED, reason=f"an item is not of kind {kind}: {type(error).__name__}: {error}"
        )
    if not documents:
        return Coverage(item=name, outcome=Outcome.SKIPPED, reason="the file holds no item")
    group = entry.get("group")
    return Questions(
        name="data-" + name.removesuffix(".gz").removesuffix(".jsonl").replace("/", "-").replace(".", "-"),
        family=family,
        version=form.version,
        digest=digest,
        origin=f"folder file {name}",
        definition=form.definition,
        documents=_sample(documents, digest, ctx),
        group="group" if group else None,
        score=form.score,
    )


def _hub(suite: Suite, family: str, ctx: RunContext) -> Iterator[Questions | Coverage]:
    for name in ctx.evaluation.tasks:
        path = catalog.find(name)
        if path is None:
            if family == GENERAL:
                reason = "lm-eval has no single task of this name; name the tasks of a group one by one"
                yield Coverage(item=name, outcome=Outcome.SKIPPED, reason=reason)
        elif suite.family_of(name) == family:
            yield _library_task(name, path, family, ctx)


def _library_task(name: str, path: Path, family: str, ctx: RunContext) -> Questions | Coverage:
    from lm_eval.tasks._yaml_loader import load_yaml

    plain = catalog.read(path)
    dataset = str(plain.get("dataset_path", ""))
    folder = ctx.evaluation.task_data.get(dataset)
    if plain.get("unsafe_code") or "class" in plain:
        return Coverage(item=name, outcome=Outcome.SKIPPED, reason="the task runs code that a model wrote; code execution is off")
    if folder is None:
        return Coverage(item=name, outcome=Outcome.SKIPPED, reason=f"its data set {dataset or '(none)'} was not fetched")
    definition = {k: v for k, v in load_yaml(path).items() if k not in ("tag", "group", "task_list")}
    version = definition.get("metadata", {}).get("version", "0") if isinstance(definition.get("metadata"), dict) else "0"
    return Questions(
        name=name,
        family=family,
        version=str(version),
        digest="",
        origin=f"lm-eval, data set {dataset}",
        definition=definition | {"dataset_path": str(folder)},
    )


def _sample(documents: list[Document], digest: str, ctx: RunContext) -> list[Document]:
    """Return as many items as asked for, in file order; which ones depends on data and seed alone."""
    limit = ctx.evaluation.limit
    if limit is None or limit >= len(documents):
        return documents
    chosen = random.Random(f"{ctx.seed} {digest}").sample(range(len(documents)), limit)  # noqa: S311 - a sample, not a secret
    return [documents[i] for i in sorted(chosen)]


def _lines(path: Path) -> Iterator[dict[str, JsonValue]]:
    """Yield the objects of a JSON Lines file, which may be compressed."""
    read = 0
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
        while line := stream.readline(_MOST_LINE):
            read += len(line)
            if read > _MOST_BYTES:
                raise ValueError(f"more than {_MOST_BYTES >> 20} MiB when unpacked")
            value = json.loads(line) if line.strip() else None
            if isinstance(value, dict):
                yield value
