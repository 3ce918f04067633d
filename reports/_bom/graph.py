"""Whether the dependency graph of a CycloneDX document hangs together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from reports._bom.problem import Problem
from reports._bom.tree import Node, items


def graph(document: Mapping[str, object], nodes: list[Node]) -> Iterator[Problem]:
    """Yield nodes listed twice, loops, and top-level components the root does not reach.

    Args:
        document: As parsed from JSON.
        nodes: Not read; every check takes them.
    """
    entries = [e for e in items(document.get("dependencies")) if isinstance(e, dict) and isinstance(e.get("ref"), str)]
    for ref, times in Counter(str(e["ref"]) for e in entries).items():
        if times > 1:
            yield Problem("BOM-GRAPH", "/dependencies", f"{ref[:120]!r} has {times} entries; their meaning is open")
    needs: dict[str, list[str]] = {}
    for entry in entries:
        needs.setdefault(str(entry["ref"]), []).extend(r for r in items(entry.get("dependsOn")) if isinstance(r, str))
    for ref, others in needs.items():
        if ref in others:
            yield Problem("BOM-GRAPH", "/dependencies", f"{ref[:120]!r} depends on itself")
    if loop := _loop(needs):
        yield Problem("BOM-GRAPH", "/dependencies", f"a loop: {' → '.join(r[:60] for r in loop[:8])}")
    yield from _unreached(document, needs)


def _loop(needs: Mapping[str, list[str]]) -> list[str]:
    """Return one loop of more than one node, or nothing; without recursion, as chains may be long."""
    done: set[str] = set()
    for start in needs:
        path: list[str] = []
        on_path: set[str] = set()
        stack = [(start, iter(needs.get(start, ())))] if start not in done else []
        while stack:
            ref, rest = stack[-1]
            if ref not in on_path:
                path.append(ref)
                on_path.add(ref)
            following = next((r for r in rest if r not in done and r != ref), None)
            if following is None:
                done.add(ref)
                on_path.discard(ref)
                path.pop()
                stack.pop()
            elif following in on_path:
                return [*path[path.index(following) :], following]
            else:
                stack.append((following, iter(needs.get(following, ()))))
    return []


def _unreached(document: Mapping[str, object], needs: Mapping[str, list[str]]) -> Iterator[Problem]:
    metadata = document.get("metadata")
    root = metadata.get("component") if isinstance(metadata, dict) else None
    start = root.get("bom-ref") if isinstance(root, dict) else None
    if not isinstance(start, str):
        return
    if start not in needs:
        yield Problem("BOM-GRAPH", "/dependencies", f"the root {start[:120]!r} has no entry, so nothing hangs together")
        return
    reached, queue = {start}, [start]
    while queue:
        for ref in needs.get(queue.pop(), ()):
            if ref not in reached:
                reached.add(ref)
                queue.append(ref)
    for place, component in enumerate(items(document.get("components"))):
        listed = component.get("bom-ref") if isinstance(component, dict) else None
        if isinstance(listed, str) and listed not in reached:
            yield Problem("BOM-GRAPH", f"/components/{place}", f"{listed[:120]!r} is not reached from the root")
