"""``models.lock``: the models a repository deploys, pinned and approved; read, checked and written without network or weights.

An entry is a decision on one composition: it holds until a day, and only approvals are locked. Read by ``api.gate``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import tomlkit
from pydantic import ConfigDict, StringConstraints, ValidationError
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT

from governance.errors import SubjectError
from governance.subject import HUB_NAME, Composition, Noun, Subject
from governance.verdict import Decision, Scorecard

#: What the file is called unless a command says otherwise.
LOCK = "models.lock"
_MOST_BYTES = 1 << 20
_HEAD = re.compile(r"^\s*\[\[\s*model\s*\]\]")
Sha256 = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
#: References in files of a repository: ``hf://owner/name``, ``owner/name@revision``, and the first argument of a loader.
_REFERENCES = (
    re.compile(r"hf://(?P<name>[\w.-]+/[\w.-]+?)(?:[@:](?P<revision>[\w./-]+))?(?=[\s\"'`,)\]}]|$)"),
    re.compile(r"(?:from_pretrained|snapshot_download|load_adapter|repo_id\s*=)\s*\(?\s*[\"'](?P<name>[\w.-]+/[\w.-]+)[\"']"),
    re.compile(r"(?<![\w./@:-])(?P<name>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})(?![0-9a-f])"),
)


class Entry(Noun):
    """One approved composition.

    Attributes are the keys of a ``[[model]]`` table; ``expires`` is the last day on which it may be deployed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    commit: Commit | None = None
    base: str | None = None
    composition: Sha256
    policy: str
    run: str
    expires: date
    attestation: str | None = None

    @property
    def reference(self) -> str:
        """The adapter as a command takes it."""
        return f"{self.name}@{self.commit}" if self.commit else self.name


@dataclass(frozen=True)
class Line:
    """A locked model and the line its table begins on, counted from 1."""

    entry: Entry
    line: int


@dataclass(frozen=True)
class Problem:
    """Why a repository must not be deployed as it stands.

    Attributes:
        path: File, as given.
        line: Counted from 1.
        text: What is wrong and what to do.
    """

    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def read(path: Path) -> tuple[Line, ...]:
    """Return the models of a lock file with their lines.

    Args:
        path: A TOML file.

    Raises:
        SubjectError: It is missing, unreadable, empty or wrong; the message names the line.
    """
    text = _text(path)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SubjectError(f"{path} is no TOML: {error}", hint="curator lock writes it") from error
    lines = [number for number, line in enumerate(text.splitlines(), start=1) if _HEAD.match(line)]
    tables = document.get("model")
    if not isinstance(tables, list) or not tables or len(lines) != len(tables):
        raise SubjectError(f"{path} locks no model", hint="curator lock REF adds one; an empty lock never passes")
    found: list[Line] = []
    for table, line in zip(tables, lines, strict=True):
        try:
            found.append(Line(Entry.model_validate(table), line))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "model"
            raise SubjectError(f"{path}:{line}: {where}: {first['msg']}", hint="curator lock writes correct entries") from error
    names = [x.entry.reference for x in found]
    twice = next((x for i, x in enumerate(found) if x.entry.reference in names[:i]), None)
    if twice is not None:
        raise SubjectError(f"{path}:{twice.line}: {twice.entry.reference} is locked twice", hint="remove one of them")
    return tuple(found)


def entry_of(card: Scorecard, *, valid: timedelta) -> Entry:
    """Return the entry of an approved scorecard.

    Args:
        card: As recorded.
        valid: How long the decision holds, from the day it was made.

    Raises:
        SubjectError: The decision is not approve, or the adapter is held where nothing pins it.
    """
    verdict, composition = card.verdict, card.dossier.composition
    if verdict.decision is not Decision.APPROVE:
        raise SubjectError(
            f"{composition.adapter} is not approved but {verdict.decision.value}: only approvals can be locked",
            hint=f"curator policy explain {card.run_id}",
        )
    return Entry(
        name=composition.adapter.name,
        commit=composition.adapter.commit,
        base=_pinned(composition),
        composition=f"sha256:{composition.digest}",
        policy=f"{verdict.policy}@sha256:{verdict.policy_digest}",
        run=card.run_id,
        expires=(verdict.on + valid).date(),
    )


def _pinned(composition: Composition) -> str | None:
    base: Subject | None = composition.base
    return None if base is None else f"{base.name}@{base.commit}" if base.commit else base.name


def write(path: Path, entry: Entry) -> bool:
    """Put an entry into a lock file, in place of an older one of the same adapter; comments and order stay.

    Args:
        path: Made if it is missing.
        entry: From ``entry_of``.

    Returns:
        Whether an older entry was replaced.

    Raises:
        SubjectError: The file cannot be read or written.
    """
    try:
        document = tomlkit.parse(_text(path)) if path.exists() else tomlkit.document()
        tables = document.setdefault("model", tomlkit.aot())
        if not isinstance(tables, AoT):
            raise SubjectError(f"{path}: model is no list of tables", hint="curator lock writes [[model]] tables")
        table = tomlkit.table()
        for key, value in entry.model_dump(exclude_none=True).items():
            table.add(key, value)
        at = next((i for i, old in enumerate(tables) if old.get("name") == entry.name), None)
        if at is None:
            tables.append(table)
        else:
            tables[at] = table
        path.write_text(tomlkit.dumps(document), encoding="utf-8")
    except (OSError, TOMLKitError) as error:
        raise SubjectError(f"{path} cannot be written: {error}") from error
    return at is not None


def check(lock: Path, watched: Sequence[Path], *, today: date, ignored: Sequence[str] = ()) -> tuple[Problem, ...]:
    """Return why a repository must not be deployed: expired entries, and models in its files that are not pinned and locked.

    Args:
        lock: The lock file.
        watched: Files in which models are named; files that are no text are passed over.
        today: The day.
        ignored: Names that need no lock.

    Raises:
        SubjectError: The lock file cannot be used.
    """
    locked = {x.entry.name: x for x in read(lock)}
    found = [Problem(str(lock), x.line, _expired(x.entry)) for x in locked.values() if x.entry.expires < today]
    bases = {name: revision for x in locked.values() if x.entry.base for name, _, revision in [x.entry.base.partition("@")]}
    for path in watched:
        if path.resolve() != lock.resolve():
            found += _named_in(path, {n: x.entry for n, x in locked.items()}, bases, ignored)
    return tuple(found)


def _expired(entry: Entry) -> str:
    return f"{entry.reference} was approved until {entry.expires}: audit it again with curator lock {entry.name}"


def _named_in(path: Path, locked: Mapping[str, Entry], bases: Mapping[str, str], ignored: Sequence[str]) -> Iterator[Problem]:
    try:
        text = _text(path)
    except SubjectError:
        return
    for number, line in enumerate(text.splitlines(), start=1):
        seen: set[str] = set()
        for pattern in _REFERENCES:
            for match in pattern.finditer(line[:4096]):
                name, revision = match["name"], match.groupdict().get("revision")
                if name in seen or name in ignored or not HUB_NAME.match(name):
                    continue
                seen.add(name)
                wrong = _wrong(name, revision, locked, bases)
                if wrong:
                    yield Problem(str(path), number, wrong)


def _wrong(name: str, revision: str | None, locked: Mapping[str, Entry], bases: Mapping[str, str]) -> str | None:
    if name not in locked and name not in bases:
        return f"{name} is not in the lock: curator lock {name} audits and adds it"
    commit = locked[name].commit if name in locked else bases[name]
    if commit and revision is None:
        return f"{name} is named without its commit: write {name}@{commit}"
    if commit and revision != commit:
        return f"{name} is pinned to {revision}, approved is {commit}"
    return None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise SubjectError(f"{path} cannot be read: {error.strerror}", hint="curator lock REF makes it") from error
    if len(data) > _MOST_BYTES:
        raise SubjectError(f"{path} is larger than {_MOST_BYTES >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SubjectError(f"{path} is no UTF-8 text") from error
