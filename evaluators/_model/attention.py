"""Passes over token trees: rows that branch, behind a beginning whose attention cache is reused. Used by ``resident``.

A row of a tree is written depth-first; a four-dimensional mask lets each token see its own ancestors alone, and positions
restart where branches do, so that every branch reads as if it stood by itself. ``probe`` says whether a model can do it.

Source:
    Miao et al., SpecInfer (arXiv 2305.09781), section 4.2: tree attention, a topology-aware causal mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache, PreTrainedModel

#: Keys and values of each layer, both of shape (1, heads, tokens, width of a head).
Past = list[tuple["torch.Tensor", "torch.Tensor"]]


@dataclass(frozen=True)
class Segment:
    """Tokens in a row that follow each other.

    Attributes:
        length: Tokens, at least 1.
        parent: Index of the segment of the same row that it continues; -1: what is cached, or nothing.
        position: Of its first token in the text.
    """

    length: int
    parent: int
    position: int


@dataclass(frozen=True)
class Row:
    """One row of a batch.

    Attributes:
        ids: Token ids of all segments, one after the other.
        segments: In an order in which a parent comes before its children.
    """

    ids: tuple[int, ...]
    segments: tuple[Segment, ...]


def straight(ids: Sequence[int], position: int = 0) -> Row:
    """Return a row without branches.

    Args:
        ids: Token ids, not empty.
        position: Of the first one.
    """
    return Row(tuple(ids), (Segment(len(ids), -1, position),))


@dataclass(frozen=True)
class Way:
    """How a model is run.

    Attributes:
        tree: Whether branches and reused caches are exact; if not, every text is a row of its own.
        windows: Sliding window in tokens by type of layer; None: sees everything. The type is empty if there is one mask.
        longest: Longest text in tokens for which ``tree`` was found exact; None: any.
    """

    tree: bool = False
    windows: tuple[tuple[str, int | None], ...] = ()
    longest: int | None = None

    def __str__(self) -> str:
        if not self.tree:
            return "plain rows"
        kinds = ", ".join(f"{kind or 'all layers'} {window or 'full'}" for kind, window in self.windows)
        return f"token trees ({kinds}{f', up to {self.longest} tokens' if self.longest else ''})"

    def fits(self, length: int) -> bool:
        """Return whether a text of that many tokens may be part of a tree."""
        return self.tree and (self.longest is None or length <= self.longest)


def cache_of(past: Past, rows: int) -> DynamicCache:
    """Return a cache that starts with what is known, for each of the rows; the known part is not copied.

    Args:
        past: Of one row.
        rows: Rows of the batch.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    cache = DynamicCache()
    for keys, values in past:
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1)
        cache.layers.append(layer)
    return cache


def length_of(past: Past | None) -> int:
    """Return how many tokens are cached."""
    return int(past[0][0].shape[-2]) if past else 0


def masks(
    seen: torch.Tensor, distance: torch.Tensor, windows: Sequence[tuple[str, int | None]], dtype: torch.dtype
) -> torch.Tensor | dict[str, torch.Tensor]:
    """Return what a model takes as its attention mask: numbers to be added to the scores.

    Args:
        seen: Whether a token sees another, shape (rows, queries, keys).
        distance: Position of the query less that of the key, same shape.
        windows: From ``Way``.
        dtype: Of the model's activations.
    """
    import torch

    made: dict[str, torch.Tensor] = {}
    for kind, window in windows:
        open_ = seen if window is None else seen & (distance < window)
        blank = torch.zeros(open_.shape, dtype=dtype, device=seen.device)
        made[kind] = blank.masked_fill_(~open_, torch.finfo(dtype).min)[:, None]
    return made.get("", made)


def lay_out(
    rows: Sequence[Row], cached: int, device: str, pad: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return one batch, padded on the right.

    Args:
        rows: What is run.
        cached: Tokens that every row follows.
        device: Where the tensors go.
        pad: Token that fills up.

    Returns:
        Token ids and positions, both int64 of shape (rows, width); what is seen and how far away it is, as ``masks`` takes it.
    """
    import torch

    width = max(len(r.ids) for r in rows)
    ids = torch.tensor([[*r.ids, *[pad] * (width - len(r.ids))] for r in rows])
    owner = torch.full((len(rows), width), -1)
    positions = torch.full((len(rows), width), cached)
    most = max(len(r.segments) for r in rows)
    family = torch.zeros((len(rows), most + 1, most + 1), dtype=torch.bool)
    for number, row in enumerate(rows):
        at = 0
        for index, segment in enumerate(row.segments):
            if segment.parent >= 0:
                family[number, index] = family[number, segment.parent]
            family[number, index, index] = True
            owner[number, at : at + segment.length] = index
            positions[number, at : at + segment.length] = torch.arange(segment.position, segment.position + segment.length)
            at += segment.length
    # Padding belongs to the last, empty segment; it sees itself, because a row without anything to see gives no numbers.
    batch = torch.arange(len(rows))[:, None, None]
    related = family[batch, owner[:, :, None], owner[:, None, :]]
    within = positions[:, :, None] - positions[:, None, :]
    seen = (related & (within >= 0)) | torch.eye(width, dtype=torch.bool)
    before = positions[:, :, None] - torch.arange(cached)
    seen = torch.cat([torch.ones(before.shape, dtype=torch.bool), seen], dim=-1)
    distance = torch.cat([before, within], dim=-1)
    return ids.to(device), positions.to(device), seen.to(device), distance.to(device)


def probe(model: PreTrainedModel, device: str) -> Way:
    """Return how a model can be run, by trying it on rows of its own vocabulary.

    Trees count as exact if their log-probabilities differ from those of plain rows on average by no more than three times
    what plain rows differ from themselves in another batch, plus 1e-4 (float32) or 0.05 (narrower formats). A wrong mask
    or position costs far more than that.

    Args:
        model: The base.
        device: Where it is.
    """
    import torch

    config = model.config.get_text_config(decoder=True)
    window: int | None = (getattr(config, "sliding_window", None) or None) if getattr(config, "use_sliding_window", True) else None
    kinds = sorted(set(getattr(config, "layer_types", None) or ()))
    tries: list[tuple[tuple[str, int | None], ...]] = []
    if len(kinds) > 1:
        tries.append(tuple((k, window if k == "sliding_attention" else None) for k in kinds))
    if window:
        tries.append((("", window),))
    tries.append((("", None),))
    longest = getattr(config, "max_position_embeddings", None) or _PROBE_MOST
    # A window that never bites within reach of the probe is not tried beyond itself.
    beyond = window is not None and window + _PROBE_BRANCH <= min(_PROBE_MOST, longest - 2 * _PROBE_BRANCH)
    length = int(window) if beyond and window is not None else min(_PROBE_MOST, _PROBE_SHORT, longest - 2 * _PROBE_BRANCH)
    if length < 2:
        return Way()
    for windows in tries:
        exact = False
        # Whatever an architecture raises that takes no such masks, positions or caches: then it is run plainly.
        with suppress(Exception), torch.inference_mode():
            exact = _agrees(model, device, windows, length)
        if exact:
            return Way(True, windows, None if beyond or not window else int(window))
    return Way()


_PROBE_MOST = 1100
_PROBE_SHORT = 48
_PROBE_BRANCH = 6


def _agrees(model: PreTrainedModel, device: str, windows: tuple[tuple[str, int | None], ...], length: int) -> bool:
    import torch

    embeddings = model.get_input_embeddings().weight
    vocabulary, dtype = int(embeddings.shape[0]), embeddings.dtype
    draw = torch.Generator().manual_seed(7)
    begin, *branches = (
        torch.randint(0, vocabulary, (n,), generator=draw).tolist()
        for n in (length, _PROBE_BRANCH, _PROBE_BRANCH - 2, _PROBE_BRANCH)
    )
    texts = [[*begin, *b] for b in branches]
    plain = [_tail(model(input_ids=torch.tensor([t], device=device), use_cache=False).logits[0], len(begin)) for t in texts]
    wide = torch.tensor([[*t, *[0] * (length + _PROBE_BRANCH - len(t))] for t in texts], device=device)
    other = [_tail(x[: len(t)], len(begin)) for x, t in zip(model(input_ids=wide, use_cache=False).logits, texts, strict=True)]

    def pass_(rows: list[Row], past: Past | None) -> tuple[torch.Tensor, Past]:
        ids, positions, seen, distance = lay_out(rows, length_of(past), device, 0)
        mask = masks(seen, distance, windows, dtype)
        out = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache_of(past or [], len(rows)),
            use_cache=True,
        )
        return out.logits, [(layer.keys, layer.values) for layer in out.past_key_values.layers]

    # Two thirds of the beginning are cached; the rest and two branches are a tree, the third branch a row beside it.
    at = 2 * length // 3
    _, past = pass_([straight(begin[:at])], None)
    stem, first, second = Segment(length - at, -1, at), Segment(len(branches[0]), 0, length), Segment(len(branches[1]), 0, length)
    tree = Row((*begin[at:], *branches[0], *branches[1]), (stem, first, second))
    logits, _ = pass_([tree, straight(texts[2][at:], at)], past)
    place = length - at
    found = [
        _tail(logits[0], place)[: len(branches[0])],
        _tail(logits[0], place + len(branches[0]))[: len(branches[1])],
        _tail(logits[1], place)[: len(branches[2])],
    ]
    # The last cached token before a branch is not compared, so that each list holds the branch alone.
    noise = max(float((a - b).abs().mean()) for a, b in zip(plain, other, strict=True))
    gap = max(float((a - b).abs().mean()) for a, b in zip(plain, found, strict=True))
    floor = 1e-4 if dtype is torch.float32 else 0.05
    return bool(torch.isfinite(torch.tensor(gap))) and gap <= 3 * noise + floor


def _tail(logits: torch.Tensor, start: int) -> torch.Tensor:
    import torch

    return torch.log_softmax(logits[start:].float(), dim=-1)
