"""Archives and compressed files: whether two readings of one agree, and whether unpacking it is safe."""

from __future__ import annotations

from collections.abc import Iterator

from governance.context import RunContext
from governance.evidence import Coverage, Fact, Finding, Outcome, Rule, Severity
from governance.subject import Composition
from scanners._formats.kind_table import words_of
from scanners._formats.tree import CONTAINER_KINDS, Content, Remark, contents, gaps_in


class ContainerLayout:
    """Reads every archive of the adapter twice, nested ones too.

    Detects:
        Archives whose two readings differ in members, names, sizes, methods, checksums or flags; members that leave the folder,
        or are links or devices; archives that unpack to more than allowed; checksums, sizes and flags that are not so. Bytes
        with two owners are told here; bytes with none are inventory's ``unowned-bytes``.

    Why it matters:
        Loaders differ in which reading they believe. What one shows a scanner and another gives to the loader was never scanned.

    Misses:
        Rar, and 7z, zstd and lz4 without the extra ``archives``: reported as not scanned. Checksums of a tensor's storage, and
        of stored members above 64 MiB.

    Source:
        PKWARE APPNOTE 6.3.10; POSIX pax; RFC 1950 to 1952; GNU tar manual, RFC 8878; CVE-2025-1944, CVE-2025-1945, CVE-2025-10156.
    """

    id = "container-layout"
    version = "2"
    declares = (
        Rule(
            id="archive-disagreement",
            summary="two readings of an archive differ",
            severity=Severity.HIGH,
            references=("CWE-436", "CWE-694", "CVE-2025-1944", "CVE-2025-1945"),
        ),
        Rule(
            id="archive-integrity",
            summary="a checksum, size, method or flag is not so",
            severity=Severity.MEDIUM,
            references=("CVE-2025-10156", "CWE-354"),
        ),
        Rule(
            id="archive-escape",
            summary="a member leaves the folder, or is a link or device",
            severity=Severity.HIGH,
            references=("CWE-22", "CWE-59"),
        ),
        Rule(
            id="archive-bomb",
            summary="an archive unpacks to more than allowed",
            severity=Severity.MEDIUM,
            references=("CWE-409",),
        ),
    )

    def wants(self, composition: Composition) -> bool:
        """Return True if there is a file: an archive may have any name."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Yield what the readers of containers saw, and coverage for each file."""
        for entry, root in contents(composition, ctx):
            if root is None:
                yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason="not downloaded")
                continue
            inside = list(root.walk())
            remarks = [(c, r) for c in inside for r in c.remarks if r.rule in _RULES]
            for content, remark in remarks[: ctx.limits.findings]:
                yield _finding(content, remark)
            gaps = list(gaps_in(root))
            if gaps:
                yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason="; ".join(gaps[:3]))
            elif any(k in CONTAINER_KINDS for c in inside for k in c.kinds):
                yield Coverage(item=entry.path, outcome=Outcome.COMPLETED)
            else:
                yield Coverage(item=entry.path, outcome=Outcome.NOT_APPLICABLE, reason=f"{words_of(root.kind)}: no container")


def _finding(content: Content, remark: Remark) -> Finding:
    rule = _RULES[remark.rule]
    return Finding(
        rule=rule.id,
        severity=remark.severity,
        message=f"{content}: {remark.words}",
        locations=(content.location(offset=remark.offset),),
        remediation=remark.remediation or "ask the publisher for a plain archive, or for safetensors",
        references=rule.references,
    )


PLUGIN = ContainerLayout()
_RULES = {r.id: r for r in PLUGIN.declares}
