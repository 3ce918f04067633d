"""Model graphs of other frameworks: what they read outside themselves, import, run, or need native code for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from posixpath import dirname, join, normpath

from governance.context import RunContext
from governance.errors import SubjectError
from governance.evidence import Coverage, Fact, Finding, Outcome, Rule, Severity
from governance.subject import Composition
from scanners._formats.graphs import contents as graph_contents
from scanners._formats.graphs.contents import Said
from scanners._formats.kind_table import words_of
from scanners._formats.names import shown
from scanners._formats.tree import Content, Remark, contents, gaps_in


def _rule(name: str, summary: str, severity: Severity, *references: str) -> Rule:
    return Rule(id=name, summary=summary, severity=severity, references=references)


class ModelGraph:
    """Walks graphs and configurations of ONNX, Keras, TensorFlow, Flax, TFLite, torch.export, TorchScript, NeMo and TorchServe.

    Detects:
        Data, links and assets outside the folder; operators that need native code; Lambda layers and imports in Keras
        configurations at any depth; operations that touch files, processes, Python or the network; names that archives and
        settings make a loader import; pickles in HDF5.

    Why it matters:
        A graph is a program. Its loader opens the paths and imports the names in it, and safe loading of tensors does not help.

    Misses:
        Core ML, TensorRT and R data, which are typed and not scanned; paths a graph builds while it runs; what the code of a
        custom operator does; values of tensors.

    Source:
        The formats' schemas, named in the readers; CVE-2024-27318, CVE-2024-3660, CVE-2025-1550, CVE-2025-12058, CVE-2026-1669.
    """

    id = "model-graph"
    version = "1"
    declares = (
        _rule("external-data-path", "a graph reads data outside the folder", Severity.HIGH,
              "CVE-2024-27318", "CVE-2025-12058", "CVE-2026-1669", "CWE-73"),
        _rule("custom-operator", "an operator needs native code", Severity.MEDIUM, "CWE-829"),
        _rule("keras-lambda", "a layer holds or names Python code", Severity.CRITICAL, "CVE-2024-3660", "CWE-94"),
        _rule("keras-import", "a configuration names code outside Keras", Severity.CRITICAL,
              "CVE-2025-1550", "CVE-2025-8747", "CVE-2025-49655", "CWE-470"),
        _rule("graph-side-effect", "a file, process, network or Python operation in a graph", Severity.HIGH,
              "CWE-829", "AML.T0011.000"),
        _rule("graph-target", "settings make a loader import, run or install what they name", Severity.HIGH,
              "CWE-470", "CVE-2025-23304"),
        _rule("hdf5-pickle", "HDF5 holds a pickle that its readers unpickle", Severity.HIGH, "CWE-502"),
        _rule("graph-carries-file", "constants or unknown fields of a graph begin with an intact file", Severity.MEDIUM,
              "AML.T0018.002", "CWE-506"),
        _rule("graph-broken", "a graph or its configuration is invalid, cut off or goes on after its end", Severity.MEDIUM,
              "CWE-20"),
    )  # fmt: skip

    def wants(self, composition: Composition) -> bool:
        """Return True if there is a file: a graph may have any name."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Yield what the graphs of each file do, and coverage for each file."""
        here = {entry.path: entry.size for entry in composition.adapter.files}
        refused = dict(composition.adapter.refused)
        for entry, root in contents(composition, ctx):
            if root is None:
                yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason="not downloaded")
            else:
                yield from _file(root, ctx, here, refused)


def _file(root: Content, ctx: RunContext, here: Mapping[str, int], refused: dict[str, str]) -> Iterator[Fact | Coverage]:
    """Yield what one file and everything in it does, the worst first."""
    findings, gaps, read = list[Finding](), list[str](), False
    for content in root.walk():
        ctx.checkpoint()
        said = _said(content, ctx)
        if said is None:
            continue
        read = True
        remarks = [*said.remarks, *(_missing(content, said, here, refused) if content is root else ())]
        findings += [_finding(content, remark) for remark in remarks]
        gaps += [": ".join((*map(shown, content.entry), gap)) for gap in said.gaps]
    findings.sort(key=lambda f: -f.severity.rank)
    yield from findings[: ctx.limits.findings]
    if not read:
        unread = list(gaps_in(root))
        reason = "; ".join(unread[:3]) or f"{words_of(root.kind)}: holds no graph"
        yield Coverage(item=root.path, outcome=Outcome.SKIPPED if unread else Outcome.NOT_APPLICABLE, reason=reason)
        return
    gaps += gaps_in(root)
    if len(findings) > ctx.limits.findings:
        gaps.append(f"{len(findings) - ctx.limits.findings:,} findings were left out")
    yield Coverage(item=root.path, outcome=Outcome.SKIPPED if gaps else Outcome.COMPLETED, reason="; ".join(gaps[:3]))


def _said(content: Content, ctx: RunContext) -> Said | None:
    """Return what the readers say of one content; None if no reader here knows it."""
    try:
        return graph_contents.look(content, ctx.limits)
    except (OSError, SubjectError) as error:
        return Said(gaps=(f"it cannot be read: {getattr(error, 'strerror', None) or error}",))


def _missing(content: Content, said: Said, here: Mapping[str, int], refused: dict[str, str]) -> Iterator[Remark]:
    """Yield the data files a graph names that are links, not in the folder, or too short."""
    for place in said.outside:
        size = here.get(normpath(join(dirname(content.path), place.location.replace("\\", "/"))))
        if size is not None and place.end > size:
            words = f"a tensor's data ends at byte {place.end:,} of {place.location[:120]!a}, which has {size:,}"
            yield Remark("graph-broken", Severity.MEDIUM, words)
    for name in said.refers:
        path = normpath(join(dirname(content.path), name.replace("\\", "/")))
        if path in refused and "link" in refused[path].lower():
            words = f"its data lies in {name[:120]!a}, which is a link: {shown(refused[path])}"
            yield Remark("external-data-path", Severity.HIGH, words)
        elif path not in here:
            # Numbers of the graph that are put there later have been seen by nobody; other links may be left open by intent.
            needed = any(place.location == name for place in said.outside)
            words = f"its data lies in {name[:120]!a}, which the folder does not hold"
            yield Remark("external-data-path", Severity.MEDIUM if needed else Severity.LOW, words)


def _finding(content: Content, remark: Remark) -> Finding:
    rule = _RULES[remark.rule]
    return Finding(
        rule=rule.id,
        severity=remark.severity,
        message=f"{content}: {remark.words}",
        locations=(content.location(offset=remark.offset),),
        remediation=remark.remediation
        or "do not load it; ask the publisher for safetensors, or for a graph of standard operators alone",
        references=rule.references,
    )


PLUGIN = ModelGraph()
_RULES = {r.id: r for r in PLUGIN.declares}
