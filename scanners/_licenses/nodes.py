"""The parts a child was made from, each with its license: from the repository's own words, else from the table of known models.

Read by ``scanners.license_terms``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache

from governance.context import RunContext
from governance.licensing import LicenseTable
from governance.subject import HUB_NAME, Ancestor, Composition, Description, Subject
from scanners._formats.adapters.base_names import place
from scanners._formats.claims.description import describe
from scanners._formats.tables import table as data
from scanners._licenses.lineage import Kind, Parent
from scanners._licenses.papers import Papers, papers
from scanners._licenses.resolve import Conclusion, conclude, look_up

_NOT_ASKED = "its repository was not asked for"


@dataclass(frozen=True, kw_only=True)
class Node:
    """One part of the lineage.

    Attributes:
        kind: What it is to its child.
        name: Repository, or as somebody's disk calls it.
        child: Name of what was made from it.
        found: One conclusion for each license it is under; a data set may have several, and all count.
        subject: The repository, if it was reached.
        said: What it says of itself.
        own: Its words.
        where: File and key that name it.
        inferred: Whether only a sentence or an id points to it.
        recalled: Whether its license comes from the table of known models.
        reason: Why it was not reached.
    """

    kind: Kind
    name: str
    child: str
    found: tuple[Conclusion, ...]
    subject: Subject | None = None
    said: Description = field(default_factory=Description)
    own: Papers = field(default_factory=Papers)
    where: str = ""
    inferred: bool = False
    recalled: bool = False
    reason: str = ""

    def parents(self) -> Iterator[Parent]:
        """Yield it as the rules see it, once for each of its licenses."""
        for found in self.found:
            yield Parent(
                name=self.name, kind=self.kind, terms=found.terms, or_later=found.or_later, reason=found.reason or self.reason
            )


def lineage_of(composition: Composition, ctx: RunContext) -> list[Node]:
    """Return every part of a lineage, the base first, each once for each kind.

    Args:
        composition: Adapter and base, and what was reached beyond.
        ctx: Opens files; holds the license table.
    """
    nodes: list[Node] = []
    base = composition.base
    if base is not None:
        nodes.append(_reached("base", base, composition.base_description or Description(), composition.adapter.name, ctx))
    by_place = {(s.name.lower(), s.commit): s for s in composition.lineage}
    seen = {("base", base.name.lower())} if base is not None else set()
    for edge in edges(composition):
        key = (edge.kind, edge.name.lower())
        if key in seen or is_base(edge, composition):
            continue
        seen.add(key)
        subject = by_place.get((edge.name.lower(), edge.commit)) if edge.commit or not edge.reason else None
        if subject is not None and not edge.reason:
            nodes.append(_reached(edge.kind, subject, describe(subject, ctx), edge.child, ctx, edge=edge))
        else:
            nodes.append(_recalled(edge, ctx.license_terms))
    nodes = _without_paths(nodes, composition)
    if not any(n.kind == "base" and n.child == composition.adapter.name for n in nodes):
        reason = f"base unknown: {composition.base_reason or 'none was found'}"
        nodes.insert(
            0, Node(kind="base", name="the base", child=composition.adapter.name, found=(Conclusion(reason=reason),), reason=reason)
        )
    return [*nodes, *_services(nodes, ctx.license_terms)]


def edges(composition: Composition) -> Iterable[Ancestor]:
    """Return every named parent; where none was followed, what adapter and base say, not reached."""
    if composition.ancestry:
        return composition.ancestry
    made: list[Ancestor] = []
    for subject, said in ((composition.adapter, composition.description), (composition.base, composition.base_description)):
        first = subject is composition.adapter and composition.base is not None
        for claim in said.parents if subject is not None and said is not None else ():
            meant = claim.kind == "base" and first
            first = first and claim.kind != "base"
            name = subject.name if subject is not None else ""
            made.append(
                Ancestor(
                    kind=claim.kind, child=name, name=claim.name, where=claim.where, evidence=claim.evidence,
                    reason="" if meant else _NOT_ASKED,
                )
            )  # fmt: skip
    return made


def is_base(edge: Ancestor, composition: Composition) -> bool:
    """Return whether a named parent is the base that was acquired."""
    base = composition.base
    if edge.kind != "base" or base is None or edge.reason:
        return False
    return edge.name.lower() == base.name.lower() or edge.commit == base.commit


def _without_paths(nodes: list[Node], composition: Composition) -> list[Node]:
    """Return the nodes without paths of somebody's disk that another claim of the adapter stands for."""
    child = composition.adapter.name
    named = [n for n in nodes if n.kind == "base" and n.child == child and (n.subject is not None or HUB_NAME.match(n.name))]
    if not named:
        return nodes
    return [n for n in nodes if n.kind != "base" or n.child != child or n.subject is not None or HUB_NAME.match(n.name)]


def _reached(kind: Kind, subject: Subject, said: Description, child: str, ctx: RunContext, *, edge: Ancestor | None = None) -> Node:
    own = papers(subject, ctx)
    found = conclusions(subject, said, own, ctx.license_terms, several=kind == "dataset")
    recalled = False
    if all(c.terms is None and not c.declared and not c.detected for c in found):
        known = known_license(kind, subject.name)
        row = look_up(known, ctx.license_terms) if known else None
        if row is not None:
            recalled, found = True, (Conclusion(terms=row.terms, reason="from the table of known models"),)
    return Node(
        kind=kind, name=subject.name, child=child, found=found, subject=subject, said=said, own=own,
        where=edge.where if edge else "", inferred=edge is not None and edge.evidence == "inferred", recalled=recalled,
    )  # fmt: skip


def _recalled(edge: Ancestor, table: LicenseTable) -> Node:
    """Return a part that was not reached: by the table of known models, or as unknown.

    A path of somebody's disk whose last part is the name of a known model points to it, and no more: it stays unknown, and what
    that model's license would say is capped as inferred.
    """
    missing = Conclusion(reason=edge.reason or _NOT_ASKED)
    path = not HUB_NAME.match(edge.name) or place(edge.name) == "local"
    known = _known_by_last_part(edge.name) if path and edge.kind == "base" else known_license(edge.kind, edge.name)
    row = look_up(known, table) if known else None
    found = (Conclusion(terms=row.terms, reason="from the table of known models"),) if row else ()
    return Node(
        kind=edge.kind, name=edge.name, child=edge.child, found=(missing, *found) if path or not found else found, where=edge.where,
        inferred=path or edge.evidence == "inferred", recalled=row is not None, reason=edge.reason or _NOT_ASKED,
    )  # fmt: skip


def conclusions(
    subject: Subject, said: Description, own: Papers, table: LicenseTable, *, several: bool = False, ancestors: Collection[str] = ()
) -> tuple[Conclusion, ...]:
    """Return what a repository's license is.

    Args:
        subject: The repository, with the Hub's tag.
        said: Its own words.
        own: Its license texts.
        table: Every row known.
        several: Whether all licenses of its card count, as for a data set; else several contradict each other.
        ancestors: Licenses of its ancestors, whose texts say nothing about itself.
    """
    listed = said.licenses or ((said.license,) if said.license else ()) or ((subject.license,) if subject.license else ())
    rows = {r.terms.id if (r := look_up(text, table)) else text.lower() for text in listed}
    if len(rows) > 1 and not several:
        shown = ", ".join(listed)
        return (Conclusion(declared=shown, detected=own.detected, reason=f"the card declares several licenses: {shown}"),)
    changed = [path for path, known in own.modified if known not in ancestors or known in rows]
    if changed:
        reason = f"{changed[0]} is a known license text that was changed or added to, and nobody has read it"
        return (Conclusion(declared=", ".join(listed) or None, detected=own.detected, reason=reason),)
    return tuple(
        conclude(text, said.license_name, own.detected, table, ancestors=ancestors)
        for text in (listed if several else listed[:1]) or (None,)
    )


@cache
def _known() -> dict[tuple[str, str], str]:
    rows = data("known_models")
    return {
        (kind, name.lower()): license_id
        for kind, group in (("model", rows["models"]), ("dataset", rows["datasets"]))
        for license_id, names in group.items()
        for name in names
    }


def known_license(kind: str, name: str) -> str | None:
    """Return the license of a much-used model or data set, as the shipped table recalls it; names are compared whole."""
    return _known().get(("dataset" if kind == "dataset" else "model", name.lower()))


def _known_by_last_part(path: str) -> str | None:
    """Return the license of the known models of which a path ends in the whole name, if they are all under one."""
    last = path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1].lower()
    found = {row for (kind, name), row in _known().items() if kind == "model" and name.rsplit("/", 1)[-1] == last}
    return found.pop() if len(found) == 1 else None


def _services(nodes: Iterable[Node], table: LicenseTable) -> Iterator[Node]:
    """Yield the services whose output a data set seems to hold, by its id or its card."""
    seen: set[str] = set()
    for node in nodes:
        if node.kind != "dataset":
            continue
        words = f"{node.name} {node.own.card[:20_000]}".lower()
        for row in table.values():
            if row.family == "service" and row.id not in seen and any(mark in words for mark in row.marks):
                seen.add(row.id)
                yield Node(
                    kind="service", name=row.id, child=node.name, found=(Conclusion(terms=row),), where=node.where, inferred=True
                )
