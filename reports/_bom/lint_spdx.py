"""Our own linter for SPDX 3.0.1 JSON-LD, and the check by the official model.

Read by ``reports._bom.spdx_document`` before anything is written and by ``curator bom lint``; works on any document, also of
other tools, and never raises on one. The model checks types, enumerations and mandatory fields; it accepts what leads nowhere.

Source:
    SPDX 3.0.1, "Core", "Software", "AI", "Dataset"; its generated Python model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from governance.errors import PrerequisiteError
from reports._bom import values
from reports._bom.problem import Problem
from reports._bom.tree import items, nodes_of

_MOST = 500
#: Keys whose values name an element.
_REFERENCES = (
    "creationInfo", "createdBy", "createdUsing", "rootElement", "element", "from", "to", "subject", "suppliedBy", "originatedBy",
    "dataLicense", "software_snippetFromFile", "simplelicensing_subjectLicense",
)  # fmt: skip
#: Individuals every document may name without listing them.
_INDIVIDUALS = (
    "https://spdx.org/rdf/3",
    "NoAssertionElement",
    "NoneElement",
    "SpdxOrganization",
    "expandedlicensing_No",
    "https://spdx.org/licenses/",
)
_PACKAGES = ("ai_AIPackage", "dataset_DatasetPackage")
_TIMES = ("created", "releaseTime", "builtTime", "startTime", "endTime", "validUntilTime", "software_validUntilTime")

Element = Mapping[str, object]


def against_model(document: Mapping[str, object]) -> Iterator[Problem]:
    """Yield what the official model refuses: an unknown type or field, a wrong value, a mandatory field that is missing.

    Args:
        document: As parsed from JSON.

    Raises:
        PrerequisiteError: The model is not installed.
    """
    try:
        from reports._bom.spdx_model import refusal
    except ImportError as error:
        raise PrerequisiteError("the SPDX model is not installed", hint="pip install 'spdx-python-model>=0.0.6,<0.1'") from error
    if wrong := refusal(document):
        yield Problem("BOM-SCHEMA", "/@graph", wrong)


def lint(document: Mapping[str, object]) -> tuple[Problem, ...]:
    """Return everything wrong with an SPDX 3.0.1 document, in a fixed order.

    Args:
        document: As parsed from JSON; validity is not assumed.
    """
    elements: list[tuple[str, Element]] = [
        (f"/@graph/{i}", e) for i, e in enumerate(items(document.get("@graph"))) if isinstance(e, dict)
    ]
    checks = (_root, _references, _unique, _hashes, _purls, _licenses, _pins, _graph, _numbers, _dates, _texts)
    return tuple(p for check in checks for _, p in zip(range(_MOST), check(elements), strict=False))


def _kind(element: Element) -> str:
    return str(element.get("type", element.get("@type", "")))


def _name(element: Element) -> str:
    return str(element.get("spdxId", element.get("@id", "")))


def _texts_of(value: object) -> list[str]:
    return [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str)]


def _root(elements: list[tuple[str, Element]]) -> Iterator[Problem]:
    documents = [(w, e) for w, e in elements if _kind(e) == "SpdxDocument"]
    if len(documents) != 1:
        yield Problem("BOM-ROOT", "/@graph", f"{len(documents)} elements of type SpdxDocument, not one")
    for where, document in documents:
        if not _texts_of(document.get("rootElement")):
            yield Problem("BOM-ROOT", where, "the document does not say what it is about: no rootElement")
    if not any(_kind(e) == "CreationInfo" for _, e in elements):
        yield Problem("BOM-ROOT", "/@graph", "nothing says when the document was made and by whom")


def _references(elements: list[tuple[str, Element]]) -> Iterator[Problem]:
    known = {_name(e) for _, e in elements}
    known |= {str(i.get("externalSpdxId")) for _, e in elements for i in items(e.get("import")) if isinstance(i, dict)}
    for where, element in elements:
        for key in _REFERENCES:
            for ref in _texts_of(element.get(key)):
                if ref not in known and not ref.startswith(_INDIVIDUALS):
                    yield Problem(
                        "BOM-REF", f"{where}/{key}", f"{ref[:160]!r} is no element of this document, and none that it imports"
                    )
        for entry in items(element.get("simplelicensing_customIdToUri")):
            value = entry.get("value") if isinstance(entry, dict) else None
            if isinstance(value, str) and value.startswith(("urn:uuid:", "_:")) and value not in known:
                yield Problem(
                    "BOM-REF", f"{where}/simplelicensing_customIdToUri", f"{value[:160]!r} is no element of this document"
                )


def _unique(elements: list[tuple[str, Element]]) -> Iterator[Problem]:
    for name, times in Counter(_name(e) for _, e in elements).items():
        if times > 1 and name:
            yield Problem("BOM-UNIQ", "/@graph", f"the identifier {name[:160]!r} is given to {times} elements")
        if not name:
            yield Problem("BOM-UNIQ", "/@graph", f"{times} elements without an identifier")


def _absent(element: Element) -> set[str]:
    """Return what an element says it has no value for."""
    names = [str(n.get("extension_cdxPropName", "")) for _, n in nodes_of(element.get("extension"))]
    return {n.partition("absent:")[2] for n in names if "absent:" in n}


def _hashes(elements: list[tuple[str, Element]]) -> Iterator[Problem]:
    for where, element in elements:
        stated = [h for h in items(element.get("verifiedUsing")) if isinstance(h, dict)]
        if _kind(element) in _PACKAGES and not stated and "hashes" not in _absent(element):
            yield Problem("BOM-HASH", where, "a model or data set without a hash and without a reason")
        for h in stated:
            if "hashValue" in h and (wrong := values.wrong_hash(h.get("algorithm"), h["hashValue"])):
                yield Problem("BOM-HASH", where, wrong)


def _purls(elements: list[tuple[str, Element]]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for where, element in elements:
        identifiers = [i for i in items(element.get("externalIdentifier")) if isinstance(i, dict)]
        told = [str(i.get("identifier")) for i in identifiers if i.get("externalIdentifierType") == "packageUrl"]
        for text in dict.fromkeys([*_texts_of(element.get("software_packageUrl")), *told]):
            if wrong := values.wrong_purl(text, data=_kind(element) == "dataset_DatasetPackage"):
                yield Problem("BOM-PURL", where, wrong)
            elif text in seen:
                yield Problem("BOM-PURL", where, f"{text[:200]} already stands at {seen[text]}")
            seen.setdefault(text, where)


def _licenses(elements: list[tuple[str, Element]]) -> Iterator[Problem]:
    for where, element in elements:
        for text in _texts_of(element.get("simplelicensing_licenseExpression")):
            if wrong := values.wrong_expression(text):
                yield Problem("BOM-LIC", where, wrong)
            custom = {str(c.get("key")) for c in items(element.get("simplelicensing_customIdToUri")) if isinstance(c, dict)}
            for ref in values.references(text):
                if ref not in custom and not ref.startswith("DocumentRef-"):
                    yield Problem("BOM-LIC", where, f"{ref[:80]!r} has neither a text nor an address")
    licensed = {str(e.get("from")) for _, e in elements if str(e.get("relationshipType", "")).endswith("License")}
    for where, element in elements:
        if _kind(element) in _PACKAGES and _name(element) not in licensed:
            yield Problem("BOM-LIC", where, "a model or data set no license relation speaks of, not even to say that none is known")


def _pins(elements: list[tuple[str, Element]]) -> Iterator[Problem]:
    for where, element in elements:
        if _kind(element) in _PACKAGES and not element.get("software_packageVersion") and "version" not in _absent(element):
            yield Problem("BOM-PIN", where, f"{str(element.get('name'))[:80]!r} has neither a version nor a reason")


def _graph(elements: list[tuple[str, Element]]) -> Iterator[Problem]:
    relations = [(w, e) for w, e in elements if "relationshipType" in e]
    touched = {t for _, e in relations for t in (*_texts_of(e.get("from")), *_texts_of(e.get("to")))}
    for where, element in relations:
        if set(_texts_of(element.get("from"))) & set(_texts_of(element.get("to"))):
            yield Problem("BOM-GRAPH", where, f"an element {str(element['relationshipType'])[:40]} itself")
    for where, element in elements:
        if _kind(element) in (*_PACKAGES, "software_Package", "software_File") and _name(element) not in touched:
            yield Problem("BOM-GRAPH", where, f"{str(element.get('name'))[:80]!r} is related to nothing")


def _numbers(elements: list[tuple[str, Element]]) -> Iterator[Problem]:
    for where, element in elements:
        for metric in items(element.get("ai_metric")):
            if isinstance(metric, dict):
                try:
                    float(str(metric.get("value")))
                except ValueError:
                    yield Problem("BOM-NUM", where, f"the metric {str(metric.get('key'))[:80]!r} is no number")


def _dates(elements: list[tuple[str, Element]]) -> Iterator[Problem]:
    for where, element in elements:
        for key in _TIMES:
            if key in element and (wrong := values.wrong_time(element[key])):
                yield Problem("BOM-DATE", f"{where}/{key}", wrong)


def _texts(elements: list[tuple[str, Element]]) -> Iterator[Problem]:
    for place, element in elements:
        for where, node in nodes_of(element, place):
            for key, value in node.items():
                if isinstance(value, str) and (wrong := values.wrong_text(value)):
                    yield Problem("BOM-PATH", f"{where}/{key}", wrong)
                if key in ("name", "software_packageVersion", "description") and values.is_filler(value):
                    yield Problem("BOM-FILL", f"{where}/{key}", f"{value!r} says nothing")
        for kind in _texts_of(element.get("ai_typeOfModel")):
            if values.is_filler(kind):
                yield Problem("BOM-FILL", f"{place}/ai_typeOfModel", f"{kind!r} says nothing")
