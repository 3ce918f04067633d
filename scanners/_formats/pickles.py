"""What a pickle would import, call and build, read from its opcodes. Nothing is unpickled and no name is resolved.

A linear walk over every pickle of a byte string; the abstract machine is ``pickle_machine``. A broken stream gives what was
seen before it broke, then the break. Read by ``scanners.pickle_imports`` and ``kinds``.

Source:
    Python's ``pickletools`` (opcode table) and ``_pickle.c``; PEP 307, PEP 3154, PEP 574.
"""

from __future__ import annotations

from io import BytesIO

from scanners._formats.pickle_machine import Machine
from scanners._formats.pickle_values import Walk


def walk(data: bytes, *, limit: int, most: int = 1 << 30) -> Walk:
    """Walk every pickle at the start of a byte string.

    Bytes after a complete pickle are walked as a further one; if that one breaks before it imported anything, it was none:
    ``end`` is smaller than the data then, and nothing is ``broken``.

    Args:
        data: The stream.
        limit: Most opcodes followed.
        most: Pickles after which to stop; what follows is raw data.

    Returns:
        What was seen; never raises on content.
    """
    seen, stream = Walk(), BytesIO(data)
    while stream.tell() < len(data):
        attempt = Walk(opcodes=seen.opcodes)
        Machine(data, stream, attempt, limit).run()
        if seen.ends and (attempt.broken or not attempt.sound) and not (_imports(attempt) or attempt.opcodes > limit):
            break
        _add(seen, attempt)
        if seen.broken or seen.pickles >= most:
            break
    return seen


def _imports(attempt: Walk) -> bool:
    """Return whether a broken pickle had imported something that can be a name; raw numbers rarely spell one."""
    return any(i.name is None or str(i.name).replace(".", "_").isidentifier() for i in attempt.imports)


def _add(seen: Walk, more: Walk) -> None:
    """Join a further pickle to those before it."""
    for name in ("imports", "calls", "planted", "constants", "persistent", "reach", "extensions", "faults", "ends"):
        getattr(seen, name).extend(getattr(more, name))
    if seen.sound_opcodes is None:
        seen.sound_opcodes = more.sound_opcodes
    seen.broken, seen.broken_at, seen.opcodes = more.broken, more.broken_at, more.opcodes
    seen.deepest, seen.largest = max(seen.deepest, more.deepest), max(seen.largest, more.largest)
