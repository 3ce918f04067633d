"""The laws of every adapter type PEFT knows: which tensors one module has, and what their shapes must have in common.

Rows are ``tables/peft_types.yaml``. A type without a row cannot be compared. Read by ``scanners.adapter_config``; no tensor
data is read.

Source:
    peft 0.21.2, ``tuners/*/layer.py`` and ``utils/save_and_load.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from scanners._formats.tables import table
from scanners._formats.tensors.safetensors import Tensor

_ROOT = re.compile(r"\A(?:base_model\.model\.|base_model\.|model\.)")
_LONGEST_NAME = 500
_ANY = "_"


@dataclass(frozen=True)
class Part:
    """One tensor a module or the adapter has.

    Attributes:
        name: As the table spells it.
        shape: A symbol for each axis.
        needed: Whether it must be there.
        pattern: Matches the name of a tensor; the group ``module`` is the module, if it belongs to one.
    """

    name: str
    shape: tuple[str, ...]
    needed: bool
    pattern: re.Pattern[str]


@dataclass(frozen=True)
class Law:
    """One adapter type.

    Attributes:
        type: Its name.
        parts: Tensors of one module.
        shared: Tensors of the whole adapter.
        rank: The setting that holds the rank; empty if there is none.
        alpha: The setting that holds the scale; empty if there is none.
        pairs: Parts of which one needs the other.
        loose: Whether parts may have further axes, as those of convolutions do.
        nested: Whether the adapter's own tensors lie in further adapters.
    """

    type: str
    parts: tuple[Part, ...]
    shared: tuple[Part, ...]
    rank: str
    alpha: str
    pairs: tuple[tuple[str, str], ...]
    loose: bool
    nested: bool


@dataclass
class Owned:
    """The tensors of one module."""

    parts: dict[str, Tensor] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Break:
    """A law that does not hold.

    Attributes:
        what: ``rank``, ``shape`` or ``missing``.
        tensor: Where it shows.
        words: What is wrong.
    """

    what: str
    tensor: str
    words: str


@dataclass(frozen=True)
class Sorted:
    """An adapter's tensors, sorted by the law of its type.

    Attributes:
        modules: By module, without PEFT's prefix.
        shared: Those of the whole adapter, by part.
        rest: Those the law does not know.
    """

    modules: Mapping[str, Owned]
    shared: Mapping[str, Tensor]
    rest: tuple[Tensor, ...]


@cache
def law_of(kind: str) -> Law | None:
    """Return the law of an adapter type, or None if the table has no row for it."""
    row = table("peft_types").get(kind)
    if row is None:
        return None
    return Law(
        type=kind,
        parts=tuple(_part(n, s, shared=False) for n, s in row.get("parts", {}).items()),
        shared=tuple(_part(n, s, shared=True) for n, s in row.get("shared", {}).items()),
        rank=row.get("rank", ""),
        alpha=row.get("alpha", ""),
        pairs=tuple((a, b) for a, b in row.get("pairs", ())),
        loose=bool(row.get("loose")),
        nested=bool(row.get("nested")),
    )


@cache
def known_types() -> frozenset[str]:
    """Return every adapter type with a row."""
    return frozenset(table("peft_types"))


@cache
def fields_of(kind: str) -> frozenset[str]:
    """Return the settings the configuration of a type knows; empty for an unknown type."""
    rows = table("peft_fields")
    return frozenset((*rows["every type"], *rows.get(kind, ())))


def _part(name: str, shape: Iterable[object], *, shared: bool) -> Part:
    bare = name.removesuffix("?")
    ends = re.escape(bare).replace(r"\#", r"\w[\w.]*")
    tail = r"(?:\.(?!weight\Z)\w+)?(?:\.weight)?\Z"
    return Part(
        name=bare,
        shape=tuple(str(s) for s in shape),
        needed=not name.endswith("?"),
        pattern=re.compile((r"\A(?:\w+\.)?" if shared else r"\A(?P<module>.+)\.") + ends + tail),
    )


def sort_by(law: Law, tensors: Iterable[Tensor]) -> Sorted:
    """Return what each tensor is, by the law of the adapter's type."""
    modules: dict[str, Owned] = {}
    shared: dict[str, Tensor] = {}
    rest = []
    for tensor in tensors:
        name = _ROOT.sub("", tensor.name, count=1)
        if len(name) > _LONGEST_NAME:
            rest.append(tensor)
        elif part := next((p for p in law.shared if p.pattern.match(name)), None):
            shared.setdefault(part.name, tensor)
        elif found := next(((p, m) for p in law.parts if (m := p.pattern.match(name))), None):
            module = found[1]["module"].removesuffix(".base_layer")
            modules.setdefault(module, Owned()).parts.setdefault(found[0].name, tensor)
        else:
            rest.append(tensor)
    return Sorted(modules, shared, tuple(rest))


def breaks(law: Law, own: Sorted, settings: Mapping[str, object], ranks: Mapping[str, int | None]) -> list[Break]:
    """Return the laws that do not hold, and fill in each module's sizes.

    Args:
        law: Of the type.
        own: The sorted tensors.
        settings: The adapter's configuration.
        ranks: The rank each module should have, as far as the configuration says; modules without one are not compared.
    """
    found = []
    numbers = {k: v for k, v in settings.items() if isinstance(v, int) and not isinstance(v, bool)}
    if {"num_virtual_tokens", "num_transformer_submodules"} <= numbers.keys():
        numbers["virtual_rows"] = numbers["num_virtual_tokens"] * numbers["num_transformer_submodules"]
    for module, owned in own.modules.items():
        some = next(iter(owned.parts.values()))
        missing = [p.name for p in law.parts if p.needed and p.name not in owned.parts]
        missing += [b if a in owned.parts else a for a, b in law.pairs if (a in owned.parts) != (b in owned.parts)]
        if missing:
            found.append(Break("missing", some.name, f"{module} has no {', '.join(missing[:4])}"))
        found += _shapes(law, law.parts, owned, numbers, ranks.get(module))
    whole = Owned(dict(own.shared))
    found += _shapes(law, law.shared, whole, numbers, _int(settings.get(law.rank)))
    lacking = [p.name for p in law.shared if p.needed and p.name not in own.shared]
    if lacking and (own.modules or own.shared):
        found.append(Break("missing", "", f"the adapter has no {', '.join(lacking)}"))
    return found


def _shapes(law: Law, parts: Iterable[Part], owned: Owned, numbers: Mapping[str, int], rank: int | None) -> list[Break]:
    found = []
    for part in parts:
        tensor = owned.parts.get(part.name)
        if tensor is None:
            continue
        if len(tensor.shape) != len(part.shape):
            if not law.loose:
                words = f"{part.name} has {len(tensor.shape)} axes where a {law.type} adapter has {len(part.shape)}"
                found.append(Break("shape", tensor.name, words))
            continue
        for symbol, size in zip(part.shape, tensor.shape, strict=True):
            if broken := _axis(law, symbol, size, owned, numbers, rank):
                found.append(
                    Break("rank" if symbol == "r" else "shape", tensor.name, f"{part.name} {list(tensor.shape)}: {broken}")
                )
                break
    return found


def _axis(law: Law, symbol: str, size: int, owned: Owned, numbers: Mapping[str, int], rank: int | None) -> str | None:
    """Return what is wrong with one axis, or None; a width or a free size met for the first time is kept."""
    if symbol == _ANY:
        return None
    if symbol.isdigit():
        return None if size == int(symbol) else f"{size} where {symbol} belongs"
    if symbol == "r":
        return None if rank is None or rank == size else f"rank {size}, expected {rank}"
    name, _, divisor = symbol.partition("/")
    if divisor:
        parts = numbers.get(divisor) or owned.sizes.get(divisor)
        if parts is None:
            return None
        size *= parts
    elif name in numbers and name not in ("in", "out"):
        return None if numbers[name] == size else f"{size} where {name} is {numbers[name]}"
    known = owned.sizes.setdefault(name, size)
    return None if known == size else f"{size}, where other tensors of the module have {known}"


def _int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
