"""What goes into a bill of materials: a scorecard as parts with stable references, before any format's shape.

Made from a ``Scorecard``; read by ``reports._bom.splice`` and ``reports._bom.spdx``. References, serial number and order come
from digests and the run alone, so a second rendering is equal byte for byte. No path of the machine that ran the audit gets in.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from packageurl import PackageURL

from governance.evidence import Component
from governance.subject import COMMIT, HUB_NAME, Composition, Description, FileEntry, SourceKind, Statement, Subject
from governance.verdict import Scorecard
from reports._bom import digests
from reports._render import words

#: Namespace of our serial numbers: UUID version 5 of a URN that is ours alone.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:model-curator:bom")
#: Prefix of every property this tool writes.
OWN = "modelcurator:"
#: Prefix of settings a person answered for the bill of materials; ``curator bom`` writes them into the card it renders.
ASKED = "bom:"
Kind = Literal["model", "dataset", "configuration", "library", "device", "system"]


@dataclass(frozen=True, slots=True)
class FilePart:
    """One file of a model, by name and digests."""

    ref: str
    name: str
    hashes: digests.Hashes
    size: int
    source: str


@dataclass(frozen=True, slots=True)
class LicensePart:
    """License texts by how they are known; None where nothing is."""

    declared: str | None = None
    detected: str | None = None
    concluded: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One component.

    Attributes:
        hashes: (algorithm, hexadecimal digits).
        measured: Whether the hashes were computed from bytes here.
        composed: Whether the description is ours and not the author's.
        said: What its card and configurations say.
        links: (type of external reference, address).
        contents: Properties of a data set: rows, splits, columns.
    """

    ref: str
    kind: Kind
    name: str
    group: str = ""
    version: str = ""
    purl: str = ""
    url: str = ""
    description: str = ""
    composed: bool = True
    external: bool = False
    hashes: digests.Hashes = ()
    measured: bool = True
    licenses: LicensePart = LicensePart()
    files: tuple[FilePart, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()
    said: tuple[Statement, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    contents: tuple[tuple[str, str], ...] = ()
    created: str = ""

    def states(self, key: str) -> list[str]:
        """Return every value its own words give for a key, shown harmlessly."""
        return [words.visible(s.value) for s in self.said if s.key == key]


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything the composition is made of. The adapter is the root, or the system that was named."""

    serial: uuid.UUID
    adapter: Part
    base: Part | None
    ancestors: tuple[Part, ...]
    configurations: tuple[Part, ...]
    datasets: tuple[Part, ...]
    base_datasets: tuple[Part, ...]
    libraries: tuple[Part, ...] = ()
    devices: tuple[Part, ...] = ()
    system: Part | None = None

    def every(self) -> Iterable[Part]:
        """Yield each part once, the adapter first, a system excepted."""
        yield self.adapter
        if self.base:
            yield self.base
        yield from (*self.ancestors, *self.configurations, *self.datasets, *self.base_datasets, *self.libraries, *self.devices)


def asked(card: Scorecard, key: str) -> str:
    """Return what a person answered for the bill of materials, or nothing."""
    return words.visible(card.settings.get(ASKED + key, ""))


def key_of(text: str) -> str:
    """Return a short reference for any text, the same each time."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def serial(card: Scorecard) -> uuid.UUID:
    """Return the serial number: of what was audited, by what, in which run, with which answers."""
    answers = [f"{k}={v}" for k, v in sorted(card.settings.items()) if k.startswith(ASKED)]
    named = (card.dossier.composition.adapter.digest, card.verdict.policy_digest, card.curator_version, card.run_id, *answers)
    return uuid.uuid5(_NAMESPACE, "|".join(named).encode("utf-8", "replace").decode())


def text_of(card: Scorecard, value: object) -> str:
    """Return text as shown, without the way to a local folder."""
    shown = str(value)
    for subject in card.dossier.composition.subjects():
        if subject.source is SourceKind.LOCAL and len(subject.name) > 1:
            shown = shown.replace(subject.name, PurePosixPath(subject.name).name)
    return words.visible(shown)


def model_part(
    ref: str, subject: Subject, said: Description | None, found: Component | None, describe: str, *, external: bool
) -> Part:
    """Return a repository of a model as a part.

    Args:
        ref: Its reference in the document.
        subject: The pinned repository.
        said: What it says of itself, if it was read.
        found: What a check concluded of its licenses.
        describe: A description of ours, for a card without one.
        external: Whether it comes with the composition or is only referred to.
    """
    group, name = split_name(subject)
    hub = subject.source is SourceKind.HUB and bool(HUB_NAME.match(subject.name))
    pinned = subject.commit if subject.commit and COMMIT.match(subject.commit) else ""
    address = f"https://huggingface.co/{subject.name}" if hub and pinned else ""
    root = digests.root_digest(subject)
    hashes, of = digests.of_model(subject)
    statements = said.statements if said else ()
    own_words = next((words.visible(s.value) for s in statements if s.key == "description"), "")
    licenses = LicensePart(declared=subject.license)
    if found:
        licenses = LicensePart(found.license_declared, found.license_detected, found.license_concluded)
    properties = [(f"{OWN}digest:{digests.ROOT}", f"sha256:{root}")] if root else []
    properties += [(f"{OWN}hash:of", words.name(of)), (f"{OWN}hash:source", digests.origins(subject))]
    properties += [(f"{OWN}timestamp:created", words.name(subject.created))] if subject.created else []
    properties += _openness(subject, said)
    absent = _absent(subject, found, hashes, licenses, named=bool(hub and pinned), root=root)
    version = pinned or (f"sha256:{root}" if root else "")
    return Part(
        ref=ref,
        kind="model",
        group=group,
        name=name,
        version=version,
        purl=PackageURL("huggingface", group or None, name, pinned).to_string() if address else "",
        url=f"{address}/tree/{pinned}" if address else "",
        description=own_words or describe,
        composed=not own_words,
        external=external,
        hashes=hashes,
        measured=digests.are_measured(subject),
        licenses=licenses,
        files=tuple(_file(ref, f) for f in digests.in_path_order(subject)),
        properties=(*properties, *((f"{OWN}absent:{what}", words.visible(why)) for what, why in absent)),
        said=statements,
        links=tuple(_links(subject, address, pinned)),
        created=subject.created or "",
    )


def _absent(
    subject: Subject, found: Component | None, hashes: digests.Hashes, licenses: LicensePart, *, named: bool, root: str
) -> Iterable[tuple[str, str]]:
    """Yield what has no value, and why."""
    local = subject.source is SourceKind.LOCAL
    if not named:
        yield "purl", "a local folder has no address" if local else "the name or its commit is not one of a Hub"
    if not (named or root):
        yield "version", "no commit is known, and not every file has a digest"
    elif not named:
        yield "commit", "no commit is known; the digest of all files is the version"
    if not hashes:
        yield "hashes", "no weights were fetched, and not every file has a digest"
    if not subject.created:
        yield "timestamp:created", "a folder does not say when it was published" if local else "the Hub told no time of the commit"
    if not licenses.declared:
        yield "licenses:declared", "neither card nor Hub names one"
    if not licenses.concluded:
        yield "licenses:concluded", (found.properties.get("license-reason") if found else "") or "no check concluded one"


def _openness(subject: Subject, said: Description | None) -> Iterable[tuple[str, str]]:
    """Yield what of the model is open to look at, as far as its files and its card show."""
    names = {f.path for f in subject.files}
    weights = any(n.endswith((".safetensors", ".gguf", ".bin", ".pt", ".pth")) for n in names)
    yield f"{OWN}openness:weights", "files are in the repository" if weights else "no weight file is in the repository"
    architecture = bool({"config.json", "adapter_config.json"} & {n.rpartition("/")[2] for n in names})
    yield (
        f"{OWN}openness:architecture",
        "configuration is in the repository" if architecture else "no configuration is in the repository",
    )
    if said is not None:
        training = any(s.key == "training" for s in said.statements)
        yield f"{OWN}openness:data", "data sets are named" if said.datasets else "no data set is named"
        yield f"{OWN}openness:training", "the card describes it" if training else "the card does not describe it"


def _links(subject: Subject, address: str, pinned: str) -> Iterable[tuple[str, str]]:
    """Yield addresses at the commit; of a folder, places inside it."""
    if address:
        yield "distribution", f"{address}/tree/{pinned}"
        yield "vcs", address
    inside = f"{address}/blob/{pinned}/" if address else ""
    for name, kind in (("README.md", "model-card"), ("LICENSE", "license"), ("LICENSE.txt", "license"), ("LICENSE.md", "license")):
        if subject.file(name):
            yield kind, inside + name


def split_name(subject: Subject) -> tuple[str, str]:
    """Return group and name; a folder has no group and only its own last name."""
    if subject.source is SourceKind.LOCAL:
        return "", words.name(PurePosixPath(subject.name).name) or "unnamed folder"
    group, _, name = subject.name.rpartition("/")
    return words.name(group), words.name(name)


def _file(owner: str, entry: FileEntry) -> FilePart:
    name = words.name(entry.path)
    return FilePart(f"{owner}/file-{key_of(entry.path)}", name, digests.of_file(entry), entry.size, entry.digest_source)


def describe(c: Composition) -> str:
    """Return one sentence on an adapter whose card has none."""
    kind = words.name(c.description.peft_type or c.description.dialect or "") or "Adapter of unstated type"
    base = "/".join(filter(None, split_name(c.base))) if c.base else "a base that is not known"
    return f"{kind} adapter for {base}" if c.description.peft_type or c.description.dialect else f"{kind} for {base}"
