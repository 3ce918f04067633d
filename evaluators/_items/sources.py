"""Where questions come from: shipped files, files of a suite or a folder, and lm-eval's tasks with fetched data.

What cannot be asked is a ``Coverage`` with the reason, never left out in silence. Data files are data: no template, no code
and no path of theirs is followed outside their folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from evaluators._items import catalog, folder
from evaluators._items.files import DataError, Held
from evaluators._items.folder import Named
from evaluators._items.kinds import shape
from evaluators._items.suites import FOLDER, GENERAL, LibraryTask, Suite
from evaluators._items.tasks import Document, Questions
from governance.context import RunContext
from governance.errors import PluginError
from governance.evidence import Coverage, Outcome
from governance.subject import canonical_digest


class TextSet(NamedTuple):
    """Passages to read; how well they are predicted is what is measured."""

    name: str
    texts: list[str]
    digest: str


@dataclass(frozen=True)
class Material:
    """Items of a kind that is no skill.

    Attributes:
        name: Id of the task.
        family: The family they count for.
        version: Of the kind.
        digest: SHA-256 of the file.
        origin: For people.
        documents: At most as many as asked for.
        seed: Of the order of items; None: the run's.
    """

    name: str
    family: str
    version: str
    digest: str
    origin: str
    documents: list[Document]
    seed: int | None


def questions(suite: Suite, family: str, ctx: RunContext) -> Iterator[Questions | Coverage]:
    """Yield the tasks of one family, and what of it cannot be asked.

    Args:
        suite: Says which tasks, files and foreign names belong to the family.
        family: One of its families.
        ctx: Gives the folder, lm-eval names and fetched data of this run.

    Yields:
        Files or lm-eval tasks for the family take the place of the shipped ones.
    """
    foreign: list[Questions | Coverage] = []
    for named in (*folder.of_suite(suite, family), *folder.of_folder(ctx.evaluation.data)):
        if isinstance(named, Coverage):
            foreign += [named] if family == GENERAL else []
        elif named.family_in(suite) == family:
            foreign += _asked(named, suite, family, ctx)
    foreign += library(suite, family, ctx)
    yield from foreign
    if not any(isinstance(q, Questions) for q in foreign):
        for name in suite.families[family].tasks:
            yield shipped(name, family, ctx)


def of_kind(kind: str, suite: Suite, ctx: RunContext, *, each: str = "") -> Iterator[Material | Coverage]:
    """Yield the files of one kind that is no skill, of whatever family.

    Args:
        kind: Its name.
        suite: May name files of its own.
        ctx: Gives the folder of this run.
        each: Field whose values are limited one by one, as if each was a task.

    Yields:
        A folder with such files takes the place of the suite's own.
    """
    listed = [n for n in folder.of_folder(ctx.evaluation.data) if isinstance(n, Named) and not n.shows and n.source.kind == kind]
    own = [n for family in suite.families for n in folder.of_suite(suite, family) if n.source.kind == kind]
    for named in listed or own:
        family = named.family_in(suite)
        try:
            held = named.read()
        except DataError as error:
            yield Coverage(item=named.name, outcome=Outcome.SKIPPED, reason=str(error))
            continue
        yield from _left_out(named, held)
        yield Material(
            name=named.id if named.root is not None else Path(named.name).stem,
            family=family,
            version=shape.known()[kind].version,
            digest=held.digest,
            origin=_origin(named),
            documents=[d for part in _parts(held, each) for d in _few(part, named, suite, family, ctx)],
            seed=suite.seed,
        )


def texts(suite: Suite, ctx: RunContext) -> Iterator[TextSet]:
    """Yield the sets of passages that a folder or a suite brings, beside those that come with the curator.

    A file that cannot be read is told by ``questions`` of the family it belongs to.

    Args:
        suite: May name files of its own.
        ctx: Gives the folder of this run.
    """
    for found in of_kind("text", suite, ctx):
        if isinstance(found, Material):
            yield TextSet(found.name, [str(d["text"]) for d in found.documents], found.digest)


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
    content = (FOLDER / "tasks" / str(definition.pop("data"))).read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != definition.pop("sha256"):
        raise PluginError(f"the items of the shipped task {name} were changed", hint="install the curator again")
    return Questions(
        name=name,
        family=family,
        version=str(definition["metadata"]["version"]),
        digest=digest,
        origin="built-in",
        definition=definition,
        documents=sample([json.loads(line) for line in content.splitlines()], digest, ctx.evaluation.limit, ctx.seed),
        group="group",
    )


def sample(documents: Sequence[Document], digest: str, limit: int | None, seed: int) -> list[Document]:
    """Return as many items as asked for, in file order; which ones depends on data and seed alone.

    A smaller limit takes a part of what a larger one takes, so that a longer run begins with the rows of a shorter one.

    Args:
        documents: In file order.
        digest: Of the file.
        limit: Most items; None: all.
        seed: Of the choice.
    """
    if limit is None or limit >= len(documents):
        return list(documents)
    ranks = {i: hashlib.sha256(f"{seed} {digest} {i}".encode()).digest() for i in range(len(documents))}
    return [documents[i] for i in sorted(sorted(ranks, key=ranks.__getitem__)[:limit])]


def _asked(named: Named, suite: Suite, family: str, ctx: RunContext) -> Iterator[Questions | Coverage]:
    """Yield a file's questions, one task for each way to ask them, or why there are none."""
    if named.shows:
        yield Coverage(item=named.name, outcome=Outcome.NOT_APPLICABLE, reason="examples for prompts, no questions")
        return
    wanted = named.source.shots
    shots = suite.families[family].shots.get(named.source.kind, 0) if wanted is None else wanted
    try:
        held, solved = named.read(), named.solved(shots)
    except DataError as error:
        yield Coverage(item=named.name, outcome=Outcome.SKIPPED, reason=str(error))
        return
    kind = shape.known()[named.source.kind]
    if not kind.ways:
        yield Coverage(item=named.name, outcome=Outcome.NOT_APPLICABLE, reason=kind.elsewhere)
        return
    if wanted and (solved is None or len(solved.documents) < wanted):
        have = len(solved.documents) if solved else 0
        reason = f"{wanted} examples are to stand before each question, and there are {have}: name a file of them with 'examples'"
        yield Coverage(item=named.name, outcome=Outcome.SKIPPED, reason=reason)
        return
    yield from _left_out(named, held)
    for way in kind.ways:
        yield Questions(
            name="-".join(filter(None, (named.id, way.suffix))),
            family=family,
            version=kind.version,
            digest=_digest(held, named, solved),
            origin=_origin(named),
            definition=way.definition,
            documents=_few(held, named, suite, family, ctx),
            group="group" if named.source.group or kind.clustered else None,
            score=way.score,
            examples=solved.documents if solved else (),
            shots=len(solved.documents) if solved else 0,
            pooled=way.pooled,
            seed=suite.seed,
        )


def _parts(held: Held, each: str) -> list[Held]:
    values = dict.fromkeys(str(d.get(each)) for d in held.documents)
    return [replace(held, documents=[d for d in held.documents if str(d.get(each)) == v]) for v in values]


def _digest(held: Held, named: Named, solved: Held | None) -> str:
    """Return a digest of the data and of what else makes prompts of them."""
    how = named.source.model_dump(include={"fields", "prompt", "answers", "tolerance", "group"}, exclude_defaults=True)
    if not how and solved is None:
        return held.digest
    return canonical_digest([held.digest, how, [solved.digest, len(solved.documents)] if solved else None])


def _few(held: Held, named: Named, suite: Suite, family: str, ctx: RunContext) -> list[Document]:
    limit = _least(ctx.evaluation.limit, named.source.limit, suite.families[family].limit)
    return sample(held.documents, held.digest, limit, ctx.seed if suite.seed is None else suite.seed)


def _least(*limits: int | None) -> int | None:
    return min((n for n in limits if n is not None), default=None)


def _left_out(named: Named, held: Held) -> Iterator[Coverage]:
    for said in held.left_out:
        yield Coverage(item=f"{named.name}: {said}", outcome=Outcome.NOT_APPLICABLE, reason="not asked, by the rules for data")


def _origin(named: Named) -> str:
    where = "folder" if named.root is not None else "built-in" if FOLDER in Path(named.source.file).parents else "suite"
    return where if where == "built-in" else f"{where} file {named.name}"


def library(suite: Suite, family: str, ctx: RunContext) -> Iterator[Questions | Coverage]:
    """Yield lm-eval tasks: those that were named, and those of the suite where no folder takes their place.

    Args:
        suite: Says which belong to the family.
        family: One of its families.
        ctx: Gives names and fetched data.
    """
    own = {t.task: t for t in suite.families[family].hub} if ctx.evaluation.data is None else {}
    for name in ctx.evaluation.tasks:
        if name not in own and catalog.find(name) is None:
            if family == GENERAL:
                yield Coverage(item=name, outcome=Outcome.SKIPPED, reason=catalog.unknown(name))
        elif name not in own and suite.family_of(name) == family:
            yield _library_task(LibraryTask(task=name), suite, family, ctx)
    for task in own.values():
        yield _library_task(task, suite, family, ctx)


def _library_task(task: LibraryTask, suite: Suite, family: str, ctx: RunContext) -> Questions | Coverage:
    from lm_eval.tasks._yaml_loader import load_yaml

    name, path = task.task, catalog.find(task.task)
    if path is None:
        return Coverage(item=name, outcome=Outcome.SKIPPED, reason=catalog.unknown(name))
    plain = catalog.read(path)
    dataset = str(plain.get("dataset_path", ""))
    fetched = ctx.evaluation.task_data.get(dataset)
    if plain.get("unsafe_code") or "class" in plain:
        return Coverage(item=name, outcome=Outcome.SKIPPED, reason="the task runs code that a model wrote; code execution is off")
    if fetched is None:
        return Coverage(item=name, outcome=Outcome.SKIPPED, reason=f"its data set {dataset or '(none)'} was not fetched")
    definition = {k: v for k, v in load_yaml(path).items() if k not in ("tag", "group", "task_list")}
    version = definition.get("metadata", {}).get("version", "0") if isinstance(definition.get("metadata"), dict) else "0"
    if task.shots is not None:
        definition["num_fewshot"] = task.shots
    return Questions(
        name=name,
        family=family,
        version=str(version),
        digest="",
        origin=f"lm-eval, data set {dataset}",
        definition=definition | {"dataset_path": str(fetched)},
        group=task.cluster,
        shots=int(definition.get("num_fewshot") or 0),
        limit=_least(ctx.evaluation.limit, task.limit, suite.families[family].limit),
        seed=suite.seed,
    )
