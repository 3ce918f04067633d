"""Every file, typed by its content: claimed by a reader, known to be harmless, or reported."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from governance.context import RunContext
from governance.evidence import Confidence, Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.subject import Composition, FileEntry
from scanners._formats.kinds import ACTING, KINDS, kind_of

#: Kinds another scanner of this house reads, or that hold nothing to read.
_READ = frozenset({"safetensors", "pickle", "torch-zip", "zip", "tar", "gzip", "json", "text", "empty", "lfs-pointer", "native"})
_HARMLESS = frozenset({"image", "media", "pdf"})
_UNREAD = "no reader for this content yet"


class Inventory:
    """Types every file of the adapter.

    Detects:
        Content no reader knows, files above a limit, content of another type than the name promises, native code, names
        that leave the folder or hide characters, links out of it, pointers in place of content.

    Why it matters:
        A scanner that opens files by their suffix misses the pickle named ``.json``; what nobody read must be said.

    Misses:
        Meaning: it says what a file is, not what it does. Files of the base are typed by name only; its weights are
        checked by tensor-layout.

    Source:
        Formats' own specifications; CWE-434, CWE-646, CWE-22, CWE-59.
    """

    id = "inventory"
    version = "1"
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
            summary="content is another type than the name promises",
            severity=Severity.HIGH,
            references=("CWE-646",),
        ),
        Rule(id="native-code", summary="native code", severity=Severity.HIGH, references=("CWE-506",)),
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
            references=("CWE-1007",),
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
        for entry in composition.adapter.files:
            yield from _name(entry.path)
            if not entry.present:
                yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason="not downloaded")
            else:
                yield from _content(entry, composition, ctx)


def _content(entry: FileEntry, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
    kind = kind_of(ctx.store.path(composition.adapter, entry.path))
    what = KINDS[kind.id]
    if kind.id in ("lfs-pointer", "empty") and entry.path.endswith((".safetensors", ".bin", ".pt", ".pth", ".gguf", ".json")):
        yield _finding("content-absent", Severity.LOW, entry.path, f"{entry.path} is {what}: there is nothing to scan or to load",
                       "fetch the content itself: git lfs pull, or download from the hub")  # fmt: skip
    if kind.id == "native":
        yield _finding("native-code", Severity.HIGH, entry.path, f"{entry.path} is native code", "an adapter needs none: remove it")
    elif not kind.fits_name:
        acts = kind.id in ACTING
        yield _finding("type-mismatch", Severity.HIGH if acts else Severity.LOW, entry.path,
                       f"{entry.path} is {what}, which its name does not say", "rename it to what it is, or remove it")  # fmt: skip
    if kind.id in _READ or kind.id in _HARMLESS:
        yield Coverage(item=entry.path, outcome=Outcome.COMPLETED, reason=what)
    else:
        yield _finding("unclaimed-file", Severity.MEDIUM, entry.path, f"{entry.path} is {what}: {_UNREAD}",
                       "remove it if the adapter works without it")  # fmt: skip
        yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason=f"{what}: {_UNREAD}")


def _refused(name: str, reason: str) -> Iterator[Fact | Coverage]:
    low = reason.lower()
    if "version control" in low or "not needed" in low or "cache" in low:
        return
    if "link" in low or "special" in low:
        rule = "link-escape"
    elif "limit" in low or "larger" in low or "large" in low:
        rule = "oversize-file"
    else:
        rule = "path-escape"
    severity = Severity.MEDIUM if rule == "oversize-file" else Severity.HIGH
    yield _finding(rule, severity, name, f"{_shown(name)} was not taken in: {reason}", "remove it from the repository")
    yield Coverage(item=_shown(name), outcome=Outcome.SKIPPED, reason=reason)


def _name(path: str) -> Iterator[Finding]:
    odd = [c for c in path if unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs")]
    if odd:
        marks = ", ".join(sorted({f"U+{ord(c):04X}" for c in odd}))
        yield _finding(
            "name-confusable",
            Severity.MEDIUM,
            path,
            f"the name {_shown(path)} holds invisible characters ({marks})",
            "rename the file",
        )


def _shown(name: str) -> str:
    return name.encode("unicode_escape").decode()


def _finding(rule: str, severity: Severity, path: str, message: str, remediation: str) -> Finding:
    return Finding(
        rule=rule,
        severity=severity,
        confidence=Confidence.HIGH,
        message=message,
        locations=(Location(path=_shown(path)),),
        remediation=remediation,
    )


PLUGIN = Inventory()
