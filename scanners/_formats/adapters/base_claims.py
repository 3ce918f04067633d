"""What an adapter says it was made on, held together: every claim, where it stands, and whether they can all be true.

Read by ``scanners.adapter_config``. A name is judged by what it spells; nothing is looked up on any network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from governance.evidence import Confidence, Finding, Location, Severity
from governance.subject import Composition
from scanners._formats.adapters.base_names import cached_revision, kinship, place
from scanners._formats.adapters.known_bases import lookalike
from scanners._formats.adapters.rules import CLAIMS, LOOKALIKE, UNRESOLVED, cut, said

_METADATA = ("base_model", "base_model_name_or_path", "base_model_id", "modelspec.base_model")
#: The sentence the Trainer writes into a card.
_SENTENCE = re.compile(r"fine-?tuned (?:version|variant) of \[([^\]\n]{1,200})\]\(https://huggingface\.co/")
_TAG = re.compile(r"\Abase_model:(?:adapter:|finetune:|quantized:|merge:)?([\w.-]+/[\w.-]+)\Z")
_CARD = "README.md"


@dataclass(frozen=True)
class Claim:
    """One place that names a base.

    Attributes:
        by: ``request``, ``adapter-config``, ``card``, ``hub``, ``metadata`` or ``text``.
        name: As written.
        path: The file, or who says so.
        key: Where in it.
        revision: Asked for beside it.
    """

    by: str
    name: str
    path: str
    key: str | None = None
    revision: str | None = None

    @property
    def where(self) -> str:
        """As messages name it."""
        return f"{self.path}#{self.key}" if self.key else self.path


def described(composition: Composition) -> list[Claim]:
    """Return the claims of the description; a folder the asker gave says nothing about what the adapter was made on."""
    claims = []
    for claim in composition.description.claims:
        if claim.by == "request" and place(claim.name) != "hub":
            continue
        path, _, key = claim.where.partition("#")
        claims.append(Claim(claim.by, claim.name, path or claim.by, key or None, claim.revision))
    return claims


def in_metadata(path: str, metadata: Iterable[tuple[str, str]]) -> list[Claim]:
    """Return the bases a safetensors header names."""
    return [Claim("metadata", v[:300], path, k) for k, v in metadata if k in _METADATA and v.strip()]


def in_card(text: str, front: Mapping[str, object]) -> list[Claim]:
    """Return the bases a card names in its tags and in the sentence trainers write."""
    tags = front.get("tags")
    found = [
        Claim("card-tags", m[1], _CARD, "tags")
        for t in (tags[:200] if isinstance(tags, list) else ())
        if isinstance(t, str) and (m := _TAG.match(t[:400]))
    ]
    return found + [Claim("text", m[1], _CARD) for m in list(_SENTENCE.finditer(text[:200_000]))[:3]]


def judged(claims: list[Claim], *, is_adapter: bool) -> Iterator[Finding]:
    """Yield names that are no repository, names that only look like a well-known one, and claims that cannot all be true."""
    for claim in {(c.name, c.path, c.key): c for c in claims}.values():
        yield from _place(claim)
        yield from _revision(claim)
        if good := lookalike(claim.name) if place(claim.name) != "local" else None:
            yield said(
                LOOKALIKE,
                f"{claim.where} names the base {cut(claim.name)}, which only looks like {good}: "
                "a loader would fetch a stranger's model",
                f"compare the name with {good}, and give the right base with --base",
                Location(path=claim.path, key=claim.key),
                confidence=Confidence.MEDIUM,
                looks_like=good,
            )
    if is_adapter and all(c.by in ("request", "text") for c in claims):
        yield said(UNRESOLVED, "nothing names the base model", "ask the author; give the base with --base until then")
    yield from _differ([c for c in claims if place(c.name) == "hub"])


def _place(claim: Claim) -> Iterator[Finding]:
    where = place(claim.name)
    if where == "hub" or claim.by == "text":
        return
    cached = cached_revision(claim.name)
    what = "is a folder of somebody's machine" if where == "local" else "is no repository: a URL, a way out, or letters no Hub has"
    hint = f"; its path says {cached[0]} {cached[1][:12]}".rstrip() if cached and where == "local" else ""
    yield said(
        UNRESOLVED,
        f"{claim.where} names the base {cut(claim.name)}, which {what}{hint}",
        "name the base by its repository; give it with --base until then",
        Location(path=claim.path, key=claim.key),
        severity=Severity.MEDIUM if where == "hostile" else None,
    )


def _revision(claim: Claim) -> Iterator[Finding]:
    if not claim.revision or not (claim.revision.startswith("refs/pr/") or ".." in claim.revision or "://" in claim.revision):
        return
    pull = claim.revision.startswith("refs/pr/")
    why = "an unmerged proposal, which anybody can open" if pull else "no branch or commit"
    yield said(
        UNRESOLVED,
        f"{claim.path} asks for the revision {cut(claim.revision, 80)} of its base: {why}",
        "ask for a commit of the base's own history",
        Location(path=claim.path, key="revision"),
        severity=Severity.MEDIUM,
    )


def _differ(claims: list[Claim]) -> Iterator[Finding]:
    """Yield claims of one place that no claim of the first place agrees with; one place may name several."""
    if not claims:
        return
    first = [c for c in claims if c.by == claims[0].by]
    told: set[tuple[str, str]] = set()
    for other in claims:
        kin = [kinship(one.name, other.name) for one in first]
        if other.by == claims[0].by or "same" in kin or (other.by, other.name) in told:
            continue
        rest = [c for c in claims if c.by == other.by]
        if any(kinship(one.name, c.name) == "same" for one in first for c in rest):
            continue
        told.add((other.by, other.name))
        near = "family" in kin
        yield said(
            CLAIMS,
            f"{first[0].where} names the base {cut(first[0].name)}, {other.where} names {cut(other.name)}; "
            + ("same family" if near else "another family"),
            "ask the author which one it was trained on",
            Location(path=other.path, key=other.key),
            severity=Severity.LOW if near or other.by == "text" else None,
            confidence=Confidence.MEDIUM,
        )
