"""The scorecard as one self-contained page: no script, no request, readable on a telephone and on paper."""

from __future__ import annotations

import base64
import hashlib

from governance.verdict import Scorecard


class Html:
    """What a person opens, mails and prints."""

    id = "html"
    version = "1"
    media_type = "text/html; charset=utf-8"
    suffix = ".html"

    def render(self, card: Scorecard) -> bytes:
        """Return the page as UTF-8 HTML."""
        from reports._render.page import page, stylesheet

        digest = base64.b64encode(hashlib.sha256(stylesheet().encode()).digest()).decode()
        return page(card, style_digest=digest).encode("utf-8", "replace")


PLUGIN = Html()
