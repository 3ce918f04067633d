"""Signing without a key of one's own: Sigstore, an optional extra that needs the network. Same statements, another envelope.

An identity (a person's or a workflow's) takes the place of a key: whoever verifies names the identity and its issuer. The
signature and its time are written into a public log, and so is the identity.

Source:
    Sigstore bundle 0.3; sigstore-python 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from governance.canonical import canonical_json, strict_json
from governance.errors import PrerequisiteError, SignatureError
from governance.signing import IN_TOTO

if TYPE_CHECKING:
    from types import ModuleType

_INSTALL = "pip install 'model-curator[sigstore]'"


class KeylessSigner:
    """Signs as an identity.

    Args:
        token: An OpenID Connect token; None: that of the workflow this runs in.
        offline: Whether no connection may be opened.

    Raises:
        PrerequisiteError: Sigstore is not installed, the network may not be used, or there is no identity.
    """

    def __init__(self, token: str | None, *, offline: bool) -> None:
        if offline:
            raise PrerequisiteError(
                "signing without a key needs the network, and this installation is offline",
                hint="curator attest keygen makes a key that works offline, or unset CURATOR_OFFLINE",
            )
        oidc = _imported("oidc")
        try:
            found = token or oidc.detect_credential()
            if found is None:
                raise PrerequisiteError(
                    "there is no identity to sign as", hint="run in a workflow with an identity, or set CURATOR_IDENTITY_TOKEN"
                )
            self._token = oidc.IdentityToken(found)
        except _error(oidc, "IdentityError") as error:
            raise PrerequisiteError(f"the identity cannot be used: {error}"[:300], hint="get a new token") from error
        self.key_id = f"identity {self._token.identity}"

    def seal(self, payload: bytes) -> bytes:
        """Return a payload in a Sigstore bundle, as one line of JSON.

        Raises:
            PrerequisiteError: The services cannot be reached.
        """
        sign, dsse, models = _imported("sign"), _imported("dsse"), _imported("models")
        try:
            context = sign.SigningContext.from_trust_config(models.ClientTrustConfig.production())
            with context.signer(self._token) as signer:
                bundle = signer.sign_dsse(dsse.Statement(payload)).to_json()
        except (_error(_imported("errors"), "Error"), OSError) as error:
            raise PrerequisiteError(
                f"Sigstore cannot be reached, or refused to sign: {error}"[:300],
                hint="curator attest keygen makes a key that works offline",
            ) from error
        return canonical_json(strict_json(bundle.encode()))


class Identity:
    """An identity that is believed.

    Args:
        identity: Its name, e.g. an address or the URL of a workflow.
        issuer: Who vouches for it; without one anybody's issuer could claim the name.
        offline: Use the trust root that is cached, and open no connection.
    """

    def __init__(self, identity: str, issuer: str, *, offline: bool) -> None:
        self._identity, self._issuer, self._offline = identity, issuer, offline
        _imported("verify")

    def opened(self, envelope: bytes) -> tuple[bytes, str]:
        """Return the payload of a bundle whose signature holds, and who made it.

        Raises:
            SignatureError: It is no such bundle, or its signature does not hold.
            PrerequisiteError: The trust root cannot be had.
        """
        verify, models, errors = _imported("verify"), _imported("models"), _imported("errors")
        text = canonical_json(strict_json(envelope)).decode()
        try:
            bundle = models.Bundle.from_json(text)
            verifier = verify.Verifier.production(offline=self._offline)
            wanted = verify.policy.Identity(identity=self._identity, issuer=self._issuer)
            kind, payload = verifier.verify_dsse(bundle, wanted)
        except (_error(errors, "NetworkError"), _error(errors, "TUFError"), _error(errors, "RootError"), OSError) as error:
            raise PrerequisiteError(f"Sigstore's trust root cannot be had: {error}"[:300], hint="verify once online") from error
        except (_error(errors, "Error"), _error(models, "InvalidBundle"), ValueError) as error:
            raise SignatureError(f"the signature of {self._identity!a:.100} does not hold: {error}"[:300]) from error
        if kind != IN_TOTO:
            raise SignatureError(f"the envelope is of another type: {kind!a:.80}")
        return bytes(payload), f"{self._identity} ({self._issuer})"


def _imported(name: str) -> ModuleType:
    from importlib import import_module

    try:
        return import_module(f"sigstore.{name}")
    except ImportError as error:
        raise PrerequisiteError("Sigstore is not installed", hint=_INSTALL) from error


def _error(module: ModuleType, name: str) -> type[Exception]:
    """Return an exception class of the library, whose version may have moved it."""
    found = getattr(module, name, None)
    return found if isinstance(found, type) and issubclass(found, Exception) else _Never


class _Never(Exception):  # noqa: N818 - stands for what is not there
    """Never raised."""
