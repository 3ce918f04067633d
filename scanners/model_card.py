"""The model card: whether machines and people read the same one."""

from __future__ import annotations

from collections.abc import Iterator

from governance.context import RunContext
from governance.evidence import Basis, Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.subject import Composition
from scanners._formats.documents import front_matters, is_lfs_pointer, read_bytes

_CARD = "README.md"
_IRREGULAR = Rule(
    id="card-irregular",
    summary="the card's metadata is missing, double, misplaced or misspelt",
    severity=Severity.LOW,
    references=(),
)


class ModelCard:
    """Reads the card's front matter.

    Detects:
        No card; a card without front matter; several front matters; one that does not stand at the start, where the Hub
        looks for it; one that is no YAML; ``licence`` in place of ``license``.

    Why it matters:
        License, base model and data sets are read from there by the Hub and by every tool. What is written elsewhere, or
        twice, is read by some and not by others.

    Misses:
        Whether what the card says is true; cards in other files than README.md.

    Source:
        Hugging Face Hub documentation, "Model Cards", section "Model card metadata".
    """

    id = "model-card"
    version = "1"
    declares = (_IRREGULAR,)

    def wants(self, composition: Composition) -> bool:
        """Return whether there is anything at all; a missing card is a finding."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Read the adapter's card."""
        entry = composition.adapter.file(_CARD)
        if entry is None:
            yield _finding("there is no model card: nothing states license, base or data", "ask the author for a README.md")
            yield Coverage(item=_CARD, outcome=Outcome.COMPLETED)
            return
        data = read_bytes(composition.adapter, _CARD, ctx) if entry.present else None
        if data is None:
            yield Coverage(item=_CARD, outcome=Outcome.SKIPPED, reason="not downloaded, or larger than allowed")
            return
        if is_lfs_pointer(data):
            yield Coverage(item=_CARD, outcome=Outcome.SKIPPED, reason="a Git LFS pointer stands in place of the card")
            return
        for message, remedy in _oddities(data.decode("utf-8", "replace")):
            yield _finding(message, remedy)
        yield Coverage(item=_CARD, outcome=Outcome.COMPLETED)


def _oddities(text: str) -> Iterator[tuple[str, str]]:
    """Yield what is odd about a card, and what to do."""
    found = front_matters(text)
    if not found:
        yield (
            "the card has no front matter: no tool can read its license or base",
            "put metadata between --- lines at the start",
        )
        return
    if len(found) > 1:
        yield f"the card has {len(found)} front matters; tools read the first, people may read another", "keep one, at the start"
    if not text.lstrip("\ufeff\r\n\t ").startswith("---"):
        yield "the front matter does not stand at the start of the card, where the Hub reads it", "move it to the first line"
    for document in found:
        if document.problems and not document.mapping:
            yield f"the front matter {document.problems[0]}", "write it as YAML"
        if "licence" in document.mapping:
            yield "the card spells `license` as `licence`; the Hub does not read it", "rename the key to `license`"


def _finding(message: str, remedy: str) -> Finding:
    return Finding(
        rule=_IRREGULAR.id,
        severity=_IRREGULAR.severity,
        basis=Basis.TEXT,
        message=message,
        locations=(Location(path=_CARD),),
        remediation=remedy,
    )


PLUGIN = ModelCard()
