"""Suites as data: which tasks make up which family, and which family is the domain of a composition.

A suite is ``evaluators/suites/<id>.yaml`` or a file of the user's own; a shipped task is ``evaluators/tasks/<id>.yaml``
beside its JSON Lines. What a suite does not say it takes over from the one it extends.
"""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, JsonValue, ValidationError, field_validator

from evaluators._items import catalog, templates
from evaluators._items.files import Source
from evaluators._items.kinds import shape
from governance.context import EvaluationSettings, RunContext
from governance.errors import PluginError, PrerequisiteError
from governance.subject import Composition, Noun

FOLDER = Path(__file__).resolve().parents[1]
#: The family that is always measured, whatever the domain.
GENERAL = "general"
_BUILTIN = "builtin"
_MOST_BYTES = 2**20


class LibraryTask(Noun):
    """A task of lm-eval, asked if its data set was fetched."""

    task: str
    shots: int | None = Field(default=None, ge=0, le=64, description="examples before each question; absent: the task's own")
    limit: int | None = Field(default=None, ge=1, description="most items")
    cluster: str | None = Field(default=None, description="field of its items that says which of them share text")


class Family(Noun):
    """Tasks that are pooled into one number."""

    tasks: tuple[str, ...] = Field(default=(), description="ids in evaluators/tasks")
    domains: tuple[str, ...] = Field(default=(), description="words a card may use for this domain")
    files: tuple[str, ...] = Field(default=(), description="patterns of names in a folder of data, and of lm-eval tasks")
    hub: tuple[LibraryTask, ...] = Field(default=(), description="tasks of lm-eval")
    data: tuple[Source, ...] = Field(default=(), description="files of items")
    shots: dict[str, int] = Field(default_factory=dict, description="examples before a question of a folder, by kind")
    limit: int | None = Field(default=None, ge=1, description="most items of one task")
    margin: float | None = Field(default=None, gt=0, lt=1, description="largest acceptable loss, where the policy names none")

    @field_validator("hub", mode="before")
    @classmethod
    def _names_are_tasks(cls, value: object) -> object:
        return [{"task": v} if isinstance(v, str) else v for v in value] if isinstance(value, list) else value


class Suite(Noun):
    """What is asked."""

    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)
    version: str = "1"
    summary: str = ""
    extends: str | None = Field(default=None, description="a shipped suite; its families stay where this one has none")
    default_domain: str = Field(default="", description="family of the domain; absent: the first that is not general")
    follows_card: bool = Field(default=False, description="whether the domain a card speaks of picks the family")
    seed: int | None = Field(default=None, description="of the order of items; absent: the installation's")
    families: dict[str, Family]

    def family_of(self, name: str) -> str:
        """Return the family a foreign file or task belongs to: the first whose pattern fits, else the general one."""
        for family, content in self.families.items():
            if any(fnmatch.fnmatchcase(name.lower(), pattern) for pattern in content.files):
                return family
        return GENERAL


def shipped() -> tuple[str, ...]:
    """Return the ids of the suites that come with the curator."""
    return tuple(sorted(p.stem for p in (FOLDER / "suites").glob("*.yaml")))


def load(wanted: str) -> Suite:
    """Return a suite.

    Args:
        wanted: Its id, ``auto`` for the built-in one, or the path of a file of one's own (.yaml, .yml).

    Raises:
        PrerequisiteError: There is no such suite, or a file of one's own is wrong; the message names the line.
        PluginError: A shipped file is wrong.
    """
    if _is_path(wanted):
        return _own(Path(wanted).expanduser())
    name = _BUILTIN if wanted == "auto" else wanted
    if name not in shipped():
        near = difflib.get_close_matches(name, shipped(), 1)
        meant = f"did you mean {near[0]}? " if near else ""
        hint = f"{meant}choose one of: auto, {', '.join(shipped())}, or a file of your own: ./my-suite.yaml"
        raise PrerequisiteError(f"there is no suite {wanted!r}", hint=hint)
    path = FOLDER / "suites" / f"{name}.yaml"
    try:
        return _suite(yaml.safe_load(path.read_text()), FOLDER / "tasks")
    except (ValidationError, yaml.YAMLError, ValueError) as error:
        raise PluginError(f"the suite {name} is wrong: {error}") from error


def choose(composition: Composition, ctx: RunContext) -> Suite:
    """Return the suite of an audit: the one that was asked for, else by the domain.

    With ``auto`` and a folder of data it is the shipped suite of the domain that the asker or the card names; without a folder
    the built-in one, which needs no network.

    Args:
        composition: Its card may speak of a domain.
        ctx: The settings, and the asker's intent.

    Raises:
        PrerequisiteError: See ``load``.
    """
    wanted = ctx.evaluation.suite
    if wanted != "auto" or ctx.evaluation.data is None:
        return load(wanted)
    builtin = load(_BUILTIN)
    family, unknown = domain(builtin, composition, ctx)
    said = (ctx.intent.domain or composition.description.domain) is not None and unknown is None
    return load(family) if said and family in shipped() else builtin


def domain(suite: Suite, composition: Composition, ctx: RunContext) -> tuple[str, str | None]:
    """Return the family to measure the fine-tune's own skill with.

    Args:
        suite: From ``load``.
        composition: Its card may speak of a domain.
        ctx: The asker's intent may name one, and wins.

    Returns:
        The family, and the domain that was spoken of but has no family here, if so.
    """
    said = ctx.intent.domain or (composition.description.domain if suite.follows_card else None)
    word = (said or GENERAL).strip().lower()
    if word == GENERAL:
        return suite.default_domain, None
    for name, family in suite.families.items():
        if name != GENERAL and word in (name, *family.domains):
            return name, None
    return suite.default_domain, said


def hub_tasks(evaluation: EvaluationSettings) -> tuple[str, ...]:
    """Return the lm-eval tasks whose data sets have to be fetched: those named, and those of the suite unless data are given.

    Args:
        evaluation: What is measured.

    Raises:
        PrerequisiteError: See ``load``.
    """
    named = list(evaluation.tasks)
    if evaluation.data is None and evaluation.suite != "auto":
        named += [t.task for family in load(evaluation.suite).families.values() for t in family.hub]
    return tuple(dict.fromkeys(named))


def readable(evaluation: EvaluationSettings) -> tuple[Path, ...]:
    """Return the files of a suite of the user's own, which a confined process has to be let read."""
    if not _is_path(evaluation.suite):
        return ()
    suite = load(evaluation.suite)
    named = [Path(n) for f in suite.families.values() for s in f.data for n in (s.file, s.examples) if n]
    return (Path(evaluation.suite).expanduser().resolve(), *(p for p in named if FOLDER not in p.parents))


def settled(evaluation: EvaluationSettings) -> EvaluationSettings:
    """Return the settings with a suite that was found and is right; a file of one's own by its whole path.

    Args:
        evaluation: What is to be measured, as it was asked for.

    Raises:
        PrerequisiteError: See ``load``.
    """
    load(evaluation.suite)
    if not _is_path(evaluation.suite):
        return evaluation
    return evaluation.model_copy(update={"suite": str(Path(evaluation.suite).expanduser().resolve())})


def _is_path(wanted: str) -> bool:
    return wanted.endswith((".yaml", ".yml")) or "/" in wanted


def _own(path: Path) -> Suite:
    where = f"the suite {path.name}"
    try:
        content = path.read_bytes() if path.stat().st_size <= _MOST_BYTES else None
    except OSError as error:
        raise PrerequisiteError(f"{where} cannot be read: {error.strerror}", hint=f"looked for {path}") from error
    if content is None:
        raise PrerequisiteError(f"{where} is larger than {_MOST_BYTES >> 20} MiB")
    try:
        text = content.decode()
        document, node = yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise PrerequisiteError(f"{where} is not UTF-8") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise PrerequisiteError(f"{where} is no YAML: {' '.join(str(error).split())[:300]}", hint="see docs/suites.md") from error

    def at(trail: Sequence[str | int]) -> str:
        return f"{where}, line {_line(node, trail)}"

    if not isinstance(document, dict) or not isinstance(document.get("families"), dict) or not document["families"]:
        raise PrerequisiteError(f"{where} names no families", hint="see docs/suites.md for one in ten lines")
    document = {"id": "own", "extends": _BUILTIN, "default_domain": _first(document["families"]), **document}
    try:
        suite = _suite(document, path.parent.resolve(), own=True)
    except ValidationError as error:
        first = error.errors()[0]
        trail = [p for p in first["loc"] if isinstance(p, (str, int))]
        name = ".".join(map(str, trail))
        raise PrerequisiteError(f"{at(trail)}: {name}: {first['msg']}", hint="see docs/suites.md") from error
    except (ValueError, PluginError) as error:
        raise PrerequisiteError(f"{where}: {error}", hint="see docs/suites.md") from error
    for name in document["families"]:
        for number, source in enumerate(suite.families[name].data):
            _assert_askable(source, at([*("families", name, "data", number)]))
        for number, task in enumerate(suite.families[name].hub):
            if catalog.find(task.task) is None:
                told = catalog.unknown(task.task)
                raise PrerequisiteError(f"{at(['families', name, 'hub', number])}: {told}", hint="see docs/suites.md")
    return suite


def _assert_askable(source: Source, where: str) -> None:
    """Raise if a file of one's own cannot be there, or is of no kind."""
    known = shape.known()
    if source.kind not in known:
        near = difflib.get_close_matches(source.kind, known, 1)
        raise PrerequisiteError(f"{where}: there is no kind {source.kind!r}", hint=f"choose one of: {', '.join(near or known)}")
    try:
        templates.fields(source.prompt)
    except ValueError as error:
        raise PrerequisiteError(f"{where}: {error}", hint="see docs/suites.md") from error
    for name in (source.file, source.examples):
        if name is not None and not Path(name).is_file():
            raise PrerequisiteError(f"{where}: there is no file {Path(name).name!r}", hint=f"looked for {name}")


def _suite(document: Any, root: Path, *, own: bool = False) -> Suite:
    """Return a checked suite on top of the one it extends; its files become whole paths."""
    said = Suite.model_validate(document)
    below = load(said.extends) if said.extends and said.extends in shipped() and said.extends != said.id else None
    if said.extends and below is None:
        raise ValueError(f"it extends {said.extends!r}, which is no other shipped suite; known are: {', '.join(shipped())}")
    merged = dict(below.families) if below else {}
    for name, family in said.families.items():
        update: dict[str, object] = {k: getattr(family, k) for k in family.model_fields_set}
        update["data"] = tuple(_rooted(s, root) for s in family.data)
        old = merged.get(name) if not own else None
        if old is not None and "data" not in family.model_fields_set:
            del update["data"]
        merged[name] = (old or Family()).model_copy(update=update)
    update = {k: getattr(said, k) for k in said.model_fields_set} | {"families": merged}
    suite = (below or said).model_copy(update=update | ({"follows_card": False} if own else {}))
    if suite.default_domain not in suite.families or GENERAL not in suite.families:
        raise ValueError(f"its default domain {suite.default_domain!r} or {GENERAL!r} is none of its families")
    return suite


def _rooted(source: Source, root: Path) -> Source:
    update = {"file": str((root / source.file).resolve())}
    if source.examples is not None:
        update["examples"] = str((root / source.examples).resolve())
    return source.model_copy(update=update)


def _first(families: Mapping[str, JsonValue]) -> str:
    return next((str(name) for name in families if name != GENERAL), GENERAL)


def _line(node: yaml.Node | None, trail: Sequence[str | int]) -> int:
    """Return the line of a place in a document, or of the nearest place around it that it has."""
    line = 1
    for step in trail:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(step)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line + 1
        else:
            break
    return line
