"""Who may speak to the service: anyone on this machine, or whoever holds the installation's access token.

Without a token the service listens on a loopback address only and answers to loopback names only, so that a web page
cannot reach it under a name of its own. With a token every path but the public ones asks for it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from urllib.parse import urlsplit

from governance.errors import PrerequisiteError

#: Paths that say nothing about any subject; open to all. Everything else is closed by default.
PUBLIC = ("/healthz", "/readyz", "/static/")


def is_loopback(host: str) -> bool:
    """Return whether an address or name can only mean this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_public(path: str) -> bool:
    """Return whether a path is open to all."""
    return any(path == p or (p.endswith("/") and path.startswith(p)) for p in PUBLIC)


def assert_may_bind(host: str, token: str | None) -> None:
    """Refuse to listen where strangers are, unless they have to show a token.

    Args:
        host: Address or name to listen on.
        token: The access token, if one is set.

    Raises:
        PrerequisiteError: The address is not loopback, and there is no token.
    """
    if not token and not is_loopback(host):
        raise PrerequisiteError(
            f"{host} can be reached by others, and no access token is set",
            hint='set CURATOR_API_TOKEN, e.g. to the output of "openssl rand -hex 32", or keep to 127.0.0.1',
        )


class Access:
    """Decides on one request.

    Args:
        token: The access token; None: this machine only, nobody is asked.
    """

    def __init__(self, token: str | None) -> None:
        self._digest = hashlib.sha256(token.encode()).digest() if token else None

    @property
    def asks(self) -> bool:
        """Whether a token has to be shown."""
        return self._digest is not None

    def admits(self, authorization: str) -> bool:
        """Return whether the ``Authorization`` header opens the door.

        Args:
            authorization: ``Bearer TOKEN``; or ``Basic``, as browsers send it, with the token as password.
        """
        if self._digest is None:
            return True
        scheme, _, credentials = authorization.partition(" ")
        shown = credentials.strip() if scheme.lower() == "bearer" else _password(credentials) if scheme.lower() == "basic" else ""
        # digests have equal lengths, so the time tells nothing of the token's
        return hmac.compare_digest(hashlib.sha256(shown.encode("utf-8", "replace")).digest(), self._digest)

    def answers_to(self, host: str) -> bool:
        """Return whether the name in a ``Host`` header is one of ours; any name is, once a token is asked for."""
        try:
            return self.asks or is_loopback(urlsplit(f"//{host}").hostname or "")
        except ValueError:
            return False


def _password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode("utf-8", "replace").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
