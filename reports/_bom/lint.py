"""Our own linter for CycloneDX JSON: what the schema's strict validator lets through.

Read by ``reports._bom.splice`` before anything is written; works on any document, also of other tools.

Source:
    CycloneDX 1.7 (ECMA-424); purl specification, type ``huggingface``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from packageurl import PackageURL

from reports._bom.licenses import spdx_id

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_LOCAL = re.compile(r"(?:^|[\s\"'(=:])(?:/(?:home|root|Users|srv|mnt|tmp|var|opt|data)/\w|[A-Za-z]:\\\w)")
_FILLERS = frozenset({"unknown", "transformer", "n/a", "none", "todo", "example.com", "placeholder"})
_LENGTHS = {"MD5": 32, "SHA-1": 40, "SHA-256": 64, "SHA-384": 96, "SHA-512": 128, "SHA3-256": 64, "SHA3-512": 128, "BLAKE3": 64}
#: Advice, not faults: they depend on what a publisher wrote, and must not keep a document from being written.
_ADVICE = frozenset({"BOM-PATH", "BOM-FILL", "BOM-PIN"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: the rule's id, where, and what."""

    rule: str
    where: str
    message: str

    @property
    def is_error(self) -> bool:
        """Whether a document with it is not written."""
        return self.rule not in _ADVICE

    def __str__(self) -> str:
        return f"{self.rule} at {self.where}: {self.message}"


def lint(document: Mapping[str, object]) -> tuple[Problem, ...]:
    """Return everything wrong with a CycloneDX JSON document, in a fixed order.

    Args:
        document: As parsed from JSON; schema validity is not assumed.
    """
    nodes = list(_walk(document, ""))
    checks = (_references, _unique, _pointers, _hashes, _purls, _licenses, _pins, _base, _external, _numbers, _texts)
    return tuple(problem for check in checks for problem in check(document, nodes))


Node = tuple[str, Mapping[str, object]]


def components(document: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """Return the root's and the listed components, nested ones included, by ``bom-ref``."""
    return {str(c["bom-ref"]): c for _, c in _components(document) if "bom-ref" in c}


def _components(document: Mapping[str, object]) -> Iterator[tuple[str, dict[str, object]]]:
    metadata = document.get("metadata")
    root = metadata.get("component") if isinstance(metadata, dict) else None
    if isinstance(root, dict):
        yield from _nested("/metadata/component", root)
    for place, component in enumerate(_list(document.get("components"))):
        if isinstance(component, dict):
            yield from _nested(f"/components/{place}", component)


def _nested(where: str, component: dict[str, object]) -> Iterator[tuple[str, dict[str, object]]]:
    yield where, component
    for place, inner in enumerate(_list(component.get("components"))):
        if isinstance(inner, dict):
            yield from _nested(f"{where}/components/{place}", inner)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _walk(value: object, where: str) -> Iterator[Node]:
    """Yield every object with its JSON pointer."""
    if isinstance(value, dict):
        yield where, value
        for key, inner in value.items():
            yield from _walk(inner, f"{where}/{key.replace('~', '~0').replace('/', '~1')}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _walk(inner, f"{where}/{place}")


def _references(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    known = {n["bom-ref"] for _, n in nodes if isinstance(n.get("bom-ref"), str)}
    for where, node in nodes:
        used: list[object] = [node[key] for key in ("ref", "attributedTo", "process") if isinstance(node.get(key), str)]
        for key in ("dependsOn", "provides", "assemblies", "dependencies", "vulnerabilities", "subjects"):
            used += [r for r in _list(node.get(key)) if isinstance(r, str)]
        for ref in used:
            if ref not in known and not str(ref).startswith("urn:cdx:"):
                yield Problem("BOM-REF", where, f"{ref!r} is the bom-ref of nothing here")


def _unique(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    counted = Counter(str(n["bom-ref"]) for _, n in nodes if "bom-ref" in n)
    for ref, times in counted.items():
        if times > 1:
            yield Problem("BOM-UNIQ", "/", f"bom-ref {ref!r} is given to {times} things")


def _pointers(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    for place, citation in enumerate(_list(document.get("citations"))):
        for pointer in _list(citation.get("pointers")) if isinstance(citation, dict) else []:
            if not _resolves(document, str(pointer)):
                yield Problem("BOM-PTR", f"/citations/{place}", f"{pointer!r} points to nothing")


def _resolves(document: object, pointer: str) -> bool:
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict) and key in document:
            document = document[key]
        elif isinstance(document, list) and key.isdigit() and int(key) < len(document):
            document = document[int(key)]
        else:
            return False
    return pointer.startswith("/")


def _reasons(component: Mapping[str, object]) -> set[str]:
    """Return what a component says it has no value for, from ``…:absent:<what>`` properties."""
    names = [str(p.get("name", "")) for p in _list(component.get("properties")) if isinstance(p, dict)]
    return {n.partition("absent:")[2] for n in names if "absent:" in n}


def _hashes(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    for where, c in _components(document):
        if c.get("type") in ("machine-learning-model", "data") and not c.get("hashes") and "hashes" not in _reasons(c):
            yield Problem("BOM-HASH", where, "a model or data set without a hash and without a reason")
    for where, node in nodes:
        if {"alg", "content"} <= node.keys():
            length = _LENGTHS.get(str(node["alg"]))
            if length and len(str(node["content"])) != length:
                yield Problem("BOM-HASH", where, f"{node['alg']} has {length} digits, not {len(str(node['content']))}")


def _purls(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for where, c in _components(document):
        text = c.get("purl")
        if not isinstance(text, str):
            continue
        try:
            purl = PackageURL.from_string(text)
        except ValueError as error:
            yield Problem("BOM-PURL", where, f"no purl: {error}")
            continue
        if purl.type == "huggingface" and not _COMMIT.match(purl.version or ""):
            yield Problem("BOM-PURL", where, f"{text} is not pinned to a commit of 40 digits")
        if purl.type == "huggingface" and c.get("type") == "data" and "repo_type=dataset" not in text:
            yield Problem("BOM-PURL", where, f"{text} is a data set without repo_type=dataset")
        if text in seen:
            yield Problem("BOM-PURL", where, f"{text} already stands at {seen[text]}")
        seen.setdefault(text, where)


def _licenses(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    for where, node in nodes:
        for entry in _list(node.get("licenses")):
            said = entry.get("license") if isinstance(entry, dict) else None
            if isinstance(said, dict) and "id" in said and spdx_id(str(said["id"])) != said["id"]:
                yield Problem("BOM-LIC", where, f"{said['id']!r} is no SPDX id")


def _pins(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    for where, node in nodes:
        if (where.rpartition("/")[0].endswith("/ancestors") or node.get("type") == "data") and "bom-ref" in node:
            described = node.get("version") or "version" in _reasons(node) or node.get("hashes")
            if not described:
                yield Problem("BOM-PIN", where, f"{node.get('name')!r} has neither a version nor a reason")


def _base(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    """Check that every ancestor with a purl is a component too, and that something depends on it."""
    listed = {c.get("purl"): str(c.get("bom-ref")) for _, c in _components(document) if c.get("purl")}
    needed = {str(r) for _, n in nodes for r in _list(n.get("dependsOn"))}
    for where, node in nodes:
        if where.rpartition("/")[0].endswith("/ancestors") and node.get("purl"):
            ref = listed.get(node["purl"])
            if ref is None:
                yield Problem("BOM-BASE", where, f"{node['purl']} is an ancestor but no component")
            elif ref not in needed:
                yield Problem("BOM-BASE", where, f"{node['purl']} is an ancestor nothing depends on")


def _external(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    for where, node in nodes:
        if where == "/metadata/component" and node.get("isExternal"):
            yield Problem("BOM-EXT", where, "the root cannot be external")
        if "versionRange" in node and ("version" in node or not node.get("isExternal")):
            yield Problem("BOM-EXT", where, "versionRange is for external components without a version")


def _numbers(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    for where, node in nodes:
        if where.rpartition("/")[0].endswith("/performanceMetrics"):
            interval = node.get("confidenceInterval")
            bounds = [interval.get("lowerBound"), interval.get("upperBound")] if isinstance(interval, dict) else []
            try:
                numbers = [float(str(x)) for x in (node.get("value"), *bounds)]
            except ValueError:
                yield Problem("BOM-NUM", where, "a value or bound is no number")
                continue
            if len(numbers) == 3 and not numbers[1] <= numbers[2]:
                yield Problem("BOM-NUM", where, f"the interval {bounds} is not in order")


def _texts(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    for where, node in nodes:
        for key, value in node.items():
            if isinstance(value, str) and _LOCAL.search(value):
                yield Problem("BOM-PATH", f"{where}/{key}", "looks like a path of a machine")
            if key in ("name", "version", "architectureFamily", "modelArchitecture") and str(value).lower() in _FILLERS:
                yield Problem("BOM-FILL", f"{where}/{key}", f"{value!r} says nothing")
