"""Every file, typed by its content: claimed by a reader, known to be harmless, or reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from governance.context import RunContext
from governance.evidence import Confidence, Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.subject import Composition
from scanners._formats.archives.members import holes
from scanners._formats.graphs.companions import companions
from scanners._formats.kind_table import kind_rows, words_of
from scanners._formats.names import shown
from scanners._formats.path_names import Oddity, oddities, twins
from scanners._formats.tree import Content, contents, in_words

_CONTENT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".json", ".model")
#: Words of a refusal → rule and severity; the first that fits. None: nothing to report.
_REFUSALS: tuple[tuple[tuple[str, ...], str | None, Severity], ...] = (
    (("git runs it",), "unclaimed-file", Severity.MEDIUM),
    (("compiled python without its source",), "native-code", Severity.MEDIUM),
    (("version control", "not needed", "not part of the model", "read under their own names"), None, Severity.INFO),
    (("by case or unicode form", "also that of the folder"), "name-confusable", Severity.MEDIUM),
    (("limit", "larger", "may have", "longer than"), "oversize-file", Severity.MEDIUM),
    (("link", "device", "pipe", "socket", "special"), "link-escape", Severity.HIGH),
    (("cannot be read",), "unclaimed-file", Severity.MEDIUM),
    (("",), "path-escape", Severity.HIGH),
)
#: What numbers without a form of their own may look like.
_FORMLESS = ("unknown", "protobuf", "msgpack")
_UNREAD = "no reader for this content yet"
#: Findings of one rule in one file; the rest is counted.
_EACH = 20


class Inventory:
    """Types every file of the adapter.

    Detects:
        Content no reader knows, files above a limit, content of another type than the name promises or of two types at once,
        native code, names that leave the folder or hide characters, links out of it, pointers in place of content; inside
        archives too. Bytes of an archive, a compressed file or an array that belong to nobody. Bytes with two owners in an
        archive are container-layout's to report, holes and overlaps of tensors are tensor-layout's.

    Why it matters:
        A scanner that opens files by their suffix misses the pickle named ``.json``; what nobody read must be said.

    Misses:
        Meaning: it says what a file is, not what it does. Files of the base are not typed; its weights are checked by
        tensor-layout.

    Source:
        Formats' own specifications; CWE-434, CWE-646, CWE-22, CWE-59.
    """

    id = "inventory"
    version = "3"
    declares = (
        Rule(
            id="unclaimed-file",
            summary="no reader knows the content; not scanned",
            severity=Severity.MEDIUM,
            references=("CWE-434",),
        ),
        Rule(id="oversize-file", summary="above a limit; not scanned", severity=Severity.MEDIUM, references=("CWE-400",)),
        Rule(
            id="type-mismatch",
            summary="content is another type than the name promises, or two at once",
            severity=Severity.HIGH,
            references=("CWE-646", "CWE-436", "AML.T0074", "CVE-2025-1889", "CVE-2025-10155"),
        ),
        Rule(
            id="unowned-bytes",
            summary="bytes that belong to nobody",
            severity=Severity.HIGH,
            references=("CWE-436", "AML.T0018.002"),
        ),
        Rule(id="native-code", summary="native code", severity=Severity.HIGH, references=("CWE-506", "AML.T0011.000")),
        Rule(
            id="path-escape", summary="a name leaves the folder or names a device", severity=Severity.HIGH, references=("CWE-22",)
        ),
        Rule(
            id="link-escape",
            summary="a link out of the folder, a loop or a special file",
            severity=Severity.HIGH,
            references=("CWE-59",),
        ),
        Rule(
            id="name-confusable",
            summary="hidden or look-alike characters in a name",
            severity=Severity.MEDIUM,
            references=("CWE-1007", "AML.T0074"),
        ),
        Rule(id="content-absent", summary="a pointer or an empty file in place of content", severity=Severity.LOW),
    )

    def wants(self, composition: Composition) -> bool:
        """Return True: there is always something to type, and an empty folder is worth saying."""
        return True

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Yield coverage for each file, and what is odd about it."""
        for name, reason in composition.adapter.refused:
            yield from _refused(name, reason)
        for one, other in list(twins(f.path for f in composition.adapter.files))[: ctx.limits.findings]:
            words = f"its name and {other!a} are the same where case or unicode form does not count"
            yield _finding("name-confusable", Severity.MEDIUM, one, words, "rename one of them")
        beside: frozenset[str] | None = None
        for entry, root in contents(composition, ctx):
            if root is not None and root.kind in _FORMLESS:
                beside = companions(composition, ctx) if beside is None else beside
                if entry.path in beside:
                    yield Coverage(item=entry.path, outcome=Outcome.COMPLETED, reason="numbers of the graph beside it")
                    continue
            if root is None:
                yield from (_odd(Location(path=shown(entry.path)), shown(entry.path), o) for o in oddities(entry.path))
                yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason="not downloaded")
            else:
                yield from _file(root)


def _file(root: Content) -> Iterator[Fact | Coverage]:
    """Yield what is odd in one file and everything in it, and its coverage."""
    said: Counter[str] = Counter()
    unread = list[str]()
    for inner in root.walk():
        for finding in _content(inner):
            said[finding.rule] += 1
            if said[finding.rule] <= _EACH:
                yield finding
        row = kind_rows()[inner.kind]
        if row.reader is None and not _aside(inner):
            unread.append(f"{inner}: {row.words}" if inner.entry else row.words)
    for rule, count in said.items():
        if count > _EACH:
            words = f"{count - _EACH:,} more of {rule} are in it"
            severity = next(r.severity for r in PLUGIN.declares if r.id == rule)
            yield _finding(rule, severity, root.path, words, "look at the archive as a whole")
    if unread:
        more = f"; and {len(unread) - 3} more" if len(unread) > 3 else ""
        yield Coverage(item=root.path, outcome=Outcome.SKIPPED, reason=f"{'; '.join(unread[:3])}{more}: {_UNREAD}")
    else:
        yield Coverage(item=root.path, outcome=Outcome.COMPLETED, reason=words_of(root.kind))


def _aside(content: Content) -> bool:
    """Return whether some content is no member but bytes beside them, which are reported as what they are: nobody's."""
    return bool(content.entry) and content.entry[-1].startswith("(bytes ")


def _content(content: Content) -> Iterator[Finding]:
    row, nested = kind_rows()[content.kind], bool(content.entry)
    place, name = content.location(), str(content)

    def finding(rule: str, severity: Severity, words: str, remediation: str) -> Finding:
        return _at(place, name, rule, severity, words, remediation)

    if content.depth == 0 or content.entry:
        yield from (_odd(place, name, o) for o in oddities(content.entry[-1] if nested else content.path)
                    if not (nested and o.rule == "path-escape" and "device" not in o.words))  # fmt: skip
    absent = content.kind == "empty" and not nested and content.path.endswith(_CONTENT_SUFFIXES)
    if content.kind == "lfs-pointer" or absent:
        yield finding("content-absent", Severity.LOW, f"it is {row.words}: there is nothing to scan or to load",
                      "fetch the content itself: git lfs pull, or download from the Hub")  # fmt: skip
    if content.kind == "native":
        yield finding("native-code", Severity.HIGH, "it is native code", "an adapter needs none: remove it")
    elif not content.fits_name and not (_aside(content) or content.kind == "storage"):
        more = ", and a loader that looks at the content would run it" if row.acts else ""
        other = content.kind == "gguf" and content.suffix == ".safetensors"  # one loader reads it, another refuses or misreads it
        yield finding("type-mismatch", Severity.HIGH if row.acts else Severity.MEDIUM if other else Severity.LOW,
                      f"it is {row.words}, which its name does not say{more}",
                      "rename it to what it is, or remove it")  # fmt: skip
    if content.also is not None:
        yield finding("type-mismatch", Severity.HIGH, f"it is {in_words(content)}: loaders differ in what they see",
                      "ask the publisher for a file that is one thing")  # fmt: skip
    if row.reader is None and not _aside(content):
        yield finding("unclaimed-file", Severity.MEDIUM, f"it is {row.words}: {_UNREAD}, so it was not scanned",
                      "remove it if the adapter works without it")  # fmt: skip
    if content.spans and content.kind != "safetensors":
        yield from _unowned(content)


def _unowned(content: Content) -> Iterator[Finding]:
    inside = {c.entry[-1]: c for c in content.children if _aside(c)}
    for begin, end in holes(content.spans, content.size):
        what = inside.get(f"(bytes {begin} to {end})")
        holds = f": {words_of(what.kind)}" if what is not None and what.kind != "unknown" else ""
        where = "before its beginning" if begin == 0 else "after its end" if end == content.size else "in the middle"
        words = f"{end - begin:,} bytes {where} belong to no part of {words_of(content.kind)}{holds}"
        yield _at(content.location(offset=begin), str(content), "unowned-bytes", Severity.HIGH, words,
                  "ask the publisher for a file without them")  # fmt: skip


def _refused(name: str, reason: str) -> Iterator[Fact | Coverage]:
    low = reason.lower()
    rule, severity = next((rule, severity) for words, rule, severity in _REFUSALS if any(w in low for w in words))
    if rule is not None:
        yield _finding(rule, severity, name, f"it was not taken in: {reason}", "rename it, or remove it from the repository")
        yield Coverage(item=shown(name), outcome=Outcome.SKIPPED, reason=reason)


def _odd(place: Location, name: str, odd: Oddity) -> Finding:
    return _at(place, name, odd.rule, odd.severity, odd.words, "rename it")


def _finding(rule: str, severity: Severity, path: str, message: str, remediation: str) -> Finding:
    return _at(Location(path=shown(path)), shown(path), rule, severity, message, remediation)


def _at(place: Location, name: str, rule: str, severity: Severity, message: str, remediation: str) -> Finding:
    return Finding(
        rule=rule,
        severity=severity,
        confidence=Confidence.HIGH,
        message=f"{name}: {message}",
        locations=(place,),
        remediation=remediation,
        references=next(r.references for r in PLUGIN.declares if r.id == rule),
    )


PLUGIN = Inventory()
