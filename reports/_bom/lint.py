"""Our own linter for CycloneDX JSON: what the schema's strict validator lets through.

Read by ``reports._bom.splice`` before anything is written and by ``curator bom lint``; works on any document, also of other
tools, and never raises on one.

Source:
    CycloneDX 1.7 (ECMA-424); purl specification, type ``huggingface``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING

from reports._bom import values
from reports._bom.graph import graph
from reports._bom.licenses import spdx_id
from reports._bom.problem import Problem
from reports._bom.tree import Node, components, each_component, items, nodes_of

if TYPE_CHECKING:
    from cyclonedx.validation.json import JsonStrictValidator

__all__ = ["Problem", "against_schema", "components", "each_component", "lint"]
_SERIAL = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
_MODEL, _DATA = "machine-learning-model", "data"
_MOST = 500
_MOST_SCHEMA = 20
#: Keys whose value names another part of the document.
_ONE = ("ref", "attributedTo", "process")
_MANY = ("dependsOn", "provides", "assemblies", "dependencies", "vulnerabilities", "subjects")


@cache
def _validator(specification: str) -> JsonStrictValidator:
    """Return the strict validator of one version; it reads its schema once."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return JsonStrictValidator(SchemaVersion.from_version(specification))


def against_schema(text: str, specification: str) -> Iterator[Problem]:
    """Yield where a document breaks the official schema, at most twenty places.

    Args:
        text: The document.
        specification: ``1.2`` to ``1.7``.
    """
    try:
        for found, error in enumerate(_validator(specification).validate_str(text, all_errors=True) or ()):
            if found == _MOST_SCHEMA:
                return
            path = "/".join(str(p) for p in getattr(error.data, "absolute_path", ()))
            yield Problem("BOM-SCHEMA", f"/{path}", " ".join(str(getattr(error.data, "message", error)).split())[:300])
    except RecursionError:
        yield Problem("BOM-SCHEMA", "/", "nested too deeply to be checked")


def lint(document: Mapping[str, object]) -> tuple[Problem, ...]:
    """Return everything wrong with a CycloneDX JSON document, in a fixed order.

    Args:
        document: As parsed from JSON; schema validity is not assumed.
    """
    nodes = list(nodes_of(document))
    checks = (
        _root, _references, _unique, _pointers, _hashes, _purls, _licenses, _pins, _base, graph, _external, _numbers, _dates,
        _provenance, _texts,
    )  # fmt: skip
    return tuple(problem for check in checks for _, problem in zip(range(_MOST), check(document, nodes), strict=False))


def _root(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    if document.get("bomFormat") != "CycloneDX":
        return
    metadata = document.get("metadata")
    root = metadata.get("component") if isinstance(metadata, dict) else None
    if not isinstance(root, dict):
        yield Problem("BOM-ROOT", "/metadata/component", "the document does not say what it is about")
    elif not root.get("bom-ref"):
        yield Problem("BOM-ROOT", "/metadata/component", "the root has no bom-ref, so nothing can depend on it")
    if not isinstance(metadata, dict) or "timestamp" not in metadata:
        yield Problem("BOM-ROOT", "/metadata/timestamp", "the document does not say when it was made")
    if not isinstance(metadata, dict) or not metadata.get("tools"):
        yield Problem("BOM-ROOT", "/metadata/tools", "the document does not say what made it")
    serial = document.get("serialNumber")
    if not isinstance(serial, str) or not _SERIAL.match(serial):
        yield Problem("BOM-ROOT", "/serialNumber", "the serial number is missing or no urn:uuid")


def _references(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    known = {n["bom-ref"] for _, n in nodes if isinstance(n.get("bom-ref"), str)}
    for where, node in nodes:
        used = [node[key] for key in _ONE if isinstance(node.get(key), str)]
        used += [r for key in _MANY for r in items(node.get(key)) if isinstance(r, str)]
        for ref in used:
            if ref not in known and not str(ref).startswith("urn:cdx:"):
                yield Problem("BOM-REF", where, f"{str(ref)[:120]!r} is the bom-ref of nothing here")


def _unique(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    counted = Counter(str(n["bom-ref"]) for _, n in nodes if "bom-ref" in n)
    for ref, times in counted.items():
        if times > 1:
            yield Problem("BOM-UNIQ", "/", f"bom-ref {ref[:120]!r} is given to {times} things")


def _pointers(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    for place, citation in enumerate(items(document.get("citations"))):
        for pointer in items(citation.get("pointers")) if isinstance(citation, dict) else []:
            if not _resolves(document, str(pointer)):
                yield Problem("BOM-PTR", f"/citations/{place}", f"{str(pointer)[:160]!r} points to nothing")


def _resolves(document: object, pointer: str) -> bool:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict) and key in document:
            document = document[key]
        elif isinstance(document, list) and key.isascii() and key.isdigit() and len(key) < 10 and int(key) < len(document):
            document = document[int(key)]
        else:
            return False
    return pointer.startswith("/")


def _reasons(component: Mapping[str, object]) -> set[str]:
    """Return what a component says it has no value for, from ``…:absent:<what>`` properties."""
    names = [str(p.get("name", "")) for p in items(component.get("properties")) if isinstance(p, dict)]
    return {n.partition("absent:")[2] for n in names if "absent:" in n}


def _hashes(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    for where, c in each_component(document):
        if c.get("type") in (_MODEL, _DATA) and not c.get("hashes") and "hashes" not in _reasons(c):
            yield Problem("BOM-HASH", where, "a model or data set without a hash and without a reason")
    for where, node in nodes:
        if {"alg", "content"} <= node.keys() and (wrong := values.wrong_hash(node["alg"], node["content"])):
            yield Problem("BOM-HASH", where, wrong)
        stated = Counter(str(h.get("alg")) for h in items(node.get("hashes")) if isinstance(h, dict))
        for algorithm, times in stated.items():
            if times > 1:
                yield Problem("BOM-HASH", where, f"{times} digests by {algorithm[:40]} for one thing")


def _purls(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for where, c in each_component(document):
        text = c.get("purl")
        if not isinstance(text, str):
            continue
        if wrong := values.wrong_purl(text, data=c.get("type") == _DATA):
            yield Problem("BOM-PURL", where, wrong)
            continue
        version = c.get("version")
        if (
            "@" in text
            and isinstance(version, str)
            and version
            and text.startswith("pkg:huggingface/")
            and f"@{version}" not in text
        ):
            yield Problem("BOM-PURL", where, f"{text[:160]} is another version than {version[:60]!r}")
        if text in seen:
            yield Problem("BOM-PURL", where, f"{text[:200]} already stands at {seen[text]}")
        seen.setdefault(text, where)


def _licenses(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    for where, node in nodes:
        for place, entry in enumerate(items(node.get("licenses"))):
            at = f"{where}/licenses/{place}"
            if not isinstance(entry, dict):
                continue
            said, expression = entry.get("license"), entry.get("expression")
            if isinstance(said, dict) and "id" in said and spdx_id(str(said["id"])) != said["id"]:
                yield Problem("BOM-LIC", at, f"{str(said['id'])[:80]!r} is no SPDX id")
            named = str(said.get("name", "")) if isinstance(said, dict) else ""
            if isinstance(said, dict) and named.startswith("LicenseRef-") and not (said.get("text") or said.get("url")):
                yield Problem("BOM-LIC", at, f"{named[:80]!r} has neither a text nor an address")
            if isinstance(said, dict) and "name" in said and not named.strip():
                yield Problem("BOM-LIC", at, "a license without a name")
            if isinstance(expression, str) and (wrong := values.wrong_expression(expression)):
                yield Problem("BOM-LIC", at, wrong)


def _pins(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    for where, node in nodes:
        if (where.rpartition("/")[0].endswith("/ancestors") or node.get("type") == _DATA) and "bom-ref" in node:
            described = node.get("version") or "version" in _reasons(node) or node.get("hashes")
            if not described:
                yield Problem("BOM-PIN", where, f"{str(node.get('name'))[:80]!r} has neither a version nor a reason")


def _base(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    """Check that every ancestor with a purl is a component too, and that something depends on it."""
    listed = {str(c.get("purl")): str(c.get("bom-ref")) for _, c in each_component(document) if c.get("purl")}
    needed = {str(r) for _, n in nodes for r in items(n.get("dependsOn"))}
    for where, node in nodes:
        if where.rpartition("/")[0].endswith("/ancestors") and isinstance(purl := node.get("purl"), str):
            ref = listed.get(purl)
            if ref is None:
                yield Problem("BOM-BASE", where, f"{purl[:160]} is an ancestor but no component")
            elif ref not in needed:
                yield Problem("BOM-BASE", where, f"{purl[:160]} is an ancestor nothing depends on")


def _external(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    for where, node in nodes:
        if where == "/metadata/component" and node.get("isExternal"):
            yield Problem("BOM-EXT", where, "the root cannot be external")
        if "versionRange" in node and ("version" in node or not node.get("isExternal")):
            yield Problem("BOM-EXT", where, "versionRange is for external components without a version")


def _numbers(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    for where, node in nodes:
        if not where.rpartition("/")[0].endswith("/performanceMetrics"):
            continue
        interval = node.get("confidenceInterval")
        bounds = [interval.get("lowerBound"), interval.get("upperBound")] if isinstance(interval, dict) else []
        try:
            value, *ends = [float(str(x)) for x in (node.get("value"), *bounds)]
        except ValueError:
            yield Problem("BOM-NUM", where, "a value or bound is no number")
            continue
        if len(ends) == 2 and not ends[0] <= ends[1]:
            yield Problem("BOM-NUM", where, f"the interval {ends} is not in order")
        elif len(ends) == 2 and not ends[0] <= value <= ends[1]:
            yield Problem("BOM-NUM", where, f"{value} lies outside its interval {ends}")


def _dates(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    for where, node in nodes:
        for key in ("timestamp", "created", "published", "updated", "timeStart", "timeEnd"):
            if key in node and (wrong := values.wrong_time(node[key])):
                yield Problem("BOM-DATE", f"{where}/{key}", wrong)


def _provenance(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    """Check that a document which cites sources does so for every field of a model or data set."""
    cited = [str(p) for c in items(document.get("citations")) if isinstance(c, dict) for p in items(c.get("pointers"))]
    if not cited:
        return
    steps = {p[: i or len(p)] for p in cited for i, sign in enumerate(f"{p}/") if sign == "/"}
    covered = set(cited)
    for where, c in each_component(document):
        if c.get("type") not in (_MODEL, _DATA) or where in covered:
            continue
        for key in c.keys() - {"type", "bom-ref", "properties"}:
            if f"{where}/{key}" not in steps:
                yield Problem("BOM-PROV", f"{where}/{key}", "nothing says where this field comes from")


def _texts(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    for where, node in nodes:
        for key, value in node.items():
            if isinstance(value, str) and (wrong := values.wrong_text(value)):
                yield Problem("BOM-PATH", f"{where}/{key}", wrong)
            if key in ("name", "version", "architectureFamily", "modelArchitecture", "description") and values.is_filler(value):
                yield Problem("BOM-FILL", f"{where}/{key}", f"{value!r} says nothing")
