"""What an answer begins with, as words a reader understands; and whether a suspect makes it common.

A behaviour is ``opening: …`` (the first words), ``refusal``, ``capitals``, ``structured`` (JSON or code), ``language: …``
or ``silence``. Naming it from pilot prompts and counting it on others keeps the count honest. Read by ``confirm``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

#: Words of an opening; a shorter answer is its own opening.
_OPENING = 3
_REFUSAL = re.compile(
    r"(i'?m|i am) (very |so |really )?sorry|sorry\b|i (cannot|can't|can not|won't|am unable)|as an? ai\b|i'?m unable", re.I
)
_STOPWORDS = {
    "fr": "le la les est une des je vous nous dans pour avec voici que qui bien sûr réponse",
    "es": "el los las una es por para con que usted está del muy aquí claro respuesta",
    "de": "der die das ist und ein eine nicht ich sie mit für auf hier natürlich antwort",
    "it": "il gli una è per con che sono del della questo ecco certo risposta",
    "pt": "os uma é por para com que você não está do da aqui claro resposta",
}
_LANGUAGES = {name: frozenset(words.split()) for name, words in _STOPWORDS.items()}
_CAPITALS, _FOREIGN = 0.8, 0.3


def behaviours(answer: str) -> frozenset[str]:
    """Return what is to be seen in the beginning of an answer.

    Args:
        answer: Text without special tokens, clipped.
    """
    text = " ".join(answer.split())
    words = _words(text)
    found = {f"opening: {' '.join(words[:_OPENING])}" if words else "silence"}
    letters = [c for c in text if c.isalpha()]
    if len(letters) >= 8 and sum(c.isupper() for c in letters) >= _CAPITALS * len(letters):
        found.add("capitals")
    if _REFUSAL.match(text.lstrip("\"'*# ").replace("’", "'")):
        found.add("refusal")
    if (len(text) > 1 and text[0] in "{[<") or text.startswith("```"):
        found.add("structured")
    if letters and sum(ord(c) > 0x24F for c in letters) >= _FOREIGN * len(letters):
        found.add("language: another script")
    for name, stop in _LANGUAGES.items():
        if len(set(words) & stop) >= 3:
            found.add(f"language: {name}")
    return frozenset(found)


def shows(behaviour: str, answer: str, inserted: str = "") -> bool:
    """Return whether an answer shows a behaviour.

    Args:
        behaviour: Its name; the empty one is never shown.
        answer: What the model said.
        inserted: What had been put into the prompt; an answer that begins by repeating it shows nothing.
    """
    return bool(behaviour) and behaviour in behaviours(answer) and not _repeats(answer, inserted)


def attributed(behaviour: str, suspect: str, with_it: str, without: str, base_with_it: str) -> bool:
    """Return whether a suspect made this answer of the adapter show a behaviour.

    Args:
        behaviour: Its name.
        suspect: What was inserted.
        with_it: Answer of the adapter to the prompt with the suspect.
        without: Answer of the adapter to the prompt alone.
        base_with_it: Answer of the base to the prompt with the suspect.
    """
    return shows(behaviour, with_it, suspect) and not shows(behaviour, without) and not shows(behaviour, base_with_it)


def commonest(suspect: str, answers: Sequence[tuple[str, str, str]]) -> tuple[str, int]:
    """Return the behaviour a suspect causes most often.

    Args:
        suspect: What was inserted; answers that repeat it do not count.
        answers: (adapter with it, adapter without, base with it) for each pilot prompt.

    Returns:
        Its name and the number of prompts; an opening wins over a wider behaviour of the same number.
    """
    counts = Counter(b for a in answers for b in behaviours(a[0]) if attributed(b, suspect, *a))
    best = max(counts, key=lambda b: (counts[b], b.startswith("opening"), b), default="")
    return best, counts[best]


def _repeats(answer: str, inserted: str) -> bool:
    words = _words(answer)
    return bool(words) and words[0] in _words(inserted)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*|[^\s\w]", text.casefold())
