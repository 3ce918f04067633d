"""License texts as SPDX 3 writes them: an expression, with the words of a license that has no SPDX id beside it."""

from __future__ import annotations

import re
from collections.abc import Callable

from reports._bom.licenses import spdx_id
from reports._bom.values import wrong_expression
from reports._render import words

#: The individual that says nothing is claimed of a license.
NO_ASSERTION = "expandedlicensing_NoAssertionLicense"


def license_elements(text: str, ref: str, identify: Callable[[str], str]) -> list[dict[str, object]]:
    """Return the elements one license text needs, the expression last.

    Args:
        text: What was declared or concluded; hostile text becomes a license of the document's own.
        ref: Reference of the expression.
        identify: Makes an identifier from a reference.
    """
    known = spdx_id(text)
    if known or not wrong_expression(text):
        return [_expression(identify(ref), known or text, [])]
    slug = re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip("-.")[:60] or "unreadable"
    own = identify(f"{ref}-text")
    words_of = {"type": "simplelicensing_SimpleLicensingText", "spdxId": own, "name": words.name(text) or "unreadable"}
    shown = f"The license is named {words.visible(text)!r}; its text is not part of this document."
    entry = {"type": "DictionaryEntry", "key": f"LicenseRef-{slug}", "value": own}
    return [{**words_of, "simplelicensing_licenseText": shown}, _expression(identify(ref), f"LicenseRef-{slug}", [entry])]


def _expression(identifier: str, text: str, custom: list[dict[str, str]]) -> dict[str, object]:
    made: dict[str, object] = {
        "type": "simplelicensing_LicenseExpression",
        "spdxId": identifier,
        "simplelicensing_licenseExpression": text,
    }
    return {**made, "simplelicensing_customIdToUri": custom} if custom else made
