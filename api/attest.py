"""Signed verdicts: from a recorded scorecard to a file of envelopes, and from such a file back to a judgement.

Read by ``api.cli.attest``. The file is an in-toto bundle, one DSSE envelope a line: test results, reference to the bills of
materials, verdict. Verifying needs no ledger, no network and no model: the file, the folder and a public key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath

from api.settings import Settings
from governance.canonical import MOST_BYTES
from governance.context import RunContext, new_run_id, utc_now
from governance.contracts import ReportFormat
from governance.errors import PrerequisiteError, SignatureError, SubjectError
from governance.hub.local import folder_of, hash_stream, in_place
from governance.keyless import Identity
from governance.signing import Signer, TrustedKey, opened, read_public
from governance.statements import Bundle, Digests, Present, Problem, judge, read_bundle
from governance.store import Store
from governance.subject import ArtifactRef, SourceKind
from governance.verdict import Scorecard
from reports.attestation import payloads

#: Formats whose digest the reference names, where they are installed.
BOM_FORMATS = ("cyclonedx", "cyclonedx-1-6", "spdx")
_MOST_ENVELOPES = 16
#: Version control's own folder at the top: no loader reads it, and a clone has another one each time.
_NOT_CONTENT = ".git/"


@dataclass(frozen=True)
class Verified:
    """What verifying a signed verdict gave.

    Attributes:
        problems: Why it cannot be relied on; empty if it can.
        bundle: What it says; None if its signatures do not hold, since then nothing in it is worth showing.
        key_id: Who signed; empty if nobody we trust.
        not_checked: What was not given to compare with, or never read.
    """

    problems: tuple[Problem, ...]
    bundle: Bundle | None = None
    key_id: str = ""
    not_checked: tuple[str, ...] = ()


def attest(
    card: Scorecard, signer: Signer, formats: Mapping[str, ReportFormat], *, valid_for: timedelta, now: datetime
) -> tuple[bytes, bytes]:
    """Return the signed statements of a run, and the CycloneDX document they name.

    Args:
        card: A recorded scorecard.
        signer: Who signs.
        formats: Report formats by name.
        valid_for: Counted from the day of the verdict: an old one does not become young by signing.
        now: Today.

    Raises:
        SignatureError: The verdict would have expired already.
        SubjectError: Files were audited that have no digest.
    """
    until = card.verdict.on + valid_for
    if until <= now:
        raise SignatureError(
            f"the verdict is of {card.verdict.on:%Y-%m-%d} and would have expired on {until:%Y-%m-%d}",
            hint="audit again, or give a longer --valid-for",
        )
    boms = {name: (formats[name].media_type, formats[name].render(card)) for name in BOM_FORMATS if name in formats}
    lines = [signer.seal(payload) for payload in payloads(card, boms, until)]
    return b"\n".join(lines) + b"\n", boms["cyclonedx"][1]


def verify(
    envelope: Path,
    folder: Path,
    trusted: Sequence[TrustedKey],
    *,
    settings: Settings,
    base: Path | None = None,
    policy: str | None = None,
    bom: Path | None = None,
    at: datetime | None = None,
    only_approved: bool = True,
    identity: Identity | None = None,
    checkpoint: Callable[[], None] = lambda: None,
) -> Verified:
    """Compare a signed verdict with what is there.

    Args:
        envelope: File of ``attest``.
        folder: The adapter's files.
        trusted: Keys that are believed.
        settings: Limits.
        base: The base model's files, if they are to be compared too.
        policy: Digest of the policy that is expected.
        bom: A bill of materials to compare.
        at: The date to judge on; None: now.
        only_approved: Whether another decision is a problem.
        identity: Whose keyless signature is believed, in place of a key.
        checkpoint: Called often; raises ``Cancelled``.

    Raises:
        PrerequisiteError: No key is trusted.
        SubjectError: Something cannot be read.
    """
    if not trusted and identity is None:
        raise PrerequisiteError("no key is trusted, so no signature can hold", hint="--key FILE.pub, or CURATOR_TRUSTED_KEYS")
    data = _read(envelope)
    try:
        said = [identity.opened(line) if identity is not None else opened(line, trusted) for line in _lines(data)]
        if len({key for _, key in said}) != 1:
            raise SignatureError("the statements were signed by different keys")
        bundle = read_bundle([payload for payload, _ in said])
    except SignatureError as error:
        return Verified(problems=(Problem(code="envelope", message=error.message),))
    ctx = RunContext(
        run_id=new_run_id(),
        on=at or utc_now(),
        store=Store(settings.folder / "store"),
        limits=settings.limits,
        checkpoint=checkpoint,
    )
    adapter, strange = _present(folder, ctx)
    parent, further = _present(base, ctx) if base is not None else (None, {})
    now = Present(
        adapter=adapter,
        base=parent,
        strange={**strange, **further},
        policy=policy,
        bom=hashlib.sha256(_read(bom)).hexdigest() if bom is not None else None,
        on=ctx.on,
        only_approved=only_approved,
    )
    has_base = any(f.name.startswith("base/") for f in bundle.verdict.subject)
    given = {
        "the base's files (--base)": base is not None or not has_base,
        "the policy (--policy)": policy is not None,
        "the bill of materials (--bom)": bom is not None,
    }
    missing = [what for what, is_given in given.items() if not is_given]
    if unread := bundle.verdict.predicate.model_curator.unread:
        missing.append(f"{len(unread)} files of the base, whose bytes the audit never read")
    return Verified(judge(bundle, now), bundle, said[0][1], tuple(missing))


def trusted_keys(files: Sequence[Path], settings: Settings) -> tuple[TrustedKey, ...]:
    """Return the keys that are believed: those given, else those of the installation's folder.

    Raises:
        PrerequisiteError: A file cannot be read.
        SignatureError: A file holds no usable public key.
    """
    folder = settings.trusted_keys.expanduser() if settings.trusted_keys is not None else None
    return tuple(read_public(path) for path in files or (sorted(folder.glob("*.pub")) if folder is not None else ()))


def _lines(data: bytes) -> list[bytes]:
    lines = data.removesuffix(b"\n").split(b"\n")
    if len(lines) > _MOST_ENVELOPES:
        raise SignatureError(f"the file has {len(lines)} lines; a signed verdict has three")
    return lines


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise SubjectError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise SubjectError(f"{path} is larger than {MOST_BYTES} bytes, more than any signed verdict or bill of materials")
    return data


def _present(folder: Path, ctx: RunContext) -> tuple[dict[str, Digests], dict[str, str]]:
    """Return the digests of every file of a folder, and the entries that are none."""
    if not folder.is_dir():
        raise SubjectError(f"{folder} is no folder", hint="give the folder that holds the adapter's files")
    ref = ArtifactRef(source=SourceKind.LOCAL, name=str(folder.absolute()))
    subject = in_place(ref, ctx, lambda _, __: None)
    found: dict[str, Digests] = {}
    strange = {path: reason for path, reason in subject.refused if path != _NOT_CONTENT}
    for entry in subject.files:
        path = folder_of(ref.name) / PurePosixPath(entry.path)
        try:
            with (path.resolve() if entry.link is not None else path).open("rb") as stream:
                sha256, sha512, _ = hash_stream(stream, lambda _: ctx.checkpoint())
        except OSError as error:
            raise SubjectError(f"{entry.path} cannot be read: {error.strerror}", hint="check its permissions") from error
        found[entry.path] = Digests(sha256=sha256, sha512=sha512)
    return found, strange
