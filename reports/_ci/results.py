"""Rules of one or more scorecards as results of a pipeline, before any format.

Read by ``reports.sarif``, ``reports.junit``, ``reports.gitlab`` and by the gate, which adds the place that names each model. A
rule that could not be decided is a result of its own, never left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from governance.dossier import Dossier
from governance.evidence import Finding, Location, Severity
from governance.subject import canonical_digest
from governance.verdict import RuleResult, RuleStatus, Scorecard
from reports._render.words import visible

#: A plug-in whose findings a rule has read, as the engine writes it.
_FINDINGS = re.compile(r'findings\["([^"]+)"\]')
#: Statuses a pipeline is shown as trouble.
TROUBLE = (RuleStatus.FAIL, RuleStatus.UNKNOWN, RuleStatus.WAIVED)
#: CVSS-like numbers that forges sort by: GitHub calls 9.0 and more critical, 7.0 high, 4.0 medium, the rest low.
SCORES = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.LOW: "3.0",
    Severity.INFO: "0.0",
}
#: What a model without a verdict is reported under.
NO_VERDICT = "no-verdict"
#: Most places one result shows.
_MOST_PLACES = 10


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file of the user's own repository, such as the one that pins the model."""

    path: str
    line: int = 1


#: Forges want a file: without a line that names the model it is the adapter's own configuration.
NOWHERE = Place("adapter_config.json")


@dataclass(frozen=True, slots=True)
class Entry:
    """A scorecard and where its model is named.

    Attributes:
        card: The recorded verdict.
        place: Line that names the model; None: unknown.
    """

    card: Scorecard
    place: Place | None = None

    @property
    def model(self) -> str:
        """The adapter, pinned, in one line."""
        return visible(str(self.card.dossier.composition.adapter), 200)


@dataclass(frozen=True, slots=True)
class Failure:
    """A model without a verdict that counts.

    Attributes:
        model: As it was named.
        text: Why, and what to do.
        at: Line that names it.
    """

    model: str
    text: str
    at: Place | None = None

    @property
    def fingerprint(self) -> str:
        """Equal for the same model, whatever the reason."""
        return canonical_digest([NO_VERDICT, self.model])

    @property
    def said(self) -> str:
        """Model and reason in one line."""
        return f"{visible(self.model)}: {visible(self.text)}"


@dataclass(frozen=True, slots=True)
class Result:
    """One rule on one composition.

    Attributes:
        rule: As the policy has it, with what became of it.
        policy: Name of the policy.
        model: The adapter, pinned.
        text: Why, in one line.
        places: Where in the adapter, worst first.
        at: Line that names the model.
        fingerprint: Equal for the same rule on the same composition, whatever the run, wording or line.
    """

    rule: RuleResult
    policy: str
    model: str
    text: str
    places: tuple[Location, ...]
    at: Place | None
    fingerprint: str


def results(entries: Sequence[Entry]) -> tuple[Result, ...]:
    """Return every rule of every scorecard, in the order of the policy.

    Args:
        entries: Scorecards with their places.
    """
    return tuple(_result(r, e) for e in entries for r in e.card.verdict.results)


def _result(rule: RuleResult, entry: Entry) -> Result:
    verdict, composition = entry.card.verdict, entry.card.dossier.composition
    said = visible(rule.reason) or visible(rule.title)
    return Result(
        rule=rule.model_copy(update={"rule": visible(rule.rule, 120), "title": visible(rule.title)}),
        policy=visible(verdict.policy, 120),
        model=entry.model,
        text=said,
        places=_places(rule, entry.card.dossier) if rule.status in TROUBLE else (),
        at=entry.place,
        fingerprint=canonical_digest(["rule on composition", verdict.policy, rule.rule, composition.digest]),
    )


def _places(rule: RuleResult, dossier: Dossier) -> tuple[Location, ...]:
    """Return where the findings lie that a rule has read, the worst first."""
    plugins = {m for key in rule.reads for m in _FINDINGS.findall(key)}
    mine: list[Finding] = sorted((f for f in dossier.findings if f.plugin in plugins), key=lambda f: -f.severity.rank)
    found = dict.fromkeys(x for f in mine for x in f.locations)
    return tuple(found)[:_MOST_PLACES]
