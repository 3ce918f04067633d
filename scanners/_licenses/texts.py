"""Which license a text is, from phrases only that text holds. No texts are shipped.

Read by ``scanners.license_terms``. A known text with a rider is *modified* and stands for nothing.

Source:
    Headings and sentences of the license texts themselves; Creative Commons legal code titles, versions 2.0 to 4.0.
"""

from __future__ import annotations

import re

from governance.licensing import LicenseTable
from governance.subject import Noun
from scanners._licenses.resolve import look_up

_TAG = re.compile(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+-]+)\s*$", re.MULTILINE)
_HEAD_WORDS = 400
_CREATIVE_COMMONS = re.compile(
    r"\battribution( noncommercial)?( sharealike| noderivatives| noderivs)? (\d) (\d)( international| unported| generic)?\b"
)
#: Id and phrases that must all be there, folded as ``fold`` does; a more special text stands before a more general one.
_PHRASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("apache-2.0", ("apache license version 2 0 january 2004", "grant of patent license", "redistribution you may reproduce")),
    ("agpl-3.0", ("gnu affero general public license version 3",)),
    ("lgpl-3.0", ("gnu lesser general public license version 3",)),
    ("lgpl-2.1", ("gnu lesser general public license version 2 1",)),
    ("gpl-3.0", ("gnu general public license version 3 29 june 2007",)),
    ("gpl-2.0", ("gnu general public license version 2 june 1991",)),
    ("mpl-2.0", ("mozilla public license version 2 0",)),
    ("unlicense", ("this is free and unencumbered software released into the public domain",)),
    ("cc0-1.0", ("cc0 1 0 universal",)),
    ("llama2", ("llama 2 community license agreement",)),
    ("llama3.1", ("llama 3 1 community license agreement",)),
    ("llama3.2", ("llama 3 2 community license agreement",)),
    ("llama3.3", ("llama 3 3 community license agreement",)),
    ("llama4", ("llama 4 community license agreement",)),
    ("llama3", ("llama 3 community license agreement",)),
    ("gemma", ("gemma terms of use", "model derivatives")),
    ("creativeml-openrail-m", ("creativeml open rail m",)),
    ("bigcode-openrail-m", ("bigcode openrail m",)),
    ("openrail++", ("creativeml open rail m license", "sdxl")),
    ("stabilityai-ai-community", ("stability ai community license agreement",)),
    ("flux-1-dev-non-commercial-license", ("flux 1 dev non commercial license",)),
    ("exaone", ("exaone ai model license agreement 1 1 nc",)),
    ("nvidia-open-model-license", ("nvidia open model license agreement",)),
    ("tongyi-qianwen", ("tongyi qianwen license agreement",)),
    ("qwen-research", ("qwen research license agreement",)),
    ("qwen", ("qwen license agreement",)),
    ("deepseek", ("deepseek license agreement",)),
    ("openmdw-1.0", ("open model data weights license agreement",)),
    (
        "mit",
        (
            "permission is hereby granted free of charge to any person obtaining a copy",
            "the above copyright notice and this permission notice shall be included",
            "the software is provided as is without warranty of any kind",
        ),
    ),
    ("bsd-3-clause", ("redistribution and use in source and binary forms with or without modification", "neither the name of")),
    ("bsd-2-clause", ("redistribution and use in source and binary forms with or without modification", "this list of conditions")),
)
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

    id: str | None = None
    modified: bool = False


def fold(text: str) -> str:
    """Return the text in lower case with every run of other characters than letters and digits as one blank."""
    return re.sub(r"[\W_]+", " ", text.lower()).strip()


def detect(text: str, table: LicenseTable) -> TextMatch:
    """Return which license a text is.

    Args:
        text: Content of a LICENSE or COPYING file.
        table: Every row known.

    Returns:
        An id of the table, or none; ``modified`` if a known permissive text carries a rider.
    """
    folded = fold(text)
    head = " ".join(folded.split(" ", _HEAD_WORDS)[:_HEAD_WORDS])
    tag = _TAG.search(text)
    tagged = look_up(tag.group(1), table) if tag and len(text) < 2_000 else None
    found = tagged.terms.id if tagged else _creative_commons(head, folded) or _by_phrase(head, folded)
    if found is None or found not in table:
        return TextMatch()
    rider = table[found].family in _PERMISSIVE and any(r in folded for r in _RIDERS)
    return TextMatch(id=found, modified=rider)


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
