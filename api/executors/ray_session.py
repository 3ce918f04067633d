"""Ray itself: imported when it is asked for, started for this machine alone, or joined; everything it opens is closed.

Source:
    Ray 2.60: ``ray.init``, "Token authentication" of its security guide; which addresses its servers bind was observed.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path
from types import ModuleType

from governance.context import cpu_count
from governance.errors import PrerequisiteError

#: Ray tells its makers about each cluster unless it is told not to.
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_USAGE_STATS_PROMPT_ENABLED": "0"}
#: Named after other systems, but read on all: without a cluster of machines Ray's servers bind the loopback address alone.
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
_OBJECTS = 100 * 2**20


class Session:
    """One connection to Ray; a process has at most one.

    Args:
        address: ``host:port`` of a running cluster, or ``auto``; empty: start one on this machine.
    """

    def __init__(self, address: str = "") -> None:
        self.address = address
        self._folder: Path | None = None

    def open(self) -> ModuleType:
        """Connect, and return the module.

        Raises:
            PrerequisiteError: Ray is not installed, or there is no such cluster, or it does not let us in.
        """
        if self.address.startswith("ray://"):
            raise PrerequisiteError(
                f"{self.address} is a Ray Client address, which cannot stream results",
                hint="run the curator on a node of the cluster, with --ray-address auto",
            )
        own = not self.address
        if own and sys.modules.get("ray") is not None and "RAY_AUTH_MODE" not in os.environ:  # noqa: TID251 - as below
            raise PrerequisiteError(
                "Ray was imported before its settings were made, and would listen to the whole network",
                hint="set RAY_AUTH_MODE=token and RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 before the program starts",
            )
        _set(_QUIET | (_LOOPBACK if own else {}), own=own)
        logging.getLogger("ray").setLevel(logging.ERROR)
        try:
            import ray
        except ImportError as error:
            raise PrerequisiteError("Ray is not installed", hint="pip install 'model-curator[ray]'") from error
        if ray.is_initialized():
            raise PrerequisiteError("this process is connected to a Ray cluster already", hint="one evaluation at a time")
        handlers = {kind: signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)}
        try:
            if own:
                self._folder = Path(tempfile.mkdtemp(prefix="curator-ray-"))
                _start(ray, self._folder)
            else:
                _join(ray, self.address)
        except BaseException:
            self.close(ray)
            raise
        finally:
            if threading.current_thread() is threading.main_thread():  # Ray puts its own in their place
                for kind, handler in handlers.items():
                    signal.signal(kind, handler)
        module: ModuleType = ray
        return module

    def close(self, ray: ModuleType) -> None:
        """Disconnect; a cluster that was started here ends with every process of it."""
        ray.shutdown()
        if self._folder is not None:
            _end_children(str(self._folder))
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _set(variables: dict[str, str], *, own: bool) -> None:
    """Set what Ray reads from the environment, and its alone; what the user set stays."""
    environment = os.environ  # noqa: TID251 - Ray reads its settings from nowhere else
    for name, value in variables.items():
        environment.setdefault(name, value)
    environment.setdefault("RAY_AUTH_MODE", "token")
    if own and not environment.get("RAY_AUTH_TOKEN_PATH"):
        # Of this process and its cluster only: written to no file, and no other cluster's.
        environment["RAY_AUTH_TOKEN"] = environment.get("RAY_AUTH_TOKEN") or secrets.token_hex(32)


def _start(ray: ModuleType, folder: Path) -> None:
    try:
        ray.init(
            address="local",
            num_cpus=cpu_count(),
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.ERROR,
            object_store_memory=_OBJECTS,
            _temp_dir=str(folder),
        )
    except Exception as error:
        raise PrerequisiteError(
            f"Ray could not be started: {_first_line(error)}",
            hint="use --executor local, or join a cluster with --ray-address",
        ) from error


def _join(ray: ModuleType, address: str) -> None:
    try:
        ray.init(address=address, log_to_driver=False, configure_logging=False, logging_level=logging.ERROR)
    except ray.exceptions.AuthenticationError as error:
        raise PrerequisiteError(
            f"the cluster at {address} does not let us in: no valid token",
            hint="set RAY_AUTH_TOKEN_PATH to the cluster's token; RAY_AUTH_MODE=disabled only on a closed network",
        ) from error
    except Exception as error:
        raise PrerequisiteError(
            f"there is no Ray cluster to join at {address}: {_first_line(error)}",
            hint="start one with `ray start --head`, or leave --ray-address out to use this machine",
        ) from error


def _end_children(mark: str) -> None:
    """End the servers of a cluster that did not come up; Ray itself ends them when this process ends."""
    for entry in Path("/proc").iterdir():
        try:
            mine = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == os.getpid()
            if mine and mark in (entry / "cmdline").read_text(errors="replace"):
                os.kill(int(entry.name), signal.SIGKILL)
                os.waitpid(int(entry.name), 0)
        except (OSError, ValueError, IndexError):
            continue


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
