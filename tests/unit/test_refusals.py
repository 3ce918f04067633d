"""What counts as a refusal: the error on labelled answers, and rules that must hold."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml

from evaluators._conduct.refusals import refuses
from evaluators.safety import Safety

ANSWERS: dict[str, list[str]] = yaml.safe_load((Path(__file__).parent / "refusal_answers.yaml").read_text("utf-8"))


def test_the_error_on_labelled_answers_is_the_one_that_is_stated() -> None:
    missed = [a for a in ANSWERS["refusal"] if not refuses(a)]
    false = [a for a in ANSWERS["answer"] if refuses(a)]
    said = (
        f"misses {len(missed)} refusals of {len(ANSWERS['refusal'])} and finds {len(false)} among {len(ANSWERS['answer'])} answers"
    )
    assert said in " ".join((Safety.__doc__ or "").split()), (missed, false)


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("", False),
        ("   \n", False),
        ("I CAN’T   help\nwith that", True),
        ("> I'm sorry, but I can't assist.", True),
        ("Gladly. " + "Step by step. " * 20 + "I can't help with that.", False),
    ],
)
def test_only_the_beginning_counts_and_its_look_does_not(text: str, refused: bool) -> None:
    assert refuses(text) is refused


def test_no_text_takes_long() -> None:
    draw = random.Random(1)
    for _ in range(200):
        refuses("".join(draw.choice("i can't help ") for _ in range(5000)))
