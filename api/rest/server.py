"""``curator serve``: one process, one ledger, one worker. Hands uvicorn the application, never an import string."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from api.access import Access, assert_may_bind
from api.jobs import Jobs
from api.rest.app import create_app
from api.rest.service import Service
from governance.errors import PrerequisiteError
from policies.loader import shipped

if TYPE_CHECKING:
    from api.curator import Curator

_GRACE_SECONDS = 5


def run(curator: Curator, *, host: str, port: int, allow_folder: Path | None) -> None:
    """Serve until interrupted; runs at work then end, and are taken over when asked for again.

    Args:
        curator: An open curator; nobody else may use its ledger meanwhile.
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        allow_folder: Folders below this one may be audited by path; None: none.

    Raises:
        PrerequisiteError: The address needs an access token, or cannot be listened on.
    """
    token = curator.settings.api_token.get_secret_value() if curator.settings.api_token else None
    assert_may_bind(host, token)
    listening = _listen(host, port)
    jobs = Jobs(curator, curator.ledger)
    service = Service(desk=curator, ledger=curator.ledger, jobs=jobs, policies=shipped, allow_folder=allow_folder)
    app = create_app(service, Access(token))
    _announce(host, listening.getsockname()[1], jobs.lost)
    config = uvicorn.Config(
        app, log_level="warning", server_header=False, access_log=False, timeout_graceful_shutdown=_GRACE_SECONDS, lifespan="off"
    )
    try:
        with _signals_survived():
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        jobs.close()
        listening.close()


@contextmanager
def _signals_survived() -> Iterator[None]:
    """Let uvicorn end politely and then go on: it raises the signal that ended it again, which would end us unnoted."""
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, lambda number, frame: None) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host.strip("[]"), port), family=family, backlog=128)
    except OSError as error:
        raise PrerequisiteError(
            f"{host} port {port} cannot be listened on: {error.strerror or error}", hint="choose another with --port, or --port 0"
        ) from error


def _announce(host: str, port: int, lost: tuple[str, ...]) -> None:
    name = f"[{host}]" if ":" in host else host
    sys.stderr.write(f"model curator listens on http://{name}:{port}\n")
    for run_id in lost:
        sys.stderr.write(f"run {run_id} was interrupted; ask for the same audit again and its finished checks are reused\n")
    sys.stderr.flush()
