"""A question with choices of which one is right; with a passage or contexts before it, if there are any."""

from __future__ import annotations

from evaluators._items.kinds.shape import (
    ACCURACY,
    LETTERS,
    How,
    Item,
    ItemError,
    Kind,
    Way,
    choice_of,
    prompt_of,
    text_of,
    texts_of,
)
from evaluators._items.tasks import Document

#: What a definition of choices looks like; used by the other kinds with choices.
CHOICES = {
    "output_type": "multiple_choice",
    "doc_to_text": "text",
    "doc_to_choice": "options",
    "doc_to_target": "gold",
    "target_delimiter": " ",
    "metric_list": list(ACCURACY),
}


def read(item: Item, how: How) -> list[Document]:
    """Return the question; its choices are listed and the letter is scored, or each choice is scored as a text."""
    choices = texts_of(item, "choices")
    if not 2 <= len(choices) <= len(LETTERS):
        raise ItemError(f"it has {len(choices)} choices; 2 to {len(LETTERS)} can be asked")
    gold = choice_of(item, "answer", choices)
    passages = texts_of(item, "contexts") if item.get("contexts") else []
    if item.get("passage"):
        passages.append(text_of(item, "passage"))
    listed = "\n".join(f"{LETTERS[i]}. {c.strip()}" for i, c in enumerate(choices))
    before = "".join(f"{p.strip()}\n\n" for p in passages) + f"Question: {text_of(item, 'question').strip()}\n"
    lettered = how.answers == "letters"
    own = f"{before}{listed}\nAnswer:" if lettered else f"{before}Answer:"
    options = [*LETTERS[: len(choices)]] if lettered else [c.strip() for c in choices]
    return [{"text": prompt_of(item, how, own, choices=listed).rstrip(" "), "options": [*options], "gold": gold}]


KIND = Kind(read, "2", (Way(CHOICES, "acc"),), prompts=True)
