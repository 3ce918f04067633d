"""Chat templates: parsed, never rendered; compared with the base's."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from typing import Literal

from governance.context import RunContext
from governance.evidence import Basis, Confidence, Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.subject import Composition, Noun, Subject
from scanners._formats.documents import read_bytes, read_json
from scanners._formats.templates import Remark, review

Whose = Literal["adapter", "base"]

_CONFIGS = ("tokenizer_config.json", "processor_config.json", "chat_template.json")
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
_DIFFERS = Rule(
    id="template-differs-from-base",
    summary="the adapter brings another template than its base",
    severity=Severity.LOW,
    references=("AML.T0010.003",),
)
_MEANS = {
    "escape": (
        _ESCAPE,
        "a loader that renders it without a sandbox runs the author's code",
        "do not load it",
    ),
    "content": (_BRANCH, "the model can be made to say other things when a message holds these words", "use the base's template"),
    "unknown": (_UNKNOWN, "what it does when rendered was not reviewed", "have a person read the template, or use the base's"),
    "hidden": (_HIDDEN, "the model reads it, a person is not meant to", "use the base's template"),
}


class _Template(Noun):
    """One template and where it stands; ``name`` tells named ones apart."""

    whose: Whose
    path: str
    name: str = "default"
    key: str | None = None
    text: str

    @property
    def item(self) -> str:
        """What coverage calls it."""
        return f"{self.whose}: {self.path}" + ("" if self.name == "default" else f" ({self.name})")


class ChatTemplate:
    """Reads every chat template as a syntax tree.

    Detects:
        Access to attributes that lead out of the template, also when their names are put together from parts; output that
        depends on words inside message content; tags, filters and functions that no common template uses; invisible and
        direction-changing characters, encoded blocks, orders to disregard instructions; templates that differ from the base's.

    Why it matters:
        A template runs on every prompt, in the loader's process. Several loaders rendered it without a sandbox, and one
        that branches on content is a backdoor that needs no weights.

    Misses:
        Behaviour that depends on length, position or date alone; triggers spelt like the control markers of known
        families; a harmful but constant system prompt, which shows only as a difference from the base.

    Source:
        CVE-2024-34359, CVE-2026-5760, MITRE ATLAS AML.T0051; Jinja 3.1 documentation.
    """

    id = "chat-template"
    version = "1"
    declares = (_ESCAPE, _BRANCH, _UNKNOWN, _HIDDEN, _DIFFERS)

    def wants(self, composition: Composition) -> bool:
        """Return whether any file can hold a template."""
        return any(_places(s) for s in (composition.adapter, composition.base) if s is not None)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Review each template, then compare the adapter's with the base's."""
        found: list[_Template] = []
        subjects: tuple[tuple[Whose, Subject | None], ...] = (("adapter", composition.adapter), ("base", composition.base))
        for whose, subject in subjects:
            for path in _places(subject) if subject else ():
                for said in _read(whose, subject, path, ctx) if subject else ():
                    if isinstance(said, Coverage):
                        yield said
                    else:
                        found.append(said)
        reviewed: set[tuple[str, str]] = set()
        for template in found:
            digest = hashlib.sha256(template.text.encode("utf-8", "surrogatepass")).hexdigest()
            if (template.whose, digest) not in reviewed:
                yield from _review(template)
            else:
                yield Coverage(item=template.item, outcome=Outcome.COMPLETED, reason="same text as another one")
            reviewed.add((template.whose, digest))
        yield from _compare(found)


def _places(subject: Subject) -> tuple[str, ...]:
    """Return the files that can hold a template: at the root, or beside an adapter in a folder."""
    return tuple(f.path for f in subject.files if f.path.endswith(".jinja") or f.path.rsplit("/", 1)[-1] in _CONFIGS)


def _read(whose: Whose, subject: Subject, path: str, ctx: RunContext) -> Iterator[_Template | Coverage]:
    entry = subject.file(path)
    if entry is None or not entry.present:
        yield Coverage(item=f"{whose}: {path}", outcome=Outcome.SKIPPED, reason="not downloaded")
        return
    if path.endswith(".jinja"):
        data = read_bytes(subject, path, ctx)
        if data is None:
            yield Coverage(item=f"{whose}: {path}", outcome=Outcome.SKIPPED, reason="larger than allowed, or unreadable")
        else:
            named = path.rsplit("/", 1)[-1].removesuffix(".jinja")
            name = "default" if named == "chat_template" else named
            yield _Template(whose=whose, path=path, name=name, text=data.decode("utf-8", "replace"))
        return
    document = read_json(subject, path, ctx)
    if document.value is None:
        reason = document.problems[0] if document.problems else "holds nothing"
        yield Coverage(item=f"{whose}: {path}", outcome=Outcome.SKIPPED, reason=reason)
        return
    if any("'chat_template'" in problem for problem in document.problems):
        reason = "two templates under one key; the last was read"
        yield Coverage(item=f"{whose}: {path} (first)", outcome=Outcome.SKIPPED, reason=reason)
    templates = list(_inside(whose, path, document.mapping.get("chat_template")))
    yield from templates
    if not templates:
        yield Coverage(item=f"{whose}: {path}", outcome=Outcome.NOT_APPLICABLE, reason="holds no template")


def _inside(whose: Whose, path: str, value: object) -> Iterator[_Template | Coverage]:
    match value:
        case None:
            return
        case str():
            yield _Template(whose=whose, path=path, key="chat_template", text=value)
        case list():
            for entry in value:
                if isinstance(entry, dict) and isinstance(entry.get("template"), str):
                    name = str(entry.get("name", "default"))[:60]
                    yield _Template(whose=whose, path=path, key="chat_template", name=name, text=entry["template"])
                else:
                    yield Coverage(
                        item=f"{whose}: {path}", outcome=Outcome.SKIPPED, reason="an entry of chat_template is no template"
                    )
        case dict():
            for name, text in value.items():
                if isinstance(text, str):
                    yield _Template(whose=whose, path=path, key="chat_template", name=str(name)[:60], text=text)
        case _:
            yield Coverage(item=f"{whose}: {path}", outcome=Outcome.SKIPPED, reason="chat_template is no text")


def _review(template: _Template) -> Iterator[Fact | Coverage]:
    result = review(template.text)
    for remark in result.remarks:
        yield _finding(template, remark)
    if result.problem:
        yield _said(
            template, _UNKNOWN, f"the template cannot be parsed: {result.problem}", "have a person read it, or use the base's"
        )
        yield Coverage(item=template.item, outcome=Outcome.SKIPPED, reason=f"cannot be parsed: {result.problem}")
    else:
        yield Coverage(item=template.item, outcome=Outcome.COMPLETED)


def _finding(template: _Template, remark: Remark) -> Finding:
    rule, why, remedy = _MEANS[remark.kind]
    finding = _said(template, rule, f"line {remark.line} of the template: {remark.what}; {why}", remedy)
    if remark.kind == "content":
        update = (
            {"severity": Severity.MEDIUM, "confidence": Confidence.LOW} if not remark.certain else {"confidence": Confidence.MEDIUM}
        )
        return finding.model_copy(update=update)
    return finding


def _said(template: _Template, rule: Rule, message: str, remedy: str, **evidence: str) -> Finding:
    return Finding(
        rule=rule.id,
        severity=rule.severity,
        basis=Basis.TEXT,
        message=message,
        subject=template.whose,
        locations=(Location(path=template.path, key=template.key),),
        remediation=remedy,
        references=rule.references,
        evidence=evidence,
    )


def _compare(found: list[_Template]) -> Iterator[Fact]:
    """Yield one finding for each named template of the adapter that differs from the base's of the same name."""
    base = {t.name: t.text for t in found if t.whose == "base" and "/" not in t.path}
    for template in found:
        other = base.get(template.name)
        if template.whose != "adapter" or other is None or other.strip() == template.text.strip():
            continue
        lines = difflib.unified_diff(other.splitlines(), template.text.splitlines(), "base", "adapter", lineterm="", n=0)
        changed = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
        yield _said(
            template,
            _DIFFERS,
            f"the adapter's chat template differs from the base's in {len(changed)} lines; prompts reach the model in another form",
            "read the difference; use the base's template if nothing in the card explains it",
            difference="\n".join(line[:160] for line in changed[:12]),
        )


PLUGIN = ChatTemplate()
