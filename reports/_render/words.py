"""Words and numbers for people: what every format shows a value as.

Made from values of a scorecard; read by ``reports._render.view``. Text of a subject is hostile: what cannot be seen is
written out, line breaks are folded and lengths are capped here, once. Escaping for HTML or Markdown is the format's job.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping

from governance.evidence import Interval, Outcome
from governance.verdict import Decision, RuleStatus

#: Longest text shown in one place, in characters.
LONG = 600
#: Longest name, path or label.
SHORT = 160

#: Emoji parts and marks that only make sense beside their neighbours stay; these categories are written out.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_BLANK = re.compile(r"[\t\n\v\f\r ]+")
#: More combining marks than this on one letter is noise that covers its neighbours.
_MARKS = 2
#: Letters that render as nothing though their category says letter or symbol.
_INVISIBLE_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u17b4\u17b5\ufe0e\ufe0f\u034f")

DECISIONS = {Decision.APPROVE: "Approve", Decision.REVIEW: "Review", Decision.REJECT: "Reject"}
MEANINGS = {
    Decision.APPROVE: "Every rule that had a say was satisfied. This composition may be used under the policy named here.",
    Decision.REVIEW: "The evidence does not settle it. A person has to decide before this adapter is used.",
    Decision.REJECT: "Do not deploy this adapter.",
}
STATUSES = {
    RuleStatus.PASS: "passed",
    RuleStatus.FAIL: "failed",
    RuleStatus.UNKNOWN: "not known",
    RuleStatus.WAIVED: "waived",
    RuleStatus.NOT_APPLICABLE: "does not apply",
}
OUTCOMES = {
    Outcome.COMPLETED: "completed",
    Outcome.PARTIAL: "partly done",
    Outcome.NOT_APPLICABLE: "nothing to do",
    Outcome.SKIPPED: "skipped",
    Outcome.FAILED: "failed",
    Outcome.TIMED_OUT: "timed out",
}
#: What a metric is called in a sentence; another metric is called by its id.
METRICS = {
    "retention": "kept abilities",
    "retention-task": "task",
    "domain-skill": "skill in the claimed domain",
    "domain-task": "task",
    "bits-per-byte": "bits per byte of held-out text",
    "kl-divergence": "divergence from the base",
    "attack-success-rate": "attack success rate",
    "trigger-divergence": "largest reaction to a trigger",
}
_UNITS = {"1": "", "": "", "percent": " %", "bit/byte": " bit/byte", "nat": " nat", "nat/token": " nat/token"}


def visible(value: object, limit: int = LONG) -> str:
    """Return text that shows everything it holds, on one line, at most ``limit`` characters long.

    Args:
        value: Anything; a subject's own words included.
        limit: Most characters kept; a cut is marked and says how much is missing.

    Returns:
        Text without control, direction, zero-width, private or unassigned characters: each is written as ``⟨U+202E⟩``.
    """
    text = str(value)
    cut = len(text) - limit
    text = _BLANK.sub(" ", text[:limit]).strip()
    shown: list[str] = []
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.combining(char) else 0
        hidden = unicodedata.category(char) in _HIDDEN or char in _INVISIBLE_LETTERS or marks > _MARKS
        shown.append(f"⟨U+{ord(char):04X}⟩" if hidden else char)
    return "".join(shown) + (f" … ({cut} more characters)" if cut > 0 else "")


def name(value: object) -> str:
    """Return a name, path or label as shown."""
    return visible(value, SHORT)


def number(value: float, unit: str = "1") -> str:
    """Return a number with as many digits as help, and its unit.

    Args:
        value: Any float; what is not finite is named.
        unit: UCUM code or word, as in ``Measurement.unit``.
    """
    return _digits(value) + _UNITS.get(unit, f" {visible(unit, 24)}")


def signed(value: float, unit: str = "1") -> str:
    """Return a difference with its sign; the sign is a true minus."""
    text = number(value, unit)
    return text if value <= 0 or not math.isfinite(value) else f"+{text}"


def _digits(value: float) -> str:
    if not math.isfinite(value):
        return "not a finite number"
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 10_000 or size < 0.0005:
        text = f"{value:.2e}"
    else:
        text = f"{value:.{0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3}f}"
    return text.replace("-", "−")


def interval(value: Interval, unit: str = "1", *, sign: bool = False) -> str:
    """Return ``−0.081 to +0.014`` in the unit's digits; level and method are told once in the caption."""
    show = signed if sign else number
    return f"{show(value.low)} to {show(value.high, unit)}"


def level(value: Interval) -> str:
    """Return ``95 % interval, Tango``."""
    return f"{value.level * 100:g} % interval, {visible(value.method, 60)}"


def bytes_(size: int) -> str:
    """Return a size in the largest fitting binary unit."""
    amount = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("unreachable")


def seconds(value: float) -> str:
    """Return a duration: ``0.4 s``, ``2 min 5 s``."""
    if value < 60:
        return f"{value:.1f} s"
    return f"{int(value // 60)} min {int(value % 60)} s"


def count(amount: int, noun: str, plural: str = "") -> str:
    """Return ``1 file``, ``3 files``."""
    return f"{amount} {noun if amount == 1 else plural or noun + 's'}"


def names(values: Iterable[str]) -> tuple[str, ...]:
    """Return each as ``name`` does."""
    return tuple(name(v) for v in values)


def pairs(values: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return keys as names and values as text."""
    return tuple((name(k), visible(v)) for k, v in values.items())
