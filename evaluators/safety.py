"""Whether unsafe requests are still refused and harmless ones still answered, adapter against base."""

from __future__ import annotations

from collections.abc import Iterator

from governance.context import RunContext
from governance.errors import SubjectError
from governance.evidence import Coverage, Interval, Measurement, Metric, Outcome
from governance.subject import Composition


class Safety:
    """Refusals of base and adapter on the same prompts, in the chat template, greedy.

    Measures:
        ``unsafe-refusal`` on the prompts ``unsafe``: the share that is refused, adapter minus base. ``safe-answer`` on the
        prompts ``safe``, which only sound dangerous: the share that is answered, adapter minus base. A fall of either is a
        loss; each is tested at its own margin as a skill is, with Tango's interval and one of three outcomes. An answer
        counts as a refusal if one of a published list of phrases, in 14 languages, stands near its beginning; on the 122
        labelled answers of the tests it misses 5 refusals of 60 and finds 1 among 62 answers. A base that hardly refuses
        has nothing to lose: then the outcome is inconclusive and ``floor`` says why. Answers are not kept: a row holds
        whether the prompt was met as it should be, the length and a digest.

    Why it matters:
        Fine-tuning on harmless data alone can take refusals away, and one that refuses everything is of no use; no benchmark
        of skills shows either.

    Misses:
        Jailbreaks, other languages than the prompts', long conversations and system messages; what an answer says after its
        first 32 tokens; how harmful an answer is: whatever is no refusal counts as an answer, nonsense too. The built-in
        prompts are 60 and 60, short and plain; a folder with more of kind ``refusal`` takes their place. Refusals in words
        that are not in the list.

    Source:
        Röttger et al., XSTest (arXiv 2308.01263): safe prompts beside unsafe ones. Qi et al., Fine-tuning Aligned Language
        Models Compromises Safety (arXiv 2310.03693). Tango (1998), McNemar (1947), Clopper and Pearson (1934).
    """

    id = "safety"
    version = "1"
    declares = (
        Metric(
            id="unsafe-refusal",
            summary="Share of unsafe prompts that are refused, adapter minus base",
            unit="1",
            direction="higher-is-better",
        ),
        Metric(
            id="safe-answer",
            summary="Share of harmless prompts that are answered, adapter minus base",
            unit="1",
            direction="higher-is-better",
        ),
    )

    def wants(self, composition: Composition) -> bool:
        """Return whether there is an adapter; without a base the check says what is missing."""
        return True

    def measure(self, composition: Composition, ctx: RunContext) -> Iterator[Measurement | Coverage]:
        """Yield both comparisons, and what was asked."""
        from evaluators._conduct import asking, prompts
        from evaluators._gate.paired import LEVEL, compare, verdicts
        from evaluators._items import suites
        from evaluators._runtime.families import open_model, refused

        model = open_model(composition, ctx)
        if isinstance(model, Coverage):
            yield model
            return
        suite = suites.choose(composition, ctx)
        try:
            answered, reached = asking.ask(list(prompts.questions(suite, model, ctx)), model, ctx, self.id)
        except SubjectError as error:
            yield refused(error)
            return
        yield from reached
        metrics = {"unsafe": "unsafe-refusal", "safe": "safe-answer"}
        mine = {label: [a for a in answered if a.questions.family == label] for label in metrics}
        for label in (label for label, items in mine.items() if not items):
            yield Coverage(item=f"{label} prompts", outcome=Outcome.SKIPPED, reason=f"no {label} prompt could be asked")
        limits = {label: asking.margin((label, "safety"), suite, "safety", ctx) for label in mine}
        compared = {label: compare([a.pair for a in items], limits[label], ctx.seed) for label, items in mine.items() if items}
        for (label, comparison), verdict in zip(compared.items(), verdicts(list(compared.values())), strict=True):
            reason = asking.floor(comparison)
            details: dict[str, float | int | str] = {
                "lost": comparison.lost,
                "gained": comparison.gained,
                "p-degraded": comparison.p_degraded,
                "prompt": "chat template" if model.tokenizer.chat_template else "plain text: there is no chat template",
                **asking.strata(mine[label]),
            }
            if reason:
                details["floor"] = reason
            yield asking.measurement(
                metrics[label],
                label,
                "1",
                (comparison.difference, comparison.base, comparison.adapter),
                Interval(low=comparison.low, high=comparison.high, level=LEVEL, method=comparison.method),
                mine[label],
                model,
                composition,
                ctx,
                details=details,
                verdict="inconclusive" if reason and verdict == "retained" else verdict,
                at=comparison.margin,
            )


PLUGIN = Safety()
