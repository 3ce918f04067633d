"""Configurations: what their fields make a loader import, open, fetch or trust, and whether all readers see the same document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from governance.context import RunContext
from governance.evidence import Basis, Confidence, Coverage, Fact, Finding, Outcome, Rule, Severity
from governance.subject import Composition, FileEntry
from scanners._formats.code.scripts import read_script
from scanners._formats.configs.configurations import Configuration, Pairs, Path, fields, read_configuration
from scanners._formats.configs.values import Hit, acts, is_apart, is_certain, is_document, looks_acting, matching, names_sink
from scanners._formats.kind_table import words_of
from scanners._formats.names import shown
from scanners._formats.regexes import is_costly
from scanners._formats.tables import table
from scanners._formats.tree import Content, contents

_KINDS = ("json", "text", "unknown", "protobuf")
#: Nothing larger is a configuration, unless it is a tokenizer, which tokenizer-files reads.
_LARGEST = 16 << 20
_DEEPEST = 64
#: Of such low notes, as many as a person reads; data sets in JSON hold thousands.
_MOST_UNLISTED = 10
#: Keys whose content is vocabulary, prose or a template: other scanners read those.
_PROSE = frozenset(
    [
        "chat_template",
        "vocab",
        "merges",
        "added_tokens_decoder",
        "additional_special_tokens",
        "added_tokens",
        "content",
        "id2label",
        "label2id",
        "widget",
        "datasets",
        "log_history",
        "description",
        "text",
        "messages",
        "prompt",
        "prompts",
        "examples",
        "model_card",
        "cells",
        "tokens",
        "labels",
        "citation",
        "homepage",
        "license",
    ]
)


class ConfigFields:
    """Reads every JSON, YAML and TOML document, whatever its name and wherever it lies.

    Detects:
        Fields of a closed list, kept as data for each loader and version, whose value reaches an import, code, an
        unpickler, a download or a trust decision; documents that two readers read differently; documents nobody can read;
        sizes and patterns that exhaust a loader; values of unlisted keys that look like something to follow.

    Why it matters:
        A loader follows its configuration as readily as its code: one field makes it import a module, unpickle a file or
        fetch a repository that nobody scanned.

    Misses:
        Fields of loaders that are not in the list, beyond the look of their values; what a listed repository holds;
        whether a value is what its author meant.

    Source:
        ``scanners/_formats/tables/config_fields.yaml``, each row with the file that reads it; RFC 8259; YAML 1.2.2.
    """

    id = "config-fields"
    version = "1"
    declares = (
        Rule(id="config-import", summary="a field makes a loader import what the file names", severity=Severity.HIGH,
             references=("CWE-470", "CVE-2026-22807")),
        Rule(id="config-load", summary="a field makes a loader open or fetch another artifact", severity=Severity.HIGH,
             references=("CWE-829", "AML.T0010.003")),
        Rule(id="config-trust", summary="the file grants itself trust", severity=Severity.CRITICAL,
             references=("CVE-2026-5241", "CWE-829")),
        Rule(id="config-ambiguous", summary="two readers give two documents", severity=Severity.MEDIUM, references=("CWE-436",)),
        Rule(id="config-unreadable", summary="not what its type promises", severity=Severity.MEDIUM, references=("CWE-20",)),
        Rule(id="config-resource", summary="a number or pattern that exhausts the loader or the server", severity=Severity.MEDIUM,
             references=("CWE-770", "CWE-1333")),
        Rule(id="config-field-unlisted", summary="an unlisted key with a path, address or expression", severity=Severity.LOW,
             references=("CWE-829",)),
    )  # fmt: skip

    def wants(self, composition: Composition) -> bool:
        """Return True if there is a file: a configuration may have any name."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Yield what each document's fields do, and coverage for each file."""
        names = {f.path for f in composition.adapter.files}
        for whose in ("adapter", "base"):
            for entry, root in contents(composition, ctx, "adapter" if whose == "adapter" else "base"):
                ctx.checkpoint()
                yield from _file(entry, root, names, "adapter" if whose == "adapter" else "base", ctx)


def _file(
    entry: FileEntry, root: Content | None, names: set[str], whose: Literal["adapter", "base"], ctx: RunContext
) -> Iterator[Fact | Coverage]:
    item = entry.path if whose == "adapter" else f"base: {entry.path}"
    if root is None:
        yield Coverage(item=item, outcome=Outcome.SKIPPED, reason="not downloaded")
        return
    read, gap, left = False, "", ctx.limits.findings // 4
    for content in root.walk():
        if content.kind not in _KINDS or (content.kind in ("unknown", "protobuf") and not _is_wide(content)):
            continue
        if content.name == "tokenizer.json":
            continue
        if content.size > min(_LARGEST, ctx.limits.document_bytes):
            gap = gap or (f"{content.size:,} bytes are more than is read as a configuration" if content.kind == "json" else "")
            continue
        data = content.read(_LARGEST)
        if data is None:
            gap = gap or "it cannot be read"
            continue
        found = read_configuration(data, content.name)
        if found is None:
            continue
        read = True
        if found.unreadable and (_is_needed(content, names) or "more than is read" in found.unreadable):
            gap = gap or found.unreadable
        for finding in _document(content, found, names, whose):
            if left > 0:
                yield finding
            left -= 1
    if gap:
        yield Coverage(item=item, outcome=Outcome.SKIPPED, reason=gap)
    elif read:
        yield Coverage(item=item, outcome=Outcome.COMPLETED)
    else:
        yield Coverage(item=item, outcome=Outcome.NOT_APPLICABLE, reason=f"{words_of(root.kind)}: no configuration")


def _is_needed(content: Content, names: set[str]) -> bool:
    """Return whether some loader needs this document: ``config.json`` beside an adapter is nobody's."""
    ours = is_document(content.name) and content.name.endswith("config.json")
    return content.name == "adapter_config.json" or (ours and not _has_adapter(content, names))


def _is_wide(content: Content) -> bool:
    """Return whether bytes are text in UTF-16 or UTF-32 that begins an object, which some JSON readers take."""
    with content.open() as stream:
        head = stream.read(8)
    return head.replace(b"\0", b"").lstrip(b"\xff\xfe \n")[:1] in (b"{", b"[") and b"\0" in head


def _document(content: Content, found: Configuration, names: set[str], whose: Literal["adapter", "base"]) -> Iterator[Finding]:
    apart = is_apart(found.form, content.name)
    if found.unreadable:
        needed = _is_needed(content, names)
        lines = found.unreadable.startswith("it is one document for each line")
        if found.form == "json" and not lines:
            yield _finding("config-unreadable", Severity.MEDIUM if needed else Severity.LOW, content, None, found.unreadable,
                           "ask for a file that is what its name says", whose)  # fmt: skip
        elif found.form != "json":
            yield _finding("config-unreadable", Severity.LOW, content, None, found.unreadable, "", whose)
    for words, everywhere in found.ambiguous:
        severity = Severity.MEDIUM if everywhere else Severity.LOW
        yield _finding("config-ambiguous", severity, content, None, f"{words}, so that what was audited need not be what is loaded",
                       "ask for one plain UTF-8 document", whose)  # fmt: skip
    if found.depth > _DEEPEST:
        yield _finding("config-resource", Severity.MEDIUM, content, None, f"it is nested deeper than {_DEEPEST} levels",
                       "no honest configuration is", whose)  # fmt: skip
    yield from _tags(content, found, whose)
    seen: set[tuple[str, str]] = set()
    unlisted = 0
    for path, value in fields(found.value):
        if any(key in _PROSE for key in path):
            continue
        for finding in _field(content, path, value, apart, whose):
            mark = (finding.rule, finding.message)
            unlisted += finding.rule == "config-field-unlisted"
            if mark not in seen and (unlisted <= _MOST_UNLISTED or finding.severity is not Severity.LOW):
                seen.add(mark)
                yield finding


def _field(content: Content, path: Path, value: object, apart: bool, whose: Literal["adapter", "base"]) -> Iterator[Finding]:
    listed = False
    for row in matching(path, content.name):
        listed = True
        hit = acts(row, value, content.name)
        if hit is not None:
            yield _acted(content, path, hit, apart, whose)
            break
    key, where = path[-1], ".".join(path)
    ceiling = table("config_fields")["ceilings"].get(next((k for k in reversed(path) if not k.isdigit()), key))
    if ceiling is not None and isinstance(value, int | float) and not isinstance(value, bool) and value > ceiling:
        quiet = content.name == "tokenizer_config.json" or apart
        yield _finding("config-resource", Severity.LOW if quiet else Severity.MEDIUM, content, where,
                       f"{_shown(key)} is {value:g}, more than any model needs: memory or time for it may run out",
                       "set a bound of your own before loading", whose)  # fmt: skip
    yield from _patterns(content, path, value, whose)
    known = listed or key == "base_model_name_or_path" or key in table("config_fields")["patterns"]
    sink = "" if listed else names_sink(value)
    if sink:
        yield _finding("config-field-unlisted", Severity.MEDIUM, content, where,
                       f"{_shown(key)} names {sink[:80]!a}, which runs code or starts processes for whoever calls what it is told",
                       "no setting of a model is a function of this kind", whose)  # fmt: skip
    elif isinstance(value, str) and (act := _commanded(value)):
        yield _finding("config-field-unlisted", Severity.MEDIUM, content, where,
                       f"{_shown(key)} holds a command that {act[:160]}", "ask what runs it", whose)  # fmt: skip
    elif isinstance(value, str) and not known:
        look = looks_acting(key if not key.isdigit() else path[-2] if len(path) > 1 else key, value)
        if look is not None:
            severity = look[0] if is_document(content.name) or (apart and is_certain(value)) else Severity.LOW
            yield _finding("config-field-unlisted", severity, content, where,
                           f"{_shown(key)} holds {look[1]}, {value[:100]!a}, and no known loader's list has this field",
                           "ask what reads it", whose)  # fmt: skip


def _commanded(value: str) -> str:
    """Return what a value of one line does if it is a command that fetches, decodes or connects and runs; empty if it is none."""
    if len(value) > 600 or "\n" in value or not any(sign in value for sign in ("|", "$(", "`", "/dev/", "&&", ";")):
        return ""
    return next((a.words for a in read_script(value, "shell") if a.severity is Severity.HIGH), "")


def _acted(content: Content, path: Path, hit: Hit, apart: bool, whose: Literal["adapter", "base"]) -> Finding:
    row = hit.row
    severity = Severity.LOW if apart and row.rule == "config-trust" else hit.severity
    verb = {
        "config-import": "makes the loader import or run what it names",
        "config-load": "makes the loader open or fetch something else",
        "config-trust": "grants itself trust" + (", in a document that no known loader opens" if apart else ""),
    }
    finding = _finding(
        row.rule, severity, content, ".".join(path),
        f"{_shown('.'.join(path[-2:]))} {verb[row.rule]}: {hit.words} ({row.loader}, {row.versions}: {row.sink})",
        "remove the field, or load with a configuration of your own", whose,
    )  # fmt: skip
    more = (row.advisory,) if row.advisory.startswith(("CVE-", "GHSA-")) and row.advisory not in finding.references else ()
    return finding.model_copy(update={
        "references": (*finding.references, *more),
        "evidence": {"loader": row.loader, "versions": row.versions, "sink": row.sink, "source": row.source},
    })  # fmt: skip


def _patterns(content: Content, path: Path, value: object, whose: Literal["adapter", "base"]) -> Iterator[Finding]:
    spec, key = table("config_fields"), path[-1]
    said = [value] if key in spec["patterns"] and isinstance(value, str) else []
    if key in spec["pattern_keys"] and isinstance(value, Pairs):
        said = [inner for inner, _ in value]
    for pattern in said:
        why = is_costly(pattern)
        if why:
            yield _finding("config-resource", Severity.MEDIUM, content, ".".join(path),
                           f"{_shown(key)} is a pattern that may match forever ({why}): {pattern[:80]!a}",
                           "ask for plain names in its place", whose)  # fmt: skip


def _tags(content: Content, found: Configuration, whose: Literal["adapter", "base"]) -> Iterator[Finding]:
    spec = table("config_fields")["tags"]
    for tag, _ in found.tags[:20]:
        prefix = next((p for p in spec["prefixes"] if tag.startswith(p)), None)
        if prefix is None:
            continue
        said = tag.removeprefix(prefix)
        target = said.split(":", 1)[-1]
        if any(target == good or target.startswith(f"{good}.") or said == good for good in spec["honest"]):
            continue
        yield _finding("config-import", Severity.HIGH, content, None,
                       f"the tag {tag[:100]!a} makes readers of such YAML build or run what it names",
                       "do not read it with a loader that constructs objects", whose)  # fmt: skip


def _has_adapter(content: Content, names: set[str]) -> bool:
    folder = content.path.rsplit("/", 1)[0] + "/" if "/" in content.path else ""
    return f"{folder}adapter_config.json" in names and not content.entry


def _shown(key: str) -> str:
    return shown(key[:60])


def _finding(
    rule: str, severity: Severity, content: Content, key: str | None, message: str, remedy: str, whose: Literal["adapter", "base"]
) -> Finding:
    return Finding(
        rule=rule,
        severity=severity,
        confidence=Confidence.LOW if rule == "config-field-unlisted" else Confidence.HIGH,
        basis=Basis.BYTES,
        message=f"{content}: {message}",
        subject=whose,
        locations=(content.location(key=shown(key[:200]) if key else None),),
        remediation=remedy,
        references=_RULES[rule].references,
    )


PLUGIN = ConfigFields()
_RULES = {r.id: r for r in PLUGIN.declares}
