"""The license engine as a plug-in: what every part of a lineage is under, and whether the adapter keeps the others' terms."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Literal

from governance.context import RunContext
from governance.evidence import Basis, Component, Confidence, Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.subject import HUB_NAME, Composition, Description, Subject
from scanners._formats.documents import read_json
from scanners._formats.names import shown
from scanners._licenses.duties import judge
from scanners._licenses.lineage import Asker, Duty, Level, Lineage, Relation
from scanners._licenses.nodes import Node, conclusions, lineage_of
from scanners._licenses.papers import Papers, holds, papers
from scanners._licenses.remedies import remedies
from scanners._licenses.resolve import Conclusion
from scanners._licenses.shape import relation
from scanners._licenses.sources import capped
from scanners._licenses.upstream import documentation, upstream
from scanners._licenses.uses import USE_RULES

_VIOLATION = Rule(id="license-violation", summary="a term of a license is broken by a checkable fact", severity=Severity.HIGH)
_CONFLICT = Rule(
    id="license-conflict", summary="terms cannot be met together, or their reach is disputed", severity=Severity.MEDIUM
)
_UNKNOWN = Rule(id="license-unknown", summary="a license cannot be read or concluded", severity=Severity.MEDIUM)
_OBLIGATION = Rule(id="license-obligation", summary="a duty of a license is open", severity=Severity.INFO)
_RULES: dict[Level, Rule] = {"violation": _VIOLATION, "conflict": _CONFLICT, "unknown": _UNKNOWN, "obligation": _OBLIGATION}

#: Names programs give to folders; they are nobody's name for a model.
_NO_NAME = re.compile(
    r"\A(((best|final|trained|finetuned|merged|saved|my)[-_ ]?)?(q?lora|peft|adapter|model|weights|outputs?|results?|checkpoint)s?"
    r"[-_ ]?)+\d*\Z",
    re.IGNORECASE,
)


class LicenseEngine:
    """Applies the terms of every license involved to what is published.

    Detects:
        Licenses that are missing, unknown, or contradicted by the text beside them; an adapter that grants what an ancestor
        reserves, drops the restrictions it passes on, or is shared where it forbids that; names, notices and display lines that
        are asked for; data sets, teachers and services whose terms speak of what is trained on them; ancestors that dropped
        terms of their own; uses, places, user numbers and revenues a license reserves, where the asker has named them.

    Why it matters:
        An adapter's license cannot give more than its base's allows. Who uses it in good faith answers to the base's
        licensor.

    Misses:
        Parents nobody names; training data named only by a file; terms that changed since; license texts that were changed in a
        few words; what a measured loss of safety means for a license; what only a lawyer can weigh. Nothing here is legal advice.

    Source:
        The license texts named in ``policies/licenses``; Hugging Face Hub documentation, "Licenses".
    """

    id = "license-terms"
    profile: Literal["lineage"] = "lineage"
    version = "2"
    declares = (_VIOLATION, _CONFLICT, _UNKNOWN, _OBLIGATION)

    def wants(self, composition: Composition) -> bool:
        """Return whether there is anything to be licensed."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Conclude every part, then judge the adapter against all of them."""
        adapter, own = composition.adapter, papers(composition.adapter, ctx)
        nodes = lineage_of(composition, ctx)
        bases = [c.terms for n in nodes if n.kind == "base" for c in n.found if c.terms is not None]
        found = conclusions(
            adapter, composition.description, own, ctx.license_terms, ancestors=tuple(dict.fromkeys(b.id for b in bases))
        )[0]
        yield from _components(composition, own, found, nodes)
        lineage = Lineage(
            name=_published(adapter.name),
            relation=relation(composition, ctx),
            terms=found.terms,
            or_later=found.or_later,
            reason=found.reason,
            parents=tuple(p for n in nodes for p in n.parents()),
            holds=holds(own, bases, [n.name for n in nodes if n.kind == "dataset"]),
            asker=_asker(composition, ctx),
        )
        by_label = {f"{n.kind}:{n.name}": n for n in nodes}
        duties = [_weighed(d, by_label.get(d.parent), adapter) for d in judge(lineage)]
        for alike in _folded([*duties, *upstream(nodes), *documentation(own, nodes)]):
            if alike[0].level != "ok":
                yield _finding(alike, lineage, found, by_label)
        yield from _coverage("adapter license", own)
        yield from _reach(composition, nodes)


def _weighed(duty: Duty, node: Node | None, adapter: Subject) -> Duty:
    """Return a duty as strong as what names the parent, its license, and the child."""
    if duty.id in ("LIC-NAME", "LIC-OUT-NAME") and not HUB_NAME.match(adapter.name):
        message = f"{duty.message} (a folder's name; under which it is published is not known)"
        level: Level = "obligation" if _NO_NAME.match(_published(adapter.name)) else duty.level
        duty = duty.model_copy(update={"ground": Basis.JUDGEMENT, "message": message, "level": level})
    if node is not None and node.inferred and node.kind != "service" and duty.level != "unknown":
        return capped(duty)
    return duty.model_copy(update={"ground": Basis.JUDGEMENT}) if node is not None and node.recalled else duty


def _folded(duties: list[Duty]) -> list[list[Duty]]:
    """Return duties in groups that say the same of several parents, worst first in each."""
    groups: dict[tuple[str, str, str], list[Duty]] = {}
    for duty in sorted(duties, key=lambda d: (*d.order[:2], d.ground is Basis.JUDGEMENT, d.parent)):
        groups.setdefault((duty.id, duty.clause, duty.message), []).append(duty)
    return list(groups.values())


def _published(name: str) -> str:
    """Return what a folder is called without the owner that tools put before it: ``owner__name``, ``models--owner--name``."""
    if HUB_NAME.match(name):
        return name
    last = name.rstrip("/").rsplit("/", 1)[-1]
    return last.rsplit("--", 1)[-1] if last.startswith("models--") else last.partition("__")[2] or last


def _asker(composition: Composition, ctx: RunContext) -> Asker:
    """Return who asks; the modality is the base's if nobody says otherwise."""
    intent = ctx.intent
    multimodal = intent.multimodal
    base = composition.base
    if multimodal is None and base is not None and (entry := base.file("config.json")) is not None and entry.present:
        config = read_json(base, "config.json", ctx).mapping
        if "model_type" in config:
            multimodal = any(re.search(r"(vision|audio|image|video|speech)_", key) for key in config)
    return Asker(purpose=intent.use, where=intent.region, mau=intent.mau, revenue=intent.revenue, multimodal=multimodal)


def _coverage(item: str, own: Papers) -> Iterator[Coverage]:
    yield from own.gaps
    if not own.gaps:
        yield Coverage(item=item, outcome=Outcome.COMPLETED)


def _reach(composition: Composition, nodes: Collection[Node]) -> Iterator[Coverage]:
    """Yield what of the lineage was read."""
    if composition.base is None:
        reason = f"base unknown: {composition.base_reason or 'none was found'}"
        yield Coverage(item="base license", outcome=Outcome.SKIPPED, reason=reason)
    for node in nodes:
        if node.subject is not None and node.subject is composition.base:
            yield from _coverage("base license", node.own)
        elif node.subject is not None:
            yield from _coverage(f"license of {node.kind} {node.name}", node.own)
        elif node.kind != "service" and node.name != "the base":
            # A license recalled from the table of known models was judged, by judgement; one that nobody knows was not.
            reason = node.reason + ("; its license is recalled from the table of known models" if node.recalled else "")
            outcome = Outcome.COMPLETED if node.recalled else Outcome.SKIPPED
            yield Coverage(item=f"license of {node.kind} {node.name}", outcome=outcome, reason=reason)


def _components(composition: Composition, own: Papers, found: Conclusion, nodes: Collection[Node]) -> Iterator[Component]:
    yield _component("adapter", composition.adapter, "subject", (found,), _words(composition.description, own))
    listed = set[str]()
    for node in nodes:
        is_base = node.subject is not None and node.subject is composition.base
        if is_base and node.subject is not None:
            yield _component("base", node.subject, "base of the adapter", node.found, _words(node.said, node.own))
        elif node.kind == "dataset":
            listed.add(node.name)
            whose = "adapter" if node.child == composition.adapter.name else "base"
            relation_ = f"training data of the {whose}, as its card says"
            yield _named("dataset", node, relation_)
        elif node.kind in ("base", "teacher") and node.name != "the base":
            yield _named("ancestor", node, f"{node.kind} of {node.child}")
    for whose, said in (("adapter", composition.description), ("base", composition.base_description or Description())):
        for name in said.datasets:
            if name not in listed:
                listed.add(name)
                yield Component(type="dataset", name=name, relation=f"training data of the {whose}, as its card says")


def _words(said: Description, own: Papers) -> dict[str, str]:
    """Return what shows that a part's terms are not what they were, when the part is read again."""
    return {**own.digests, "license-link": said.license_link or ""}


def _named(kind: Literal["ancestor", "dataset"], node: Node, relation_: str) -> Component:
    kept = {
        "where": node.where,
        "evidence": "inferred" if node.inferred else "declared",
        "not-reached": node.reason if node.subject is None else "",
        "license-from": "table of known models" if node.recalled else "",
    }
    if node.subject is not None:
        return _component(kind, node.subject, relation_, node.found, {**kept, **_words(node.said, node.own)})
    concluded = [c.concluded for c in node.found if c.concluded]
    return Component(
        type=kind,
        name=node.name,
        relation=relation_,
        license_concluded=" AND ".join(concluded) or None,
        properties={k: v for k, v in kept.items() if v},
    )


def _component(
    kind: Literal["adapter", "base", "ancestor", "dataset"],
    subject: Subject,
    relation_: str,
    found: Collection[Conclusion],
    kept: dict[str, str],
) -> Component:
    reason = next((c.reason for c in found if c.reason), "")
    return Component(
        type=kind,
        name=subject.name,
        version=subject.commit,
        relation=relation_,
        license_declared=", ".join(c.declared for c in found if c.declared) or None,
        license_detected=", ".join(next((c.detected for c in found), ())) or None,
        license_concluded=" AND ".join(c.concluded for c in found if c.concluded) or None,
        digest=subject.digest,
        properties={k: v for k, v in {**kept, "license-reason": reason}.items() if v},
    )


def _finding(alike: list[Duty], lineage: Lineage, found: Conclusion, by_label: Mapping[str, Node]) -> Finding:
    duty = alike[0]
    rule, node = _RULES[duty.level], by_label.get(duty.parent)
    evidence = {
        "rule": duty.id,
        "verdict": "use" if duty.id in USE_RULES else "model",
        "clause": duty.clause,
        "parent": ", ".join(dict.fromkeys(d.parent for d in alike)),
        "parent-license": ", ".join(c.concluded or "unknown" for c in node.found) if node is not None else "",
        "parent-named-in": node.where if node is not None else "",
        "license-from": "table of known models" if node is not None and node.recalled else "",
        "adapter-license": found.concluded or "unknown",
        "relation": lineage.relation,
        **remedies(alike, lineage),
    }
    return Finding(
        rule=rule.id,
        severity=Severity.LOW if duty.low else rule.severity,
        confidence=Confidence.MEDIUM if duty.ground is Basis.JUDGEMENT else Confidence.HIGH,
        basis=duty.ground,
        message=f"{duty.id}: {shown(duty.message)}" + (f" ({duty.clause})" if duty.clause else ""),
        subject="base" if duty.id == "LIC-PARENT-UNKNOWN" and duty.parent.startswith("base:") else "adapter",
        locations=_locations(duty, node),
        remediation=duty.remedy,
        references=tuple(r for r in (duty.id, duty.clause, *(shown(d.parent) for d in alike[:5])) if r),
        evidence={k: v if k.startswith("remedy-") else shown(v) for k, v in evidence.items() if v},
    )


def _locations(duty: Duty, node: Node | None) -> tuple[Location, ...]:
    if duty.id.startswith("LIC-CHILD"):
        return (Location(path="README.md", key="license"),)
    path, sign, key = (node.where if node is not None else "").partition("#")
    return (Location(path=path, key=key),) if sign and node is not None else ()


__all__ = ["PLUGIN", "LicenseEngine", "Relation"]
PLUGIN = LicenseEngine()
