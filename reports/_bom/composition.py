"""The parts around the models: which data sets, ancestors, tokenizer, libraries, devices and system belong to a composition.

Made from a ``Scorecard``; read by the bill-of-materials formats. A data set's facts come from a ``Component`` of type
``dataset`` (its properties ``description``, ``rows``, ``splits``, ``columns``, ``sources``) and from a pinned subject of the
same name in ``Composition.lineage``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from packageurl import PackageURL

from governance.evidence import Component
from governance.subject import COMMIT, HUB_NAME, Composition
from governance.verdict import Scorecard
from reports._bom import digests
from reports._bom.parts import OWN, LicensePart, Part, Parts, asked, describe, key_of, model_part, serial
from reports._render import words

_CONTENTS = ("rows", "splits", "columns", "sources", "size")


def parts(card: Scorecard) -> Parts:
    """Return the parts of a scorecard's composition.

    Args:
        card: A recorded scorecard; its strings may be hostile.
    """
    c, components = card.dossier.composition, card.dossier.components
    data = _Data(c, components)
    adapter = model_part("adapter", c.adapter, c.description, _of(components, "adapter"), describe(c), external=False)
    base = None
    if c.base is not None:
        words_of_ours = "Base model the adapter is applied to."
        base = model_part("base", c.base, c.base_description, _of(components, "base"), words_of_ours, external=True)
    return Parts(
        serial=serial(card),
        adapter=adapter,
        base=base,
        ancestors=tuple(_ancestors(c, components, data.names)),
        configurations=tuple(_configurations(c)),
        datasets=tuple(data.part(n) for n in data.names if n not in data.of_base),
        base_datasets=tuple(data.part(n) for n in data.names if n in data.of_base),
        libraries=tuple(_libraries(adapter, base, components)),
        devices=tuple(_devices(card, adapter, base)),
        system=_system(card),
    )


def _of(components: Iterable[Component], kind: str) -> Component | None:
    return next((c for c in components if c.type == kind), None)


class _Data:
    """Which data sets are named, by whom, and what is known of each."""

    def __init__(self, c: Composition, components: Sequence[Component]) -> None:
        listed = [x for x in components if x.type == "dataset"]
        own = dict.fromkeys(c.description.datasets)
        behind = c.base_description.datasets if c.base_description else ()
        self.names = list(dict.fromkeys([*own, *(x.name for x in listed), *behind]))
        self.of_base = ({x.name for x in listed if "base" in x.relation.split()} | set(behind)) - set(own)
        self._found = {x.name: x for x in listed}
        self._pinned = {s.name: s for s in c.lineage}

    def part(self, name: str) -> Part:
        """Return one data set."""
        found, pinned = self._found.get(name), self._pinned.get(name)
        hub = bool(HUB_NAME.match(name))
        group, _, last = name.rpartition("/") if hub else ("", "", name)
        version = next((v for v in (found and found.version, pinned and pinned.commit) if v and COMMIT.match(v)), "")
        hashes = digests.sha256_of((found.digest if found else None) or (digests.root_digest(pinned) if pinned else None))
        purl = (
            PackageURL("huggingface", group or None, last, version, {"repo_type": "dataset"}).to_string() if hub and version else ""
        )
        address = f"https://huggingface.co/datasets/{name}" if hub else ""
        known = found.properties if found else {}
        licenses = LicensePart(declared=pinned.license if pinned else None)
        if found:
            licenses = LicensePart(found.license_declared or licenses.declared, found.license_detected, found.license_concluded)
        said = known.get("description", "")
        return Part(
            ref=f"dataset-{key_of(name)}",
            kind="dataset",
            group=words.name(group),
            name=words.name(last) or "unnamed",
            version=version,
            purl=purl,
            url=f"{address}/tree/{version}" if address and version else address,
            description=words.visible(said or (found.relation if found and found.relation else "named as training data by a card")),
            composed=not said,
            external=True,
            hashes=hashes,
            measured=bool(pinned and digests.are_measured(pinned)),
            licenses=licenses,
            properties=tuple(_missing(hashes, version, purl, licenses, known)),
            contents=tuple((k, words.visible(known[k])) for k in _CONTENTS if known.get(k)),
            links=(("distribution", f"{address}/tree/{version}" if version else address),) if address else (),
        )


def _missing(
    hashes: digests.Hashes, version: str, purl: str, licenses: LicensePart, known: dict[str, str]
) -> Iterable[tuple[str, str]]:
    """Yield what is not known of a data set, and why."""
    absent = {
        "hashes": "" if hashes else "only named by a card, not fetched",
        "version": "" if version else "the card names no commit",
        "purl": "" if purl else "without a commit it would float",
        "licenses:declared": "" if licenses.declared else "its card was not read, or names none",
        "contents": "" if any(known.get(k) for k in _CONTENTS) else "neither rows nor columns were looked up",
    }
    for what, why in absent.items():
        if why:
            yield f"{OWN}absent:{what}", why


def _ancestors(c: Composition, components: Sequence[Component], data: Sequence[str]) -> Iterable[Part]:
    """Yield the pinned models behind the base, then those that are only named."""
    named = {x.name: x for x in components if x.type == "ancestor"}
    pinned = [s for s in c.lineage if s.name not in data and (c.base is None or s.name != c.base.name)]
    place = 0
    for place, subject in enumerate(pinned, 1):
        yield model_part(f"ancestor-{place}", subject, None, named.pop(subject.name, None), "Ancestor of the base.", external=True)
    for more, found in enumerate(named.values(), place + 1):
        yield _named(f"ancestor-{more}", found)


def _named(ref: str, found: Component) -> Part:
    """Return a model that was named and not fetched."""
    hub = bool(HUB_NAME.match(found.name))
    group, _, last = found.name.rpartition("/") if hub else ("", "", found.name)
    version = found.version if found.version and COMMIT.match(found.version) else ""
    hashes = digests.sha256_of(found.digest)
    absent = [] if version else [("version", "no commit is known"), ("purl", "without a commit it would float")]
    absent += [] if hashes else [("hashes", "only named, not fetched")]
    return Part(
        ref=ref,
        kind="model",
        group=words.name(group),
        name=words.name(last) or "unnamed",
        version=version,
        purl=PackageURL("huggingface", group or None, last, version).to_string() if hub and version else "",
        url=f"https://huggingface.co/{found.name}" if hub else "",
        description=words.visible(found.relation or "Ancestor of the base."),
        external=True,
        hashes=hashes,
        measured=False,
        licenses=LicensePart(found.license_declared, found.license_detected, found.license_concluded),
        properties=tuple((f"{OWN}absent:{what}", why) for what, why in absent),
        links=(("distribution", f"https://huggingface.co/{found.name}"),) if hub else (),
    )


def _configurations(c: Composition) -> Iterable[Part]:
    for ref, name, digest in (
        ("tokenizer", "tokenizer", c.tokenizer_digest),
        ("chat-template", "chat template", c.template_digest),
    ):
        if digest:
            hashes = digests.sha256_of(digest)
            said = "digest over the tokenizer's files" if ref == "tokenizer" else "digest of the template's text"
            about = (f"{OWN}hash:of", said) if hashes else (f"{OWN}absent:hashes", "what was reported is no digest")
            text = f"The {name} in effect: the adapter's own, else the base's."
            yield Part(ref, "configuration", name, hashes=hashes, description=text, properties=(about,))


def _libraries(adapter: Part, base: Part | None, components: Sequence[Component]) -> Iterable[Part]:
    """Yield libraries whose version a configuration states, and those a check names."""
    stated: dict[str, tuple[str, str]] = {}
    for part, key, name in ((adapter, "peft:peft_version", "peft"), (base, "config:transformers_version", "transformers")):
        for version in part.states(key)[:1] if part else []:
            stated[name] = (words.name(version), f"{part.ref if part else ''}: {key}")
    for c in components:
        if c.type == "library":
            stated.setdefault(words.name(c.name).lower(), (words.name(c.version or ""), words.visible(c.relation)))
    for library in adapter.states("library")[:1]:
        stated.setdefault(words.name(library).lower(), ("", "card: library_name"))
    for name, (version, source) in sorted(stated.items()):
        plain = name.replace("-", "").replace("_", "").replace(".", "").isalnum() and name.isascii()
        absent = () if version else ((f"{OWN}absent:version", "no configuration states one"),)
        yield Part(
            ref=f"library-{key_of(name)}",
            kind="library",
            name=name or "unnamed",
            version=version,
            purl=PackageURL("pypi", None, name, version or None).to_string() if plain and version else "",
            description=f"Library the files were made with, as they state ({source}).",
            properties=absent,
        )


def _devices(card: Scorecard, adapter: Part, base: Part | None) -> Iterable[Part]:
    """Yield the hardware a person or the adapter's card names; nothing is guessed."""
    answered = asked(card, "hardware")
    named = [answered] if answered else adapter.states("hardware")[:1]
    for name in named:
        source = "a person's answer" if answered else "the card"
        yield Part("device-1", "device", words.name(name), description=f"Hardware, as named by {source}.")


def _system(card: Scorecard) -> Part | None:
    name = asked(card, "system")
    if not name:
        return None
    version = asked(card, "system-version")
    absent = () if version else ((f"{OWN}absent:version", "no version of the system was named"),)
    text = "System the adapter is used in, as named by a person."
    return Part("system", "system", words.name(name), version=version, description=text, properties=absent)
