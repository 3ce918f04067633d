"""One reading in a process of its own: a native library that crashes or never ends on a hostile file takes only it along.

The process inherits the confinement of the one that starts it, hands back JSON, and is ended at a deadline.

Source:
    POSIX fork(2), pipe(2), waitpid(2).
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable

_LARGEST = 256 << 20


def apart(reading: Callable[[], object], seconds: float) -> tuple[object, str | None]:
    """Return what a reading gives, and why it gave nothing.

    Args:
        reading: Returns what JSON can say; it must not write or change anything.
        seconds: How long it may take.
    """
    inward, outward = os.pipe()
    child = os.fork()
    if child == 0:  # nothing of the parent may run here: no handlers, no buffers, no locks
        code = 1
        try:
            os.close(inward)
            view = memoryview(json.dumps(reading()).encode())
            while view:
                view = view[os.write(outward, view) :]
            code = 0
        finally:
            os._exit(code)
    os.close(outward)
    data, why = _collected(inward, time.monotonic() + seconds)
    os.close(inward)
    if why is not None:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if why is None and status != 0:
        why = "its library crashed on it" if os.WIFSIGNALED(status) else "its library failed on it"
    return (None, why) if why is not None else (json.loads(data), None)


def _collected(source: int, until: float) -> tuple[bytes, str | None]:
    """Return everything a pipe gives before its end, and why the end was not reached."""
    parts, total = list[bytes](), 0
    while True:
        ready, _, _ = select.select([source], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return b"", "its library did not end in time"
        part = os.read(source, 1 << 16)
        if not part:
            return b"".join(parts), None
        parts.append(part)
        total += len(part)
        if total > _LARGEST:
            return b"", "it says more than is taken"
