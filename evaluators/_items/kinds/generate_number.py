"""A question whose answer is a number the model writes, after as much working as it likes."""

from __future__ import annotations

import re

from evaluators._items.kinds.shape import How, Item, ItemError, Kind, Way, prompt_of, text_of
from evaluators._items.tasks import Document

_NUMBER = re.compile(r"-?\d+(\.\d+)?\Z")


def read(item: Item, how: How) -> list[Document]:
    """Return the question, the number, and the worked answer that examples show."""
    final = item.get("final", item.get("answer"))
    if isinstance(final, bool) or not isinstance(final, (str, int, float)):
        raise ItemError("it has no 'final' with the number that is right")
    number = str(final).replace(",", "").strip()
    if not _NUMBER.match(number):
        raise ItemError(f"'final' must be a number, it is {number[:40]!r}")
    answer = item.get("answer")
    shown = answer.strip() if isinstance(answer, str) and answer.strip() else number
    own = f"Question: {text_of(item, 'question').strip()}\nAnswer:"
    return [{"text": prompt_of(item, how, own), "final": number, "shown": shown}]


_WRITTEN = {
    "output_type": "generate_until",
    "doc_to_text": "text",
    "doc_to_target": "final",
    "fewshot_config": {"sampler": "first_n", "doc_to_target": "shown"},
    "generation_kwargs": {"until": ["Question:", "\n\n"], "max_gen_toks": 160, "do_sample": False},
    "filter_list": [
        {
            "name": "last-number",
            "filter": [
                {"function": "regex", "regex_pattern": r"(-?[$0-9.,]{2,})|(-?[0-9]+)", "group_select": -1},
                {"function": "take_first"},
            ],
        }
    ],
    "metric_list": [
        {
            "metric": "exact_match",
            "aggregation": "mean",
            "higher_is_better": True,
            "ignore_case": True,
            "regexes_to_ignore": [",", "\\$", "\\.$"],
        }
    ],
}
KIND = Kind(read, "2", (Way(_WRITTEN, "exact_match"),), prompts=True)
