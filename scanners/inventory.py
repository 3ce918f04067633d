"""Every file, typed by its content: claimed by a reader, known to be harmless, or reported."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from governance.context import RunContext
from governance.evidence import Confidence, Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.subject import Composition
from scanners._formats.companions import companions
from scanners._formats.kind_table import kind_rows, words_of
from scanners._formats.names import shown
from scanners._formats.tree import Content, contents

_CONTENT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".json", ".model")
#: Names that are a device on Windows, whatever follows the first dot.
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?\Z", re.IGNORECASE)
#: Words of a refusal → rule and severity; the first that fits. None: nothing to report.
_REFUSALS: tuple[tuple[tuple[str, ...], str | None, Severity], ...] = (
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


class Inventory:
    """Types every file of the adapter.

    Detects:
        Content no reader knows, files above a limit, content of another type than the name promises, native code, names
        that leave the folder or hide characters, links out of it, pointers in place of content.

    Why it matters:
        A scanner that opens files by their suffix misses the pickle named ``.json``; what nobody read must be said.

    Misses:
        Meaning: it says what a file is, not what it does. Files of the base are not typed; its weights are checked by
        tensor-layout.

    Source:
        Formats' own specifications; CWE-434, CWE-646, CWE-22, CWE-59.
    """

    id = "inventory"
    version = "2"
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
        beside: frozenset[str] | None = None
        for entry, root in contents(composition, ctx):
            yield from _name(entry.path)
            if root is not None and root.kind in _FORMLESS:
                beside = companions(composition, ctx) if beside is None else beside
                if entry.path in beside:
                    yield Coverage(item=entry.path, outcome=Outcome.COMPLETED, reason="numbers of the graph beside it")
                    continue
            if root is None:
                yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason="not downloaded")
            else:
                yield from _content(root)


def _content(root: Content) -> Iterator[Fact | Coverage]:
    row, path = kind_rows()[root.kind], root.path
    if root.kind == "lfs-pointer" or (root.kind == "empty" and path.endswith(_CONTENT_SUFFIXES)):
        yield _finding("content-absent", Severity.LOW, path, f"it is {row.words}: there is nothing to scan or to load",
                       "fetch the content itself: git lfs pull, or download from the Hub")  # fmt: skip
    if root.kind == "native":
        yield _finding("native-code", Severity.HIGH, path, "it is native code", "an adapter needs none: remove it")
    elif not root.fits_name:
        more = ", and a loader that looks at the content would run it" if row.acts else ""
        yield _finding("type-mismatch", Severity.HIGH if row.acts else Severity.LOW, path,
                       f"it is {row.words}, which its name does not say{more}",
                       "rename it to what it is, or remove it")  # fmt: skip
    if root.also is not None:
        yield _finding("type-mismatch", Severity.HIGH, path,
                       f"it is {row.words} and {words_of(root.also)} at once: loaders differ in what they see",
                       "ask the publisher for a file that is one thing")  # fmt: skip
    if row.reader is not None:
        yield Coverage(item=path, outcome=Outcome.COMPLETED, reason=row.words)
    else:
        yield _finding("unclaimed-file", Severity.MEDIUM, path, f"it is {row.words}: {_UNREAD}, so it was not scanned",
                       "remove it if the adapter works without it")  # fmt: skip
        yield Coverage(item=path, outcome=Outcome.SKIPPED, reason=f"{row.words}: {_UNREAD}")


def _refused(name: str, reason: str) -> Iterator[Fact | Coverage]:
    low = reason.lower()
    rule, severity = next((rule, severity) for words, rule, severity in _REFUSALS if any(w in low for w in words))
    if rule is not None:
        yield _finding(rule, severity, name, f"it was not taken in: {reason}", "rename it, or remove it from the repository")
        yield Coverage(item=shown(name), outcome=Outcome.SKIPPED, reason=reason)


def _name(path: str) -> Iterator[Finding]:
    odd = [c for c in path if unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs")]
    if odd:
        marks = ", ".join(sorted({f"U+{ord(c):04X}" for c in odd}))
        yield _finding(
            "name-confusable",
            Severity.MEDIUM,
            path,
            f"its name holds characters that are not shown ({marks})",
            "rename the file",
        )
    if any(_DEVICES.match(part) for part in path.split("/")):
        yield _finding("path-escape", Severity.HIGH, path, "its name is that of a device on Windows", "rename the file")


def _finding(rule: str, severity: Severity, path: str, message: str, remediation: str) -> Finding:
    return Finding(
        rule=rule,
        severity=severity,
        confidence=Confidence.HIGH,
        message=f"{shown(path)}: {message}",
        locations=(Location(path=shown(path)),),
        remediation=remediation,
    )


PLUGIN = Inventory()
