"""Which license a text is: by the hash of the whole, else by how many of its word 5-grams are in it. No texts are shipped.

Of each known text the table holds the SHA-256 of its normalised words and a sketch: the smallest of its 5-gram hashes. The sketch
samples both directions alike, so it tells how much of the license is in a file, and how much of the file is not the license.
Texts that have no sketch are recognised by their title, and are then never more than that.

Read by ``scanners._licenses.papers``; the table is written by ``tests.write_license_sketches``.

Source:
    A. Z. Broder, "On the resemblance and containment of documents", 1997 (shingles, smallest hashes). Titles: the license texts
    themselves; Creative Commons legal code titles, versions 2.0 to 4.0.
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache

from governance.licensing import LicenseTable
from governance.subject import Noun
from scanners._formats.tables import table as data
from scanners._licenses.resolve import look_up

#: Words of a shingle, hashes of a sketch.
SHINGLE, SKETCH = 5, 256
#: Share of a license's shingles that must be in a file: the text, or a text somebody changed.
MATCH, CHANGED = 0.95, 0.60
#: Share of a file that may be foreign words before it is a license with something added.
_FOREIGN = 0.15
#: A text of so few words is matched at a lower share: a name filled in spoils five shingles on each side of it.
_SHORT, _MATCH_SHORT = 400, 0.85
_LONGEST = 60_000

_TAG = re.compile(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+-]+)\s*$", re.MULTILINE)
_HEAD_WORDS = 400
_CREATIVE_COMMONS = re.compile(
    r"\battribution( noncommercial)?( sharealike| noderivatives| noderivs)? (\d) (\d)( international| unported| generic)?\b"
)
#: Titles of texts that have no sketch: an id, and phrases that must all be there; the more special stands first.
_PHRASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("llama3", ("meta llama 3 community license agreement",)),
    ("openrail++", ("creativeml open rail m license", "sdxl")),
    ("qwen-research", ("qwen research license agreement",)),
)
#: Titles of texts that have a sketch: under such a title, other words are a changed text.
_TITLES: tuple[tuple[str, str], ...] = (
    ("apache-2.0", "apache license version 2 0"),
    ("agpl-3.0", "gnu affero general public license version 3"),
    ("lgpl-3.0", "gnu lesser general public license version 3"),
    ("gpl-3.0", "gnu general public license version 3"),
    ("gpl-2.0", "gnu general public license version 2"),
    ("mit", "mit license"),
    ("llama2", "llama 2 community license agreement"),
    ("llama3.1", "llama 3 1 community license agreement"),
    ("llama3.2", "llama 3 2 community license agreement"),
    ("llama3.3", "llama 3 3 community license agreement"),
    ("llama4", "llama 4 community license agreement"),
    ("gemma", "gemma terms of use"),
    ("stabilityai-ai-community", "stability ai community license agreement"),
    ("flux-1-dev-non-commercial-license", "flux 1 dev non commercial license"),
    ("nvidia-open-model-license", "nvidia open model license"),
    ("tongyi-qianwen", "tongyi qianwen license agreement"),
    ("qwen", "qwen license agreement"),
    ("deepseek", "deepseek license agreement"),
)
#: Words up to which a file only names a license or links to it, and where a title stands.
_MENTION, _TITLE_WORDS = 20, 60
#: The words of a source file's header, which points to a license and is not its text.
_POINTS, _HEADER = "you may obtain a copy of the license at", 150
#: Phrases that turn a permissive text into something else.
_RIDERS = (
    "commons clause",
    "non commercial",
    "noncommercial",
    "additional restriction",
    "may not be used for",
    "research purposes only",
)
_PERMISSIVE = ("permissive", "public-domain")


class TextMatch(Noun):
    """What a text is taken for."""

    ids: tuple[str, ...] = ()
    modified: bool = False

    @property
    def id(self) -> str | None:
        """The first license found, or None."""
        return self.ids[0] if self.ids else None


@dataclass(frozen=True)
class Sketch:
    """One shipped text, without its words."""

    license: str
    digest: str
    words: int
    hashes: frozenset[int]

    @property
    def ceiling(self) -> int:
        """Up to where a hash belongs to the sample."""
        return max(self.hashes)


def fold(text: str) -> str:
    """Return the text in lower case with every run of other characters than letters and digits as one blank."""
    return re.sub(r"[\W_]+", " ", text.lower()).strip()


def digest_of(folded: str) -> str:
    """Return the SHA-256 of a folded text."""
    return hashlib.sha256(folded.encode("utf-8", "surrogatepass")).hexdigest()


def shingles(words: Sequence[str]) -> frozenset[int]:
    """Return a 32-bit hash of every run of five words."""
    made = (" ".join(words[i : i + SHINGLE]).encode("utf-8", "surrogatepass") for i in range(max(len(words) - SHINGLE + 1, 0)))
    return frozenset(int.from_bytes(hashlib.blake2b(m, digest_size=4).digest(), "big") for m in made)


def packed(hashes: Collection[int]) -> str:
    """Return a sketch of hashes as text."""
    least = sorted(hashes)[:SKETCH]
    return base64.b85encode(struct.pack(f">{len(least)}I", *least)).decode("ascii")


@cache
def sketches() -> tuple[Sketch, ...]:
    """Return every shipped text, longest first."""
    found = []
    for row in data("license_texts")["texts"]:
        raw = base64.b85decode(row["sketch"])
        hashes = frozenset(struct.unpack(f">{len(raw) // 4}I", raw))
        found.append(Sketch(license=row["license"], digest=row["sha256"], words=row["words"], hashes=hashes))
    return tuple(sorted(found, key=lambda s: -s.words))


def detect(text: str, table: LicenseTable) -> TextMatch:
    """Return which licenses a text is or holds.

    Args:
        text: Content of a LICENSE or COPYING file.
        table: Every row known.

    Returns:
        Ids of the table; ``modified`` if a known text was changed or carries a rider.
    """
    folded = fold(text)
    words = folded.split(" ")[:_LONGEST]
    tag = _TAG.search(text)
    tagged = look_up(tag.group(1), table) if tag and len(text) < 2_000 else None
    if tagged:
        return TextMatch(ids=(tagged.terms.id,))
    digest = digest_of(folded)
    exact = next((s.license for s in sketches() if s.digest == digest and s.license in table), None)
    if exact:
        return TextMatch(ids=(exact,))
    found, near, foreign = _contained(words, table)
    head = " ".join(words[:_HEAD_WORDS])
    if not found:
        titled = _by_phrase(head, folded) or (_creative_commons(head, folded) if not near else None)
        found = (titled,) if titled is not None and titled in table else ()
        if not found:
            near = near or _titled(words, table)
            return TextMatch(ids=near[:1], modified=bool(near))
        foreign = 1.0
    rider = foreign > 0 and any(table[f].family in _PERMISSIVE for f in found) and any(r in folded for r in _RIDERS)
    return TextMatch(ids=found, modified=rider and all(table[f].family in _PERMISSIVE for f in found))


def _contained(words: Sequence[str], table: LicenseTable) -> tuple[tuple[str, ...], tuple[str, ...], float]:
    """Return the licenses wholly in a text, those in it in part, and the share of the text that is neither's."""
    own = shingles(words)
    if not own:
        return (), (), 1.0
    found: list[str] = []
    near: list[tuple[float, str]] = []
    left = set(own)
    known = [s for s in sketches() if s.license in table]
    while best := max((s for s in known if s.license not in found and _whole(s, left)), key=lambda s: _alike(s, own), default=None):
        found.append(best.license)
        left -= best.hashes
    for sketch in known:
        share = len(sketch.hashes & left) / len(sketch.hashes)
        if share >= CHANGED and sketch.license not in found:
            near.append((share, sketch.license))
    spent = sum(max((s.words for s in sketches() if s.license == f), default=0) for f in found)
    foreign = max(0.0, 1 - spent / max(len(words), 1))
    return tuple(found), tuple(name for _, name in sorted(near, reverse=True)), foreign if foreign > _FOREIGN else 0.0


def _whole(sketch: Sketch, left: Collection[int]) -> bool:
    """Return whether a license is in what is left of a text; the short ones have blanks that people fill in."""
    share = sum(h in left for h in sketch.hashes) / len(sketch.hashes)
    return share >= (MATCH if sketch.words > _SHORT else _MATCH_SHORT)


def _alike(sketch: Sketch, own: Collection[int]) -> float:
    """Return how much of a license is in a text, times how much of the sampled text is in the license."""
    sampled = [h for h in own if h <= sketch.ceiling]
    both = sum(h in sketch.hashes for h in sampled)
    return both * both / (len(sketch.hashes) * max(len(sampled), 1))


def _titled(words: Sequence[str], table: LicenseTable) -> tuple[str, ...]:
    """Return the license whose title stands over words that are not its text."""
    if len(words) <= _MENTION or (len(words) <= _HEADER and _POINTS in " ".join(words)):
        return ()
    head = " ".join(words[:_TITLE_WORDS])
    return tuple(known for known, title in _TITLES if title in head and known in table)[:1]


def _by_phrase(head: str, folded: str) -> str | None:
    for known, phrases in _PHRASES:
        if phrases[0] in head and all(p in folded for p in phrases[1:]):
            return known
    return None


def _creative_commons(head: str, folded: str) -> str | None:
    if "creative commons" not in folded:
        return None
    match = _CREATIVE_COMMONS.search(head)
    if match is None:
        return None
    parts = ["cc-by", *(["nc"] if match[1] else [])]
    parts += {" sharealike": ["sa"], " noderivatives": ["nd"], " noderivs": ["nd"]}.get(match[2] or "", [])
    return "-".join(parts) + f"-{match[3]}.{match[4]}"
