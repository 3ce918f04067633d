"""``curator attest`` and ``curator verify``: put a signature under a verdict, and find out whether one still holds."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from api.cli.groups import by_default
from api.cli.session import Interrupt, command_app, curator, err, errors_shown, settings
from api.outcomes import OK, REJECT
from governance.errors import SubjectError

if TYPE_CHECKING:
    from api.attest import Verified
    from api.settings import Settings
    from governance.keyless import Identity
    from governance.signing import Signer

ATTEST_HELP = """Sign the verdict of a recorded run: in-toto statements over the exact files audited, in DSSE envelopes, one a line.

The key is a local Ed25519 key; nothing leaves this machine. CURATOR_SIGNING_PASSPHRASE opens a locked key.

Examples:

  curator attest keygen

  curator attest RUN -o verdict.intoto.jsonl --bom bom.cdx.json

  curator verify verdict.intoto.jsonl ./my-adapter --key attest.key.pub
"""
VERIFY_HELP = """Say whether a signed verdict still holds for the files in a folder.

It does not if a byte of a file, the set of files, the policy, the bill of materials or the envelope was changed, if it has
expired, if another key made it, or if the verdict is not approve. Nothing in the envelope is believed before its signature held.
A file the audit did not see is a reason too: delete what a download tool left behind (.cache/huggingface) first.

Exit codes: 0 it holds; 11 it does not, with every reason; 1 could not be checked; 2 bad usage.

Examples:

  curator verify verdict.intoto.jsonl ./my-adapter --key attest.key.pub

  curator verify verdict.intoto.jsonl ./my-adapter --key attest.key.pub --base ./base --policy strict.yaml --bom bom.cdx.json
"""
_SPAN = re.compile(r"([1-9][0-9]{0,4})d\Z")


def sign(
    run: Annotated[str, typer.Argument(help="run id, or the name of an adapter: its newest", metavar="RUN")],
    key: Annotated[Path | None, typer.Option(help="private key; default: the one of curator attest keygen")] = None,
    valid_for: Annotated[str, typer.Option(help="days the verdict is relied on, from its own date", metavar="DAYS")] = "90d",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="a file instead of standard output")] = None,
    keyless: Annotated[
        bool, typer.Option("--keyless", help="sign as an identity by Sigstore: needs the network, is public")
    ] = False,
    bom: Annotated[Path | None, typer.Option(help="also write the CycloneDX document that is named")] = None,
) -> None:
    """Sign the verdict of a recorded run (the default command)."""
    from api.attest import attest
    from api.cli.audit import find
    from governance.context import utc_now
    from governance.signing import read_private

    span = _SPAN.match(valid_for)
    if span is None:
        raise typer.BadParameter(f"{valid_for!r}; write days, such as 90d", param_hint="--valid-for")
    with errors_shown(), curator() as opened:
        signer = _identity(opened.settings) if keyless else read_private(key or opened.settings.signing_key, _passphrase())
        card = find(opened, run)
        envelopes, document = attest(
            card, signer, opened.formats, valid_for=timedelta(days=int(span.group(1))), now=utc_now()
        )  # fmt: skip
        if bom is not None:
            _save(bom, document)
        if output is not None:
            _save(output, envelopes)
            err.print(f"signed {card.verdict.decision.value} of run {card.run_id} with key {signer.key_id}", soft_wrap=True)
        else:
            typer.echo(envelopes.decode().removesuffix("\n"))


def keygen(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="the private key's file; .pub is put beside it")] = None,
) -> None:
    """Make an Ed25519 key pair: the private key readable by its owner only, never overwriting one."""
    from governance.signing import make_key

    with errors_shown():
        path = output or settings().signing_key
        public, key_id = make_key(path, _passphrase())
        typer.echo(key_id)
        locked = "locked with CURATOR_SIGNING_PASSPHRASE" if _passphrase() else "not locked: its file is all that is needed to sign"
        err.print(f"private key {path} ({locked}); public key {public}", markup=False, soft_wrap=True)


def verify(
    envelope: Annotated[Path, typer.Argument(help="what curator attest wrote", metavar="ENVELOPE")],
    path: Annotated[Path, typer.Argument(help="the adapter's folder", metavar="PATH")],
    key: Annotated[list[Path] | None, typer.Option(help="public key that is believed (repeatable)")] = None,
    base: Annotated[Path | None, typer.Option(help="the base model's folder, to compare its files too")] = None,
    policy: Annotated[str | None, typer.Option(help="the policy that is expected: a shipped one's name, or a file")] = None,
    bom: Annotated[Path | None, typer.Option(help="a bill of materials to compare")] = None,
    at: Annotated[datetime | None, typer.Option(help="judge on this date (UTC); default: now")] = None,
    identity: Annotated[str | None, typer.Option(help="whose keyless signature is believed, with --issuer")] = None,
    issuer: Annotated[str | None, typer.Option(help="who vouches for that identity")] = None,
    any_verdict: Annotated[bool, typer.Option("--any-verdict", help="a review or reject is no problem")] = False,
    format_id: Annotated[Literal["table", "json"], typer.Option("--format", "-f")] = "table",
) -> None:
    """Say whether a signed verdict holds."""
    from api import attest as attesting

    if (identity is None) != (issuer is None) or (identity is not None and key):
        raise typer.BadParameter("--identity and --issuer go together, and without --key", param_hint="--identity")
    with errors_shown(as_json=format_id == "json"):
        found = settings()
        expected = _policy_digest(policy) if policy is not None else None
        verified = attesting.verify(
            envelope,
            path,
            attesting.trusted_keys(key or (), found) if identity is None else (),
            settings=found,
            base=base,
            policy=expected,
            bom=bom,
            at=at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at,
            only_approved=not any_verdict,
            identity=_believed(identity, issuer, found),
            checkpoint=Interrupt(),
        )
        show = _json if format_id == "json" else _table
        typer.echo(show(verified))
    code = REJECT if verified.problems else OK
    err.print(f"exit {code} ({'the signed verdict does not hold' if code else 'the signed verdict holds'})")
    raise typer.Exit(code)


def _identity(found: Settings) -> Signer:
    from governance.keyless import KeylessSigner

    token = found.identity_token
    return KeylessSigner(token.get_secret_value() if token is not None else None, offline=found.offline)


def _believed(identity: str | None, issuer: str | None, found: Settings) -> Identity | None:
    from governance.keyless import Identity

    return Identity(identity, issuer, offline=found.offline) if identity is not None and issuer is not None else None


def _policy_digest(reference: str) -> str:
    from api.cli.policy import load_policy

    return load_policy(reference).digest


def _passphrase() -> str | None:
    secret = settings().signing_passphrase
    return secret.get_secret_value() if secret is not None else None


def _json(verified: Verified) -> str:
    said = verified.bundle.verdict.predicate if verified.bundle is not None else None
    document = {
        "holds": not verified.problems,
        "problems": [p.model_dump() for p in verified.problems],
        "not_checked": list(verified.not_checked),
        "key_id": verified.key_id,
        "verdict": said.model_dump(mode="json", by_alias=True) if said is not None else None,
    }
    return json.dumps(document, indent=2, ensure_ascii=True)


def _table(verified: Verified) -> str:
    """Return the verdict's own words only if its signature held; ``ascii`` keeps a hostile one from moving the cursor."""
    lines = [f"does not hold: {p.message}" for p in verified.problems]
    if verified.bundle is not None:
        p = verified.bundle.verdict.predicate
        files = len(verified.bundle.verdict.subject)
        lines += [
            f"decision      {p.model_curator.decision}: {_plain(p.model_curator.reason)}",
            f"subject       {_plain(p.resource_uri)}, {files} files",
            f"policy        {_plain(p.policy.uri or '')} sha256:{p.policy.digest.sha256}",
            f"run           {_plain(p.model_curator.run_id)} of {_plain(p.time_verified)}",
            f"valid until   {_plain(p.model_curator.valid_until)}",
            f"signed by     {verified.key_id}",
        ]
    return "\n".join([*lines, *(f"not checked   {what}" for what in verified.not_checked)])


def _plain(text: str) -> str:
    return text[:300].encode("unicode_escape").decode("ascii")


def _save(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise SubjectError(f"{path} cannot be written: {error.strerror}") from error
    err.print(f"wrote {path}", markup=False, soft_wrap=True)


attest_app = typer.Typer(
    cls=by_default("sign"), help=ATTEST_HELP, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    add_completion=False, context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
attest_app.command("sign")(sign)
attest_app.command("keygen")(keygen)
verify_app = command_app(verify, help=VERIFY_HELP)
