"""CycloneDX 1.7: the machine-learning bill of materials of the composition, with a model card."""

from __future__ import annotations

from governance.verdict import Scorecard


class CycloneDx:
    """The adapter as root; base, tokenizer, template and data sets as components; measurements in the model card."""

    id = "cyclonedx"
    version = "1"
    media_type = "application/vnd.cyclonedx+json; version=1.7"
    suffix = ".cdx.json"

    def render(self, card: Scorecard) -> bytes:
        """Return the document; it has passed the strict validator and our linter.

        Raises:
            PluginError: It would not be valid.
        """
        from reports._bom.splice import render

        return render(card, "1.7")


PLUGIN = CycloneDx()
