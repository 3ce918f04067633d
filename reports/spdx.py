"""SPDX 3.0.1 JSON-LD: the AI and data set profiles, for readers who do not take CycloneDX."""

from __future__ import annotations

from governance.verdict import Scorecard


class Spdx:
    """The adapter as root of the same parts: AI packages, data set packages, licenses, relations, findings as annotations."""

    id = "spdx"
    version = "1"
    media_type = "application/spdx+json; version=3.0.1"
    suffix = ".spdx3.json"

    def render(self, card: Scorecard) -> bytes:
        """Return the document; it has passed the official model and our linter.

        Raises:
            PluginError: It would not be valid.
            PrerequisiteError: The official model is not installed.
        """
        from reports._bom.spdx_document import render

        return render(card)


PLUGIN = Spdx()
