"""The parents of an adapter and of its base, and theirs, up to the roots: cards and license texts only, each pinned.

Called by ``governance.hub.acquirer``. Every name that was given ends as an ``Ancestor``; one that could not be reached says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from governance.context import Progress, RunContext
from governance.errors import LimitError, SubjectError
from governance.hub.names import shown
from governance.subject import HUB_NAME, Ancestor, Composition, Description, ParentClaim, Subject

#: Repositories that are asked for, at most; what is beyond is named with that reason.
NODES = 40


class Unreachable(Exception):  # noqa: N818 - a state of the network, not a fault
    """No Hub answers; asking for the next repository would only wait as long again."""


#: Pins one parent and takes its documents.
Reach = Callable[[ParentClaim, RunContext], Subject]
Describes = Callable[[Subject], Description]


@dataclass
class _Walk:
    """One walk from a composition to its roots."""

    reach: Reach
    describes: Describes
    ctx: RunContext
    reached: dict[tuple[str, str], Subject] = field(default_factory=dict)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)
    edges: list[Ancestor] = field(default_factory=list)
    silent: str = ""

    def follow(self, child: Subject, said: Description, above: tuple[str, ...], *, data: bool = False) -> None:
        """Follow everything a subject names, deepest first.

        Args:
            child: The subject.
            said: What it names.
            above: Names from the adapter down to it.
            data: It is a data set: its sources and teachers are followed, and not theirs.
        """
        above = (*above, child.name.lower())
        for claim in said.parents:
            if data and claim.kind == "base":
                continue
            key = (claim.kind, claim.name.lower())
            cycle = claim.kind != "teacher" and key[1] in above
            reason = f"{shown(claim.name)} is named as its own ancestor: a cycle" if cycle else ""
            new = not cycle and key not in self.reached and key not in self.failed
            if new:
                self._visit(key, claim)
            subject = self.reached.get(key)
            self.edges.append(
                Ancestor(
                    kind=claim.kind, child=child.name, name=claim.name, commit=subject.commit if subject and not cycle else None,
                    where=claim.where, evidence=claim.evidence, reason=reason or self.failed.get(key, ""),
                )
            )  # fmt: skip
            if new and subject is not None and not data:
                self.follow(subject, self.describes(subject), above, data=claim.kind == "dataset")

    def _visit(self, key: tuple[str, str], claim: ParentClaim) -> None:
        """Reach one parent, or note why that cannot be done."""
        if not HUB_NAME.match(claim.name):
            self.failed[key] = f"{shown(claim.name)[:200]!r} is a path on its author's machine, not a repository"
        elif self.silent:
            self.failed[key] = self.silent
        elif len(self.reached) >= NODES:
            self.failed[key] = f"not asked for: the lineage has more than {NODES} repositories"
        else:
            try:
                self.ctx.checkpoint()
                self.ctx.emit(
                    Progress(run_id=self.ctx.run_id, step="acquire", item=claim.name, message=f"{claim.kind} of the lineage")
                )
                self.reached[key] = self.reach(claim, self.ctx)
            except Unreachable as error:
                self.silent = self.failed[key] = str(error)
            except (SubjectError, LimitError) as error:
                self.failed[key] = error.message


def with_ancestry(made: Composition, *, reach: Reach, describes: Describes, ctx: RunContext) -> Composition:
    """Return a composition with its lineage up to the roots.

    Args:
        made: Adapter and base, described.
        reach: Pins one parent and takes its documents.
        describes: Reads what a parent says of itself.
        ctx: Progress and cancellation.
    """
    walk = _Walk(reach=reach, describes=describes, ctx=ctx)
    if made.base is not None:
        for name in {made.base.name, *_meant(made.description.parents, made)}:
            walk.reached[("base", name.lower())] = made.base
    walk.follow(made.adapter, made.description, ())
    if made.base is not None and made.base_description is not None:
        walk.follow(made.base, made.base_description, (made.adapter.name.lower(),))
    others = {(s.name, s.commit): s for s in walk.reached.values() if s is not made.base}
    return made.model_copy(update={"lineage": tuple(others.values()), "ancestry": tuple(walk.edges)})


def _meant(parents: Iterable[ParentClaim], made: Composition) -> list[str]:
    """Return the names the base goes by: what was asked for stands for the first name recorded, and for any path of a disk."""
    asked = any(c.by == "request" for c in made.description.claims)
    bases = [p.name for p in parents if p.kind == "base"]
    return [*(bases[:1] if asked else []), *(b for b in bases if not HUB_NAME.match(b))]
