"""Facts the scanners look up, each row with its source: data, read once."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def table(name: str) -> Any:  # a JSON edge: each reader states the shape it expects
    """Return the content of ``<name>.yaml`` in this folder; never of a subject."""
    return yaml.load(files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506
