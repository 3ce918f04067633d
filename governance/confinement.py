"""The child's side of isolation: cut this process off, then run one module. Standard library only.

``python -I -m governance.confinement MODULE`` reads what to allow from ``CURATOR_CONFINEMENT`` (JSON), takes the network
away, restricts the file system, sets limits, says what it reached in ``CURATOR_ISOLATION_REACHED``, and runs MODULE as
``__main__``. It happens before any byte of a subject is read and cannot be undone by what runs later.

Source:
    Linux ``unshare(2)``, ``landlock(7)`` (ABI 1 to 7), ``prctl(2)``, ``getrlimit(2)``.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import runpy
import struct
import sys
from collections.abc import Iterable

#: Exit status of a child whose network could not be taken away.
NETWORK_NOT_REMOVED = 97
SPEC = "CURATOR_CONFINEMENT"
REACHED = "CURATOR_ISOLATION_REACHED"

_NEWUSER, _NEWNET = 0x10000000, 0x40000000
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_NO_NEW_PRIVS = 38
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_TCP = 0b11


def main(module: str) -> None:
    """Confine this process and run a module in it.

    Args:
        module: A dotted name, run as ``__main__``.
    """
    spec = json.loads(os.environ.pop(SPEC))  # noqa: TID251 - the one job of this module's caller
    os.environ[REACHED] = confine(spec)  # noqa: TID251 - read back by the module it starts
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def confine(spec: dict[str, object]) -> str:
    """Cut this process off as asked.

    Args:
        spec: ``readable`` and ``writable`` lists of paths; ``address_space``, ``file_bytes``, ``open_files`` ceilings or
            None; ``unsafe`` to go on when the network cannot be taken away.

    Returns:
        What was reached, for people: ``network namespace, Landlock ABI 7 (files), no new privileges``.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    reached: list[str] = []
    for kind, key in (
        (resource.RLIMIT_AS, "address_space"),
        (resource.RLIMIT_FSIZE, "file_bytes"),
        (resource.RLIMIT_NOFILE, "open_files"),
    ):
        ceiling = spec.get(key)
        if isinstance(ceiling, int):
            hard = resource.getrlimit(kind)[1]
            ceiling = ceiling if hard == resource.RLIM_INFINITY else min(ceiling, hard)
            resource.setrlimit(kind, (ceiling, ceiling))
            if kind == resource.RLIMIT_AS:
                reached.append("memory limit")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    namespace = not spec.get("unsafe") and _leave_network(libc)
    if namespace:
        reached.insert(0, "network namespace")
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        reached.append("no new privileges")
    readable, writable = _paths(spec.get("readable")), _paths(spec.get("writable"))
    abi, tcp = (0, False) if spec.get("unsafe") else _landlock(libc, readable, writable, tcp=not namespace)
    if abi:
        reached.append(f"Landlock ABI {abi} (files{', TCP' if tcp else ''})")
    if not namespace and not tcp:
        if not spec.get("unsafe"):
            sys.stderr.write("the network could not be taken away: neither a namespace nor Landlock ABI 4 is allowed here\n")
            sys.exit(NETWORK_NOT_REMOVED)
        return "unsafe-none"
    if not namespace or not abi:
        reached.append("reduced")
    return ", ".join(reached)


def _paths(value: object) -> list[str]:
    return [str(p) for p in value] if isinstance(value, list) else []


def _leave_network(libc: ctypes.CDLL) -> bool:
    """Enter an empty network namespace; a user namespace makes that possible without privileges."""
    if os.geteuid() == 0 and libc.unshare(_NEWNET) == 0:
        return True
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(_NEWUSER | _NEWNET) != 0:
        return False
    for path, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        try:
            with open(f"/proc/self/{path}", "w") as out:
                out.write(text)
        except OSError:
            break  # the process goes on as nobody: files it may read stay readable
    return True


def _landlock(libc: ctypes.CDLL, readable: Iterable[str], writable: Iterable[str], *, tcp: bool) -> tuple[int, bool]:
    """Restrict the file system, and TCP if asked. Returns the ABI used (0: none) and whether TCP is closed."""
    abi = libc.syscall(_CREATE_RULESET, None, 0, 1)
    if abi < 1:
        return 0, False
    rights = (1 << 13) - 1
    rights |= (1 << 13 if abi >= 2 else 0) | (_TRUNCATE if abi >= 3 else 0) | (_IOCTL if abi >= 5 else 0)
    closes_tcp = tcp and abi >= 4
    attributes = struct.pack("=QQ", rights, _TCP if closes_tcp else 0) if abi >= 4 else struct.pack("=Q", rights)
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.c_char_p(attributes), len(attributes), 0)
    if ruleset < 0:
        return 0, False
    for paths, allowed in ((readable, _READ), (writable, rights)):
        for path in paths:
            _allow(libc, ruleset, path, allowed & rights)
    done = libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return (abi, closes_tcp) if done else (0, False)


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not os.path.isdir(path):
        rights &= _FILE_RIGHTS
    rule = struct.pack("=Qi", rights, handle)
    libc.syscall(_ADD_RULE, ruleset, 1, ctypes.c_char_p(rule), 0)
    os.close(handle)


if __name__ == "__main__":
    main(sys.argv[1])
