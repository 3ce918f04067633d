"""The license engine as a plug-in: what adapter and base are under, and whether one keeps the other's terms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from governance.context import RunContext
from governance.evidence import Component, Confidence, Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.licensing import LicenseTerms
from governance.subject import Composition, Description, Noun, Subject
from scanners._formats.documents import is_lfs_pointer, read_bytes
from scanners._licenses.duties import judge
from scanners._licenses.lineage import Duty, Level, Lineage, Parent, Relation
from scanners._licenses.resolve import Conclusion, conclude
from scanners._licenses.texts import detect, fold

_VIOLATION = Rule(id="license-violation", summary="a term of a license is broken by a checkable fact", severity=Severity.HIGH)
_CONFLICT = Rule(
    id="license-conflict", summary="terms cannot be met together, or their reach is disputed", severity=Severity.MEDIUM
)
_UNKNOWN = Rule(id="license-unknown", summary="a license cannot be read or concluded", severity=Severity.MEDIUM)
_OBLIGATION = Rule(id="license-obligation", summary="a duty of a license is open", severity=Severity.INFO)
_RULES: dict[Level, Rule] = {"violation": _VIOLATION, "conflict": _CONFLICT, "unknown": _UNKNOWN, "obligation": _OBLIGATION}

_LICENSE_FILE = re.compile(r"\A(licen[sc]es?|copying|unlicense)([-_.].*)?\Z", re.IGNORECASE)
_NOTICE_FILE = re.compile(r"\Anotice(\.(md|txt))?\Z", re.IGNORECASE)
_CHANGED = re.compile(r"fine[- ]?tun|\blora\b|low[- ]rank|\badapter\b|modified|trained (on|from)", re.IGNORECASE)
_RESTRICTIONS = ("prohibited use policy", "use based restrictions", "attachment a", "acceptable use policy")
_FULL_MODEL = re.compile(r"\A(model|pytorch_model)[^/]*\.(safetensors|bin)\Z|\A[^/]*\.gguf\Z")
_TEXT_BYTES = 2 << 20


class _Papers(Noun):
    """The words a repository brings: license texts by file, notices, the card."""

    texts: tuple[tuple[str, str | None], ...] = ()
    legal: str = ""
    notice: str = ""
    card: str = ""
    gaps: tuple[Coverage, ...] = ()

    @property
    def detected(self) -> tuple[str, ...]:
        """Ids of the license texts, each once."""
        return tuple(dict.fromkeys(known for _, known in self.texts if known))


class LicenseEngine:
    """Applies the terms of every license involved to what is published.

    Detects:
        Licenses that are missing, unknown, or contradicted by the text beside them; an adapter that grants what its base
        reserves, drops the restrictions its base passes on, or is shared where the base forbids it; names, notices and
        display lines a base asks for; uses a license reserves, where the asker has named a use.

    Why it matters:
        An adapter's license cannot give more than its base's allows. Who uses it in good faith answers to the base's
        licensor.

    Misses:
        Licenses of training data and of models whose output was trained on; caps on users, revenue and place; license
        texts that were changed in a few words; what only a lawyer can weigh. Nothing here is legal advice.

    Source:
        The license texts named in ``policies/licenses``; Hugging Face Hub documentation, "Licenses".
    """

    id = "license-terms"
    profile: Literal["lineage"] = "lineage"
    version = "1"
    declares = (_VIOLATION, _CONFLICT, _UNKNOWN, _OBLIGATION)

    def wants(self, composition: Composition) -> bool:
        """Return whether there is anything to be licensed."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Conclude base, then adapter, then judge."""
        base = composition.base
        base_papers = _papers(base, ctx) if base else _Papers()
        base_said = composition.base_description or Description()
        base_found = _conclude(base, base_said, base_papers, ctx) if base else Conclusion(reason=_no_base(composition))
        papers = _papers(composition.adapter, ctx)
        ancestors = (base_found.terms.id,) if base_found.terms else ()
        found = _conclude(composition.adapter, composition.description, papers, ctx, ancestors=ancestors)
        yield from _components(composition, found, base_found)
        name = base.name if base else next((c.name for c in composition.description.claims), "the base")
        lineage = Lineage(
            name=composition.adapter.name,
            relation=_relation(composition.adapter),
            terms=found.terms,
            or_later=found.or_later,
            reason=found.reason,
            parents=(Parent(name=name, terms=base_found.terms, reason=base_found.reason),),
            holds=_holds(papers, base_found.terms),
            purpose=ctx.intent.use,
        )
        for duty in judge(lineage):
            yield _finding(duty, found, base_found)
        yield from _coverage("adapter license", papers)
        if base is None:
            yield Coverage(item="base license", outcome=Outcome.SKIPPED, reason=_no_base(composition))
        else:
            yield from _coverage("base license", base_papers)


def _no_base(composition: Composition) -> str:
    return f"base unknown: {composition.base_reason or 'none was found'}"


def _coverage(item: str, papers: _Papers) -> Iterator[Coverage]:
    yield from papers.gaps
    if not papers.gaps:
        yield Coverage(item=item, outcome=Outcome.COMPLETED)


def _conclude(
    subject: Subject, said: Description, papers: _Papers, ctx: RunContext, *, ancestors: tuple[str, ...] = ()
) -> Conclusion:
    modified = [path for path, known in papers.texts if known is None and path.lower().endswith("(modified)")]
    found = conclude(said.license or subject.license, said.license_name, papers.detected, ctx.license_terms, ancestors=ancestors)
    if modified and found.terms is not None:
        reason = f"{modified[0].removesuffix(' (modified)')} is a known license text with additions, which nobody has read"
        return found.model_copy(update={"terms": None, "reason": reason})
    return found


def _papers(subject: Subject, ctx: RunContext) -> _Papers:
    texts: list[tuple[str, str | None]] = []
    gaps: list[Coverage] = []
    legal, notice, card = "", "", ""
    for entry in subject.files:
        folder, _, name = entry.path.rpartition("/")
        if folder.lower() not in ("", "license", "licenses"):
            continue
        kind = (
            "license"
            if _LICENSE_FILE.match(name)
            else "notice"
            if _NOTICE_FILE.match(name)
            else "card"
            if name == "README.md"
            else ""
        )
        if not kind:
            continue
        data = read_bytes(subject, entry.path, ctx, _TEXT_BYTES) if entry.present else None
        if data is None or is_lfs_pointer(data):
            reason = "not downloaded, larger than is read, or a Git LFS pointer"
            gaps.append(Coverage(item=f"{subject.name}: {entry.path}", outcome=Outcome.SKIPPED, reason=reason))
            continue
        text = data.decode("utf-8", "replace")
        if kind == "license":
            legal += f" {fold(text)}"
            match = detect(text, ctx.license_terms)
            texts.append((f"{entry.path} (modified)", None) if match.modified else (entry.path, match.id))
        elif kind == "notice":
            notice += text
        else:
            card = text
    return _Papers(texts=tuple(texts), legal=legal, notice=notice, card=card, gaps=tuple(gaps))


def _kind(name: str) -> str:
    if _LICENSE_FILE.match(name):
        return "license"
    if _NOTICE_FILE.match(name):
        return "notice"
    return "card" if name == "README.md" else ""


def _relation(adapter: Subject) -> Relation:
    """Return what travels: an adapter alone, or the base's weights with it."""
    return "finetune" if any(_FULL_MODEL.match(f.path) for f in adapter.files) else "adapter"


def _holds(papers: _Papers, base: LicenseTerms | None) -> frozenset[str]:
    """Return the evidence the adapter's own files give that duties are met."""
    held = {f"text:{known}" for known in papers.detected}
    words = fold(f"{papers.card}\n{papers.notice}")
    if _CHANGED.search(papers.card):
        held.add("changes")
    if any(phrase in papers.legal for phrase in _RESTRICTIONS):
        held.add("restrictions")
    if "copyright" in words or (base is not None and f"text:{base.id}" in held):
        held.add("copyright")
    if base is not None and base.display and any(_sentence(line) in words for line in base.display.split("|")):
        held.add("display")
    if base is not None and base.notice and papers.notice and _sentence(base.notice) in fold(papers.notice):
        held.add("notice")
    return frozenset(held)


def _sentence(text: str) -> str:
    """Return a required sentence folded, without placeholders and remarks in brackets."""
    return fold(re.sub(r"\[[^\]]*\]|\(s\.[^)]*\)", "", text.split(" found at ")[0]))


def _components(composition: Composition, found: Conclusion, base_found: Conclusion) -> Iterator[Component]:
    adapter, base = composition.adapter, composition.base
    yield _component("adapter", adapter, "subject", found)
    if base is not None:
        yield _component("base", base, "base of the adapter", base_found)
    for name in composition.description.datasets:
        yield Component(type="dataset", name=name, relation="training data of the adapter, as its card says")
    for name in composition.base_description.datasets if composition.base_description else ():
        if name not in composition.description.datasets:
            yield Component(type="dataset", name=name, relation="training data of the base, as its card says")


def _component(kind: Literal["adapter", "base"], subject: Subject, relation: str, found: Conclusion) -> Component:
    return Component(
        type=kind,
        name=subject.name,
        version=subject.commit,
        relation=relation,
        license_declared=found.declared,
        license_detected=", ".join(found.detected) or None,
        license_concluded=found.concluded,
        digest=subject.digest,
        properties={"license-reason": found.reason} if found.reason else {},
    )


def _finding(duty: Duty, found: Conclusion, base_found: Conclusion) -> Finding:
    rule = _RULES[duty.level]
    evidence = {
        "rule": duty.id,
        "clause": duty.clause,
        "parent": duty.parent,
        "adapter-license": found.concluded or "unknown",
        "base-license": base_found.concluded or "unknown",
    }
    return Finding(
        rule=rule.id,
        severity=Severity.LOW if duty.low else rule.severity,
        confidence=Confidence.MEDIUM if duty.ground.value == "judgement" else Confidence.HIGH,
        basis=duty.ground,
        message=f"{duty.id}: {duty.message}" + (f" ({duty.clause})" if duty.clause else ""),
        subject="base" if duty.id == "LIC-PARENT-UNKNOWN" else "adapter",
        locations=(Location(path="README.md", key="license"),) if duty.id.startswith("LIC-CHILD") else (),
        remediation=duty.remedy,
        references=tuple(r for r in (duty.id, duty.clause, f"base:{duty.parent}" if duty.parent else "") if r),
        evidence={k: v for k, v in evidence.items() if v},
    )


PLUGIN = LicenseEngine()
