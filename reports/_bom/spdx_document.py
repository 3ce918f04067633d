"""An SPDX 3.0.1 document: the same parts as JSON-LD, validated by the official model, then linted.

Made from a ``Scorecard``; read by ``reports.spdx``. SPDX has no provenance of fields and no room for reasons: both stand in a
properties extension of each package. Findings are annotations of type review. A risk assessment is never derived.

Source:
    SPDX 3.0.1, profiles Core, Software, AI, Dataset, SimpleLicensing, Extension.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime

from governance.errors import PluginError
from governance.verdict import Scorecard
from reports._bom import lint_spdx
from reports._bom.composition import parts
from reports._bom.model_card import model_card, model_card_of, remarks, vulnerabilities
from reports._bom.parts import OWN, FilePart, Part, Parts, asked
from reports._bom.spdx_licenses import NO_ASSERTION, license_elements
from reports._render import words

CONTEXT = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
_PROFILES = ("core", "software", "ai", "dataset", "simpleLicensing", "extension")
_INFO = "_:creationinfo"
_TYPES = {"model": "ai_AIPackage", "dataset": "dataset_DatasetPackage"}
_PURPOSES = {
    "model": "model", "dataset": "data", "configuration": "configuration", "library": "library", "device": "device",
    "system": "application",
}  # fmt: skip

Element = dict[str, object]


def render(card: Scorecard) -> bytes:
    """Return the bill of materials as UTF-8 JSON-LD.

    Args:
        card: A recorded scorecard; its strings may be hostile.

    Raises:
        PluginError: The document would not be valid; says where.
        PrerequisiteError: The official model is not installed.
    """
    document = _Writer(card).document()
    problems = [p for p in (*lint_spdx.against_model(document), *lint_spdx.lint(document)) if p.is_error]
    if problems:
        shown = "; ".join(str(p) for p in problems[:5])
        raise PluginError(f"the SPDX document has {len(problems)} faults: {shown}", hint="report this: it is a fault of ours")
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace") + b"\n"


class _Writer:
    """Collects the elements of one document, in order."""

    def __init__(self, card: Scorecard) -> None:
        self._card = card
        self._found: Parts = parts(card)
        self._space = f"urn:uuid:{self._found.serial}#"
        self._elements: list[Element] = []
        self._relations = 0

    def document(self) -> dict[str, object]:
        """Return the whole document."""
        found = self._found
        every = [*found.every(), *((found.system,) if found.system else ())]
        made_by = [
            self._agent(
                "author", asked(self._card, "supplier") or asked(self._card, "author") or "model curator (no author was named)"
            )
        ]
        tool = self._add("Tool", "tool", name=f"model-curator {self._card.curator_version}")
        for p in every:
            self._package(p)
        self._relate_all()
        for place, note in enumerate(self._notes(), 1):
            about = {"annotationType": "review", "subject": self._id(note[0]), "statement": note[1]}
            self._add("Annotation", f"annotation-{place}", **about)
        root = self._id((found.system or found.adapter).ref)
        listed = [e["spdxId"] for e in self._elements]
        bom = self._add("software_Sbom", "sbom", software_sbomType=["analyzed"], rootElement=[root], element=listed)
        info = {
            "type": "CreationInfo", "@id": _INFO, "specVersion": "3.0.1", "created": _time(self._card.created),
            "createdBy": made_by, "createdUsing": [tool],
        }  # fmt: skip
        name = f"AI bill of materials of {'/'.join(filter(None, (found.adapter.group, found.adapter.name)))}"
        head = self._element(
            "SpdxDocument", "document", name=name, profileConformance=list(_PROFILES), rootElement=[bom], element=[*listed, bom]
        )
        return {"@context": CONTEXT, "@graph": [info, head, *self._elements]}

    def _id(self, ref: str) -> str:
        return f"{self._space}{ref}"

    def _element(self, kind: str, ref: str, **fields: object) -> Element:
        known = {k: v for k, v in fields.items() if v not in ("", None, [], ())}
        return {"type": kind, "spdxId": self._id(ref), "creationInfo": _INFO, **known}

    def _add(self, kind: str, ref: str, **fields: object) -> str:
        self._elements.append(self._element(kind, ref, **fields))
        return self._id(ref)

    def _agent(self, ref: str, name: str) -> str:
        return self._add("Organization", f"agent-{ref}", name=name)

    def _package(self, p: Part) -> None:
        properties = [*p.properties, *_provenance(p)]
        supplier = self._agent(p.ref, p.group) if p.group else ""
        if not supplier:
            properties.append((f"{OWN}absent:suppliedBy", "no namespace names a publisher"))
        released = _parsed(p.created)
        if not released and p.kind in _TYPES:
            properties.append((f"{OWN}absent:releaseTime", "no time of publication is known"))
        if not p.url and p.kind in _TYPES:
            properties.append((f"{OWN}absent:downloadLocation", "the files were given as a folder, or only named"))
        fields: dict[str, object] = {
            "name": "/".join(filter(None, (p.group, p.name))),
            "description": p.description,
            "verifiedUsing": [_hash(a, h) for a, h in p.hashes],
            "externalIdentifier": [{"type": "ExternalIdentifier", "externalIdentifierType": "packageUrl", "identifier": p.purl}]
            if p.purl
            else [],
            "externalRef": [_link(kind, url) for kind, url in p.links if "://" in url],
            "suppliedBy": supplier,
            "originatedBy": [supplier] if supplier and p.kind == "dataset" else [],
            "releaseTime": released,
            "software_packageVersion": p.version,
            "software_packageUrl": p.purl,
            "software_downloadLocation": p.url,
            "software_primaryPurpose": _PURPOSES[p.kind],
            "extension": [_extension(properties)] if properties else [],
        }
        if p.kind == "model":
            fields |= self._ai(p)
        elif p.kind == "dataset":
            fields |= {"dataset_datasetType": ["noAssertion"]}
        self._add(_TYPES.get(p.kind, "software_Package"), p.ref, **fields)
        for f in p.files:
            self._file(f)
        self._licenses(p)

    def _file(self, f: FilePart) -> None:
        about = [(f"{OWN}size", str(f.size)), (f"{OWN}hash:source", f.source)]
        about += [] if f.hashes else [(f"{OWN}absent:hashes", "listed by the Hub, not fetched")]
        hashes = [_hash(a, h) for a, h in f.hashes]
        self._add("software_File", f.ref, name=f.name, verifiedUsing=hashes, extension=[_extension(about)])

    def _ai(self, p: Part) -> dict[str, object]:
        """Return the AI profile's fields: what was measured, and what the repository says."""
        adapter = p.ref == "adapter"
        data = self._found.base_datasets if p.ref == "base" else ()
        model = model_card(self._card, self._found) if adapter else model_card_of(p, data)
        measured = self._card.dossier.measurements if adapter else ()
        metrics = [
            (f"{words.name(m.metric)}/{words.name(m.scope)} [measured, n={m.n}]", f"{m.value:.10g}")
            for m in measured
            if math.isfinite(m.value)
        ]
        for text in p.states("metric"):
            kind, _, rest = text.partition(" | ")
            metrics.append((f"{words.name(kind)} [self-reported]", words.name(rest.rpartition(" | ")[2])))
        settings = [(s.key.partition(":")[2], words.visible(s.value)) for s in p.said if s.key.startswith(("peft:", "config:"))]
        considered = model.get("considerations")
        limits = considered.get("technicalLimitations", []) if isinstance(considered, dict) else []
        kinds = [*p.states("config:architectures"), *p.states("peft:peft_type")]
        if adapter and (form := self._card.dossier.composition.description.peft_type):
            kinds.append(f"{words.name(form)} adapter")
        return {
            "ai_typeOfModel": kinds,
            "ai_domain": p.states("task"),
            "ai_hyperparameter": [_entry(k, v) for k, v in _once(settings)],
            "ai_metric": [_entry(k, v) for k, v in _once(metrics)],
            "ai_limitation": "\n".join(str(t) for t in limits),
            "ai_informationAboutTraining": "\n".join(p.states("training")),
            "ai_informationAboutApplication": "\n".join(p.states("uses")),
            "ai_autonomyType": "noAssertion",
            "ai_useSensitivePersonalInformation": "noAssertion",
        }

    def _licenses(self, p: Part) -> None:
        for what, text in (("Declared", p.licenses.declared), ("Concluded", p.licenses.concluded)):
            if p.kind not in ("model", "dataset"):
                continue
            target = NO_ASSERTION
            if text and (made := license_elements(text, f"{p.ref}/license-{what.lower()}", self._id)):
                self._elements += [{**e, "creationInfo": _INFO} for e in made]
                target = str(made[-1]["spdxId"])
            self._relate(p.ref, f"has{what}License", [target])

    def _relate(self, ref: str, kind: str, to: Iterable[str], completeness: str = "") -> None:
        targets = list(to)
        if targets:
            self._relations += 1
            fields = {"from": self._id(ref), "relationshipType": kind, "to": targets, "completeness": completeness}
            self._add("Relationship", f"relation-{self._relations}", **fields)

    def _relate_all(self) -> None:
        found = self._found
        adapter = found.adapter.ref
        for p in (found.adapter, *((found.base,) if found.base else ()), *found.ancestors):
            self._relate(p.ref, "contains", (self._id(f.ref) for f in p.files), "complete")
        if found.system:
            self._relate(found.system.ref, "dependsOn", [self._id(adapter)], "incomplete")
        if found.base:
            base = found.base.ref
            self._relate(adapter, "descendantOf", [self._id(base)])
            self._relate(base, "descendantOf", (self._id(p.ref) for p in found.ancestors), "incomplete")
            self._relate(base, "trainedOn", (self._id(p.ref) for p in found.base_datasets), "incomplete")
        needs = (*((found.base,) if found.base else ()), *found.configurations, *found.libraries, *found.devices)
        self._relate(adapter, "dependsOn", (self._id(p.ref) for p in needs), "incomplete")
        self._relate(adapter, "trainedOn", (self._id(p.ref) for p in found.datasets), "incomplete")

    def _notes(self) -> Iterable[tuple[str, str]]:
        """Yield the verdict and every finding: what it speaks of, and what it says."""
        for note in remarks(self._card):
            subjects = note["subjects"]
            yield str(subjects[0]) if isinstance(subjects, list) else "adapter", str(note["text"])
        for weak in vulnerabilities(self._card):
            affects = weak["affects"]
            ref = affects[0].get("ref") if isinstance(affects, list) and isinstance(affects[0], dict) else "adapter"
            yield str(ref), f"{weak['id']}: {weak['description']}"


def _time(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _parsed(text: str) -> str:
    """Return a time the Hub told in SPDX's form, or nothing if it is none."""
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return ""
    return _time(when) if when.tzinfo else ""


def _hash(algorithm: str, digits: str) -> Element:
    return {"type": "Hash", "algorithm": algorithm.replace("-", "").lower(), "hashValue": digits}


def _link(kind: str, url: str) -> Element:
    known = {"vcs": "vcs", "license": "license", "model-card": "documentation", "distribution": "altDownloadLocation"}
    return {"type": "ExternalRef", "externalRefType": known.get(kind, "other"), "locator": [url]}


def _entry(key: str, value: str) -> Element:
    return {"type": "DictionaryEntry", "key": key, "value": value}


def _once(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return pairs with the first value of each key."""
    found: dict[str, str] = {}
    for key, value in pairs:
        if value:
            found.setdefault(key, value)
    return list(found.items())


def _extension(properties: Iterable[tuple[str, str]]) -> Element:
    entries = [
        {"type": "extension_CdxPropertyEntry", "extension_cdxPropName": k, "extension_cdxPropValue": v} for k, v in properties if v
    ]
    return {"type": "extension_CdxPropertiesExtension", "extension_cdxProperty": entries}


def _provenance(p: Part) -> Iterable[tuple[str, str]]:
    """Yield where each field of a package comes from; SPDX has no field for it."""
    at = f"{OWN}provenance:"
    if p.hashes:
        yield (
            f"{at}verifiedUsing",
            "measured: computed from the files" if p.measured else "declared: as the Hub or a card states it",
        )
    yield f"{at}description", "inferred: composed from what is known" if p.composed else "declared: first paragraph of its card"
    if p.kind == "model":
        yield f"{at}packageVersion", "measured: the repository as it was resolved and pinned"
        yield f"{at}metric", "measured or self-reported, as each key says"
        yield f"{at}hyperparameter", "declared: configurations of the repository"
        yield f"{at}hasDeclaredLicense", "declared: tag of the card or the Hub"
        yield f"{at}hasConcludedLicense", "inferred: from tag, texts and ancestors"
    if p.kind == "dataset":
        yield f"{at}name", "declared: as a card names it"
