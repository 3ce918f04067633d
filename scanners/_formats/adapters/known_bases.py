"""What well-known bases are called and how wide they are: names that only look like theirs, and shapes that cannot be theirs.

Rows are ``tables/known_bases.yaml`` and ``tables/known_owners.yaml``. Read by ``scanners.adapter_config``.

Source:
    config.json of the bases; Unicode Technical Standard 39, section 4, for the idea of a skeleton.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from scanners._formats.adapters.base_names import core
from scanners._formats.tables import table

_SHORTEST = 6
#: Letters of other alphabets, digits and pairs, as the letter they look like; every upright stroke becomes one letter.
_ALIKE = str.maketrans(
    "аеорсухіјѕԁԛԝһӏνοαερτικυΙΟΑΕΡΤΚΝΜΗΒΧІЈЅАЕОРСТХВКМНıɩɡɑ0135|",
    "aeopcyxijsdqwhlvoaeptikuioaeptknmhbxijsaeopctxbkmhiigaoiesi",
)
_SEPARATORS = re.compile(r"[-_./\s]+")


@dataclass(frozen=True)
class KnownBase:
    """One row: what a base is called, and its widths; 0 where the row does not say."""

    name: str
    hidden: int
    layers: int
    query: int
    key: int
    inner: int
    vocabulary: int

    def widths(self, kind: str) -> tuple[int, int]:
        """Return inputs and outputs of a projection, by the end of its name; 0 where they are not known."""
        return {
            "q_proj": (self.hidden, self.query),
            "k_proj": (self.hidden, self.key),
            "v_proj": (self.hidden, self.key),
            "o_proj": (self.query, self.hidden),
            "gate_proj": (self.hidden, self.inner),
            "up_proj": (self.hidden, self.inner),
            "down_proj": (self.inner, self.hidden),
        }.get(kind, (0, 0))


@dataclass(frozen=True)
class Seen:
    """One module of an adapter: the end of its name, its inputs and outputs, 0 where they cannot be told."""

    kind: str
    into: int
    out: int


@cache
def _rows() -> dict[str, KnownBase]:
    return {name: KnownBase(name, *row) for bases in table("known_bases").values() for name, row in bases.items()}


@cache
def _owners() -> tuple[str, ...]:
    rows = table("known_owners")
    return (*rows["publishers"], *rows["converters"])


def known(name: str) -> KnownBase | None:
    """Return the row of a base's name, whoever stores it in whatever format; None if none is meant beyond doubt."""
    return _rows().get(core(name))


def is_known_owner(name: str) -> bool:
    """Return whether the owner of a name is one of those who publish or convert bases."""
    owner, _, rest = name.partition("/")
    return bool(rest) and owner.lower() in {o.lower() for o in _owners()}


def contradicts(base: KnownBase, seen: Iterable[Seen], layers: int) -> list[str]:
    """Return in words what cannot belong to a base; ``layers`` is how many the adapter's highest layer implies."""
    found = []
    for module in dict.fromkeys(seen):
        into, out = base.widths(module.kind)
        wrong = [w for w, have in ((into, module.into), (out, module.out)) if w and have and w != have]
        if wrong:
            found.append(
                f"{module.kind} with {module.into} inputs and {module.out} outputs, where {base.name} has {into} and {out}"
            )
    if base.layers and layers > base.layers:
        found.append(f"layer {layers - 1}, where {base.name} has {base.layers} layers")
    return found


def fitting(seen: Iterable[Seen], layers: int) -> list[str]:
    """Return the known bases every module fits, for want of the named one; at least one width of each must be stated."""
    modules = list(dict.fromkeys(seen))
    return [
        b.name
        for b in _rows().values()
        if all(any(b.widths(m.kind)) for m in modules)
        and not contradicts(b, modules, layers)
        and (not layers or layers <= b.layers)
    ]


def lookalike(name: str) -> str | None:
    """Return the well-known owner or repository a name only looks like, or None.

    Differences of case alone are none: the Hub does not tell them apart. A fork under its owner's own name is none either.
    """
    owner, slash, repository = name.partition("/")
    if not slash or (owner.lower() in {o.lower() for o in _owners()} and owner.isascii()):
        return _twin_name(repository) if slash else None
    folded = _skeleton(owner)
    for good in _owners():
        if folded == _skeleton(good) and (len(good) >= _SHORTEST or _SEPARATORS.sub("", owner) != owner or known(repository)):
            return good
    whole = _skeleton(name)
    for publisher, bases in table("known_bases").items():
        for base in bases:
            if whole == _skeleton(f"{publisher}/{base}") and owner.lower() != publisher.lower():
                return f"{publisher}/{base}"
    if known(repository):
        for good in _owners():
            if len(good) >= _SHORTEST and _one_edit(owner.lower(), good.lower()):
                return good
    return _twin_name(repository)


def _twin_name(repository: str) -> str | None:
    """Return the known base whose name this one spells with another letter of the same look."""
    plain = _SEPARATORS.sub("-", core(repository))
    if plain in {_SEPARATORS.sub("-", base) for base in _rows()}:
        return None  # other separators are how honest conversions are named
    folded = _skeleton(plain, keep=True)
    return next((base for base in _rows() if folded == _skeleton(base, keep=True)), None)


@cache
def _skeleton(text: str, *, keep: bool = False) -> str:
    """Return a text with look-alikes folded; separators are dropped, or made one kind."""
    folded = unicodedata.normalize("NFKC", text).translate(_ALIKE).lower().replace("rn", "m").replace("vv", "w").replace("l", "i")
    return _SEPARATORS.sub("-" if keep else "", folded)


def _one_edit(one: str, two: str) -> bool:
    """Return whether one insertion, deletion, change or swap of neighbours makes two texts equal, and they are not."""
    if one == two or abs(len(one) - len(two)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    a, b = one[start:], two[start:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[:2][::-1] and a[2:] == b[2:] and len(a) > 1)
