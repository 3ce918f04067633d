"""What a pickle would import, call and build, read from its opcodes. Nothing is unpickled and no name is resolved.

A linear walk over every pickle of a byte string; the abstract machine is ``pickles.machine``. A broken stream gives what was
seen before it broke, then the break. Read by ``pickles.review`` and ``kinds``.

Source:
    Python's ``pickletools`` (opcode table) and ``_pickle.c``; PEP 307, PEP 3154, PEP 574.
"""

from __future__ import annotations

from scanners._formats.pickles.machine import Machine
from scanners._formats.pickles.pages import Octets
from scanners._formats.pickles.values import Walk

#: Most ends of frames that lie after STOP and are walked from.
_RESUMED = 8


def walk(data: Octets, *, limit: int, most: int = 1 << 30, at: int = 0) -> Walk:
    """Walk every pickle from a place in a byte string.

    Bytes after a complete pickle are walked as a further one; if that one breaks before it imported anything, it was none:
    ``end`` is smaller than the data then, and nothing is ``broken``.

    Args:
        data: The stream.
        limit: Most opcodes followed.
        most: Pickles after which to stop; what follows is raw data.
        at: Where the first pickle begins.

    Returns:
        What was seen; never raises on content.
    """
    seen = Walk()
    while at < len(data):
        attempt = Walk(opcodes=seen.opcodes)
        Machine(data, attempt, limit, at).run()
        if seen.ends and (attempt.broken or not attempt.sound) and not (_imports(attempt) or attempt.opcodes > limit):
            seen.cut = seen.cut or attempt.cut
            break
        _add(seen, attempt)
        if seen.broken or seen.pickles >= most:
            break
        at = seen.end
    for place in seen.resumes[:_RESUMED]:  # pickle.py has read the frame to its end when it stops, C has not
        attempt = Walk(opcodes=seen.opcodes)
        Machine(data, attempt, limit, place).run()
        if _imports(attempt):
            attempt.ends, attempt.broken, attempt.broken_at = [], seen.broken, seen.broken_at
            _add(seen, attempt)
    return seen


def _imports(attempt: Walk) -> bool:
    """Return whether a broken pickle had imported something that can be a name; raw numbers rarely spell one."""
    return any(i.name is None or str(i.name).replace(".", "_").isidentifier() for i in attempt.imports)


def _add(seen: Walk, more: Walk) -> None:
    """Join a further pickle to those before it."""
    for name in ("imports", "calls", "planted", "constants", "persistent", "reach", "extensions", "faults", "ends", "resumes"):
        getattr(seen, name).extend(getattr(more, name))
    if seen.sound_opcodes is None:
        seen.sound_opcodes = more.sound_opcodes
    seen.broken, seen.broken_at, seen.opcodes = more.broken, more.broken_at, more.opcodes
    seen.deepest, seen.largest = max(seen.deepest, more.deepest), max(seen.largest, more.largest)
    seen.wanted = more.wanted
    seen.vast = seen.vast or more.vast
    seen.memo, seen.cut = max(seen.memo, more.memo), seen.cut or more.cut
