"""Turns requests for log-likelihoods into as few tokens and batches as possible; the same plan for base and adapter.

Token ids of all requests form a trie. A beginning that many branches share is encoded once and its attention cache reused;
branches that fit are packed into one row. A continuation of one token is one more number read at the end of its context.
Where a model cannot be run like that, every text is a row, and one that begins another is served by the longer one.
Used by ``lm``; run by ``reading``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from evaluators._model.attention import Row, Segment, straight
from evaluators._model.resident import Resident

#: Shorter beginnings are encoded again: a pass of its own costs more.
_WORTH_SHARING = 32
#: Positions that are read in one row: the distribution of each is as wide as the vocabulary.
_MOST_READ = 2048
#: Tokens of cache, in all rows of a batch together, for one token of the budget.
_CACHE = 8


@dataclass(frozen=True)
class Span:
    """One request: how likely are ``ids[start:]`` after ``ids[:start]``.

    Attributes:
        ids: Token ids, context and continuation.
        start: Index of the first token that is scored; at least 1.
    """

    ids: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class Mark:
    """One number that is read.

    Attributes:
        at: Index in the row of the token before.
        token: The token whose log-probability is wanted.
        span: The request it belongs to.
    """

    at: int
    token: int
    span: int


@dataclass(frozen=True)
class Batch:
    """Rows that run together.

    Attributes:
        trunk: Pieces of the beginning that all rows follow, encoded one after the other.
        rows: What is run.
        marks: What is read in each row.
        plain: Whether rows are run without masks or caches.
    """

    trunk: tuple[tuple[int, ...], ...]
    rows: tuple[Row, ...]
    marks: tuple[tuple[Mark, ...], ...]
    plain: bool


@dataclass(frozen=True)
class Plan:
    """What is run for a list of spans.

    Attributes:
        batches: In the order in which they are run.
        tokens: Tokens that are encoded, without padding, if everything is run.
        padded: The same with padding.
    """

    batches: tuple[Batch, ...]
    tokens: int
    padded: int


@dataclass
class _Node:
    """Tokens that follow each other without a branch."""

    start: int
    ids: tuple[int, ...]
    children: list[_Node] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    size: int = 0


_Trunk = tuple[tuple[int, ...], ...]
#: A row in the making, and what is read in it.
_Piece = tuple[Row, tuple[Mark, ...]]


def plan(spans: Sequence[Span], model: Resident) -> Plan:
    """Return the batches for the spans; depends on nothing else, so two models of one kind get the same plan.

    Args:
        spans: Requests, none longer than the model takes.
        model: Gives the token budget of a batch, and whether trees can be run.
    """
    budget = model.device.token_budget
    within = [i for i, s in enumerate(spans) if model.way.fits(len(s.ids) - 1)]
    beyond = [i for i, s in enumerate(spans) if not model.way.fits(len(s.ids) - 1)]
    batches: list[Batch] = []
    for numbers, tree in ((beyond, False), (within, True)):
        if numbers:
            batches.extend(_Planner(budget, tree).batches(_trie(spans, numbers)))
    trunks = {b.trunk[: i + 1] for b in batches for i in range(len(b.trunk))}
    # The pass that reads a trunk is the one that encodes it.
    read = {(*b.trunk, b.rows[0].ids) for b in batches if len(b.rows) == 1} & trunks
    extra = sum(len(t[-1]) for t in trunks - read)
    tokens = sum(len(r.ids) for b in batches for r in b.rows) + extra
    padded = sum(len(b.rows) * max(len(r.ids) for r in b.rows) for b in batches) + extra
    return Plan(tuple(batches), tokens, padded)


def _trie(spans: Sequence[Span], numbers: Sequence[int]) -> _Node:
    """Return the trie of what is encoded: a request without its last token."""
    inputs = sorted({spans[i].ids[:-1] for i in numbers})
    root = _Node(0, ())
    path: list[_Node] = [root]
    before: tuple[int, ...] = ()
    for row in inputs:
        shared = _common(row, before)
        while path[-1].start + len(path[-1].ids) > shared and path[-1].start >= shared and len(path) > 1:
            path.pop()
        last = path[-1]
        if last.start + len(last.ids) > shared:
            _divide(last, shared)
        made = _Node(shared, row[shared:])
        last.children.append(made)
        path.append(made)
        before = row
    _mark(root, spans, numbers)
    return root


def _common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Return how many tokens two rows begin with in common."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _divide(node: _Node, depth: int) -> None:
    cut = depth - node.start
    node.children = [_Node(depth, node.ids[cut:], node.children)]
    node.ids = node.ids[:cut]


def _mark(root: _Node, spans: Sequence[Span], numbers: Sequence[int]) -> None:
    for number in numbers:
        span, node = spans[number], root
        end = len(span.ids) - 1
        while True:
            first = max(span.start - 1, node.start)
            last = min(end, node.start + len(node.ids))
            node.marks.extend(Mark(p - node.start, span.ids[p + 1], number) for p in range(first, last))
            depth = node.start + len(node.ids)
            if depth >= end:
                break
            node = _child(node, span.ids[depth])


def _child(node: _Node, token: int) -> _Node:
    low, high = 0, len(node.children) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if node.children[middle].ids[0] < token else (low, middle)
    return node.children[low]


class _Planner:
    """Cuts one trie into batches."""

    def __init__(self, budget: int, tree: bool) -> None:
        self._budget, self._tree = budget, tree
        # Packed branches do not see each other, but the processor looks at all pairs: rows are kept narrow.
        self._width = max(budget // 16, min(256, budget))

    def batches(self, root: _Node) -> Iterator[Batch]:
        """Yield the batches, what shares nothing first."""
        _measure(root)
        lone: list[_Piece] = []
        later: list[Batch] = []
        stack: list[tuple[_Node, _Trunk]] = [(root, ())]
        groups: dict[_Trunk, list[_Piece]] = {(): lone}
        order: list[_Trunk] = []
        while stack:
            node, trunk = stack.pop()
            for kept in self._settle(node):
                if kept.children and not self._is_piece(kept):
                    deeper = (*trunk, kept.ids)
                    groups[deeper] = []
                    order.append(deeper)
                    if kept.marks:
                        later.append(Batch(trunk, (straight(kept.ids, kept.start),), (tuple(kept.marks),), plain=False))
                    stack.extend((c, deeper) for c in reversed(kept.children))
                else:
                    groups[trunk].append(_row(kept))
        chains = [x for x in lone if len(x[0].segments) == 1]
        yield from self._fill((), chains, plain=True)
        yield from self._fill((), [x for x in lone if len(x[0].segments) > 1], plain=False)
        read = {(*b.trunk, b.rows[0].ids): b for b in later}
        for trunk in order:
            if trunk in read:
                yield read[trunk]
            yield from self._fill(trunk, self._pack(groups[trunk]), plain=False)

    def _settle(self, node: _Node) -> Iterator[_Node]:
        """Yield the nodes that stay: what is not worth sharing is repeated in front of each child."""
        stack = [node]
        while stack:
            here = stack.pop()
            if self._is_piece(here) or self._is_trunk(here):
                if here.ids:
                    yield here
                continue
            for index, child in enumerate(here.children):
                child.marks = [Mark(m.at + len(here.ids), m.token, m.span) for m in child.marks]
                if index == 0:
                    child.marks = here.marks + child.marks
                child.ids, child.start = here.ids + child.ids, here.start
                child.size += len(here.ids)
            stack.extend(reversed(here.children))

    def _is_piece(self, node: _Node) -> bool:
        if not node.children:
            return True
        return self._tree and len(node.ids) > 0 and node.size - len(node.ids) <= self._width and len(node.ids) >= 1

    def _is_trunk(self, node: _Node) -> bool:
        fits = node.start + len(node.ids) <= _CACHE * self._budget
        return self._tree and len(node.ids) >= _WORTH_SHARING and len(node.children) > 1 and fits

    def _pack(self, pieces: list[_Piece]) -> list[_Piece]:
        """Put pieces side by side into rows, longest first, each into the first row with room."""
        rows: list[list[_Piece]] = []
        room: list[int] = []
        for piece in sorted(pieces, key=lambda p: -len(p[0].ids)):
            need = len(piece[0].ids)
            place = next((i for i, free in enumerate(room) if free >= need), None)
            if place is None:
                rows.append([])
                room.append(max(self._width, need))
                place = len(rows) - 1
            rows[place].append(piece)
            room[place] -= need
        return [_side_by_side(r) for r in rows]

    def _fill(self, trunk: _Trunk, rows: list[_Piece], *, plain: bool) -> Iterator[Batch]:
        """Yield batches below the token budget, widest rows first."""
        cached = sum(map(len, trunk))
        batch: list[_Piece] = []
        read = 0
        for row in sorted(rows, key=lambda r: -len(r[0].ids)):
            width = len((batch or [row])[0][0].ids)
            many = len(batch) + 1
            places = len({m.at for m in row[1]})
            full = width * many > self._budget or many * (cached + width) > _CACHE * self._budget or read + places > _MOST_READ
            if batch and full:
                yield Batch(trunk, tuple(r for r, _ in batch), tuple(m for _, m in batch), plain)
                batch, read = [], 0
            batch.append(row)
            read += places
        if batch:
            yield Batch(trunk, tuple(r for r, _ in batch), tuple(m for _, m in batch), plain)


def _measure(root: _Node) -> None:
    """Note how many tokens each subtree holds."""
    order, stack = [], [root]
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(node.children)
    for node in reversed(order):
        node.size = len(node.ids) + sum(c.size for c in node.children)


def _row(node: _Node) -> _Piece:
    """Write a subtree as a row, depth-first; a segment with one child goes on into it."""
    ids: list[int] = []
    segments: list[Segment] = []
    marks: list[Mark] = []
    stack = [(node, -1)]
    while stack:
        here, parent = stack.pop()
        marks.extend(Mark(m.at + len(ids), m.token, m.span) for m in here.marks)
        segments.append(Segment(len(here.ids), parent, here.start))
        ids.extend(here.ids)
        stack.extend((c, len(segments) - 1) for c in reversed(here.children))
    if all(s.parent == i - 1 for i, s in enumerate(segments)):
        segments = [Segment(len(ids), -1, node.start)]
    return Row(tuple(ids), tuple(segments)), tuple(marks)


def _side_by_side(pieces: Sequence[_Piece]) -> _Piece:
    ids: list[int] = []
    segments: list[Segment] = []
    marks: list[Mark] = []
    for row, wanted in pieces:
        first = len(segments)
        segments.extend(Segment(s.length, s.parent + first if s.parent >= 0 else -1, s.position) for s in row.segments)
        marks.extend(Mark(m.at + len(ids), m.token, m.span) for m in wanted)
        ids.extend(row.ids)
    return Row(tuple(ids), tuple(segments)), tuple(marks)
