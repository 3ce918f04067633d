"""License texts as CycloneDX writes them: an SPDX id only if the shipped list knows it, else a name."""

from __future__ import annotations

import re
from functools import cache

from reports._bom.parts import LicensePart
from reports._render import words

_EXPRESSION = re.compile(r"\s(AND|OR|WITH)\s")


@cache
def _known() -> dict[str, str]:
    """Return SPDX ids by their lower-case spelling, from the list the validator checks against."""
    import json
    from importlib.resources import files

    text = files("cyclonedx.schema._res").joinpath("spdx.SNAPSHOT.schema.json").read_text(encoding="utf-8")
    return {str(i).lower(): str(i) for i in json.loads(text)["enum"]}


def spdx_id(text: str) -> str | None:
    """Return the SPDX id a text spells in any case, or None."""
    return _known().get(text.strip().lower())


def license_choices(found: LicensePart, *, mixed: bool) -> list[dict[str, object]]:
    """Return the ``licenses`` array: what the author declared, then what was concluded.

    Args:
        found: License texts; hostile ones become names.
        mixed: Whether an expression may stand beside a declared license (from 1.7 on); otherwise it is written as a name.
    """
    said = [(found.declared, "declared"), (found.concluded, "concluded")]
    return [_choice(text, acknowledgement, mixed=mixed) for text, acknowledgement in said if text]


def detected(found: LicensePart) -> list[dict[str, object]]:
    """Return the ``evidence.licenses`` array: what license texts in the files were recognised as."""
    texts = dict.fromkeys(t.strip() for t in (found.detected or "").split(",") if t.strip())
    return [_choice(t, None, mixed=False) for t in texts]


def _choice(text: str, acknowledgement: str | None, *, mixed: bool) -> dict[str, object]:
    said: dict[str, object] = {"acknowledgement": acknowledgement} if acknowledgement else {}
    known = spdx_id(text)
    if known:
        return {"license": {"id": known, **said}}
    if mixed and _is_expression(text):
        return {"expression": text, **said}
    return {"license": {"name": words.name(text) or "unreadable", **said}}


def _is_expression(text: str) -> bool:
    """Return whether the text joins ids of the shipped list, and nothing else, by operators."""
    if not _EXPRESSION.search(text):
        return False
    operands = [w for w in re.split(r"[\s()]+", text) if w and w not in ("AND", "OR")]
    return all(spdx_id(w) == w for w in operands)
