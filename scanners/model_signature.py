"""A publisher's OpenSSF model signature: whether the files are those that were signed, and by whom."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from governance.context import RunContext
from governance.errors import SubjectError
from governance.evidence import Confidence, Coverage, Fact, Finding, Location, Outcome, Rule, Severity
from governance.subject import Composition, FileEntry, Held, Subject
from scanners._formats.model_signatures import MARKS, Resource, SignedModel, made_by, read_bundle
from scanners._formats.names import shown
from scanners._formats.tree import Content, contents

_HEAD, _CHUNK, _MOST_PLACES = 1 << 16, 1 << 20, 20
_NO_SIGNATURE = "no model signature"
#: What signers leave out by default, and no loader of a model opens.
_GIT = (".gitattributes", ".gitignore", ".git", ".github")


@dataclass
class _Compared:
    """The manifest against the files."""

    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    covered: set[str] = field(default_factory=set)


class ModelSignature:
    """Compares a model signature's manifest with the files, and its signature with the keys that are trusted here.

    Detects:
        Files that are not those that were signed, or are missing; files beside them that nobody signed; a manifest that
        contradicts itself; a signature that names a trusted key and was not made by it; whose signature it is.

    Why it matters:
        A signature beside a model is taken for a seal. It is one only if it holds, covers what is loaded, and the key is known.

    Misses:
        Keyless signatures (certificates, transparency log): their manifest is compared, who made them is not verified, as
        that needs the network. Signatures over a commit; manifests by BLAKE3.

    Source:
        OpenSSF Model Signing 1.0; Sigstore bundle 0.3; DSSE 1.0; CWE-345, CWE-347, CWE-353.
    """

    id = "model-signature"
    version = "1"
    declares = (
        Rule(
            id="signature-mismatch",
            summary="a file is not the one that was signed, or the signature does not hold",
            severity=Severity.HIGH,
            references=("CWE-345", "CWE-347"),
        ),
        Rule(
            id="signature-covers-less",
            summary="files lie beside the signed ones that nobody signed",
            severity=Severity.MEDIUM,
            references=("CWE-353",),
        ),
        Rule(
            id="signature-malformed",
            summary="a model signature cannot be read",
            severity=Severity.MEDIUM,
            references=("CWE-347",),
        ),
        Rule(id="signature-unverified", summary="nobody trusted is known to have signed this", severity=Severity.LOW),
        Rule(id="signature-verified", summary="a trusted key signed these files", severity=Severity.INFO),
    )

    def wants(self, composition: Composition) -> bool:
        """Return True if there is a file: a signature may have any name."""
        return bool(composition.adapter.files)

    def scan(self, composition: Composition, ctx: RunContext) -> Iterator[Fact | Coverage]:
        """Yield what each signature says of the files, and coverage for each file."""
        subject = composition.adapter
        entries = {f.path: f for f in subject.files}
        found: list[tuple[FileEntry, Content]] = []
        for entry, root in contents(composition, ctx):
            if root is None:
                yield Coverage(item=entry.path, outcome=Outcome.NOT_APPLICABLE, reason=_NO_SIGNATURE)
            elif _is_signature(root):
                found.append((entry, root))
            else:
                yield Coverage(item=entry.path, outcome=Outcome.NOT_APPLICABLE, reason=_NO_SIGNATURE)
        signatures = {entry.path for entry, _ in found}
        for entry, root in found:
            yield from _judged(root, entry, entries, signatures, subject, ctx)


def _is_signature(root: Content) -> bool:
    """Return whether a file is a bundle, or calls itself a signature and is text."""
    if root.kind not in ("json", "text"):
        return False
    try:
        with root.open() as stream:
            head = stream.read(_HEAD)
    except (OSError, SubjectError):
        return False
    return any(mark in head for mark in MARKS) and (root.kind == "json" or root.suffix in (".sig", ".sigstore", ".json"))


def _judged(
    root: Content, entry: FileEntry, entries: Mapping[str, FileEntry], signatures: set[str], subject: Subject, ctx: RunContext
) -> Iterator[Fact | Coverage]:
    data = root.read(ctx.limits.document_bytes)
    if data is None:
        yield Coverage(
            item=entry.path, outcome=Outcome.SKIPPED, reason=f"larger than {ctx.limits.document_bytes} bytes, or unreadable"
        )
        return
    signed = read_bundle(data)
    if signed.problem:
        yield _finding("signature-malformed", root, f"the model signature cannot be read: {shown(signed.problem)}")
        yield Coverage(item=entry.path, outcome=Outcome.COMPLETED)
        return
    folder = _folder(entry.path, signed, entries)
    seen = _compare(signed, folder, entries, subject, ctx)
    yield from _mismatches(root, signed, seen)
    beside = [
        p for p in entries if p.startswith(folder) and p not in seen.covered and p not in signatures and not _is_git(p, folder)
    ]
    if beside:
        words = f"{len(beside)} files are not covered by the model signature: whoever relies on it relies on less than is loaded"
        yield _finding("signature-covers-less", root, words, beside, "ask the publisher to sign every file, or delete the others")
    yield _signer(root, signed, ctx.trusted_publishers)
    if seen.unread:
        reason = f"{len(seen.unread)} signed files were not compared; first: {shown(seen.unread[0])}"
        yield Coverage(item=entry.path, outcome=Outcome.SKIPPED, reason=reason)
    else:
        yield Coverage(item=entry.path, outcome=Outcome.COMPLETED)


def _folder(path: str, signed: SignedModel, entries: Mapping[str, FileEntry]) -> str:
    """Return the folder the manifest's paths start from, with its slash: the signature's own, or the repository."""
    own = path.rpartition("/")[0] + "/" if "/" in path else ""
    return own if any(own + r.path in entries for r in signed.resources) else ""


def _compare(signed: SignedModel, folder: str, entries: Mapping[str, FileEntry], subject: Subject, ctx: RunContext) -> _Compared:
    seen = _Compared()
    for resource in signed.resources:
        path = folder + resource.path
        entry = entries.get(path)
        seen.covered.add(path)
        if entry is None:
            seen.missing.append(path)
            continue
        digest = _digest(entry, resource, subject, ctx)
        if digest is None:
            seen.unread.append(path)
        elif digest != resource.digest:
            seen.changed.append(path)
    for path, reach in _reach(signed, folder).items():
        if path in entries and reach is not None and reach != entries[path].size and path not in seen.changed:
            seen.changed.append(path)
    return seen


def _reach(signed: SignedModel, folder: str) -> dict[str, int | None]:
    """Return how many bytes of each file its parts cover without a gap, None for a file that was signed whole."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for r in signed.resources:
        if r.span is not None:
            spans.setdefault(folder + r.path, []).append(r.span)
    found: dict[str, int | None] = {folder + r.path: None for r in signed.resources if r.span is None}
    for path, parts in spans.items():
        end = 0
        for start, stop in sorted(parts):
            end = stop if start == end else -1
            if end < 0:
                break
        found.setdefault(path, end)
    return found


def _digest(entry: FileEntry, resource: Resource, subject: Subject, ctx: RunContext) -> str | None:
    """Return a file's digest as the manifest counts it, or None if it cannot be had here."""
    if resource.algorithm == "sha256" and resource.span is None and entry.sha256:
        return entry.sha256
    if not resource.algorithm or not entry.present or subject.held is Held.RANGES:
        return None
    hasher = hashlib.sha256() if resource.algorithm == "sha256" else hashlib.blake2b()
    start, end = resource.span or (0, entry.size)
    try:
        with ctx.open(subject, entry.path) as stream:
            stream.seek(start)
            left = max(0, min(end, entry.size) - start)
            while left and (chunk := stream.read(min(_CHUNK, left))):
                ctx.checkpoint()
                hasher.update(chunk)
                left -= len(chunk)
    except (OSError, SubjectError):
        return None
    return hasher.hexdigest() if end <= entry.size else ""


def _is_git(path: str, folder: str) -> bool:
    return path.removeprefix(folder).split("/", 1)[0] in _GIT


def _mismatches(root: Content, signed: SignedModel, seen: _Compared) -> Iterator[Finding]:
    todo = "do not use these files: fetch the model again from its publisher, and tell them if it stays so"
    for paths, words in (
        (list(dict.fromkeys(seen.changed)), "files are not those that were signed: they were changed after signing"),
        (seen.missing, "signed files are missing: this is not the model that was signed"),
    ):
        if paths:
            yield _finding("signature-mismatch", root, f"{len(paths)} {words}", paths, todo)
    if not signed.is_consistent:
        yield _finding(
            "signature-mismatch", root, "the manifest's digest over all files is not that of the files it lists", (), todo
        )


def _signer(root: Content, signed: SignedModel, trusted: Sequence[str]) -> Finding:
    """Return who signed, as far as that can be known without a network."""
    made = made_by(signed, trusted) if trusted and signed.held != "certificate" else None
    if made is not None and made.key:
        return _finding("signature-verified", root, f"the model signature was made by the trusted key sha256:{made.key}")
    if made is not None and made.is_forged:
        words = "the model signature names a trusted key, which did not make it: it was forged, or changed after signing"
        return _finding("signature-mismatch", root, words, (), "do not use these files; ask the publisher")
    if signed.held == "certificate":
        why, severity = (
            "it is keyless (a certificate), which is verified against a public log and so not without a network",
            Severity.INFO,
        )
    elif made is None:
        why, severity = "no publisher's key is trusted in this installation (CURATOR_TRUSTED_PUBLISHERS)", Severity.INFO
    else:
        bad = f" ({made.unusable} of them cannot be used)" if made.unusable else ""
        why, severity = f"none of the {len(trusted)} keys trusted here made it{bad}", Severity.LOW
    return _finding(
        "signature-unverified",
        root,
        f"who made the model signature is not known: {why}; anybody could have put it there",
        (),
        "get the publisher's key over another way, and put it into the folder of trusted publishers",
        severity=severity,
    )


def _finding(
    rule_id: str,
    root: Content,
    message: str,
    paths: Sequence[str] = (),
    remediation: str = "ask the publisher for a signature that can be read",
    *,
    severity: Severity | None = None,
) -> Finding:
    rule = _RULES[rule_id]
    more = f" (first: {', '.join(shown(p)[:100] for p in paths[:3])})" if paths else ""
    return Finding(
        rule=rule.id,
        severity=severity or rule.severity,
        confidence=Confidence.HIGH,
        message=f"{root}: {message}{more}",
        locations=(root.location(), *(Location(path=shown(p)) for p in paths[:_MOST_PLACES])),
        remediation="" if rule_id == "signature-verified" else remediation,
        references=rule.references,
    )


PLUGIN = ModelSignature()
_RULES = {r.id: r for r in PLUGIN.declares}
