"""How an adapter's tokenizer differs from its base's: ids, merges, added tokens, rules and roles.

Read by ``scanners.tokenizer_files``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from governance.evidence import Severity
from scanners._formats.tokens.tokenizers import PARTS, Added, Tokenizer
from scanners._formats.tree import Remark

RULE = "tokenizer-differs-from-base"
_SHOWN = 5


def differences(ours: Tokenizer, base: Tokenizer) -> Iterator[Remark]:
    """Yield how a tokenizer differs from the base's.

    Args:
        ours: The adapter's.
        base: The base's.
    """
    yield from _vocabulary(ours, base)
    yield from _merges(ours.merges, base.merges)
    yield from _added(ours, base)
    for part in PARTS if ours.parts and base.parts else ():
        if _plain(ours.parts.get(part)) != _plain(base.parts.get(part)):
            yield Remark(RULE, Severity.LOW, f"its {part} is another one than the base's")
    for role, token in ours.named.items():
        other = base.named.get(role)
        if other is not None and other != token:
            yield Remark(RULE, Severity.LOW, f"{role} is {token[:40]!r}, in the base {other[:40]!r}")


def _vocabulary(ours: Tokenizer, base: Tokenizer) -> Iterator[Remark]:
    if not ours.ids or not base.ids or ours.ids == base.ids:
        return
    mine, theirs = _whole(ours), _whole(base)
    moved = [t for t, i in base.ids.items() if mine.get(t, i) != i]
    removed = [t for t in base.ids if t not in mine]
    extra = [t for t in ours.ids if t not in theirs]
    if not moved and not removed:
        if extra:
            yield Remark(RULE, Severity.LOW, f"its vocabulary has {len(extra)} tokens more: {_some(extra)}")
        return
    if len(removed) > len(base.ids) // 2:
        words = f"it is another tokenizer than the base's: {len(removed):,} of {len(base.ids):,} tokens are not in it"
    else:
        told = [
            f"{len(found)} {what} ({_some(found)})"
            for what, found in (("moved", moved), ("removed", removed), ("new", extra))
            if found
        ]
        words = f"the base's vocabulary was changed: {'; '.join(told)}; the model reads and writes other words than it learned"
    yield Remark(RULE, Severity.MEDIUM, words)


def _whole(tokenizer: Tokenizer) -> Mapping[str, int]:
    return {**{a.text: a.id for a in tokenizer.added}, **tokenizer.ids}


def _merges(ours: tuple[str, ...], base: tuple[str, ...]) -> Iterator[Remark]:
    if not ours or not base or ours == base:
        return
    if ours[: len(base)] == base:
        yield Remark(RULE, Severity.LOW, f"it has {len(ours) - len(base)} merges more than the base's")
        return
    at = next((i for i, (a, b) in enumerate(zip(ours, base, strict=False)) if a != b), min(len(ours), len(base)))
    gone, new = len(set(base) - set(ours)), len(set(ours) - set(base))
    words = f"the base's merges were changed from number {at} on: {gone} removed, {new} new" + (
        "" if gone or new else ", others moved"
    )
    yield Remark(RULE, Severity.MEDIUM, f"{words}; words are cut in another way than the model learned")


def _added(ours: Tokenizer, base: Tokenizer) -> Iterator[Remark]:
    theirs = {a.text: a for a in base.added}
    mine = {a.text: a for a in ours.added}
    fresh = [t for t in mine if t not in theirs and t not in base.ids]
    if fresh:
        yield Remark(RULE, Severity.LOW, f"it adds {len(fresh)} tokens: {_some(fresh)}")
    moved = [t for t, a in mine.items() if t in theirs and theirs[t].id != a.id]
    if moved:
        yield Remark(RULE, Severity.MEDIUM, f"added tokens have other ids than in the base: {_some(moved)}")
    held = {a.id: a for a in base.added}
    taken = [(held[a.id], a) for a in ours.added if a.id in held and held[a.id].text != a.text and a.text not in moved]
    if taken:
        yield _taken(taken)
    plain = [t for t, a in mine.items() if t in theirs and theirs[t].special and not a.special]
    if plain:
        yield Remark(RULE, Severity.MEDIUM, f"tokens that are special in the base are ordinary text here: {_some(plain)}")


def _taken(taken: list[tuple[Added, Added]]) -> Remark:
    renamed = [
        (old, new)
        for old, new in taken
        if not any(p in old.text.lower() for p in ("unused", "reserved", "placeholder", "extra", "dummy", "pad"))
    ]
    old, new = (renamed or taken)[0]
    words = (
        f"{len(taken)} ids of the base's added tokens belong to others, such as {old.id}: {new.text[:40]!r} for {old.text[:40]!r}"
    )
    return Remark(RULE, Severity.MEDIUM if renamed else Severity.LOW, words)


def _some(tokens: list[str]) -> str:
    return ", ".join(repr(t[:30]) for t in tokens[:_SHOWN]) + (" …" if len(tokens) > _SHOWN else "")


def _plain(rule: object) -> str:
    return json.dumps(rule, sort_keys=True, default=str)
