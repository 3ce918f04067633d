"""An adapter's shapes held against its base: at hand by its headers or configuration, or known from the shipped table.

Read by ``scanners.adapter_config``. No weights are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from governance.context import RunContext
from governance.evidence import Confidence, Coverage, Fact, Finding, Location, Outcome, Severity
from governance.subject import Composition, Subject
from scanners._formats.adapters.bases import BaseShapes, Width, from_config, from_headers, misfits
from scanners._formats.adapters.known_bases import KnownBase, Seen, contradicts, fitting, known
from scanners._formats.adapters.rules import MISMATCH, cut, said
from scanners._formats.documents import read_json
from scanners._formats.tensors.safetensors import Tensor, read_header

_LAYER = re.compile(r"(?:\A|\.)(?:layers|h|layer|block|blocks)\.(\d{1,6})\.")
_OTHER_TOWER = re.compile(r"vision|visual|image|audio|speech|encoder|decoder|mtp")
#: Rows a resized vocabulary is padded by, at most.
_PADDING = 512
_EMBEDDINGS = ("embed_tokens", "wte", "word_embeddings", "embed_in", "lm_head", "embed_out", "shared")
_FIND = "find the base it was trained on, and give it with --base"


def held(
    composition: Composition,
    names: Iterable[str],
    weights: str,
    widths: Mapping[str, Width],
    full: Mapping[str, Sequence[Tensor]],
    *,
    packed: bool,
    transposed: bool,
    added: int,
    ctx: RunContext,
) -> Iterator[Fact | Coverage]:
    """Compare an adapter's modules with its base.

    Args:
        composition: Holds the base, if it is at hand.
        names: What the adapter says its base is.
        weights: The adapter's file, for messages.
        widths: Its modules.
        full: Whole weights it ships.
        packed: Whether its shapes follow other laws.
        transposed: Whether the base stores (d_in, d_out).
        added: Tokens the adapter adds.
        ctx: Opens files.
    """
    base = composition.base
    shapes = _shapes(base, ctx) if base is not None else f"base unknown: {composition.base_reason or 'none was found'}"
    if packed:
        yield Coverage(item="base", outcome=Outcome.SKIPPED, reason="its tensors do not tell the widths of the base")
        return
    if isinstance(shapes, str) or base is None:
        row = next((k for n in names if (k := known(n))), None)
        if row is None or not widths:
            yield Coverage(item="base", outcome=Outcome.SKIPPED, reason=str(shapes))
            return
        yield from _by_table(row, weights, widths)
        yield Coverage(item="base", outcome=Outcome.PARTIAL, reason=f"{shapes}; compared with the known widths of {row.name}")
        return
    wrong = misfits(widths, shapes, transposed=transposed)
    if wrong:
        fits = fitting(*_seen(widths))
        yield said(
            MISMATCH,
            f"{len(wrong)} of {len(widths)} updates of {weights} cannot belong to {base.name} ({shapes.where}); "
            f"first: {cut(wrong[0].module, 200)} has {wrong[0].what}" + (f"; they fit {', '.join(fits[:3])}" if fits else ""),
            _FIND,
            *(Location(path=weights, tensor=w.tensor) for w in wrong[:5]),
            base=str(base), read=shapes.where,
        )  # fmt: skip
    yield from _rows(weights, full, read_json(base, "config.json", ctx).mapping if _has(base, "config.json") else {}, added)
    reason = "the base is quantized: names and layers were compared, widths could not be"
    yield Coverage(
        item="base", outcome=Outcome.PARTIAL if shapes.packed else Outcome.COMPLETED, reason=reason if shapes.packed else ""
    )


def _by_table(row: KnownBase, weights: str, widths: Mapping[str, Width]) -> Iterator[Finding]:
    """Yield what the table says against the named base; only shapes that are another base's are more than a note."""
    seen, layers = _seen(widths)
    wrong = contradicts(row, seen, layers)
    if not wrong:
        return
    fits = fitting(seen, layers)
    only_layers = len(wrong) == 1 and wrong[0].startswith("layer ") and len(seen) > 0
    sure = bool(fits) or only_layers
    yield said(
        MISMATCH,
        f"the updates of {weights} cannot belong to {row.name}, the base that is named: {wrong[0]}"
        + (f"; they fit {', '.join(fits[:3])}" if fits else "; they fit no base known here, such as a reduced one"),
        _FIND,
        Location(path=weights, tensor=next(iter(widths.values())).tensor),
        severity=Severity.MEDIUM if sure else Severity.LOW,  # the table is no base at hand
        confidence=Confidence.MEDIUM,
        known=row.name,
    )


def _seen(widths: Mapping[str, Width]) -> tuple[list[Seen], int]:
    """Return the kinds of module of the language model with their widths, and how many layers they need."""
    found, highest = [], -1
    for module, width in widths.items():
        if _OTHER_TOWER.search(module):
            continue
        match = _LAYER.search(module)
        highest = max(highest, int(match[1]) if match else -1)
        if match and (width.into or width.out):
            found.append(Seen(module.rsplit(".", 1)[-1], width.into or 0, width.out or 0))
    return list(dict.fromkeys(found)), highest + 1


def _rows(weights: str, full: Mapping[str, Sequence[Tensor]], config: Mapping[str, object], added: int) -> Iterator[Finding]:
    """Yield whole embeddings or output layers whose rows are not the base's vocabulary and the added tokens."""
    inner = config.get("text_config")
    vocabulary = (inner if isinstance(inner, dict) else config).get("vocab_size")
    if not isinstance(vocabulary, int):
        return
    for module, own in full.items():
        for tensor in own:
            rows = tensor.shape[0] if len(tensor.shape) == 2 else vocabulary
            if module.rsplit(".", 1)[-1] in _EMBEDDINGS and not vocabulary - _PADDING <= rows <= vocabulary + added + _PADDING:
                yield said(
                    MISMATCH,
                    f"{cut(tensor.name, 200)} has {rows:,} rows, the base has {vocabulary:,} and the adapter adds {added:,} tokens",
                    _FIND,
                    Location(path=weights, tensor=tensor.name),
                )


def _has(subject: Subject, path: str) -> bool:
    entry = subject.file(path)
    return entry is not None and entry.present


def _shapes(base: Subject, ctx: RunContext) -> BaseShapes | str:
    """Return what is known of the base's shapes, or why nothing is."""
    config = read_json(base, "config.json", ctx).mapping if _has(base, "config.json") else {}
    files = [f for f in base.files if f.path.endswith(".safetensors") and "/" not in f.path and not f.path.startswith("adapter")]
    if files and all(f.present for f in files):
        headers = [read_header(base, f.path, ctx) for f in files]
        tensors = [t for h in headers for t in h.tensors]
        if tensors and not any(h.pointer or h.gap for h in headers):
            return from_headers(tensors, config, f"{len(files)} safetensors files" if len(files) > 1 else files[0].path)
    return from_config(config) or "neither weights nor a configuration of the base can be read here"
