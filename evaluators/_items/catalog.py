"""lm-eval's task files, found and read as data: no index is built, no framework is loaded.

``api`` asks ``hub_datasets`` which data sets have to be fetched; ``evaluators._items.sources`` asks where a task is written.
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path

import yaml
from pydantic import JsonValue

from governance.errors import PrerequisiteError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,120}\Z")
_TASK = re.compile(rb"^[\"']?task[\"']?:[ \t]*[\"']?([A-Za-z0-9_.-]+)[\"']?[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_MOST_INCLUDES = 8


class _Loader(yaml.SafeLoader):
    """Reads references to functions as text."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: str(node.value))


def hub_datasets(task_names: Iterable[str]) -> dict[str, tuple[str, str | None]]:
    """Return what has to be fetched for lm-eval tasks.

    Args:
        task_names: Names of single tasks; names of groups and unknown names are left out.

    Returns:
        By task name: the Hub name of its data set, and the configuration of that data set.

    Raises:
        PrerequisiteError: lm-eval is not installed.
    """
    found: dict[str, tuple[str, str | None]] = {}
    for name in task_names:
        path = find(name)
        if path is None:
            continue
        document = read(path)
        dataset, part = document.get("dataset_path"), document.get("dataset_name")
        if isinstance(dataset, str):
            found[name] = (dataset, str(part) if part is not None else None)
    return found


def find(name: str) -> Path | None:
    """Return the file that defines a single task, or None.

    Args:
        name: lm-eval's name of the task.
    """
    return _index().get(name) if _NAME.match(name) else None


def unknown(name: str) -> str:
    """Return what to say of a name that is no single task: what is close to it, or what a group holds.

    Args:
        name: As it was asked for.
    """
    known = _index()
    members = sorted(k for k in known if k.startswith(f"{name}_"))
    near = difflib.get_close_matches(name, known, 3, cutoff=0.75)
    if members:
        return f"lm-eval has no single task {name!r}; if it is a group, name its tasks one by one ({', '.join(members[:3])}, …)"
    meant = f"; near to it are: {', '.join(near)}" if near else ""
    return f"lm-eval has no task {name!r}{meant}"


def read(path: Path, depth: int = 0) -> dict[str, JsonValue]:
    """Return a task file with what it includes; functions are text.

    Args:
        path: A file of the installed library.
        depth: How deep in includes this file is.
    """
    document = yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506 - a SafeLoader that reads one more tag as text
    if not isinstance(document, dict):
        return {}
    included = document.pop("include", None)
    merged: dict[str, JsonValue] = {}
    for name in included if isinstance(included, list) else [included]:
        if isinstance(name, str) and depth < _MOST_INCLUDES:
            merged.update(read((path.parent / name).resolve(), depth + 1))
    return {**merged, **document}


@functools.cache
def _index() -> dict[str, Path]:
    """Return every task file by task name; reading them as bytes takes about a second."""
    spec = importlib.util.find_spec("lm_eval")
    if spec is None or not spec.submodule_search_locations:
        raise PrerequisiteError("lm-eval is not installed", hint="pip install 'model-curator[eval]'")
    found: dict[str, Path] = {}
    for path in sorted((Path(spec.submodule_search_locations[0]) / "tasks").rglob("*.y*ml")):
        for name in _TASK.findall(path.read_bytes()):
            found.setdefault(name.decode(), path)
    return found
