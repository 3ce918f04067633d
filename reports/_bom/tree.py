"""Ways through a CycloneDX document that may be anything: its objects with their pointers, its components."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

Node = tuple[str, Mapping[str, object]]
#: Deeper documents are refused before they get here.
DEEPEST = 200


def items(value: object) -> list[object]:
    """Return a list, or an empty one for anything else."""
    return value if isinstance(value, list) else []


def nodes_of(value: object, where: str = "", depth: int = 0) -> Iterator[Node]:
    """Yield every object with its JSON pointer."""
    if depth > DEEPEST:
        return
    if isinstance(value, dict):
        yield where, value
        for key, inner in value.items():
            yield from nodes_of(inner, f"{where}/{str(key).replace('~', '~0').replace('/', '~1')}", depth + 1)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from nodes_of(inner, f"{where}/{place}", depth + 1)


def each_component(document: Mapping[str, object]) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield the root's and the listed components, nested ones included, with their pointers."""
    metadata = document.get("metadata")
    root = metadata.get("component") if isinstance(metadata, dict) else None
    if isinstance(root, dict):
        yield from _nested("/metadata/component", root, 0)
    for place, component in enumerate(items(document.get("components"))):
        if isinstance(component, dict):
            yield from _nested(f"/components/{place}", component, 0)


def _nested(where: str, component: dict[str, object], depth: int) -> Iterator[tuple[str, dict[str, object]]]:
    yield where, component
    for place, inner in enumerate(items(component.get("components"))):
        if isinstance(inner, dict) and depth < DEEPEST:
            yield from _nested(f"{where}/components/{place}", inner, depth + 1)


def components(document: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """Return all components by ``bom-ref``."""
    return {str(c["bom-ref"]): c for _, c in each_component(document) if "bom-ref" in c}
