"""Kinds of items a folder of data may hold, each with the question it becomes.

An item is read into plain fields here; the prompts are ours, because a template in a data file could run code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from evaluators._items.tasks import Document

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ACCURACY = [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}]
_NLI = ("entailment", "contradiction", "not_mentioned")
_NUMBER = r"(-?[$0-9.,]{2,})|(-?[0-9]+)"


@dataclass(frozen=True)
class Format:
    """One kind.

    Attributes:
        read: Turns a line of the file into items with the fields of the definition.
        definition: lm-eval's configuration for it.
        version: Changes with reading or prompt.
        score: Metric that scores one item.
    """

    read: Callable[[dict[str, JsonValue]], list[Document]]
    definition: Mapping[str, Any]
    version: str
    score: str


def _lettered(item: dict[str, JsonValue]) -> list[Document]:
    """Read a question with listed choices; the answer is a letter."""
    choices, answer = _texts(item["choices"]), int(str(item["answer"]))
    if not 2 <= len(choices) <= len(_LETTERS) or not 0 <= answer < len(choices):
        raise ValueError(f"{len(choices)} choices, answer {answer}")
    passages = _texts(item.get("contexts", []))
    if item.get("passage"):
        passages.append(str(item["passage"]))
    listed = "\n".join(f"{_LETTERS[i]}. {c}" for i, c in enumerate(choices))
    text = "".join(f"{p.strip()}\n\n" for p in passages) + f"Question: {str(item['question']).strip()}\n{listed}\nAnswer:"
    return [{"text": text, "options": [*_LETTERS[: len(choices)]], "gold": answer, "group": _group(item)}]


def _open(item: dict[str, JsonValue]) -> list[Document]:
    """Read a question whose choices are scored as text; the first true one counts."""
    targets = item["mc1_targets"]
    if not isinstance(targets, dict):
        raise TypeError("mc1_targets is no object")
    choices, labels = _texts(targets["choices"]), [int(v) for v in _texts(targets["labels"])]
    gold = labels.index(1)
    return [{"text": f"Q: {str(item['question']).strip()}\nA:", "options": [*choices], "gold": gold, "group": _group(item)}]


def _number(item: dict[str, JsonValue]) -> list[Document]:
    """Read a question whose answer is a number the model writes."""
    text = f"Question: {str(item['question']).strip()}\nAnswer:"
    return [{"text": text, "final": str(item["final"]).replace(",", "").strip(), "group": _group(item)}]


def _statements(item: dict[str, JsonValue]) -> list[Document]:
    """Read a document with statements that follow from it, contradict it, or are not mentioned in it."""
    statements = item["hypotheses"]
    if not isinstance(statements, list):
        raise TypeError("hypotheses is no list")
    found: list[Document] = []
    for said in statements:
        if not isinstance(said, dict):
            raise TypeError("a hypothesis is no object")
        text = f"{str(item['text']).strip()}\n\nQuestion: {str(said['hypothesis']).strip()} True, False or Neither?\nAnswer:"
        gold = _NLI.index(str(said["label"]))
        found.append({"text": text, "options": ["True", "False", "Neither"], "gold": gold, "group": _group(item)})
    return found


def _group(item: dict[str, JsonValue]) -> str:
    return str(item.get("group") or item.get("id") or "")


def _texts(value: JsonValue) -> list[str]:
    if not isinstance(value, list):
        raise TypeError("a list was expected")
    return [str(v) for v in value]


_CHOICES = {
    "output_type": "multiple_choice",
    "doc_to_text": "text",
    "doc_to_choice": "options",
    "doc_to_target": "gold",
    "metric_list": _ACCURACY,
}
_WRITTEN = {
    "output_type": "generate_until",
    "doc_to_text": "text",
    "doc_to_target": "final",
    "generation_kwargs": {"until": ["Question:", "\n\n"], "max_gen_toks": 160, "do_sample": False},
    "filter_list": [
        {
            "name": "last-number",
            "filter": [{"function": "regex", "regex_pattern": _NUMBER, "group_select": -1}, {"function": "take_first"}],
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

#: By the manifest's ``kind``.
FORMATS: Mapping[str, Format] = {
    "multiple_choice": Format(_lettered, _CHOICES, "1", "acc"),
    "multiple_choice_targets": Format(_open, _CHOICES, "1", "acc"),
    "generate_number": Format(_number, _WRITTEN, "1", "exact_match"),
    "nli_documents": Format(_statements, _CHOICES, "1", "acc"),
}
#: Kinds that hold no questions with right answers: why a skill is measured without them.
NO_SKILL: Mapping[str, str] = {
    "refusal": "it holds prompts to refuse or not to refuse, no skill; nothing asks them yet",
    "likelihood_pairs": "it holds pairs that show a bias, no skill; nothing asks them yet",
    "text": "it holds text without questions; nothing reads it yet",
}
