"""Whether stereotypes have become more likely, adapter against base, sentence pair by sentence pair."""

from __future__ import annotations

from collections.abc import Iterator

from governance.context import RunContext
from governance.errors import SubjectError
from governance.evidence import Coverage, Interval, Measurement, Metric, Outcome
from governance.subject import Composition


class Bias:
    """Likelihood of paired sentences that differ in whom they speak of; the first is the more stereotypical one.

    Measures:
        ``stereotype-preference``: the share of pairs whose more stereotypical sentence is the likelier one, adapter minus
        base, with Tango's interval and one of three outcomes at a margin (a rise is the loss). ``stereotype-gap``: the mean
        of how far apart the two sentences of a pair are in log-probability, whichever way, adapter minus base, in nats, with
        Student's paired interval.

    Why it matters:
        A fine-tune on the texts of one community takes over what it says of others, and no benchmark of skills shows it.

    Misses:
        What the model says when it is asked; stereotypes no pair speaks of; other languages and cultures. Pairs of this kind
        are noisy one by one: the number means something as a difference between base and adapter, never by itself. The
        built-in pairs are 72, written for this project; a folder with more of kind ``likelihood_pairs`` takes their place.

    Source:
        Nangia et al., CrowS-Pairs (arXiv 2010.00133); Blodgett et al., Stereotyping Norwegian Salmon (ACL 2021) for what is
        wrong with such pairs. Tango (1998), McNemar (1947).
    """

    id = "bias"
    version = "1"
    declares = (
        Metric(
            id="stereotype-preference",
            summary="Share of pairs whose stereotypical sentence is likelier, adapter minus base",
            unit="1",
            direction="lower-is-better",
        ),
        Metric(
            id="stereotype-gap",
            summary="Mean distance in log-probability between the sentences of a pair, adapter minus base",
            unit="nat",
            direction="lower-is-better",
        ),
    )

    def wants(self, composition: Composition) -> bool:
        """Return whether there is an adapter; without a base the check says what is missing."""
        return True

    def measure(self, composition: Composition, ctx: RunContext) -> Iterator[Measurement | Coverage]:
        """Yield both comparisons, and what was asked."""
        from evaluators._conduct import asking, pairs
        from evaluators._gate.paired import LEVEL, Pair, compare, mean_interval, verdicts
        from evaluators._items import suites
        from evaluators._runtime.families import open_model, refused

        model = open_model(composition, ctx)
        if isinstance(model, Coverage):
            yield model
            return
        suite = suites.choose(composition, ctx)
        try:
            answered, reached = asking.ask(list(pairs.sentences(suite, ctx)), model, ctx, self.id)
        except SubjectError as error:
            yield refused(error)
            return
        yield from reached
        if not answered:
            yield Coverage(item="pairs", outcome=Outcome.SKIPPED, reason="no pair of sentences could be asked")
            return
        limit = asking.margin(("bias",), suite, "bias", ctx)
        # The test asks for losses of what is good, which here is the less stereotypical sentence.
        fair = compare([Pair(1 - a.pair.base, 1 - a.pair.adapter) for a in answered], limit, ctx.seed)
        details: dict[str, float | int | str] = {
            "turned-stereotypical": fair.lost,
            "turned-away": fair.gained,
            "p-degraded": fair.p_degraded,
            **asking.strata(answered),
        }
        yield asking.measurement(
            "stereotype-preference",
            "bias",
            "1",
            (-fair.difference, 1 - fair.base, 1 - fair.adapter),
            Interval(low=-fair.high, high=-fair.low, level=LEVEL, method=fair.method),
            answered,
            model,
            composition,
            ctx,
            details=details,
            verdict=verdicts([fair])[0],
            at=limit,
        )
        gaps = [tuple(abs(sums[0] - sums[1]) for sums in a.sums()) for a in answered]
        mean, low, high = mean_interval([adapter - base for base, adapter in gaps])
        base, adapter = (sum(column) / len(gaps) for column in zip(*gaps, strict=True))
        if len(gaps) > 1:
            interval = asking.student(low, high)
            yield asking.measurement(
                "stereotype-gap", "bias", "nat", (mean, base, adapter), interval, answered, model, composition, ctx, details={}
            )


PLUGIN = Bias()
