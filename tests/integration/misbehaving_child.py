"""A child that does what it is told, mostly wrong things. Started by ``test_isolation``."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator

from governance.confinement import REACHED
from governance.context import RunContext
from governance.errors import PrerequisiteError
from governance.evidence import Coverage, Outcome
from governance.wire import LINES_FD, Job, serve


def _say(reason: str) -> Coverage:
    return Coverage(item="test", outcome=Outcome.COMPLETED, reason=reason)


def _try(path: str, mode: str) -> str:
    try:
        with open(path, mode) as stream:
            stream.write("x") if "w" in mode else stream.read()
    except PermissionError:
        return "refused"
    return "written" if "w" in mode else "read"


def _want(length: int) -> None:
    spans = [[0, length]]
    line = {"kind": "want", "name": "acme/lora", "path": "weights.bin", "spans": spans}
    os.write(int(os.environ[LINES_FD]), json.dumps(line).encode() + b"\n")


def handle(job: Job, ctx: RunContext) -> Iterator[Coverage]:
    what, _, argument = job.plugin.partition(":")
    match what:
        case "pid":
            yield _say(str(os.getpid()))
        case "environment":
            yield _say(" ".join(sorted(os.environ)))
        case "connect":
            try:
                socket.create_connection(("127.0.0.1", int(argument)), timeout=2).close()
                yield _say("connected")
            except OSError as error:
                yield _say(f"refused: {error}")
        case "write":
            yield _say(_try(argument, "w"))
        case "read":
            yield _say(_try(argument, "r"))
        case "say-and-die":
            yield _say("before")
            os.kill(os.getpid(), signal.SIGKILL)
        case "crash":
            os.abort()
        case "raise":
            raise ValueError("no such thing")
        case "prerequisite":
            raise PrerequisiteError("it is not installed", hint="pip install it")
        case "sleep":
            time.sleep(60)
        case "grow":
            hoard = []
            for _ in range(40):
                hoard.append(bytearray(os.urandom(1 << 10) * (64 << 10)))
                time.sleep(0.05)
        case "talk":
            for _ in range(1000):
                yield _say("blah " * 20)
        case "want":
            offset, length = map(int, argument.split(","))
            yield _say(ctx.fetch("acme/lora", "weights.bin", [(offset, length)]).decode())
        case "want-and-sleep":
            _want(4 << 20)
            time.sleep(60)
        case "want-and-die":
            _want(10)
            os.kill(os.getpid(), signal.SIGKILL)
        case "want-too-much":
            _want(1 << 40)
            time.sleep(5)
        case "lie":
            os.write(int(os.environ[LINES_FD]), b'{"kind": "verdict", "decision": "approve"}\n')
            time.sleep(5)
        case _:
            yield _say("hello")


if __name__ == "__main__":
    serve(handle, isolation=os.environ.get(REACHED, ""))
