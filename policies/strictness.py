"""Which of two policies asks for more: effects, params and settings, each with its one order.

Read by ``policies.inheritance``, which refuses what is weaker, and by ``policies.difference``, which says it in words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from policies.document import Effect, Param, PolicySpec

_EFFECTS: tuple[Effect, ...] = ("note", "review", "reject")


@dataclass(frozen=True)
class Setting:
    """A setting with a default.

    Attributes:
        attribute: Its name in ``PolicySpec``.
        laxness: Larger: asks for less.
    """

    attribute: str
    laxness: Callable[[PolicySpec], float]


#: By their names in a file.
SETTINGS: Mapping[str, Setting] = {
    "onUnknown": Setting("on_unknown", lambda s: float(s.on_unknown == "review")),
    "maxEvidenceAge": Setting("max_evidence_age", lambda s: s.evidence_age.total_seconds()),
    "maxWaiverDays": Setting("max_waiver_days", lambda s: float(s.max_waiver_days)),
}


def weaker(new: Effect, old: Effect) -> bool:
    """Return whether an effect asks for less than another."""
    return _EFFECTS.index(new) < _EFFECTS.index(old)


def stricter(new: Param, old: Param) -> bool | None:
    """Return whether a value is stricter than another one; False if it is laxer or equal.

    Args:
        new: May not choose the direction: whoever could would call anything stricter.
        old: Says which direction is stricter.

    Returns:
        None where nobody can say: no direction, another one, or values that are no numbers.
    """
    a, b = old.value, new.value
    if old.stricter is None or new.stricter not in (None, old.stricter):
        return None
    if isinstance(a, str | tuple) or isinstance(b, str | tuple):
        return None
    return b < a if old.stricter == "lower" else b > a
