"""Chat templates: parsed, never rendered; compared with each other and with the base's."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator

from governance.context import RunContext
from governance.evidence import Basis, Confidence, Coverage, Fact, Finding, Outcome, Rule, Severity
from governance.subject import Composition, FileEntry
from scanners._formats.names import shown
from scanners._formats.templates.compare import Difference, compare, same
from scanners._formats.templates.places import Place, places
from scanners._formats.templates.review import Remark, TemplateReview, review, review_go
from scanners._formats.tree import Content, content, contents

_ESCAPE = Rule(
    id="template-escape",
    summary="a template reaches for the interpreter",
    severity=Severity.CRITICAL,
    references=("CWE-1336", "CVE-2024-34359", "CVE-2026-5760"),
)
_BRANCH = Rule(
    id="template-content-branch",
    summary="a template's output hangs on words inside a message",
    severity=Severity.HIGH,
    references=("AML.T0051", "AML.T0018"),
)
_UNKNOWN = Rule(
    id="template-unknown-construct",
    summary="a template uses what no known template uses, or cannot be parsed",
    severity=Severity.MEDIUM,
    references=("CWE-1336",),
)
_HIDDEN = Rule(
    id="template-hidden-text",
    summary="a template holds text people are not meant to read",
    severity=Severity.MEDIUM,
    references=("AML.T0051", "CWE-1007"),
)
_COST = Rule(
    id="template-cost",
    summary="a template makes unbounded work",
    severity=Severity.MEDIUM,
    references=("CWE-834",),
)
_SOURCES = Rule(
    id="template-sources-differ",
    summary="one repository holds templates that disagree",
    severity=Severity.MEDIUM,
    references=("CWE-436",),
)
_DIFFERS = Rule(
    id="template-differs-from-base",
    summary="the adapter brings another template than its base",
    severity=Severity.LOW,
    references=("AML.T0010.003",),
)
_MEANS = {
    "escape": (_ESCAPE, "a loader that renders it without a sandbox runs the author's code", "do not load it"),
    "content": (_BRANCH, "the model can be made to say other things when a message holds these words", "use the base's template"),
    "unknown": (_UNKNOWN, "what it does when rendered was not reviewed", "have a person read the template, or use the base's"),
    "hidden": (_HIDDEN, "the model reads it, a person is not meant to", "use the base's template"),
    "cost": (_COST, "one prompt can keep the loader's process busy without an end", "use the base's template"),
}
#: Names of files by which loaders find a template of the base; its weights are not opened for this.
_BASE_FILES = ("tokenizer_config.json", "processor_config.json", "chat_template.json")


class ChatTemplate:
    """Reads every prompt template as a syntax tree, and follows its values.

    Detects:
        Access to attributes that lead out of the template, also when their names are put together from parts; output that
        depends on words inside message content, on its length, on the date, on the number of messages, or on roles and tools
        nobody knows; tags, filters and functions that no common template uses; invisible and direction-changing characters,
        encoded blocks, addresses, orders to disregard instructions; unbounded work; templates of one repository that
        disagree, and such that differ from the base's.

    Why it matters:
        A template runs on every prompt, in the loader's process. Several loaders rendered it without a sandbox, and one
        that branches on content is a backdoor that needs no weights.

    Misses:
        A trigger spelt like a control marker of a known family whose branch writes no prose; a harmful but constant system
        prompt, which shows only as a difference from the base; the logic of Go templates beyond comparisons with content.

    Source:
        CVE-2024-34359, CVE-2026-5760, MITRE ATLAS AML.T0051; Jinja 3.1 documentation.
    """

    id = "chat-template"
    version = "2"
    declares = (_ESCAPE, _BRANCH, _UNKNOWN, _HIDDEN, _COST, _SOURCES, _DIFFERS)

    def wants(self, composition: Composition) -> bool:
        """Return True if there is a file: a template may stand anywhere."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Review each template, then compare those of one folder, and the adapter's with the base's."""
        known: dict[str, str] = {}
        found: list[Place] = []
        for entry, root in contents(composition, ctx):
            yield from _file(entry, root, entry.path, ctx, known, found)
        yield from _sources(found)
        base = composition.base
        theirs: list[Place] = []
        for entry in base.files if base is not None else ():
            if base is not None and (entry.path in _BASE_FILES or entry.path.endswith(".jinja")):
                root = content(base, entry, ctx, "base") if entry.present else None
                yield from _file(entry, root, f"base: {entry.path}", ctx, {}, theirs)
        yield from _differences(found, theirs)


def _file(
    entry: FileEntry, root: Content | None, item: str, ctx: RunContext, known: dict[str, str], found: list[Place]
) -> Iterator[Fact | Coverage]:
    if root is None:
        yield Coverage(item=item, outcome=Outcome.SKIPPED, reason="not downloaded")
        return
    here: list[Place] = []
    gaps: list[str] = []
    for inner in root.walk():
        read = places(inner, ctx.limits)
        here += read.found
        if read.gap:
            gaps.append(read.gap if inner is root else f"{inner}: {read.gap}")
    for place in here:
        ctx.checkpoint()
        digest = hashlib.sha256(f"{place.language}:{place.text}".encode("utf-8", "surrogatepass")).hexdigest()
        if digest not in known:
            known[digest] = str(place.content)
            result = review_go(place.text) if place.language == "go" else review(place.text)
            yield from _said_of(place, result)
            if result.problem:
                gaps.append(f"a template cannot be parsed: {result.problem}")
    found += here
    if gaps:
        yield Coverage(item=item, outcome=Outcome.SKIPPED, reason="; ".join(gaps[:3]))
    elif here:
        yield Coverage(item=item, outcome=Outcome.COMPLETED)
    else:
        yield Coverage(item=item, outcome=Outcome.NOT_APPLICABLE, reason="holds no template")


def _said_of(place: Place, result: TemplateReview) -> Iterator[Finding]:
    for remark in result.remarks[:200]:
        yield _finding(place, remark)
    if result.problem:
        words = f"the template cannot be parsed: {result.problem}"
        yield _said(place, _UNKNOWN, words, "have a person read it, or use the base's")


def _finding(place: Place, remark: Remark) -> Finding:
    rule, why, remedy = _MEANS[remark.kind]
    named = "" if place.name == "default" else f" {shown(place.name)!r}"
    finding = _said(place, rule, f"line {remark.line} of the template{named}: {shown(remark.what)}; {why}", remedy)
    if remark.kind != "content":
        return finding if remark.grade == "certain" else finding.model_copy(update={"confidence": Confidence.MEDIUM})
    severity = Severity.HIGH if remark.grade in ("certain", "date") else Severity.MEDIUM
    confidence = Confidence.MEDIUM if remark.grade == "certain" else Confidence.LOW
    return finding.model_copy(update={"severity": severity, "confidence": confidence})


def _said(place: Place, rule: Rule, message: str, remedy: str, **evidence: str) -> Finding:
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        basis=Basis.TEXT,
        message=message,
        subject=place.content.whose,
        locations=(place.content.location(key=place.key and shown(place.key)),),
        remediation=remedy,
        references=rule.references,
        evidence=evidence,
    )


def _sources(found: list[Place]) -> Iterator[Finding]:
    """Yield one finding for each name whose templates of one folder disagree."""
    groups: dict[tuple[str, str], list[Place]] = defaultdict(list)
    for place in found:
        telling = place.key is None or "chat_template" in place.key
        if place.language == "jinja" and not place.content.entry and telling:
            folder = place.content.path.rpartition("/")[0].removesuffix("chat_templates").removesuffix("additional_")
            groups[folder.rstrip("/"), place.name].append(place)
    for (_, name), group in groups.items():
        others = [p for p in group[1:] if not same(p.text, group[0].text)]
        if others:
            listed = ", ".join(dict.fromkeys(str(p.content.location(key=p.key)) for p in (group[0], *others)))
            finding = _said(
                others[0],
                _SOURCES,
                f"the template {shown(name)!r} is written differently in {listed}; which one counts depends on the loader",
                "keep one template, the one that was reviewed",
                difference=_words(compare(group[0].text, others[0].text)),
            )
            yield finding.model_copy(update={"locations": tuple(p.content.location(key=p.key) for p in (group[0], *others))[:8]})


def _differences(found: list[Place], base: list[Place]) -> Iterator[Finding]:
    """Yield one finding for each template of the adapter that differs from the base's of the same name."""
    theirs: dict[str, str] = {}
    for place in base:
        if place.key is None or "chat_template" in place.key:
            theirs.setdefault(place.name, place.text)
    for place in found:
        other = theirs.get(place.name)
        telling = place.key is None or "chat_template" in place.key
        if other is None or not telling or place.language != "jinja" or same(place.text, other):
            continue
        change = compare(other, place.text)
        inserted = bool(change.prose or change.tests) and change.keeps
        added = f" and adds {change.prose[0][:80]!r}" if change.prose else ""
        finding = _said(
            place,
            _DIFFERS,
            f"the adapter's chat template differs from the base's in {change.lines} lines{shown(added)}; "
            "prompts reach the model in another form",
            "read the difference; use the base's template if nothing in the card explains it",
            difference=_words(change),
        )
        yield finding.model_copy(update={"severity": Severity.MEDIUM}) if inserted else finding


def _words(change: Difference) -> str:
    return "\n".join(shown(line[:160]) for line in change.shown)


PLUGIN = ChatTemplate()
