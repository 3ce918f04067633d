"""A small picture of the decision for a README: SVG, bound to one commit of the adapter."""

from __future__ import annotations

from html import escape

from governance.verdict import Decision, Scorecard
from reports._render.words import visible

_LABEL = "curator"
#: White text on each of these has a contrast of at least 4.5:1 (WCAG 2.2, 1.4.3).
_COLORS = {Decision.APPROVE: "#1a7f37", Decision.REVIEW: "#8a6100", Decision.REJECT: "#b42318"}
_DARK = "#3d444d"
#: Width of one letter at 11 pixels, and the space on both sides of a word.
_LETTER, _PAD = 6.6, 7.0


class Badge:
    """The decision in a word and a color; its title says what, by which policy, and when."""

    id = "badge"
    version = "1"
    media_type = "image/svg+xml"
    suffix = ".svg"

    def render(self, card: Scorecard) -> bytes:
        """Return the picture as UTF-8 SVG, without script, style or link."""
        verdict = card.verdict
        who, policy = visible(str(card.dossier.composition.adapter), 120), visible(f"{verdict.policy} {verdict.policy_version}", 80)
        said = f"{verdict.decision.value}: {who}, policy {policy}, {card.created:%Y-%m-%d}, run {visible(card.run_id, 80)}"
        return drawn(verdict.decision.value, _COLORS[verdict.decision], said).encode() + b"\n"


def drawn(word: str, color: str, title: str) -> str:
    """Return a badge.

    Args:
        word: What is said.
        color: Behind the word.
        title: Longer text for a pointer and for screen readers.
    """
    left, right = (len(t) * _LETTER + 2 * _PAD for t in (_LABEL, word))
    whole, safe = left + right, escape(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole:.0f}" height="20" role="img" aria-label="{safe}">'
        f'<title>{safe}</title><rect width="{left:.1f}" height="20" fill="{_DARK}"/>'
        f'<rect x="{left:.1f}" width="{right:.1f}" height="20" fill="{color}"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">'
        f'<text x="{left / 2:.1f}" y="14">{_LABEL}</text><text x="{left + right / 2:.1f}" y="14">{escape(word)}</text></g></svg>'
    )


PLUGIN = Badge()
