"""Safetensors headers that cannot be true. See ``scanners._formats.safetensors`` for the reading."""

from __future__ import annotations

from collections.abc import Iterator

from governance.context import RunContext
from governance.evidence import Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.subject import Composition
from scanners._formats.safetensors import read_header


class TensorLayout:
    """Checks every safetensors file against its own header.

    Detects:
        Headers that claim more bytes than the file or the limit allows, keys that occur twice, unknown types, spans that
        overlap, leave holes, or do not match their shape, truncated files and bytes no tensor owns.

    Why it matters:
        Two readers of such a file may load different weights, and a loader that trusts the claim exhausts memory.

    Misses:
        What the numbers do: see weight-values and the evaluators.

    Source:
        safetensors format description; its security audit of 2023 (Trail of Bits).
    """

    id = "tensor-layout"
    version = "1"
    declares = (
        Rule(id="tensor-header", summary="the header cannot be true", severity=Severity.HIGH, references=("CWE-130", "CWE-789")),
        Rule(
            id="tensor-duplicate-key", summary="readers disagree which value wins", severity=Severity.HIGH, references=("CWE-694",)
        ),
        Rule(
            id="tensor-offsets",
            summary="spans overlap, leave holes or miss their shape",
            severity=Severity.HIGH,
            references=("CWE-130", "CWE-190"),
        ),
    )

    def wants(self, composition: Composition) -> bool:
        """Return whether there is a safetensors file in the adapter or its base."""
        return any(f.path.endswith(".safetensors") for s in (composition.adapter, composition.base) if s for f in s.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Yield a finding for each lie."""
        for subject, role in ((composition.adapter, "adapter"), (composition.base, "base")):
            for entry in subject.files if subject else ():
                if not entry.path.endswith(".safetensors") or subject is None:
                    continue
                if not entry.present:
                    yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason="not downloaded")
                    continue
                header = read_header(subject, entry.path, ctx)
                if header.pointer:
                    yield Coverage(
                        item=entry.path, outcome=Outcome.SKIPPED, reason="a Git LFS pointer stands in place of the weights"
                    )
                    continue
                for problem in header.problems[: ctx.limits.findings]:
                    yield Finding(
                        rule=problem.rule,
                        severity=problem.severity,
                        message=f"{entry.path}: {problem.tensor + ': ' if problem.tensor else ''}{problem.message}",
                        subject="base" if role == "base" else "adapter",
                        locations=(Location(path=entry.path, offset=problem.offset, tensor=problem.tensor),),
                        remediation="download it again, or ask the publisher for a file written by the safetensors library",
                        references=("CWE-130",),
                    )
                yield Coverage(item=entry.path, outcome=Outcome.COMPLETED)


PLUGIN = TensorLayout()
