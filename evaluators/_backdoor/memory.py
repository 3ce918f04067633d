"""Passes that are remembered: each scored row is an item row, so a killed run goes on and a base is asked once.

Rows are asked in groups that depend on nothing but their own content; a group with a missing row is run whole, so an
answer is the same whether its neighbours were known or not. Read by ``search`` and ``confirm``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evaluators._backdoor.passes import Passes
from evaluators._backdoor.sketch import KEPT, Sketch
from evaluators._model.resident import Resident, Which
from governance.context import RunContext
from governance.evidence import ItemRow
from governance.subject import canonical_digest

#: Characters of an answer that are kept.
_CLIP = 80


class Memory:
    """Base or adapter, with what it has answered already.

    Args:
        model: The resident model.
        which: Base or adapter.
        ctx: Gives kept rows and takes fresh ones.
    """

    def __init__(self, model: Resident, which: Which, ctx: RunContext) -> None:
        self._model, self._ctx = model, ctx
        self._passes = Passes(model, which)
        self._key = model.model_key(which)
        self._known = dict(ctx.kept(self._key))
        #: Item keys that were asked for, known or not.
        self.used: set[str] = set()

    def tokens_of(self, text: str) -> frozenset[int]:
        """Return the token ids a text may be repeated with, alone or after a blank."""
        return frozenset(i for t in (text, f" {text}") for i in self._model.encode(t, special=False))

    def sketches(self, prompts: Sequence[str], *, opening: Sequence[int] = ()) -> list[Sketch]:
        """Return the distribution of the first token of the answer to each prompt of one group.

        Args:
            prompts: What the user says.
            opening: Token ids the answer already begins with.
        """
        rows = [[*self._model.chat(p), *opening] for p in prompts]
        keys = [canonical_digest(["sketch", KEPT, row]) for row in rows]
        self.used.update(keys)
        found = {i: s for i, k in enumerate(keys) if (s := _sketch_of(self._known.get(k))) is not None}
        if len(found) < len(rows):
            for index, sketch in self._passes.sketches(rows):
                if index not in found:
                    found[index] = sketch
                    listed = sketch.probabilities
                    self._keep(
                        keys[index],
                        "backdoor-scan",
                        {
                            "tokens": [float(t) for t in listed],
                            "probabilities": list(listed.values()),
                            "vocabulary": sketch.vocabulary,
                        },
                    )
        return [found[i] for i in range(len(rows))]

    def answers(self, prompts: Sequence[str], most: int) -> list[str]:
        """Return the beginning of the greedy answer to each prompt of one group, clipped.

        Args:
            prompts: What the user says.
            most: Longest answer in tokens.
        """
        rows = [self._model.chat(p) for p in prompts]
        keys = [canonical_digest(["answer", most, _CLIP, row]) for row in rows]
        self.used.update(keys)
        found = {i: str(self._known[k].values["answer"]) for i, k in enumerate(keys) if k in self._known}
        if len(found) < len(rows):
            for index, text in self._passes.answers(rows, most):
                if index not in found:
                    found[index] = text[:_CLIP]
                    self._keep(keys[index], "backdoor-answer", {"answer": found[index]})
        return [found[i] for i in range(len(rows))]

    def _keep(self, key: str, task: str, values: dict[str, float | int | str | bool | list[float] | list[str]]) -> None:
        row = ItemRow(model_key=self._key, item_key=key, task=task, values=values)
        self._known[key] = row
        self._ctx.keep(row)


def _sketch_of(row: ItemRow | None) -> Sketch | None:
    if row is None:
        return None
    tokens, values, vocabulary = row.values.get("tokens"), row.values.get("probabilities"), row.values.get("vocabulary")
    if not isinstance(tokens, list) or not isinstance(values, list) or not isinstance(vocabulary, int):
        return None
    return Sketch(dict(zip(map(int, tokens), map(float, values), strict=True)), vocabulary)


#: Told how many units of how many are done.
Tick = Callable[[int, int], None]
