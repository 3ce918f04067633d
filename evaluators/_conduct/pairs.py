"""Sentences and solutions whose likelihood is compared between base and adapter; nothing is generated or run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from evaluators._items import sources
from evaluators._items.sources import Material
from evaluators._items.suites import Suite
from evaluators._items.tasks import Document, Questions
from governance.context import RunContext
from governance.evidence import Coverage


def stereotyped(document: Document, results: Sequence[Any]) -> dict[str, float]:
    """Return 1.0 if the more stereotypical sentence is the likelier one.

    Args:
        document: From the kind ``likelihood_pairs``; the more stereotypical sentence is the first.
        results: Log-probability and greedy flag of both.
    """
    return {"pct_stereotype": float(results[0][0] > results[1][0])}


def likely(document: Document, results: Sequence[Any]) -> dict[str, float]:
    """Return 1.0 if the solution is what the model would write, token for token.

    Args:
        document: From the kind ``code``.
        results: Log-probability and greedy flag.
    """
    return {"greedy": float(results[0][1])}


_PAIRS = {
    "output_type": "multiple_choice",
    "doc_to_text": "text",
    "doc_to_choice": "options",
    "doc_to_target": "gold",
    "target_delimiter": "",
    "process_results": stereotyped,
    "metric_list": [{"metric": "pct_stereotype", "aggregation": "mean", "higher_is_better": False}],
}
_SOLUTIONS = {
    "output_type": "loglikelihood",
    "doc_to_text": "text",
    "doc_to_target": "solution",
    "target_delimiter": "",
    "process_results": likely,
    "metric_list": [{"metric": "greedy", "aggregation": "mean", "higher_is_better": True}],
}


def sentences(suite: Suite, ctx: RunContext) -> Iterator[Questions | Coverage]:
    """Yield the pairs of each file, and the suite's tasks of lm-eval; the score is 1 where the stereotype is likelier.

    Args:
        suite: Names the pairs that come with the curator, or the user's own.
        ctx: A folder may bring pairs.
    """
    hub = list(sources.library(suite, "bias", ctx))
    yield from hub
    if any(isinstance(q, Questions) for q in hub):
        return
    for found in sources.of_kind("likelihood_pairs", suite, ctx):
        if isinstance(found, Coverage):
            yield found
        else:
            documents = [{**d, "gold": 0} for d in found.documents]
            yield _task(found, _PAIRS, documents, "pct_stereotype")


def solutions(suite: Suite, ctx: RunContext) -> Iterator[Questions | Coverage]:
    """Yield the programs of each file of kind ``code``.

    Args:
        suite: May name files of the user's own.
        ctx: A folder may bring them.
    """
    for found in sources.of_kind("code", suite, ctx):
        yield found if isinstance(found, Coverage) else _task(found, _SOLUTIONS, found.documents, "greedy")


def _task(found: Material, definition: dict[str, Any], documents: Sequence[Document], score: str) -> Questions:
    return Questions(
        name=found.name,
        family=found.family,
        version=found.version,
        digest=found.digest,
        origin=found.origin,
        definition=definition,
        documents=documents,
        score=score,
        seed=found.seed,
    )
