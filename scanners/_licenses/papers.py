"""The words a repository brings along: license texts, notices, the card; and the duties they show to be met.

Read by ``scanners.license_terms``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from governance.context import RunContext
from governance.evidence import Coverage, Outcome
from governance.licensing import LicenseTerms
from governance.subject import Noun, Subject
from scanners._formats.documents import is_lfs_pointer, read_bytes
from scanners._licenses.texts import detect, digest_of, fold

_LICENSE_FILE = re.compile(r"\A(([\w.]+[-_])?(licen[sc]es?|copying|unlicense))([-_.].*)?\Z", re.IGNORECASE)
_NOTICE_FILE = re.compile(r"\A(third[-_]party[-_])?notices?(\.(md|txt))?\Z", re.IGNORECASE)
_POLICY_FILE = re.compile(r"\A(use|acceptable[-_]use|usage)[-_]?policy(\.(md|txt))?\Z", re.IGNORECASE)
_CHANGED = re.compile(r"fine[- ]?tun|\blora\b|low[- ]rank|\badapter\b|modified|trained (on|from)", re.IGNORECASE)
_RESTRICTIONS = ("prohibited use policy", "use based restrictions", "attachment a", "acceptable use policy")
_FOLDERS = ("", "license", "licenses", "licence", "licences", "legal")
_TEXT_BYTES = 2 << 20


class Papers(Noun):
    """What one repository says in words."""

    texts: tuple[tuple[str, str | None], ...] = ()
    modified: tuple[tuple[str, str], ...] = ()
    legal: str = ""
    notice: str = ""
    policy: str = ""
    card: str = ""
    gaps: tuple[Coverage, ...] = ()

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the folded license texts and use policies, to notice when they change."""
        texts = {"license-text": self.legal.strip(), "use-policy-text": self.policy}
        return {key: f"sha256:{digest_of(text)}" for key, text in texts.items() if text}

    @property
    def detected(self) -> tuple[str, ...]:
        """Ids of the license texts, each once."""
        return tuple(dict.fromkeys(known for _, known in self.texts if known))


def papers(subject: Subject, ctx: RunContext) -> Papers:
    """Return the words of a repository; what could not be read is a gap."""
    texts: list[tuple[str, str | None]] = []
    modified: list[tuple[str, str]] = []
    gaps: list[Coverage] = []
    legal, notice, policy, card = "", "", "", ""
    for entry in subject.files:
        kind = _kind(entry.path)
        if not kind:
            continue
        data = read_bytes(subject, entry.path, ctx, _TEXT_BYTES) if entry.present else None
        if data is None or is_lfs_pointer(data):
            reason = "not downloaded, larger than is read, or a Git LFS pointer"
            gaps.append(Coverage(item=f"{subject.name}: {entry.path}", outcome=Outcome.SKIPPED, reason=reason))
            continue
        text = data.decode("utf-8", "replace")
        if kind == "license":
            legal += f" {fold(text)}"
            match = detect(text, ctx.license_terms)
            modified += [(entry.path, match.id or "")] if match.modified else []
            texts += [(entry.path, known) for known in match.ids] if match.ids and not match.modified else [(entry.path, None)]
        elif kind == "notice":
            notice += text
        elif kind == "policy":
            policy += fold(text)
        else:
            card = text
    return Papers(
        texts=tuple(texts), modified=tuple(modified), legal=legal, notice=notice, policy=policy, card=card, gaps=tuple(gaps)
    )


def _kind(path: str) -> str:
    folder, _, name = path.rpartition("/")
    if folder.lower() not in _FOLDERS:
        return ""
    if _LICENSE_FILE.match(name) and not name.lower().endswith((".py", ".json")):
        return "license"
    if _NOTICE_FILE.match(name):
        return "notice"
    if _POLICY_FILE.match(name):
        return "policy"
    return "card" if path == "README.md" else ""


def holds(own: Papers, bases: Collection[LicenseTerms], datasets: Iterable[str]) -> frozenset[str]:
    """Return the evidence a repository's own files give that duties are met.

    Args:
        own: Its words.
        bases: The rows of every base; a sentence counts as shown only if each base's is.
        datasets: Names of the data sets it was trained on.
    """
    held = {f"text:{known}" for known in own.detected}
    words, notice = fold(f"{own.card}\n{own.notice}"), fold(own.notice)
    if _CHANGED.search(own.card):
        held.add("changes")
    if any(phrase in own.legal for phrase in _RESTRICTIONS):
        held.add("restrictions")
    if "copyright" in words or any(f"text:{base.id}" in held for base in bases):
        held.add("copyright")
    lines = [base.display for base in bases if base.display]
    if lines and all(any(sentence(part) in words for part in line.split("|")) for line in lines):
        held.add("display")
    asked = [base.notice for base in bases if base.notice is not None]
    if asked and notice and all(not n.sentence or sentence(n.sentence) in notice for n in asked):
        held.add("notice")
    if all(fold(name) in words for name in datasets):
        held.add("attribution")
    return frozenset(held)


def sentence(text: str) -> str:
    """Return a required sentence folded, without placeholders and remarks in brackets."""
    return fold(re.sub(r"\[[^\]]*\]|\(s\.[^)]*\)", "", text.split(" found at ")[0]))
