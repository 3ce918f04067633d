"""What goes into a bill of materials: a scorecard as parts with stable references, before any format's shape.

Made from a ``Scorecard``; read by ``reports._bom.splice``. References, serial number and order come from digests and the
run alone, so a second rendering is equal byte for byte. No path of the machine that ran the audit gets in.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from packageurl import PackageURL

from governance.evidence import Component
from governance.subject import COMMIT, HUB_NAME, Composition, FileEntry, SourceKind, Subject
from governance.verdict import Scorecard
from reports._render import words

#: Namespace of our serial numbers: UUID version 5 of a URN that is ours alone.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:model-curator:bom")
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
#: A child that read hostile bytes may give anything for a digest.
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
#: Prefix of every property this tool writes.
OWN = "modelcurator:"


@dataclass(frozen=True, slots=True)
class FilePart:
    """One file of a model, by name and digests."""

    ref: str
    name: str
    sha256: str
    sha512: str | None
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
    """One component. ``hashes`` are (algorithm, hexadecimal digits); ``absent`` says why something has no value."""

    ref: str
    kind: Literal["model", "dataset", "configuration"]
    name: str
    group: str = ""
    version: str = ""
    purl: str = ""
    url: str = ""
    description: str = ""
    external: bool = False
    hashes: tuple[tuple[str, str], ...] = ()
    licenses: LicensePart = LicensePart()
    files: tuple[FilePart, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything the composition is made of. The adapter is the root."""

    serial: uuid.UUID
    adapter: Part
    base: Part | None
    ancestors: tuple[Part, ...]
    configurations: tuple[Part, ...]
    datasets: tuple[Part, ...]
    base_datasets: tuple[Part, ...]


def parts(card: Scorecard) -> Parts:
    """Return the parts of a scorecard's composition.

    Args:
        card: A recorded scorecard; its strings may be hostile.
    """
    c, components = card.dossier.composition, card.dossier.components
    adapter = _model("adapter", c.adapter, _of(components, "adapter"), external=False, description=_describe(c))
    base = None
    if c.base is not None:
        base = _model("base", c.base, _of(components, "base"), external=True, description="Base model the adapter is applied to.")
    seen: dict[str, None] = dict.fromkeys(c.description.datasets)
    listed = [x for x in components if x.type == "dataset"]
    of_base = {x.name for x in listed if "base" in x.relation.split()} - set(seen)
    if c.base_description:
        of_base |= set(c.base_description.datasets) - set(seen)
    names = list(dict.fromkeys([*seen, *(x.name for x in listed), *(c.base_description.datasets if c.base_description else ())]))
    by_name = {x.name: x for x in listed}
    return Parts(
        serial=uuid.uuid5(_NAMESPACE, "|".join((c.adapter.digest, card.verdict.policy_digest, card.curator_version, card.run_id))),
        adapter=adapter,
        base=base,
        ancestors=tuple(
            _model(f"ancestor-{place}", s, None, external=True, description="Ancestor of the base.")
            for place, s in enumerate(c.lineage, 1)
        ),
        configurations=tuple(_configurations(c)),
        datasets=tuple(_dataset(n, by_name.get(n)) for n in names if n not in of_base),
        base_datasets=tuple(_dataset(n, by_name.get(n)) for n in names if n in of_base),
    )


def text_of(card: Scorecard, value: object) -> str:
    """Return text as shown, without the way to a local folder."""
    shown = str(value)
    for subject in card.dossier.composition.subjects():
        if subject.source is SourceKind.LOCAL and len(subject.name) > 1:
            shown = shown.replace(subject.name, PurePosixPath(subject.name).name)
    return words.visible(shown)


def _of(components: Iterable[Component], kind: str) -> Component | None:
    return next((c for c in components if c.type == kind), None)


def _model(ref: str, subject: Subject, found: Component | None, *, external: bool, description: str) -> Part:
    group, name = split_name(subject)
    hub = subject.source is SourceKind.HUB and bool(HUB_NAME.match(subject.name))
    pinned = subject.commit if subject.commit and COMMIT.match(subject.commit) else ""
    properties = [(f"{OWN}digest:oms-root-v1", f"sha256:{subject.digest}")]
    hashes, of = _hashes(subject)
    properties += [(f"{OWN}hash:of", of), (f"{OWN}hash:source", _digest_sources(subject))]
    if subject.created:
        properties.append((f"{OWN}timestamp:created", words.name(subject.created)))
    if not (hub and pinned):
        why = (
            "a local folder has no address" if subject.source is SourceKind.LOCAL else "the name or its commit is not one of a Hub"
        )
        properties.append((f"{OWN}absent:purl", why))
    if not pinned:
        properties.append((f"{OWN}absent:version", "no commit is known; the digest stands for the version"))
    if found and found.license_concluded is None:
        properties.append(
            (f"{OWN}absent:licenses:concluded", words.visible(found.properties.get("license-reason", "no check concluded one")))
        )
    return Part(
        ref=ref,
        kind="model",
        group=group,
        name=name,
        version=pinned,
        purl=PackageURL("huggingface", group or None, name, pinned).to_string() if hub and pinned else "",
        url=f"https://huggingface.co/{subject.name}/tree/{pinned}" if hub and pinned else "",
        description=description,
        external=external,
        hashes=hashes,
        licenses=LicensePart(found.license_declared, found.license_detected, found.license_concluded)
        if found
        else LicensePart(declared=subject.license),
        files=tuple(_file(ref, f) for f in sorted(subject.files, key=lambda f: f.path.split("/"))),
        properties=tuple(properties),
    )


def split_name(subject: Subject) -> tuple[str, str]:
    """Return group and name; a folder has no group and only its own last name."""
    if subject.source is SourceKind.LOCAL:
        return "", words.name(PurePosixPath(subject.name).name) or "unnamed folder"
    group, _, name = subject.name.rpartition("/")
    return words.name(group), words.name(name)


def _hashes(subject: Subject) -> tuple[tuple[tuple[str, str], ...], str]:
    """Return the model's digests and what they are of: the only weight file, else all files together."""
    weights = [f for f in subject.files if f.path.endswith(_WEIGHTS) and f.present]
    if len(weights) == 1:
        return _digests(weights[0].sha256, weights[0].sha512), words.name(weights[0].path)
    return (("SHA-256", subject.digest),), "oms-root-v1"


def _digests(sha256: str, sha512: str | None) -> tuple[tuple[str, str], ...]:
    return (("SHA-256", sha256), *((("SHA-512", sha512),) if sha512 else ()))


def _digest_sources(subject: Subject) -> str:
    return ", ".join(sorted({f.digest_source for f in subject.files})) or "no file"


def _file(owner: str, entry: FileEntry) -> FilePart:
    key = hashlib.sha256(entry.path.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return FilePart(f"{owner}/file-{key}", words.name(entry.path), entry.sha256, entry.sha512, entry.size, entry.digest_source)


def _describe(c: Composition) -> str:
    kind = words.name(c.description.peft_type or c.description.dialect or "") or "Adapter of unstated type"
    base = "/".join(filter(None, split_name(c.base))) if c.base else "a base that is not known"
    return f"{kind} adapter for {base}" if c.description.peft_type or c.description.dialect else f"{kind} for {base}"


def _configurations(c: Composition) -> Sequence[Part]:
    found = []
    for ref, name, digest in (
        ("tokenizer", "tokenizer", c.tokenizer_digest),
        ("chat-template", "chat template", c.template_digest),
    ):
        if digest:
            found.append(
                Part(
                    ref,
                    "configuration",
                    name,
                    hashes=_sound(digest),
                    description=f"The {name} in effect: the adapter's own, else the base's.",
                    properties=() if _sound(digest) else ((f"{OWN}absent:hashes", "what was reported is no digest"),),
                )
            )
    return found


def _sound(digest: str | None) -> tuple[tuple[str, str], ...]:
    return (("SHA-256", digest),) if digest and _DIGEST.match(digest) else ()


def _dataset(name: str, found: Component | None) -> Part:
    hub = bool(HUB_NAME.match(name))
    group, _, last = name.rpartition("/") if hub else ("", "", name)
    version = found.version if found and found.version and COMMIT.match(found.version) else ""
    key = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    hashes = _sound(found.digest if found else None)
    absent = [] if hashes else [(f"{OWN}absent:hashes", "only named by a card, not fetched")]
    if not version:
        absent.append((f"{OWN}absent:version", "the card names no commit"))
    purl = PackageURL("huggingface", group or None, last, version, {"repo_type": "dataset"}).to_string() if hub and version else ""
    if not purl:
        absent.append((f"{OWN}absent:purl", "without a commit it would float"))
    return Part(
        ref=f"dataset-{key}",
        kind="dataset",
        group=words.name(group),
        name=words.name(last),
        version=version,
        purl=purl,
        url=f"https://huggingface.co/datasets/{name}" if hub else "",
        description=words.visible(found.relation if found and found.relation else "named as training data by a card"),
        external=True,
        hashes=hashes,
        licenses=LicensePart(found.license_declared, found.license_detected, found.license_concluded) if found else LicensePart(),
        properties=tuple(absent),
    )
