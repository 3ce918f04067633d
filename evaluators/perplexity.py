"""How well base and adapter predict ordinary text, and how far their predictions are apart."""

from __future__ import annotations

from collections.abc import Iterator

from governance.context import RunContext
from governance.evidence import Coverage, Measurement, Metric
from governance.subject import Composition


class Perplexity:
    """Compression of held-out text, adapter against base, passage by passage.

    Measures:
        ``bits-per-byte`` on the text set ``general``, and on every file of kind ``text`` that a folder of data or a suite
        brings: mean over passages of the difference, adapter minus base, with Student's paired interval; the mean of each
        model is given too.
        ``kl-divergence`` on the same text: mean over tokens of the exact divergence of the next-token distributions, base
        to adapter, in nats, with an interval over passages.

    Why it matters:
        Both are continuous: they show a drift long before a choice of answer flips, with few words and no labels.

    Misses:
        What the drift means: an adapter that only changed its tone drifts as well. Other languages, code and long texts.
        The passages were written for this project, so no base was trained on them, but they are few and plain.

    Source:
        Gao et al., The Pile (arXiv 2101.00027), section 3.1: bits per byte. Kullback and Leibler, Annals of Mathematical
        Statistics 22 (1951), 79–86; Kalajdzievski, Scaling Laws for Forgetting (arXiv 2401.05605) for its use.
    """

    id = "perplexity"
    version = "2"
    declares = (
        Metric(
            id="bits-per-byte",
            summary="Bits per byte of held-out text, adapter minus base",
            unit="bit/byte",
            direction="lower-is-better",
        ),
        Metric(
            id="kl-divergence",
            summary="Divergence of next-token distributions on held-out text, base to adapter",
            unit="nat",
            direction="lower-is-better",
        ),
    )

    def wants(self, composition: Composition) -> bool:
        """Return whether there is an adapter; without a base the check says what is missing."""
        return True

    def measure(self, composition: Composition, ctx: RunContext) -> Iterator[Measurement | Coverage]:
        """Yield both numbers and that the text was read."""
        from evaluators._runtime import texts

        yield from texts.measure(self.id, composition, ctx)


PLUGIN = Perplexity()
