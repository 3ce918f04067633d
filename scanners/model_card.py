"""The model card: whether machines and people read the same one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from governance.context import RunContext
from governance.evidence import Basis, Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.subject import Composition
from scanners._formats.documents import front_matters, is_lfs_pointer, read_bytes

_CARD = "README.md"
_IN_PYTHON = re.compile(r"\s*(?:(?:import|from)\s|(?:\w{1,60}\s*=\s*)?[rfb]{0,2}(?:\"\"\"|'''))")
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
        looks for it; one that is no YAML or stands in a Python string; ``licence`` in place of ``license``; a second card; a
        relation to the base, or a license, that the files or the Hub's tags contradict; adapters in folders that the card
        at the root does not describe.

    Why it matters:
        License, base model and data sets are read from there by the Hub and by every tool. What is written elsewhere, or
        twice, is read by some and not by others.

    Misses:
        Whether what the card says is true otherwise; cards in other files than README.md.

    Source:
        Hugging Face Hub documentation, "Model Cards", section "Model card metadata".
    """

    id = "model-card"
    profile: Literal["repository"] = "repository"
    version = "2"
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
        text = data.decode("utf-8", "replace")
        for message, remedy in (*_oddities(text), *_against_files(text, composition)):
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
    if _IN_PYTHON.match(text):
        yield (
            "the card is a string inside a Python script; the Hub reads no metadata from it",
            "write the card as a file of its own",
        )
    elif not text.lstrip("\ufeff\r\n\t ").startswith("---"):
        yield "the front matter does not stand at the start of the card, where the Hub reads it", "move it to the first line"
    for document in found:
        if document.problems and not document.mapping:
            yield f"the front matter {document.problems[0]}", "write it as YAML"
        if "licence" in document.mapping:
            yield "the card spells `license` as `licence`; the Hub does not read it", "rename the key to `license`"


def _against_files(text: str, composition: Composition) -> Iterator[tuple[str, str]]:
    """Yield what the card says that the repository's files or the Hub's own tags contradict."""
    found = front_matters(text)
    card = found[0].mapping if found else {}
    adapter, described = composition.adapter, composition.description
    relation = card.get("base_model_relation")
    if described.kind == "adapter" and relation in ("quantized", "merge", "finetune"):
        yield f"the card calls the repository a {relation} of its base, but its files are an adapter", "say `adapter`"
    own, tag = card.get("license", card.get("licence")), adapter.license
    if isinstance(own, str) and tag and own.strip().lower() != tag.strip().lower():
        yield f"the card says the license {own[:60]!a}, the Hub lists {tag[:60]!a}", "ask the author which one holds"
    configs = [f.path for f in adapter.files if f.path.rsplit("/", 1)[-1] == "adapter_config.json"]
    if configs and "adapter_config.json" not in configs and not card.get("base_model"):
        yield (
            "the card at the root names no base for the adapters in its folders; it may describe another project",
            "give each its card",
        )
    others = sorted(f.path for f in adapter.files if f.path.lower() == _CARD.lower() and f.path != _CARD)
    if others:
        yield f"there is a second card, {others[0][:60]!a}; which one is read depends on the file system", "keep README.md alone"


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
