"""What rule sets ask for, filled from one audit with evidence; what is open for a person is said to be. One page."""

from __future__ import annotations

from governance.verdict import Scorecard


class ComplianceHtml:
    """What a compliance officer reads, completes and files."""

    id = "compliance-html"
    version = "1"
    media_type = "text/html; charset=utf-8"
    suffix = ".compliance.html"

    def render(self, card: Scorecard) -> bytes:
        """Return the page as UTF-8 HTML."""
        from reports._compliance.page import page

        return page(card).encode("utf-8", "replace")


PLUGIN = ComplianceHtml()
