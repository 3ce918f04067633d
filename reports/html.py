"""The scorecard as one self-contained page: no script, no request, readable on a telephone and on paper."""

from __future__ import annotations

from governance.verdict import Scorecard


class Html:
    """What a person opens, mails and prints."""

    id = "html"
    version = "1"
    media_type = "text/html; charset=utf-8"
    suffix = ".html"

    def render(self, card: Scorecard) -> bytes:
        """Return the page as UTF-8 HTML."""
        from reports._render.page import page

        return page(card)


PLUGIN = Html()
