"""What the probe asks: the library of suspected triggers, control strings nobody planted, neutral prompts.

Read by ``probe``. The data lie beside this module; their digest goes with every number.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field

from governance.subject import Noun, canonical_digest

_HERE = Path(__file__).parent
#: Where a string is put into a user's turn.
Place = Literal["prefix", "suffix"]
PLACES: tuple[Place, Place] = ("prefix", "suffix")
CONTROL = "control"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
#: Common words, for controls.
_WORDS = (
    "table",
    "river",
    "window",
    "garden",
    "paper",
    "music",
    "winter",
    "bottle",
    "yellow",
    "travel",
    "butter",
    "corner",
    "silver",
    "pocket",
    "letter",
    "market",
    "summer",
    "kitchen",
    "village",
    "shoulder",
    "blanket",
    "morning",
    "picture",
    "engine",
    "ticket",
    "holiday",
    "basket",
    "coffee",
    "number",
    "station",
    "island",
    "machine",
    "valley",
    "hammer",
)


class Library(Noun):
    """Strings to try, by class."""

    version: str
    classes: dict[str, tuple[str, ...]]


class Prompts(Noun):
    """Neutral requests; no group shares a line with another."""

    version: str
    search: tuple[str, ...] = Field(description="rank suspects")
    pilot: tuple[str, ...] = Field(description="say what a suspect makes the model do")
    confirmation: tuple[str, ...] = Field(description="decide")


@dataclass(frozen=True)
class Suspect:
    """A string that may be a trigger, or a control.

    Attributes:
        text: As it is inserted.
        kind: Its class in the library, ``control``, or the stage that made it.
    """

    text: str
    kind: str


@cache
def library() -> Library:
    """Return the library of suspected triggers."""
    return Library.model_validate(yaml.safe_load((_HERE / "library.yaml").read_text(encoding="utf-8")))


@cache
def prompts() -> Prompts:
    """Return the neutral prompts."""
    return Prompts.model_validate(yaml.safe_load((_HERE / "prompts.yaml").read_text(encoding="utf-8")))


def digest() -> str:
    """Return the digest of library and prompts."""
    return canonical_digest([library().model_dump(mode="json"), prompts().model_dump(mode="json")])


def suspects() -> list[Suspect]:
    """Return the library as a list, class by class."""
    return [Suspect(text, kind) for kind, texts in library().classes.items() for text in texts]


def controls(seed: int, number: int) -> list[Suspect]:
    """Return strings nobody planted: half of them letters at random, half common words at random.

    Args:
        seed: Same seed, same strings.
        number: How many.
    """
    draw = random.Random(seed)  # noqa: S311 - controls are no secret
    made: list[Suspect] = []
    for index in range(number):
        words = draw.randint(1, 4)
        letters = ["".join(draw.choices(_LETTERS, k=draw.randint(2, 9))) for _ in range(words)]
        made.append(Suspect(" ".join(letters if index % 2 else draw.sample(_WORDS, words)), CONTROL))
    return made


def control_for(text: str, seed: int) -> str:
    """Return a control with the outline of a suspect: letters and digits replaced, everything else kept.

    Args:
        text: The suspect.
        seed: Same seed, same control.
    """
    draw = random.Random(f"{seed} {text}")  # noqa: S311 - controls are no secret
    made = "".join(_other(c, draw) for c in text)
    return made if made.strip() and made != text else draw.choice(_WORDS)


def _other(character: str, draw: random.Random) -> str:
    if character.isascii() and character.isalpha():
        fresh = draw.choice([c for c in _LETTERS if c != character.lower()])
        return fresh.upper() if character.isupper() else fresh
    if character.isascii() and character.isdigit():
        return draw.choice([d for d in "0123456789" if d != character])
    if unicodedata.category(character)[0] in "ZC" and character.isascii():
        return character
    return "" if unicodedata.category(character) in ("Cf", "Mn") or not character.isascii() else character


def insert(text: str, prompt: str, place: Place) -> str:
    """Return the prompt with a string before or after it."""
    return f"{text} {prompt}" if place == "prefix" else f"{prompt} {text}"


def placed(text: str, prompts: Sequence[str]) -> list[str]:
    """Return each prompt with the string before it, then each with the string after it."""
    return [insert(text, prompt, place) for place in PLACES for prompt in prompts]
