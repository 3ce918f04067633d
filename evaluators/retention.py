"""Whether the adapter still knows what its base knew: general skills, paired item by item."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from governance.context import RunContext
from governance.evidence import Coverage, Measurement, Metric
from governance.subject import Composition


class Retention:
    """Accuracy on general skills, adapter minus base, on the same items through the same 4-bit weights.

    Measures:
        For the family ``general`` the difference in accuracy with Tango's score interval, how many items were lost and
        gained, and one of three statistical outcomes at the policy's margin: retained (a loss as large as the margin is
        ruled out), degraded (a loss at least that large was seen and is no accident), inconclusive. The same per task.

    Why it matters:
        A fine-tune that has overwritten general knowledge fails outside the examples it was trained on, and nothing in its
        files shows it.

    Misses:
        Skills no task asks for; long contexts; free text, where only choices are scored; losses smaller than the margin.
        The built-in items are short, English and easy enough for small models, so a large model may lose much before it
        loses these. Prompts are plain text, without the chat template.

    Source:
        Tango (1998) for the interval, McNemar (1947) for the loss, lm-evaluation-harness 0.4.13 for prompts and scores;
        "Mapping Post-Training Forgetting in Language Models at Scale" (arXiv 2510.17776) for item-wise counting.
    """

    id = "retention"
    version = "2"
    divisible: Literal[True] = True
    declares = (
        Metric(
            id="retention",
            summary="Accuracy on a family of general tasks, adapter minus base",
            unit="1",
            direction="higher-is-better",
        ),
        Metric(id="retention-task", summary="The same for one task", unit="1", direction="higher-is-better"),
        Metric(
            id="retention-margin",
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
        names = {suites.GENERAL: (suites.GENERAL,)}
        yield from families.measure(
            suite, names, families.Metrics("retention", "retention-task", "retention-margin"), self.id, composition, ctx
        )


PLUGIN = Retention()
