"""Every file, typed by its content: claimed by a reader, known to be harmless, or reported."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from governance.context import RunContext
from governance.evidence import Confidence, Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.subject import Composition, FileEntry
from scanners._formats.kinds import ACTING, KINDS, kind_of

#: Kinds another scanner of this house reads, or that hold nothing to read.
_READ = frozenset({
    "safetensors", "pickle", "torch-zip", "torchscript", "zip", "tar", "gzip", "zlib", "bzip2", "xz", "lzma", "numpy", "json",
    "python", "shell", "text", "empty", "lfs-pointer", "native",
})  # fmt: skip
#: Kinds without a reader of ours that no model loader opens.
_HARMLESS = frozenset({"image", "media", "font", "pdf"})
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
        for entry in composition.adapter.files:
            yield from _name(entry.path)
            if not entry.present:
                yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason="not downloaded")
            else:
                yield from _content(entry, composition, ctx)


def _content(entry: FileEntry, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
    kind = kind_of(ctx.store.path(composition.adapter, entry.path))
    what, path = KINDS[kind.id], entry.path
    if kind.id == "lfs-pointer" or (kind.id == "empty" and path.endswith(_CONTENT_SUFFIXES)):
        yield _finding("content-absent", Severity.LOW, path, f"it is {what}: there is nothing to scan or to load",
                       "fetch the content itself: git lfs pull, or download from the Hub")  # fmt: skip
    if kind.id == "native":
        yield _finding("native-code", Severity.HIGH, path, "it is native code", "an adapter needs none: remove it")
    elif not kind.fits_name:
        acts = kind.id in ACTING
        more = ", and a loader that looks at the content would run it" if acts else ""
        yield _finding("type-mismatch", Severity.HIGH if acts else Severity.LOW, path,
                       f"it is {what}, which its name does not say{more}", "rename it to what it is, or remove it")  # fmt: skip
    if kind.also is not None:
        yield _finding("type-mismatch", Severity.HIGH, path,
                       f"it is {what} and {KINDS[kind.also]} at once: loaders differ in what they see",
                       "ask the publisher for a file that is one thing")  # fmt: skip
    if kind.id in _READ or kind.id in _HARMLESS:
        yield Coverage(item=path, outcome=Outcome.COMPLETED, reason=what)
    else:
        yield _finding("unclaimed-file", Severity.MEDIUM, path, f"it is {what}: {_UNREAD}, so it was not scanned",
                       "remove it if the adapter works without it")  # fmt: skip
        yield Coverage(item=path, outcome=Outcome.SKIPPED, reason=f"{what}: {_UNREAD}")


def _refused(name: str, reason: str) -> Iterator[Fact | Coverage]:
    low = reason.lower()
    rule, severity = next((rule, severity) for words, rule, severity in _REFUSALS if any(w in low for w in words))
    if rule is not None:
        yield _finding(rule, severity, name, f"it was not taken in: {reason}", "rename it, or remove it from the repository")
        yield Coverage(item=_shown(name), outcome=Outcome.SKIPPED, reason=reason)


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


def _shown(name: str) -> str:
    return name if name.isprintable() else name.encode("unicode_escape", "surrogatepass").decode("ascii")


def _finding(rule: str, severity: Severity, path: str, message: str, remediation: str) -> Finding:
    return Finding(
        rule=rule,
        severity=severity,
        confidence=Confidence.HIGH,
        message=f"{_shown(path)}: {message}",
        locations=(Location(path=_shown(path)),),
        remediation=remediation,
    )


PLUGIN = Inventory()
