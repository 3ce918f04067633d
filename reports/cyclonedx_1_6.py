"""CycloneDX 1.6: the machine-learning bill of materials of the composition, with a model card."""

from __future__ import annotations

from governance.verdict import Scorecard


class CycloneDx16:
    """The same parts for readers of the older version, which knows neither citations nor external components."""

    id = "cyclonedx-1-6"
    version = "1"
    media_type = "application/vnd.cyclonedx+json; version=1.6"
    suffix = ".cdx.json"

    def render(self, card: Scorecard) -> bytes:
        """Return the document; it has passed the strict validator and our linter.

        Raises:
            PluginError: It would not be valid.
        """
        from reports._bom.splice import render

        return render(card, "1.6")


PLUGIN = CycloneDx16()
