"""lm-eval's view of the resident model: log-likelihoods, rolling log-likelihoods, greedy text.

``CuratorLM`` fulfils ``lm_eval.api.model.LM``, so any task of the library can be asked. ``answer`` is the same with
memory: what is known already is not run again, and every answer is told as soon as its batch is done.

Source:
    lm-evaluation-harness 0.4.13, ``lm_eval.api.model.TemplateLM`` (encoding of pairs, empty contexts, cut from the left).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM

from evaluators._engine.planner import Span, plan
from evaluators._engine.reading import Reader
from evaluators._items.tasks import Answer
from evaluators._model.resident import Resident, Which

#: Told the number of a request and its answer.
Ready = Callable[[int, Answer], None]
#: Told how many batches of how many are done.
Tick = Callable[[int, int], None]

_MOST_NEW_TOKENS = 256


class CuratorLM(TemplateLM):
    """One of the two models, as lm-eval asks it.

    Args:
        model: The resident model.
        which: Base or adapter.
    """

    def __init__(self, model: Resident, which: Which) -> None:
        super().__init__()
        self._resident, self._which = model, which
        self.tokenizer = model.tokenizer

    @property
    def eot_token_id(self) -> int:
        """Token that ends a text."""
        return int(self.tokenizer.eos_token_id if self.tokenizer.eos_token_id is not None else self.tokenizer.pad_token_id)

    @property
    def prefix_token_id(self) -> int:
        """Token that stands in for an empty context."""
        begins = self.tokenizer.bos_token_id
        return self.eot_token_id if begins is None else int(begins)

    @property
    def tokenizer_name(self) -> str:
        """Part of the library's own cache keys, which are not used here."""
        return self._resident.model_key(self._which)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Return token ids; a text that begins with the first token gets no second one."""
        begins = self.tokenizer.bos_token
        special = not (begins and string.startswith(begins)) if add_special_tokens is None else add_special_tokens
        return self._resident.encode(string, special=special)

    def loglikelihood(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return sum of log-probabilities and greedy flag of each continuation."""
        return [a for a in self.answer(requests) if isinstance(a, tuple)]

    def loglikelihood_rolling(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[float]:
        """Return the log-probability of each whole text."""
        return [a for a in self.answer(requests) if isinstance(a, float)]

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        """Return greedy text up to a stop string."""
        return [a for a in self.answer(requests) if isinstance(a, str)]

    def _loglikelihood_tokens(self, requests: Any, **_: Any) -> list[tuple[float, bool]]:
        raise NotImplementedError("the planner takes the place of this step")

    def answer(
        self,
        requests: Sequence[Instance],
        known: Mapping[int, Answer] | None = None,
        ready: Ready = lambda number, answer: None,
        tick: Tick = lambda done, total: None,
    ) -> list[Answer]:
        """Answer requests of any type.

        Args:
            requests: lm-eval's instances.
            known: Answers by number that are not asked again; the plan is made as if they were, so that the others come
                out bit for bit as they would have without them.
            ready: Told each fresh answer.
            tick: Told after each batch.

        Returns:
            One answer for each request.
        """
        answers: dict[int, Answer] = dict(known or {})

        def note(number: int, answer: Answer) -> None:
            if number not in answers:
                answers[number] = answer
                ready(number, answer)

        spans: list[tuple[int, list[Span]]] = []
        texts: list[int] = []
        for number, request in enumerate(requests):
            if request.request_type == "generate_until":
                texts.append(number)
            elif request.request_type == "loglikelihood_rolling":
                spans.append((number, self._windows(str(request.args[0]))))
            else:
                spans.append((number, [self._span(*request.args)]))
        self._score(spans, set(answers), requests, note, tick)
        self._write([n for n in texts if n not in answers], requests, note, tick)
        return [answers[number] for number in range(len(requests))]

    def _span(self, context: str, continuation: str) -> Span:
        if context:
            before, after = self._encode_pair(context, continuation)
        else:
            after = self.tok_encode(continuation, add_special_tokens=False)
            before = [self.prefix_token_id] if after[:1] != [self.prefix_token_id] else []
        ids = [*before, *after][-(self._resident.max_length + 1) :]
        return Span(tuple(ids), max(1, len(ids) - len(after)))

    def _windows(self, text: str) -> list[Span]:
        from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

        most = self._resident.max_length
        ids = self.tok_encode(text)
        windows = get_rolling_token_windows(token_list=ids, prefix_token=self.prefix_token_id, max_seq_len=most, context_len=1)
        return [Span((*before, *after), len(before)) for before, after in map(make_disjoint_window, windows)]

    def _score(
        self, asked: list[tuple[int, list[Span]]], known: set[int], requests: Sequence[Instance], note: Ready, tick: Tick
    ) -> None:
        """Run the batches that hold an unknown request; a request is answered once its last window is."""
        flat = [(number, span) for number, spans in asked for span in spans]
        if not flat:
            return
        made = plan([span for _, span in flat], self._resident)
        needed = [b for b in made.batches if any(flat[m.span][0] not in known for row in b.marks for m in row)]
        missing: dict[int, int] = defaultdict(int)
        for number, span in flat:
            missing[number] += len(span.ids) - span.start
        values: dict[int, list[float]] = defaultdict(list)
        greedy: dict[int, bool] = defaultdict(lambda: True)
        reader = Reader(self._resident, self._which)
        for done, batch in enumerate(needed, start=1):
            for mark, value, best in reader.read(batch):
                number = flat[mark.span][0]
                values[number].append(value)
                greedy[number] = greedy[number] and best
                missing[number] -= 1
                if not missing[number]:
                    # The exact sum: the order in which batches were run does not show.
                    total = math.fsum(values.pop(number))
                    rolling = requests[number].request_type == "loglikelihood_rolling"
                    note(number, total if rolling else (total, greedy[number]))
            tick(done, len(needed))

    def _write(self, numbers: list[int], requests: Sequence[Instance], note: Ready, tick: Tick) -> None:
        """Generate, one batch of equal settings after the other; greedy whatever the task's sampling settings are."""
        groups: dict[tuple[int, tuple[str, ...]], list[int]] = defaultdict(list)
        for number in numbers:
            settings = dict(requests[number].args[1])
            until = settings.get("until") or ()
            stops = (until,) if isinstance(until, str) else tuple(until)
            groups[int(settings.get("max_gen_toks", _MOST_NEW_TOKENS)), stops].append(number)
        for done, ((most, stops), members) in enumerate(groups.items(), start=1):
            longest = max(1, self._resident.max_length - most)
            prompts = [self.tok_encode(str(requests[n].args[0]))[-longest:] for n in members]
            answers = self._resident.generate(prompts, self._which, most, stops=stops)
            for number, ids in zip(members, answers, strict=True):
                note(number, cut(self._resident.decode(ids), stops))
            tick(done, len(groups))


def cut(text: str, stops: Sequence[str]) -> str:
    """Return the text up to the first stop string."""
    ends = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text
