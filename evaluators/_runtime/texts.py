"""Held-out text: bits per byte of base and adapter, and the divergence between them, passage by passage."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evaluators._gate.scores import LEVEL, mean_interval
from evaluators._items.suites import FOLDER
from evaluators._model.resident import Resident
from evaluators._runtime.families import open_model, refused
from governance.context import Progress, RunContext
from governance.errors import SubjectError
from governance.evidence import Coverage, Interval, ItemRow, Measurement, Outcome
from governance.subject import Composition, canonical_digest

_FILE = FOLDER / "tasks" / "general-text.jsonl"
_SCOPE = "general"


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
    """Read the built-in passages with both models.

    Args:
        plugin: Id of the evaluator, for progress.
        composition: What is asked.
        ctx: Everything handed down.

    Yields:
        Two measurements, and coverage of the text set.
    """
    model = open_model(composition, ctx)
    if isinstance(model, Coverage):
        yield model
        return
    content = _FILE.read_bytes()
    texts = [str(json.loads(line)["text"]) for line in content.splitlines() if line.strip()]
    try:
        passages = list(_read(texts, hashlib.sha256(content).hexdigest(), model, ctx, plugin))
    except SubjectError as error:
        yield refused(error)
        return
    yield from _summarize(passages, model, composition, ctx)
    yield Coverage(item="text general", outcome=Outcome.COMPLETED)


def _read(texts: Sequence[str], digest: str, model: Resident, ctx: RunContext, plugin: str) -> Iterator[_Passage]:
    """Yield each passage, from its row if it was read before."""
    key = model.model_key("adapter")
    kept = ctx.kept(key)
    for number, text in enumerate(texts):
        item = canonical_digest(["perplexity", "1", digest, text])
        row = kept.get(item) or _row(text, item, key, model)
        if item not in kept:
            ctx.keep(row)
        yield _passage(row)
        ctx.emit(Progress(step="evaluate", item=plugin, done=number + 1, total=len(texts), message="passages"))


def _row(text: str, item: str, key: str, model: Resident) -> ItemRow:
    """Run one passage through both models: one forward pass each, every position read."""
    import torch

    ids = model.encode(text)
    begins = model.tokenizer.bos_token_id
    first = begins if begins is not None else model.tokenizer.eos_token_id
    if first is not None and ids[:1] != [first]:
        ids = [first, *ids]
    ids = ids[: model.max_length]
    keep = [list(range(len(ids) - 1))]
    base, adapter = (model.pass_over([ids[:-1]], keep, which)[0] for which in ("base", "adapter"))
    wanted = torch.tensor(ids[1:], device=base.device)[:, None]
    divergence = (base.exp() * (base - adapter)).sum(-1).clamp(min=0)
    values: dict[str, float | int | str | bool | list[float] | list[str]] = {
        "bytes": len(text.encode()),
        "tokens": len(ids) - 1,
        "base-bits": -float(base.gather(1, wanted).double().sum()) / math.log(2),
        "adapter-bits": -float(adapter.gather(1, wanted).double().sum()) / math.log(2),
        "divergence": float(divergence.double().sum()),
    }
    return ItemRow(model_key=key, item_key=item, task="general-text", values=values)


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


def _summarize(passages: Sequence[_Passage], model: Resident, composition: Composition, ctx: RunContext) -> Iterator[Measurement]:
    size = sum(p.bytes for p in passages)
    base, adapter = (
        sum(levels) / len(passages) for levels in ([p.base / p.bytes for p in passages], [p.adapter / p.bytes for p in passages])
    )
    keys = [model.model_key("base"), model.model_key("adapter")]
    shared = {
        "scope": _SCOPE,
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
