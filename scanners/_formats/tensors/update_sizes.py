"""How large the update of each module is, against its family's trend over depth, without ever making the update itself.

‖BA‖_F follows from two r × r products; A and B alone mean nothing, since (A, B) and (GA, BG⁻¹) are the same adapter.
Read by ``scanners.weight_values``.

Source:
    LoRA, arXiv:2106.09685, section 4.1; Theil–Sen estimator (Sen 1968, JASA 63:1379).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Singles = NDArray[np.float32]

#: Families smaller than this have no trend.
FEWEST = 4
_MOST, _STEP = 1_000, 64
_LAYER = re.compile(r"(?<![0-9A-Za-z])(\d{1,5})(?![0-9A-Za-z])")


@dataclass(frozen=True, slots=True)
class Update:
    """The update of one module.

    Attributes:
        module: Its name.
        size: Frobenius norm of the unscaled update B·A.
        row: The output row with the largest share of its square.
        share: That share.
        rows: Output rows.
    """

    module: str
    size: float
    row: int
    share: float
    rows: int


@dataclass(frozen=True)
class Deviation:
    """A module off its family's trend.

    Attributes:
        update: The module's update.
        factor: How many times larger (or smaller, if below one) than the trend says.
        family: Modules the trend is drawn from.
    """

    update: Update
    factor: float
    family: int


def update_of(module: str, down: Singles, up: Singles) -> Update:
    """Return the size of one update, computed in single precision on factors scaled to one.

    Args:
        module: Its name.
        down: A, shape (rank, in).
        up: B, shape (out, rank).
    """
    import numpy as np

    first, second = (float(np.abs(half).max(initial=0.0)) for half in (down, up))
    if not first or not second:
        return Update(module, 0.0, 0, 0.0, len(up))
    down, up = down / np.float32(first), up / np.float32(second)
    # Small products stay in one thread: many of them, split over cores that are busy, cost more in waiting than in work.
    step = _STEP if len(down) <= _STEP else max(len(up), down.shape[1])
    core = np.zeros((len(down), len(down)), np.float32)
    for at in range(0, down.shape[1], step):
        part = down[:, at : at + step]
        core += part @ part.T
    parts = [up[at : at + step] for at in range(0, len(up), step)]
    rows = np.concatenate([((part @ core) * part).sum(axis=1, dtype=np.float64) for part in parts]).clip(min=0.0)
    square, row = float(rows.sum()), int(rows.argmax())
    return Update(module, square**0.5 * first * second, row, float(rows[row]) / square if square > 0 else 0.0, len(rows))


def updates_of(modules: Sequence[str], down: Singles, up: Singles) -> Iterator[Update]:
    """Yield the sizes of many small updates of one shape, as ``update_of`` computes one.

    Args:
        modules: Their names.
        down: Every A, shape (count, rank, in).
        up: Every B, shape (count, out, rank).
    """
    import numpy as np

    first, second = np.abs(down).max(axis=(1, 2)), np.abs(up).max(axis=(1, 2))
    none = (first == 0) | (second == 0)
    inner = down / np.where(none, np.float32(1), first)[:, None, None]
    outer = up / np.where(none, np.float32(1), second)[:, None, None]
    core = inner @ inner.transpose(0, 2, 1)
    rows = ((outer @ core) * outer).sum(axis=2, dtype=np.float64).clip(min=0.0)
    square, row = rows.sum(axis=1), rows.argmax(axis=1)
    top = np.take_along_axis(rows, row[:, None], axis=1)[:, 0]
    share = np.divide(top, square, out=np.zeros_like(square), where=square > 0)
    size = np.sqrt(square) * first * second
    told = zip(modules, none.tolist(), size.tolist(), row.tolist(), share.tolist(), strict=True)
    for module, nothing, norm, at, part in told:
        yield Update(module, 0.0, 0, 0.0, rows.shape[1]) if nothing else Update(module, norm, at, part, rows.shape[1])


def deviations(updates: Iterable[Update]) -> list[Deviation]:
    """Return every module of a family with a trend, with how far off that trend it is, the farthest first."""
    import numpy as np

    found = []
    for members in _families(updates).values():
        if len(members) < FEWEST:
            continue
        depth = np.array([d for d, _ in members], float)
        size = np.log([u.size for _, u in members])
        slope = _slope(depth[:: -(-len(depth) // _MOST)], size[:: -(-len(depth) // _MOST)])
        left = size - slope * depth
        left -= np.median(left)
        found += [Deviation(u, float(np.exp(min(x, 700.0))), len(members)) for (_, u), x in zip(members, left, strict=True)]
    return sorted(found, key=lambda d: (-max(d.factor, 1 / d.factor if d.factor > 0 else np.inf), d.update.module))


def _families(updates: Iterable[Update]) -> Mapping[str, list[tuple[int, Update]]]:
    """Return updates by module name without its first number, with that number; no update of nothing is in a family."""
    made: dict[str, list[tuple[int, Update]]] = {}
    for update in updates:
        if update.size > 0 and (match := _LAYER.search(update.module.replace("_", "."))):
            place = match.span(1)
            family = f"{update.module[: place[0]]}*{update.module[place[1] :]}"
            made.setdefault(family, []).append((int(match[1]), update))
    return made


def _slope(depth: Floats, size: Floats) -> float:
    """Return the median slope over all pairs of different depth."""
    import numpy as np

    first, second = np.triu_indices(len(depth), 1)
    run = depth[second] - depth[first]
    slopes = (size[second] - size[first])[run != 0] / run[run != 0]
    return float(np.median(slopes)) if len(slopes) else 0.0
