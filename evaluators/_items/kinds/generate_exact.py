"""A question whose answer is a short text the model writes; any of the targets is right, case and punctuation aside."""

from __future__ import annotations

from evaluators._items.kinds.shape import SHORT, How, Item, Kind, Way, prompt_of, text_of, texts_of
from evaluators._items.tasks import Document


def read(item: Item, how: How) -> list[Document]:
    """Return the question and what is right: ``targets``, or one ``answer``."""
    targets = texts_of(item, "targets") if item.get("targets") is not None else texts_of({"answer": [item.get("answer")]}, "answer")
    own = f"Question: {text_of(item, 'question').strip()}\nAnswer:"
    return [{"text": prompt_of(item, how, own), "targets": [t.strip() for t in targets], "shown": targets[0].strip()}]


_WRITTEN = {
    "output_type": "generate_until",
    "doc_to_text": "text",
    "doc_to_target": "targets",
    "fewshot_config": {"sampler": "first_n", "doc_to_target": "shown"},
    "generation_kwargs": SHORT,
    "filter_list": [
        {
            "name": "first-line",
            "filter": [{"function": "regex", "regex_pattern": r"\s*([^\n]*[^\n\s.])"}, {"function": "take_first"}],
        }
    ],
    "metric_list": [
        {
            "metric": "exact_match",
            "aggregation": "mean",
            "higher_is_better": True,
            "ignore_case": True,
            "ignore_punctuation": True,
        }
    ],
}
KIND = Kind(read, "1", (Way(_WRITTEN, "exact_match"),), prompts=True)
