"""What content can be, in words, and who answers for it: ``tables/kinds.yaml`` as values. Read by ``kinds`` and ``inventory``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from scanners._formats.tables import table

#: Suffixes of text that any text kind may have.
_TEXTS = (
    ".txt", ".md", ".yaml", ".yml", ".jinja", ".csv", ".tsv", ".toml", ".cfg", ".ini", ".log", ".html", ".py", ".sh", ".xml",
)  # fmt: skip
HARMLESS = "harmless"


@dataclass(frozen=True)
class KindRow:
    """One kind of content.

    Attributes:
        words: What it is, with its article.
        reader: Id of the plug-in that answers for it, ``harmless``, or None if nobody reads it yet.
        acts: Whether a loader that meets it may act on it.
        text: Whether people read it.
        suffixes: Which names it may honestly have; ``*`` is any.
    """

    words: str
    reader: str | None = None
    acts: bool = False
    text: bool = False
    suffixes: tuple[str, ...] = ()


@cache
def kind_rows() -> Mapping[str, KindRow]:
    """Return every kind by its name."""
    return {name: KindRow(**{**row, "suffixes": tuple(row.get("suffixes", ()))}) for name, row in table("kinds").items()}


def words_of(kind: str) -> str:
    """Return what a kind is, with its article."""
    return kind_rows()[kind].words


def fits(kind: str, suffix: str) -> bool:
    """Return whether content of this kind may honestly stand under a suffix; a suffix no kind claims may hold anything.

    Args:
        kind: Its name.
        suffix: Lower case, with its dot; empty for none.
    """
    claimed = _claims().get(suffix)
    return claimed is None or kind in claimed or "*" in kind_rows()[kind].suffixes


@cache
def _claims() -> Mapping[str, frozenset[str]]:
    """Return which kinds claim each suffix."""
    found: dict[str, set[str]] = {suffix: {k for k, row in kind_rows().items() if row.text} for suffix in _TEXTS}
    for name, row in kind_rows().items():
        for suffix in row.suffixes:
            if suffix != "*":
                found.setdefault(suffix, set()).add(name)
    return {suffix: frozenset(kinds) for suffix, kinds in found.items()}
