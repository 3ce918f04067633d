"""What an audit is about: references as asked, and the pinned things they became.

Made by ``governance.hub`` (sources) from what the inspection child describes; read by every plug-in, policy and report.
A reference may float; a ``Subject`` never does. The unit of audit is the ``Composition``, and all evidence is bound to
its digest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field, model_validator

COMMIT = re.compile(r"[0-9a-f]{40}\Z")
#: A repository on a Hub: ``owner/name``, or a bare legacy name such as ``gpt2``.
HUB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?\Z")


class Noun(BaseModel):
    """A frozen value; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Derived(Noun):
    """A noun that writes computed fields into its JSON; read back, they are computed again, never believed."""

    @model_validator(mode="before")
    @classmethod
    def _without_computed(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {k: v for k, v in value.items() if k not in cls.model_computed_fields}


def canonical_digest(value: object) -> str:
    """Return the SHA-256 of ``value`` as canonical JSON (sorted keys, no blanks, UTF-8).

    Args:
        value: Anything ``json.dumps`` takes.

    Returns:
        64 lower-case hexadecimal digits.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class SourceKind(StrEnum):
    """Where a subject comes from."""

    HUB = "hub"
    LOCAL = "local"


class ArtifactRef(Noun):
    """What was asked for: a repository on a Hub or a folder; the revision may be a branch."""

    source: SourceKind
    name: str = Field(description="owner/name on a Hub, or the path of a folder")
    revision: str | None = Field(default=None, description="branch, tag or commit; None is the default branch")

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}" if self.revision else self.name


class Quantization(StrEnum):
    """How the base is loaded for measuring."""

    NF4 = "nf4"


class CompositionRef(Noun):
    """One request: an adapter, optionally the base to hold it against."""

    adapter: ArtifactRef
    base: ArtifactRef | None = Field(default=None, description="None: as the adapter names it")
    quantization: Quantization = Quantization.NF4


class FileEntry(Noun):
    """One file of a pinned repository."""

    path: str = Field(description="POSIX, relative to the repository")
    size: int = Field(ge=0, description="bytes")
    sha256: str = Field(description="64 hexadecimal digits; empty where digest_source is none")
    sha512: str | None = None
    digest_source: Literal["computed", "hub-lfs-oid", "none"] = "computed"
    present: bool = Field(default=True, description="False: listed by the Hub, and its bytes cannot be read here")
    link: str | None = Field(default=None, description="target of a symbolic link that was followed inside the repository")


class Held(StrEnum):
    """Where a subject's bytes are read from."""

    STORE = "store"
    FOLDER = "folder"
    RANGES = "ranges"


_indexes: list[tuple[tuple[FileEntry, ...], dict[str, FileEntry]]] = []


def _by_path(files: tuple[FileEntry, ...]) -> dict[str, FileEntry]:
    """Return an index of a tuple of files, kept for the last few tuples asked about; the first of two equal paths counts."""
    for known, index in _indexes:
        if known is files:
            return index
    made = {f.path: f for f in reversed(files)}
    _indexes.insert(0, (files, made))
    del _indexes[4:]
    return made


class Subject(_Derived):
    """One repository, pinned. Its digest covers every file's path and SHA-256."""

    source: SourceKind
    name: str
    held: Held = Field(
        default=Held.STORE,
        description="store: verified copies; folder: read where they lie; ranges: asked of a Hub piece by piece, never approved",
    )
    commit: str | None = Field(default=None, description="40 hexadecimal digits; None for a folder")
    requested_revision: str | None = None
    files: tuple[FileEntry, ...] = ()
    refused: tuple[tuple[str, str], ...] = Field(default=(), description="(name, reason) of entries that were not taken in")
    owner_id: str | None = Field(default=None, description="the Hub's id of the owner, to notice a re-used name")
    repository_id: str | None = None
    license: str | None = Field(default=None, description="license tag the Hub reports")
    created: str | None = Field(default=None, description="ISO 8601 time of the pinned commit, if the Hub told")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def digest(self) -> str:
        """SHA-256 over path and content of every file, in path order."""
        return canonical_digest(sorted((f.path, f.sha256) for f in self.files))

    def file(self, path: str) -> FileEntry | None:
        """Return the entry at ``path``, or None."""
        return _by_path(self.files).get(path)

    def __str__(self) -> str:
        return f"{self.name}@{self.commit[:12]}" if self.commit else self.name


class BaseClaim(Noun):
    """One place that names the base model."""

    by: Literal["request", "adapter-config", "card", "hub"]
    name: str
    revision: str | None = None
    where: str = Field(default="", description="file and key")


class ParentClaim(Noun):
    """One place that names something a model was made from: a base, a data set, a teacher."""

    kind: Literal["base", "dataset", "teacher"]
    name: str
    revision: str | None = None
    where: str = Field(default="", description="file and key")
    evidence: Literal["declared", "inferred"] = "declared"


class Ancestor(Noun):
    """One parent of a part of the lineage: reached, and then among ``Composition.lineage``, or not, and why."""

    kind: Literal["base", "dataset", "teacher"]
    child: str = Field(description="name of the subject that was made from it")
    name: str
    commit: str | None = Field(default=None, description="the commit it was read at; None if it was not reached")
    where: str = ""
    evidence: Literal["declared", "inferred"] = "declared"
    reason: str = Field(default="", description="why it was not reached")


class Statement(Noun):
    """One thing a repository says of itself beyond what acquiring it needs, for the bill of materials. A claim, not a fact."""

    key: str = Field(description="what it speaks of: task, description, peft:r, config:model_type, metric …")
    value: str
    where: str = Field(default="", description="file and key or heading")


class Description(Noun):
    """What the inspection child read about a repository so that the rest can be acquired. Claims, not facts."""

    kind: Literal["adapter", "model", "unknown"] = "unknown"
    dialect: str = Field(default="", description="peft, mlx, adapterhub, … as recognised by its files")
    peft_type: str | None = None
    claims: tuple[BaseClaim, ...] = ()
    license: str | None = None
    license_name: str | None = None
    license_link: str | None = None
    licenses: tuple[str, ...] = Field(default=(), description="every license the card lists, in all its front matters")
    datasets: tuple[str, ...] = ()
    parents: tuple[ParentClaim, ...] = Field(default=(), description="from card, configurations and training records")
    domain: str | None = Field(default=None, description="domain the card speaks of, e.g. medical")
    tokenizer_files: tuple[str, ...] = ()
    chat_template: str | None = Field(default=None, description="SHA-256 of the chat template's text")
    problems: tuple[str, ...] = Field(default=(), description="why something could not be read")
    statements: tuple[Statement, ...] = Field(default=(), description="what the card and the configurations say, one by one")


class Composition(_Derived):
    """The unit of audit: what would be deployed together."""

    adapter: Subject
    base: Subject | None = None
    base_reason: str = Field(default="", description="why there is no base, if there is none")
    description: Description = Description()
    base_description: Description | None = None
    quantization: Quantization = Quantization.NF4
    lineage: tuple[Subject, ...] = Field(default=(), description="cards and license texts of further ancestors and data sets")
    ancestry: tuple[Ancestor, ...] = Field(default=(), description="every parent that is named anywhere in the lineage")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def tokenizer_digest(self) -> str | None:
        """Digest over the tokenizer's files; the adapter's own win over the base's. None: neither ships one."""
        for subject, said in ((self.adapter, self.description), (self.base, self.base_description)):
            if subject is not None and said is not None and said.tokenizer_files:
                pairs = [(p, f.sha256) for p in said.tokenizer_files if (f := subject.file(p)) is not None]
                if pairs:
                    return canonical_digest(sorted(pairs))
        return None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def template_digest(self) -> str | None:
        """SHA-256 of the chat template's text; the adapter's own wins over the base's. None: neither has one."""
        if self.description.chat_template:
            return self.description.chat_template
        return self.base_description.chat_template if self.base_description else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def digest(self) -> str:
        """Identity of the composition: adapter, base, tokenizer, chat template, quantization."""
        base = self.base.digest if self.base else None
        return canonical_digest([self.adapter.digest, base, self.tokenizer_digest, self.template_digest, str(self.quantization)])

    def reached(self, kind: Literal["base", "dataset", "teacher"]) -> tuple[Subject, ...]:
        """Return the parts of the lineage that were reached and are one kind of parent; the base itself is not among them."""
        named = {(e.name.lower(), e.commit) for e in self.ancestry if e.kind == kind and not e.reason}
        return tuple(s for s in self.lineage if (s.name.lower(), s.commit) in named)

    def subjects(self) -> Iterable[Subject]:
        """Yield adapter, then base, then further ancestors."""
        yield self.adapter
        if self.base is not None:
            yield self.base
        yield from self.lineage
