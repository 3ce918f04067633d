"""Where each field of a finished CycloneDX document comes from: measured, declared or inferred, and by what.

Made after everything else is spliced in; read by ``reports._bom.splice``, which writes the groups as citations (1.7) or as
properties (1.6). What is absent has no pointer: a property of its component says why.

Source:
    CycloneDX 1.7 (ECMA-424), "Citations"; RFC 6901.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from reports._bom.parts import OWN, Part, Parts

Provenance = Literal["measured", "declared", "inferred"]
#: Fields of a component that identify it by themselves.
_UNCITED = frozenset({"type", "bom-ref", "properties"})
#: Where the values of a model card come from; measured numbers are told from reported ones by their slice.
_CARD: Mapping[str, tuple[Provenance, str]] = {
    "approach": ("declared", "tags of the model card"),
    "datasets": ("declared", "model card, datasets"),
    "architectureFamily": ("declared", "config.json of the base, model_type"),
    "modelArchitecture": ("declared", "config.json of the base, architectures"),
    "inputs": ("inferred", "from the architecture and task in the configurations"),
    "outputs": ("inferred", "from the architecture and task in the configurations"),
}


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """Fields of one provenance, source and speaker."""

    provenance: Provenance
    note: str
    speaker: str
    pointers: tuple[str, ...]


def groups(document: Mapping[str, object], found: Parts, *, tool: str) -> tuple[Group, ...]:
    """Return every field of models, data and metrics by where it comes from, in a fixed order.

    Args:
        document: Everything already spliced in; pointers are of its final shape.
        found: What the document was made from.
        tool: Reference of the tool, which speaks for what was measured or inferred.
    """
    by_ref = {p.ref: p for p in (*found.every(), *((found.system,) if found.system else ()))}
    gathered: dict[tuple[Provenance, str, str], list[str]] = {}
    for where, component in _placed(document):
        part = by_ref.get(str(component.get("bom-ref")))
        if part is None:
            continue
        for pointer, kind, note in _fields(where, component, part):
            speaker = part.ref if kind == "declared" else tool
            gathered.setdefault((kind, note, speaker), []).append(pointer)
    for key in ("vulnerabilities", "annotations"):
        if document.get(key):
            gathered.setdefault(("measured", "findings of this audit's checks", tool), []).append(f"/{key}")
    return tuple(sorted(Group(kind, f"{kind}: {note}", who, tuple(p)) for (kind, note, who), p in gathered.items()))


def _placed(document: Mapping[str, object]) -> Iterator[tuple[str, Mapping[str, object]]]:
    metadata, listed = document.get("metadata"), document.get("components")
    root = metadata.get("component") if isinstance(metadata, dict) else None
    if isinstance(root, dict):
        yield "/metadata/component", root
    for place, component in enumerate(listed if isinstance(listed, list) else []):
        if isinstance(component, dict):
            yield f"/components/{place}", component


def _fields(where: str, component: Mapping[str, object], part: Part) -> Iterable[tuple[str, Provenance, str]]:
    for key, value in component.items():
        at = f"{where}/{key}"
        if key in _UNCITED:
            continue
        if key == "licenses":
            yield from _licenses(at, value)
        elif key == "modelCard":
            yield from _model_card(at, value)
        elif key == "pedigree":
            yield from _pedigree(at, value)
        else:
            yield (at, *_field(key, part))


def _field(key: str, part: Part) -> tuple[Provenance, str]:
    match key, part.kind:
        case (("hashes" | "components"), _) if part.kind in ("model", "dataset") and not part.measured:
            return "declared", "digests as the Hub or a card states them; the bytes were not all fetched"
        case (("hashes" | "components"), _):
            return "measured", "digests computed from the files as acquired"
        case "evidence", _:
            return "measured", "license texts recognised in the files"
        case "description", _:
            return ("inferred", "composed from what is known") if part.composed else ("declared", "first paragraph of its card")
        case (("group" | "name" | "version" | "purl" | "externalReferences"), "model"):
            return "measured", "the repository as it was resolved and pinned"
        case (("supplier" | "publisher"), _):
            return "declared", "namespace of the repository"
        case "isExternal", _:
            return "inferred", "it is referred to and not part of what was audited as root"
        case _, "dataset":
            return "declared", "data set as a card names it"
        case _, "configuration":
            return "inferred", "the files in effect, the adapter's own before the base's"
        case _, ("device" | "system" | "library"):
            return "declared", "as a configuration, a card or a person names it"
        case _:
            return "inferred", "composed from what is known"


def _licenses(at: str, value: object) -> Iterable[tuple[str, Provenance, str]]:
    for place, entry in enumerate(value if isinstance(value, list) else []):
        said = entry.get("license", entry) if isinstance(entry, dict) else {}
        if isinstance(said, dict) and said.get("acknowledgement") == "declared":
            yield f"{at}/{place}", "declared", "license tag of the card or the Hub"
        else:
            yield f"{at}/{place}", "inferred", "license concluded from tag, texts and ancestors"


def _model_card(at: str, value: object) -> Iterable[tuple[str, Provenance, str]]:
    card = value if isinstance(value, dict) else {}
    parameters = card.get("modelParameters")
    for key in parameters if isinstance(parameters, dict) else ():
        yield (
            f"{at}/modelParameters/{key}",
            *_CARD.get(key, ("declared", "pipeline tag of the card, or task type of the configuration")),
        )
    analysis = card.get("quantitativeAnalysis")
    metrics = analysis.get("performanceMetrics") if isinstance(analysis, dict) else None
    for place, metric in enumerate(metrics if isinstance(metrics, list) else []):
        own = not str(metric.get("slice", "")).startswith("self-reported") if isinstance(metric, dict) else False
        note: tuple[Provenance, str] = ("measured", "by this audit's run") if own else ("declared", "model card, model-index")
        yield (f"{at}/quantitativeAnalysis/performanceMetrics/{place}", *note)
    considerations = card.get("considerations")
    for key, said in considerations.items() if isinstance(considerations, dict) else ():
        for place, text in enumerate(said if isinstance(said, list) else []):
            own = str(text).startswith(("measured: ", "not measured: "))
            who: tuple[Provenance, str] = (
                ("measured", "by this audit's run") if own else ("declared", "model card, under the heading for it")
            )
            yield (f"{at}/considerations/{key}/{place}", *who)
    listed = card.get("properties")
    for place, entry in enumerate(listed if isinstance(listed, list) else []):
        reading = isinstance(entry, dict) and str(entry.get("name", "")).startswith(f"{OWN}metric:")
        source: tuple[Provenance, str] = (
            ("measured", "by this audit's run") if reading else ("declared", "configuration of the repository")
        )
        yield (f"{at}/properties/{place}", *source)


def _pedigree(at: str, value: object) -> Iterable[tuple[str, Provenance, str]]:
    origins: dict[str, tuple[Provenance, str]] = {
        "ancestors": ("declared", "bases as configuration, card or request name them; pinned when acquired"),
        "patches": ("declared", "configuration of the adapter"),
    }
    for key in value if isinstance(value, dict) else ():
        yield (f"{at}/{key}", *origins.get(key, ("inferred", "relation told from the claims of its repository")))
