"""Which loaders execute what a pickle asks for and which refuse it, for findings to say who is hit. Data: ``tables/loaders.yaml``.

Reachability is evidence beside a finding; it never makes the finding milder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from scanners._formats.tables import table


@dataclass(frozen=True)
class Loader:
    """One loader in a range of its versions; fields as in the table."""

    loader: str
    versions: str
    reads: tuple[str, ...]
    runs: str
    source: str

    def __str__(self) -> str:
        return self.loader if self.versions == "all" else f"{self.loader} {self.versions}"


@cache
def loaders() -> tuple[Loader, ...]:
    """Return the rows of the table, in its order."""
    return tuple(Loader(**{**row, "reads": tuple(row["reads"])}) for row in table("loaders")["loaders"])


@cache
def who_is_hit(layout: str) -> str:
    """Return in words which loaders execute a file of this layout and which refuse names they do not list.

    Args:
        layout: ``raw``, ``torch-zip``, ``torch-legacy``, ``torch-tar``, ``numpy`` or ``joblib``.
    """
    hit = [str(row) for row in loaders() if layout in row.reads and row.runs == "everything"]
    spared = [str(row) for row in loaders() if layout in row.reads and row.runs == "listed"]
    words = f"executed by {', '.join(hit)}" if hit else ""
    return "; ".join(filter(None, (words, f"refused by {', '.join(spared)} unless the name is on its list" if spared else "")))
