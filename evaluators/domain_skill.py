"""Whether the adapter is better than its base at what it was made for: the domain's tasks, paired item by item."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from governance.context import RunContext
from governance.evidence import Coverage, Measurement, Metric, Outcome
from governance.subject import Composition


class DomainSkill:
    """Accuracy on the tasks of one domain, adapter minus base, on the same items through the same 4-bit weights.

    Measures:
        The difference in accuracy with Tango's score interval, items lost and gained, and one of three statistical
        outcomes at the policy's margin, for the domain the asker named, else the one the card speaks of, else the suite's
        default. It is given twice: under the family's name, and under ``domain`` so that a policy can speak of whichever
        was measured. The same per task under the task's name.

    Why it matters:
        The claim "good at medicine" is the reason to take a fine-tune; one that is worse than its base has no use and may
        do harm.

    Misses:
        Domains without tasks here, which is said and not passed over; skills beyond short questions with choices; whether
        an answer would be right in practice. A card that names no domain is measured on the default domain.

    Source:
        Tango (1998) for the interval, McNemar (1947) for the loss, lm-evaluation-harness 0.4.13 for prompts and scores.
    """

    id = "domain-skill"
    version = "2"
    divisible: Literal[True] = True
    declares = (
        Metric(
            id="domain-skill",
            summary="Accuracy on the tasks of one domain, adapter minus base",
            unit="1",
            direction="higher-is-better",
        ),
        Metric(id="domain-task", summary="The same for one task", unit="1", direction="higher-is-better"),
        Metric(
            id="domain-margin",
            summary="How much likelier the right choice is than the best other one, adapter minus base",
            unit="nat",
            direction="higher-is-better",
        ),
    )

    def wants(self, composition: Composition) -> bool:
        """Return whether there is an adapter; without a base the check says what is missing."""
        return True

    def measure(self, composition: Composition, ctx: RunContext) -> Iterator[Measurement | Coverage]:
        """Yield the pooled comparison, one per task, and what was asked."""
        from evaluators._items import suites
        from evaluators._runtime import families

        suite = suites.choose(composition, ctx)
        family, unknown = suites.domain(suite, composition, ctx)
        if unknown is not None:
            reason = (
                f"no task of suite {suite.id} is about {unknown!r}; {family} was measured in its place (give tasks with --data)"
            )
            yield Coverage(item=f"domain {unknown}"[:200], outcome=Outcome.SKIPPED, reason=reason)
        names = {family: (family, "domain")}
        yield from families.measure(
            suite, names, families.Metrics("domain-skill", "domain-task", "domain-margin"), self.id, composition, ctx
        )


PLUGIN = DomainSkill()
