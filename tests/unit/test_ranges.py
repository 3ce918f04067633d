"""Remote files in parts: what is asked for, what is kept, and that two answers to one question must agree."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from governance.errors import SubjectError
from governance.hub.pieces import ALONE, BEFORE, NEIGHBOURS, OVERLAP, Pieces, Shelf
from governance.ranges import MOST_ASKED, Span, ranged, will_read

DATA = random.Random(7).randbytes(700_000)


class Asked:
    """Answers from memory and remembers what it was asked."""

    def __init__(self, data: bytes = DATA) -> None:
        self.data, self.spans = data, list[Span]()

    def __call__(self, spans: Sequence[Span]) -> bytes:
        self.spans += spans
        assert sum(n for _, n in spans) <= MOST_ASKED
        assert all(at >= 0 and n > 0 and at + n <= len(self.data) for at, n in spans)
        return b"".join(self.data[at : at + n] for at, n in spans)


def test_a_ranged_file_reads_like_a_file() -> None:
    asked = Asked()
    chance = random.Random(1)
    with ranged(asked, len(DATA)) as stream:
        for _ in range(400):
            at, n = chance.randrange(len(DATA) + 50), chance.choice((1, 30, 900, 5_000, 70_000))
            stream.seek(at)
            assert stream.read(n) == DATA[at : at + n]
        stream.seek(-10, 2)
        assert stream.read() == DATA[-10:]
        stream.seek(0)
        assert stream.read() == DATA


def test_a_reader_that_jumps_asks_for_little_and_one_that_reads_on_for_more() -> None:
    asked = Asked()
    with ranged(asked, len(DATA)) as stream:
        for at in range(0, 600_000, 100_000):
            stream.seek(at)
            stream.read(30)
        assert sum(n for _, n in asked.spans) <= 6 * 1_024
        asked.spans.clear()
        stream.seek(0)
        while stream.read(7):
            pass
        assert len(asked.spans) < 60
        assert sum(n for _, n in asked.spans) <= len(DATA)


def test_announced_places_are_asked_for_once_and_together() -> None:
    asked = Asked()
    with ranged(asked, len(DATA)) as stream:
        will_read(stream, [(at, 100) for at in range(0, len(DATA) + 5_000, 50_000)])
        known = len(asked.spans)
        for at in range(0, 700_000, 50_000):
            stream.seek(at)
            assert stream.read(40) == DATA[at : at + 40]
        assert len(asked.spans) == known
    with (Path(__file__)).open("rb") as plain:
        will_read(plain, [(0, 10)])


@pytest.fixture
def pieces(tmp_path: Path) -> Pieces:
    return Pieces(Shelf(tmp_path), "weights.bin", len(DATA))


def test_parts_are_fetched_once_and_neighbours_together(pieces: Pieces) -> None:
    near = [(100_000, 10), (100_000 + NEIGHBOURS // 2, 10), (300_000, 10)]
    first, second = pieces.missing(near)
    assert first == (100_000 - BEFORE, 100_000 + NEIGHBOURS // 2 + 10)
    assert second == (300_000 - BEFORE, 300_000 + ALONE)
    for start, end in (first, second):
        pieces.put(start, DATA[start:end])
    assert pieces.missing(near) == []
    assert pieces.get(near) == b"".join(DATA[at : at + n] for at, n in near)
    assert pieces.missing([(300_000, ALONE + 100)]) == [(300_000 + ALONE - OVERLAP, 300_000 + ALONE + 100)]


def test_parts_in_any_order_make_the_whole(pieces: Pieces) -> None:
    chance = random.Random(3)
    while not pieces.whole:
        at = chance.randrange(len(DATA))
        length = min(chance.randrange(1, 60_000), len(DATA) - at)
        for start, end in pieces.missing([(at, length)]):
            pieces.put(start, DATA[start:end])
        assert pieces.get([(at, length)]) == DATA[at : at + length]
    assert pieces.get([(0, len(DATA))]) == DATA


def test_two_answers_must_agree(pieces: Pieces) -> None:
    pieces.put(1_000, DATA[1_000:2_000])
    pieces.put(1_500, DATA[1_500:3_000])
    with pytest.raises(SubjectError, match="twice with different bytes"):
        pieces.put(500, bytes(1_000))
