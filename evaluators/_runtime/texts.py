"""Held-out text: bits per byte of base and adapter, and the divergence between them, passage by passage."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evaluators._gate.scores import LEVEL, mean_interval
from evaluators._items import sources, suites
from evaluators._items.sources import TextSet
from evaluators._items.suites import FOLDER
from evaluators._model.resident import Resident
from evaluators._runtime import scoring
from evaluators._runtime.families import open_model, refused
from governance.context import Progress, RunContext
from governance.errors import SubjectError
from governance.evidence import Coverage, Interval, ItemRow, Measurement, Outcome
from governance.subject import Composition, canonical_digest

_FILE = FOLDER / "tasks" / "general-text.jsonl"
#: The passages that come with the curator.
_SHIPPED = "general"
#: Longest piece read in one pass; the distribution at every position is kept, so memory is this times the vocabulary.
_WINDOW = 1024


@dataclass(frozen=True)
class _Passage:
    """One text as both models saw it.

    Attributes:
        key: Item key.
        bytes: Length in UTF-8.
        tokens: Tokens predicted.
        base: Bits the base needs.
        adapter: Bits the adapter needs.
        divergence: Nats, summed over tokens.
    """

    key: str
    bytes: int
    tokens: int
    base: float
    adapter: float
    divergence: float


def measure(plugin: str, composition: Composition, ctx: RunContext) -> Iterator[Measurement | Coverage]:
    """Read the built-in passages with both models, and those that a folder of data or a suite brings.

    Args:
        plugin: Id of the evaluator, for progress.
        composition: What is asked.
        ctx: Everything handed down.

    Yields:
        Two measurements for each set of passages, and coverage of it.
    """
    model = open_model(composition, ctx)
    if isinstance(model, Coverage):
        yield model
        return
    sets = {_SHIPPED: _shipped()}
    for found in sources.texts(suites.choose(composition, ctx), ctx):
        sets.setdefault(found.name if found.name not in sets else f"{found.name}-{found.digest[:8]}", found)
    for scope, held in sets.items():
        try:
            passages = list(_read(held, model, ctx, plugin))
        except SubjectError as error:
            yield refused(error)
            return
        if len(passages) < 2:
            yield Coverage(item=f"text {scope}", outcome=Outcome.SKIPPED, reason="fewer than two passages give no interval")
            continue
        yield from _summarize(scope, passages, model, composition, ctx)
        yield Coverage(item=f"text {scope}", outcome=Outcome.COMPLETED)


def _shipped() -> TextSet:
    content = _FILE.read_bytes()
    texts = [str(json.loads(line)["text"]) for line in content.splitlines() if line.strip()]
    return TextSet(_SHIPPED, texts, hashlib.sha256(content).hexdigest())


def _read(held: TextSet, model: Resident, ctx: RunContext, plugin: str) -> Iterator[_Passage]:
    """Yield each passage that has anything to predict, from its row if it was read before."""
    key = model.model_key("adapter")
    kept = ctx.kept(key)
    for number, text in enumerate(held.texts):
        # A text whose only token is the first one has nothing to predict.
        if len(_tokens(text, model)) < 2:
            continue
        item = canonical_digest(["perplexity", "2", held.digest, text])
        row = kept.get(item) or _row(text, item, key, held.name, model)
        if item not in kept:
            ctx.keep(row)
        yield _passage(row)
        ctx.emit(Progress(step="evaluate", item=plugin, done=number + 1, total=len(held.texts), message="passages"))


def _tokens(text: str, model: Resident) -> list[int]:
    """Return the tokens of a passage behind the one that begins a text, if the tokenizer has one."""
    ids = model.encode(text)
    begins = model.tokenizer.bos_token_id
    first = begins if begins is not None else model.tokenizer.eos_token_id
    return [first, *ids] if first is not None and ids[:1] != [first] else ids


def _row(text: str, item: str, key: str, task: str, model: Resident) -> ItemRow:
    """Run one passage through both models, every position read; a long one in pieces, each behind the last token before it."""
    import torch

    ids, step = _tokens(text, model), min(_WINDOW, model.max_length)
    bits, divergence = {"base": 0.0, "adapter": 0.0}, 0.0
    for at in range(0, len(ids) - 1, step):
        piece = ids[at : at + step + 1]
        keep = [list(range(len(piece) - 1))]
        base, adapter = (model.pass_over([piece[:-1]], keep, which)[0] for which in scoring.BOTH)
        wanted = torch.tensor(piece[1:], device=base.device)[:, None]
        bits["base"] -= float(base.gather(1, wanted).double().sum()) / math.log(2)
        bits["adapter"] -= float(adapter.gather(1, wanted).double().sum()) / math.log(2)
        divergence += float((base.exp() * (base - adapter)).sum(-1).clamp(min=0).double().sum())
    values: dict[str, float | int | str | bool | list[float] | list[str]] = {
        "bytes": len(text.encode()),
        "tokens": len(ids) - 1,
        "base-bits": bits["base"],
        "adapter-bits": bits["adapter"],
        "divergence": divergence,
    }
    return ItemRow(model_key=key, item_key=item, task=f"{task}-text", values=values)


def _passage(row: ItemRow) -> _Passage:
    def number(name: str) -> float:
        value = row.values[name]
        return float(value) if isinstance(value, (int, float)) else math.nan

    return _Passage(
        key=row.item_key,
        bytes=int(number("bytes")),
        tokens=int(number("tokens")),
        base=number("base-bits"),
        adapter=number("adapter-bits"),
        divergence=number("divergence"),
    )


def _summarize(
    scope: str, passages: Sequence[_Passage], model: Resident, composition: Composition, ctx: RunContext
) -> Iterator[Measurement]:
    size = sum(p.bytes for p in passages)
    base, adapter = (
        sum(levels) / len(passages) for levels in ([p.base / p.bytes for p in passages], [p.adapter / p.bytes for p in passages])
    )
    keys = [model.model_key("base"), model.model_key("adapter")]
    shared = {
        "scope": scope,
        "seed": ctx.seed,
        "data_revision": canonical_digest(sorted(p.key for p in passages)),
        "quantization": str(composition.quantization),
        "device": model.kernel_path,
        "versions": model.versions,
        "rows": canonical_digest([keys, sorted([p.key, p.base, p.adapter, p.divergence] for p in passages)]),
    }
    mean, low, high = mean_interval([(p.adapter - p.base) / p.bytes for p in passages])
    yield Measurement(
        metric="bits-per-byte",
        value=mean,
        unit="bit/byte",
        n=len(passages),
        interval=Interval(low=low, high=high, level=LEVEL, method="Student, paired by passage"),
        base_value=base,
        adapter_value=adapter,
        details={"bytes": size, "tokens": sum(p.tokens for p in passages)},
        **shared,
    )
    mean, low, high = mean_interval([p.divergence / p.tokens for p in passages])
    yield Measurement(
        metric="kl-divergence",
        value=mean,
        unit="nat",
        n=len(passages),
        interval=Interval(low=max(0.0, low), high=high, level=LEVEL, method="Student, by passage"),
        details={"tokens": sum(p.tokens for p in passages)},
        **shared,
    )
