"""The adapter's numbers: finite, and not all zero. Streamed; no tensor is held whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

from governance.context import RunContext
from governance.evidence import Basis, Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.subject import Composition, Subject
from scanners._formats.safetensors import Tensor, read_header

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Gives the next bytes of a file.
Reader = Callable[[int], bytes]
_CHUNK = 4 << 20
_NON_FINITE = Rule(id="weight-nonfinite", summary="weights hold NaN or infinity", severity=Severity.HIGH, references=("AML.T0031",))
_ZERO = Rule(id="weight-zero", summary="every up-projection is zero: the adapter does nothing", severity=Severity.MEDIUM)
#: How the exponent of each 16-bit float is masked: all ones is NaN or infinity.
_EXPONENT = {"BF16": 0x7F80, "F16": 0x7C00}
_FLOATS = {"F32": "<f4", "F64": "<f8"}
_INTEGERS = ("BOOL", "U8", "I8", "I16", "U16", "I32", "U32", "I64", "U64")


class WeightValues:
    """Reads every number of an adapter's safetensors files once.

    Detects:
        NaN and infinite values, with their count and the first tensor; up-projections (``lora_B``) that are zero
        throughout, in one module or in all.

    Why it matters:
        One NaN spoils every output it reaches. An adapter whose update is zero cannot be what its card says, and
        measuring it measures its base.

    Misses:
        Values that are finite and wrong; 8-bit and 4-bit floats; weights in other containers than safetensors.

    Source:
        LoRA, arXiv:2106.09685 (B starts at zero and moves in training); IEEE 754 and bfloat16 exponents.
    """

    id = "weight-values"
    profile: Literal["values"] = "values"
    version = "1"
    declares = (_NON_FINITE, _ZERO)

    def wants(self, composition: Composition) -> bool:
        """Return whether the adapter ships safetensors."""
        return any(f.path.endswith(".safetensors") for f in composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Stream each safetensors file of the adapter."""
        for entry in composition.adapter.files:
            if not entry.path.endswith(".safetensors"):
                continue
            if not entry.present:
                yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason="not downloaded")
                continue
            yield from _file(entry.path, composition.adapter, ctx)


def _file(name: str, adapter: Subject, ctx: RunContext) -> Iterator[Fact | Coverage]:
    header = read_header(adapter, name, ctx)
    if header.problems:
        yield Coverage(item=name, outcome=Outcome.SKIPPED, reason=header.problems[0].message)
        return
    bad: list[tuple[Tensor, int]] = []
    zero: list[Tensor] = []
    unread: list[Tensor] = []
    ups = [t for t in header.tensors if _is_up(t)]
    with ctx.open(adapter, name) as stream:
        for tensor in header.tensors:
            ctx.checkpoint()
            if tensor.dtype not in (*_EXPONENT, *_FLOATS, *_INTEGERS):
                unread.append(tensor)
                continue
            stream.seek(8 + header.header_bytes + tensor.start)
            count, empty = _count(stream.read, tensor)
            if count:
                bad.append((tensor, count))
            if empty and _is_up(tensor):
                zero.append(tensor)
    yield from _findings(name, bad, zero, ups)
    if unread:
        kinds = ", ".join(sorted({t.dtype for t in unread}))
        yield Coverage(item=name, outcome=Outcome.SKIPPED, reason=f"{len(unread)} tensors of type {kinds} are not read")
    else:
        yield Coverage(item=name, outcome=Outcome.COMPLETED)


def _is_up(tensor: Tensor) -> bool:
    return "lora_B" in tensor.name or tensor.name.endswith("lora_b")


def _findings(name: str, bad: list[tuple[Tensor, int]], zero: list[Tensor], ups: list[Tensor]) -> Iterator[Finding]:
    if bad:
        first, total = bad[0][0], sum(count for _, count in bad)
        yield Finding(
            rule=_NON_FINITE.id,
            severity=_NON_FINITE.severity,
            basis=Basis.MEASURED,
            message=f"{total:,} values in {len(bad)} tensors are NaN or infinite; whatever they reach becomes meaningless",
            locations=tuple(Location(path=name, tensor=t.name) for t, _ in bad[:5]),
            remediation="do not use it; ask the author for an intact file",
            references=_NON_FINITE.references,
            evidence={"first": first.name, "values": str(total)},
        )
    if zero:
        every = len(zero) == len(ups)
        yield Finding(
            rule=_ZERO.id,
            severity=_ZERO.severity if every else Severity.LOW,
            basis=Basis.MEASURED,
            message=(
                f"all {len(ups)} up-projections are zero: the adapter changes nothing"
                if every
                else f"{len(zero)} of {len(ups)} up-projections are zero: these modules change nothing"
            ),
            locations=tuple(Location(path=name, tensor=t.name) for t in zero[:5]),
            remediation="ask the author whether training failed or the wrong file was uploaded",
        )


def _count(read: Reader, tensor: Tensor) -> tuple[int, bool]:
    """Return how many values are not finite, and whether all are zero.

    Args:
        read: Gives the next bytes of the tensor.
        tensor: Its type and size.
    """
    left, bad, empty = tensor.end - tensor.start, 0, True
    while left > 0 and (chunk := read(min(left, _CHUNK))):
        left -= len(chunk)
        if tensor.dtype in _INTEGERS:
            empty = empty and not any(chunk)
            continue
        count, zero = _judge(chunk, tensor.dtype)
        bad, empty = bad + count, empty and zero
    return bad, empty


def _judge(chunk: bytes, dtype: str) -> tuple[int, bool]:
    import numpy as np

    if dtype in _EXPONENT:
        mask = _EXPONENT[dtype]
        bits: NDArray[np.uint16] = np.frombuffer(chunk, dtype="<u2")
        return int(np.count_nonzero((bits & mask) == mask)), not bool(np.any(bits & 0x7FFF))
    values: NDArray[np.float64] = np.frombuffer(chunk, dtype=_FLOATS[dtype])
    return int(np.count_nonzero(~np.isfinite(values))), not bool(np.any(values))


PLUGIN = WeightValues()
