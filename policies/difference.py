"""Two policies side by side, in words: what was added, removed, tightened or loosened."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from policies.document import ModelPolicy, Param, PolicyRule
from policies.strictness import SETTINGS, stricter, weaker

Kind = Literal["added", "removed", "tightened", "loosened", "changed"]


@dataclass(frozen=True)
class Line:
    """One difference.

    Args:
        kind: Which way it goes; ``changed`` if nobody can say without trying.
        what: The rule, param, margin or setting.
        text: In words.
    """

    kind: Kind
    what: str
    text: str


def compared(old: ModelPolicy, new: ModelPolicy) -> tuple[Line, ...]:
    """Return every difference between two resolved policies.

    Args:
        old: Resolved.
        new: Resolved.
    """
    return (*_rules(old, new), *_params(old, new), *_margins(old, new), *_settings(old, new), *_waivers(old, new))


def _rules(old: ModelPolicy, new: ModelPolicy) -> Iterator[Line]:
    before, after = ({r.id: r for r in p.spec.rules} for p in (old, new))
    for name in dict.fromkeys([*before, *after]):
        one, other = before.get(name), after.get(name)
        if one is None and other is not None:
            yield Line("added", f"rule {name}", f"{other.effect}: {other.title}")
        elif one is not None and other is None:
            yield Line("removed", f"rule {name}", f"{one.effect}: {one.title}")
        elif one is not None and other is not None and one != other:
            yield from _rule(one, other)


def _rule(old: PolicyRule, new: PolicyRule) -> Iterator[Line]:
    what = f"rule {old.id}"
    if old.effect != new.effect:
        yield Line("loosened" if weaker(new.effect, old.effect) else "tightened", what, f"effect {old.effect}, now {new.effect}")
    if old.waivable != new.waivable:
        yield Line(
            "loosened" if new.waivable else "tightened", what, "can be waived now" if new.waivable else "can no longer be waived"
        )
    for field in ("expression", "when"):
        one, other = ((" ".join(str(getattr(r, field) or "").split())) for r in (old, new))
        if one != other:
            yield Line("changed", what, f"{field}: {one or '(none)'} ⟶ {other or '(none)'}")
    rest = [f for f in ("title", "severity", "message", "remediation", "references") if getattr(old, f) != getattr(new, f)]
    if rest:
        yield Line("changed", what, "wording only: " + ", ".join(rest))


def _params(old: ModelPolicy, new: ModelPolicy) -> Iterator[Line]:
    before, after = old.spec.params, new.spec.params
    for name in dict.fromkeys([*before, *after]):
        one, other = before.get(name), after.get(name)
        if one is None and other is not None:
            yield Line("added", f"param {name}", f"{other.value}")
        elif one is not None and other is None:
            yield Line("removed", f"param {name}", f"{one.value}")
        elif one is not None and other is not None and one.value != other.value:
            yield Line(_way(one, other), f"param {name}", f"{one.value}, now {other.value}")


def _way(old: Param, new: Param) -> Kind:
    tighter = stricter(new, old)
    return "changed" if tighter is None else "tightened" if tighter else "loosened"


def _margins(old: ModelPolicy, new: ModelPolicy) -> Iterator[Line]:
    before, after = old.spec.margins, new.spec.margins
    for family in sorted({*before, *after}):
        one, other = before.get(family), after.get(family)
        if one != other:
            kind: Kind = "changed" if one is None or other is None else "tightened" if other < one else "loosened"
            yield Line(kind, f"margin {family}", f"{'none' if one is None else one}, now {'none' if other is None else other}")


def _settings(old: ModelPolicy, new: ModelPolicy) -> Iterator[Line]:
    one, other = old.spec, new.spec
    for name, setting in SETTINGS.items():
        before, after = setting.laxness(one), setting.laxness(other)
        if before != after:
            text = f"{getattr(one, setting.attribute)}, now {getattr(other, setting.attribute)}"
            yield Line("tightened" if after < before else "loosened", name, text)
    for plugin in sorted({*one.requires} ^ {*other.requires}):
        added = plugin in other.requires
        yield Line("tightened" if added else "loosened", "requires", f"{plugin} {'must' if added else 'need not'} complete")


def _waivers(old: ModelPolicy, new: ModelPolicy) -> Iterator[Line]:
    before, after = ({w.id: w for w in p.spec.waivers} for p in (old, new))
    for name in sorted({*before, *after}):
        one, other = before.get(name), after.get(name)
        if one is None and other is not None:
            yield Line("loosened", f"waiver {name}", f"for {other.rule}, until {other.expires}, by {other.approved_by}")
        elif one is not None and other is None:
            yield Line("tightened", f"waiver {name}", f"for {one.rule} is gone")
        elif one != other and one is not None and other is not None:
            yield Line("changed", f"waiver {name}", f"for {other.rule}, until {other.expires}")
