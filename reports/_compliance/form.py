"""Rule sets filled in from one scorecard: facts, what is not known and why, and what is open for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from governance.verdict import Scorecard
from reports._compliance.evidence import Fact, Missing, gather
from reports._compliance.rules import Item, RuleSet, rule_sets

State = Literal["filled", "partial", "open"]
#: After so many days a rule set has to be looked at again.
STALE_DAYS = 90
WORDS: dict[State, str] = {"filled": "filled from the audit", "partial": "filled in part", "open": "open"}
DISCLAIMER = (
    "This report arranges what one audit found under what each rule set asks for. It does not say, and cannot say, that "
    "anything meets a rule: that is for a person to judge, who also fills what is open."
)


@dataclass(frozen=True, slots=True)
class Line:
    """One item of a rule set."""

    code: str
    title: str
    state: State
    facts: tuple[Fact, ...]
    missing: tuple[Missing, ...]
    person: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """One rule set, filled in."""

    rules: RuleSet
    lines: tuple[Line, ...]
    warnings: tuple[str, ...]

    @property
    def counts(self) -> dict[State, int]:
        """How many lines are in which state."""
        seen = Counter(line.state for line in self.lines)
        return {state: seen[state] for state in WORDS}


def forms(card: Scorecard, sets: Iterable[RuleSet] | None = None) -> tuple[Form, ...]:
    """Return every rule set filled in.

    Args:
        card: A recorded scorecard.
        sets: The rule sets; None: those that are shipped.
    """
    return tuple(
        Form(rules, tuple(_line(item, card) for item in rules.items), tuple(_warnings(rules, card)))
        for rules in (rule_sets() if sets is None else sets)
    )


def _line(item: Item, card: Scorecard) -> Line:
    found = list(dict.fromkeys(one for selector in item.evidence for one in gather(card, selector)))
    facts = tuple(f for f in found if isinstance(f, Fact))
    missing = tuple(m for m in found if isinstance(m, Missing))
    state: State = "open" if not facts else "partial" if missing or item.person else "filled"
    return Line(item.code, item.title, state, facts, missing, item.person)


def _warnings(rules: RuleSet, card: Scorecard) -> Iterable[str]:
    age = (card.created.date() - rules.as_of).days
    if age > STALE_DAYS:
        yield f"last looked at {age} days before this audit: look at the rules themselves before you rely on this list"
    if not rules.read_at_source:
        yield "codes and dates were not compared with the issuer's own text: they are second-hand and may be wrong"
