"""The hash chain over events: canonical text, previous hash → hash, and its check.

Written by ``governance.ledger.writer``, checked by ``governance.ledger.queries``. Pure functions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from governance.subject import canonical_digest

#: What stands before the first event.
GENESIS = "0" * 64
_HASHED = ("seq", "at", "kind", "entity", "actor", "payload_sha256")


@dataclass(frozen=True)
class Position:
    """A place in the chain: how many events there are, and the hash of the last."""

    seq: int = 0
    hash: str = GENESIS


def sha256(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8 bytes, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def event_hash(previous: str, event: Mapping[str, object]) -> str:
    """Return the hash of one event.

    Args:
        previous: The hash of the event before, 64 hexadecimal digits.
        event: At least seq, at, kind, entity, actor and payload_sha256.

    Returns:
        64 hexadecimal digits. The payload is hashed apart, so that redacting one leaves the chain whole and visible.
    """
    return sha256(previous + canonical_digest({k: event[k] for k in _HASHED}))


def first_broken(events: Iterable[Mapping[str, object]], start: Position) -> tuple[Position, int | None]:
    """Walk the chain.

    Args:
        events: Events in order of seq, whole rows.
        start: The place before the first of them.

    Returns:
        The last sound place, and the seq at which the chain breaks, or None.
    """
    here = start
    for event in events:
        expected = here.seq + 1
        sound = (
            event["seq"] == expected
            and event["prev_hash"] == here.hash
            and event["payload_sha256"] == sha256(str(event["payload"]))
            and event["hash"] == event_hash(here.hash, event)
        )
        if not sound:
            return here, expected
        here = Position(expected, str(event["hash"]))
    return here, None
