"""Notebooks as what they do: code cells as Python, shell lines as a script, outputs that carry markup that acts.

Source:
    nbformat 4.5; IPython 9 magic commands.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_SCRIPT = re.compile(r"<script\b|\bjavascript:|\bon(?:error|load)\s*=", re.IGNORECASE)
#: What a page keeps for itself, and how a script sends it away.
_KEPT = re.compile(
    r"document\.cookie|localStorage|sessionStorage|navigator\.credentials|_xsrf|/api/(?:contents|kernels|terminals)", re.IGNORECASE
)
_SENT = re.compile(
    r"\bfetch\s{0,3}\(|XMLHttpRequest|sendBeacon|new\s{1,3}(?:Image|WebSocket)|\.src\s{0,3}=|IPython\.notebook\.kernel\.execute"
)
_SYSTEM = re.compile(r"get_ipython\(\)\.(?:system|getoutput|run_cell_magic|run_line_magic|magic)\(\s{0,8}(.{1,2000})\)\s{0,8}\Z")
_SHELL_MAGICS = ("%%bash", "%%sh", "%%script", "%%cmd", "%%system")


@dataclass(frozen=True)
class Notebook:
    """A notebook taken apart.

    Attributes:
        python: Its code cells, without shell lines.
        shell: Its shell lines and cells.
        scripted: Cells whose outputs hold scripts.
        sending: Those whose scripts reach for what the page keeps and send it, or run code in its kernel.
    """

    python: str
    shell: str
    scripted: int = 0
    sending: int = 0


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
    python, shell, scripted, sending = list[str](), list[str](), 0, 0
    for cell in cells if isinstance(cells, list) else ():
        if not isinstance(cell, dict):
            continue
        outputs = json.dumps([cell.get("outputs", ""), cell.get("source", "") if cell.get("cell_type") != "code" else ""])
        acting = bool(_SCRIPT.search(outputs))
        scripted += acting
        sending += acting and bool(_SENT.search(outputs) and _KEPT.search(outputs))
        if cell.get("cell_type") != "code":
            continue
        lines = _text(cell.get("source", cell.get("input", ""))).splitlines()
        if lines and lines[0].lstrip().startswith(_SHELL_MAGICS):
            shell += lines[1:]
            continue
        for line in lines:
            bare = line.lstrip()
            called = _SYSTEM.search(bare)
            if called:
                shell.append(called[1].strip("\"'rfub "))
            if bare.startswith(("!", "%")):
                shell.append(bare.lstrip("!%"))
                python.append(line[: len(line) - len(bare)] + "pass")
            else:
                python.append(line)
    return Notebook("\n".join(python), "\n".join(shell), scripted, sending)


def _text(value: object) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value or "")
