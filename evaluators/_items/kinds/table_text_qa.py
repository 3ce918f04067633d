"""Questions on a table and the paragraphs around it; numbers are compared with their scale and a tolerance.

Source:
    Zhu et al., TAT-QA (arXiv 2105.07624), section 3: answer types and scales.
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from typing import Any

from pydantic import JsonValue

from evaluators._items.kinds.shape import SHORT, How, Item, ItemError, Kind, Way, objects_of, text_of, texts_of
from evaluators._items.tasks import Document

_SCALES = {"": 1.0, "percent": 1.0, "thousand": 1e3, "million": 1e6, "billion": 1e9}
_SCALE = re.compile(r"\b(thousand|million|billion|percent)s?\b|%", re.IGNORECASE)
_NUMBER = re.compile(r"\(\s*[$€£]?\s*\d[\d,]*(?:\.\d+)?\s*%?\s*\)|[-−–]?\s*[$€£]?\s*\d[\d,]*(?:\.\d+)?")


def read(item: Item, how: How) -> list[Document]:
    """Return one question each; table and paragraphs are their shared beginning."""
    paragraphs = [p if isinstance(p, str) else text_of(p, "text") for p in _list(item, "paragraphs") if isinstance(p, (str, dict))]
    before = "\n".join([*_rows(item), "", *(p.strip() for p in paragraphs)]).strip()
    asked = objects_of(item, "questions") if item.get("questions") is not None else [item]
    found: list[Document] = []
    for entry in asked:
        answers, scale = _answers(entry), str(entry.get("scale") or "").strip().lower().removesuffix("s")
        if scale not in _SCALES:
            raise ItemError(f"the scale {scale[:40]!r} is none of: {', '.join(s for s in _SCALES if s)}")
        shown = " ".join(filter(None, (", ".join(answers), "" if scale == "percent" and "%" in answers[0] else scale)))
        text = f"{before}\n\nQuestion: {text_of(entry, 'question').strip()}\nAnswer:"
        found.append({"text": text, "answers": [*answers], "scale": scale, "tolerance": how.tolerance, "shown": shown})
    return found


def match(document: Document, results: Sequence[Any]) -> dict[str, float]:
    """Return 1.0 if the written answer is right: every number within the tolerance, every text in it.

    Args:
        document: From ``read``.
        results: The answer.
    """
    said, answers = str(results[0]).strip(), texts_of(document, "answers")
    scale, tolerance = str(document["scale"]), float(str(document["tolerance"]))
    right = all(_right(said, a, scale, tolerance, alone=len(answers) == 1) for a in answers)
    return {"match": float(right)}


def number(text: str) -> float | None:
    """Return the number a text consists of, with its sign; None if it holds none or more than one."""
    found = _NUMBER.findall(text)
    if len(found) != 1 or re.search(r"[A-Za-z]", _SCALE.sub("", text)):
        return None
    return _value(found[0])


def _value(written: str) -> float:
    negative = written.startswith("(") or written.lstrip()[:1] in ("-", "−", "–")
    digits = float("".join(c for c in written if c.isdigit() or c == "."))
    return -digits if negative else digits


def _right(said: str, answer: str, scale: str, tolerance: float, *, alone: bool) -> bool:
    wanted = number(answer)
    if wanted is None:
        return _plain(said) == _plain(answer) if alone else _plain(answer) in _plain(said)
    named = [m.group(0).lower().removesuffix("s") for m in _SCALE.finditer(said)]
    factors = [_SCALES["percent" if n == "%" else n] for n in named]
    for written in _NUMBER.findall(said)[:1] if alone else _NUMBER.findall(said):
        value = _value(written)
        # A model that names no scale may write the number in the table's scale or in full.
        for factor in factors[:1] or (1.0, _SCALES[scale]):
            whole = wanted * _SCALES[scale]
            if abs(value * factor - whole) <= tolerance * abs(whole) + 1e-9:
                return True
    return False


def _answers(entry: Item) -> list[str]:
    value = entry.get("answer")
    found = value if isinstance(value, list) else [value]
    if not found or any(isinstance(a, bool) or not isinstance(a, (str, int, float)) or not str(a).strip() for a in found):
        raise ItemError("'answer' must be a number, a text, or a list of them")
    return [str(a).strip() for a in found]


def _rows(item: Item) -> list[str]:
    table = item.get("table")
    rows = table.get("table", table.get("rows")) if isinstance(table, dict) else table
    if not isinstance(rows, list) or not all(isinstance(r, list) for r in rows):
        raise ItemError("'table' must be a list of rows, each a list of cells")
    return [" | ".join("" if c is None else str(c).strip() for c in row) for row in rows if isinstance(row, list)]


def _list(item: Item, name: str) -> list[JsonValue]:
    value = item.get(name) or []
    if not isinstance(value, list):
        raise ItemError(f"{name!r} must be a list")
    return value


def _plain(text: str) -> str:
    bare = text.lower().translate(str.maketrans("", "", string.punctuation))
    return " ".join(word for word in bare.split() if word not in ("a", "an", "the"))


_WRITTEN = {
    "output_type": "generate_until",
    "doc_to_text": "text",
    "doc_to_target": "shown",
    "fewshot_config": {"sampler": "first_n"},
    "generation_kwargs": SHORT,
    "process_results": match,
    "metric_list": [{"metric": "match", "aggregation": "mean", "higher_is_better": True}],
}
KIND = Kind(read, "1", (Way(_WRITTEN, "match"),), clustered=True)
