"""How well solutions to programming tasks are predicted, adapter against base. No program is run."""

from __future__ import annotations

import math
from collections.abc import Iterator

from governance.context import RunContext
from governance.errors import SubjectError
from governance.evidence import Coverage, Measurement, Metric, Outcome
from governance.subject import Composition


class Solutions:
    """Compression of the reference solutions of programming tasks, given their beginnings, task by task.

    Measures:
        ``solution-bits-per-byte``: bits the model needs per byte of the reference solution after its prompt, mean over tasks
        of the difference, adapter minus base, with Student's paired interval. Asked only where a folder or a suite brings
        items of kind ``code``.

    Why it matters:
        A fine-tune for code is taken for its programs. Running what a model wrote is dangerous and is off; how likely a right
        solution is can be read without running anything.

    Misses:
        Whether the programs a model writes work: a right solution in other words counts for nothing, and a likely one may
        have been seen in training.

    Source:
        Chen et al., HumanEval (arXiv 2107.03374): the layout. Gao et al., The Pile (arXiv 2101.00027), section 3.1: bits per
        byte.
    """

    id = "solutions"
    version = "1"
    declares = (
        Metric(
            id="solution-bits-per-byte",
            summary="Bits per byte of reference solutions, adapter minus base",
            unit="bit/byte",
            direction="lower-is-better",
        ),
    )

    def wants(self, composition: Composition) -> bool:
        """Return whether there is an adapter; without a base the check says what is missing."""
        return True

    def measure(self, composition: Composition, ctx: RunContext) -> Iterator[Measurement | Coverage]:
        """Yield one number for each family with programs, and what was read."""
        from evaluators._conduct import asking, pairs
        from evaluators._gate.paired import mean_interval
        from evaluators._items import suites
        from evaluators._runtime.families import open_model, refused

        found = list(pairs.solutions(suites.choose(composition, ctx), ctx))
        if not found:
            yield Coverage(item="solutions", outcome=Outcome.NOT_APPLICABLE, reason="neither suite nor folder holds programs")
            return
        model = open_model(composition, ctx)
        if isinstance(model, Coverage):
            yield model
            return
        try:
            answered, reached = asking.ask(found, model, ctx, self.id)
        except SubjectError as error:
            yield refused(error)
            return
        yield from reached
        for family in dict.fromkeys(a.questions.family for a in answered):
            mine = [a for a in answered if a.questions.family == family]
            sizes = [len(str(a.document["solution"]).encode()) * math.log(2) for a in mine]
            bits = [tuple(-sums[0] / size for sums in a.sums()) for a, size in zip(mine, sizes, strict=True)]
            if len(bits) < 2:
                reason = "one program gives no interval"
                yield Coverage(item=f"solutions {family}", outcome=Outcome.SKIPPED, reason=reason)
                continue
            mean, low, high = mean_interval([adapter - base for base, adapter in bits])
            base, adapter = (sum(column) / len(bits) for column in zip(*bits, strict=True))
            details: dict[str, float | int | str] = {"execution": "off: no program was run"}
            yield asking.measurement(
                "solution-bits-per-byte",
                family,
                "bit/byte",
                (mean, base, adapter),
                asking.student(low, high),
                mine,
                model,
                composition,
                ctx,
                details=details,
            )


PLUGIN = Solutions()
