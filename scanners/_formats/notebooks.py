"""Notebooks as what they do: code cells as Python, shell lines as a script, outputs that carry markup that acts.

Source:
    nbformat 4.5; IPython 9 magic commands.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_SCRIPT = re.compile(r"<script\b|\bjavascript:|\bon(?:error|load)\s*=", re.IGNORECASE)
_SHELL_MAGICS = ("%%bash", "%%sh", "%%script", "%%cmd", "%%system")


@dataclass(frozen=True)
class Notebook:
    """A notebook taken apart.

    Attributes:
        python: Its code cells, without shell lines.
        shell: Its shell lines and cells.
        scripted: Cells whose outputs hold scripts.
    """

    python: str
    shell: str
    scripted: int = 0


def read_notebook(data: bytes) -> Notebook | None:
    """Return a notebook's parts; None if the bytes are none.

    Args:
        data: A whole document.
    """
    if b'"cells"' not in data and b'"worksheets"' not in data:
        return None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not ("nbformat" in value or "metadata" in value):
        return None
    sheets = value.get("worksheets")
    cells = (
        value.get("cells") or [c for s in sheets if isinstance(s, dict) for c in s.get("cells", ())]
        if isinstance(sheets, list)
        else value.get("cells")
    )
    python, shell, scripted = list[str](), list[str](), 0
    for cell in cells if isinstance(cells, list) else ():
        if not isinstance(cell, dict):
            continue
        scripted += bool(_SCRIPT.search(_text(json.dumps(cell.get("outputs", "")))))
        if cell.get("cell_type") != "code":
            continue
        lines = _text(cell.get("source", cell.get("input", ""))).splitlines()
        if lines and lines[0].lstrip().startswith(_SHELL_MAGICS):
            shell += lines[1:]
            continue
        for line in lines:
            bare = line.lstrip()
            if bare.startswith(("!", "%")):
                shell.append(bare.lstrip("!%"))
                python.append(line[: len(line) - len(bare)] + "pass")
            else:
                python.append(line)
    return Notebook("\n".join(python), "\n".join(shell), scripted)


def _text(value: object) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value or "")
