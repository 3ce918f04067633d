"""Write ``scanners/_formats/tables/peft_fields.yaml``: the settings of each adapter type, as the installed peft declares them.

    python -m tests.write_peft_types

Run when peft is raised; a type that is new needs a row in ``peft_types.yaml`` too, which a test asks for.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

TABLE = Path(__file__).resolve().parents[1] / "scanners" / "_formats" / "tables" / "peft_fields.yaml"


def fields() -> dict[str, list[str]]:
    """Return the settings every type knows, and by type those it adds."""
    from peft import PeftConfig
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    every = {f.name for f in dataclasses.fields(PeftConfig)} | {"peft_version"}
    own = {k.value: sorted({f.name for f in dataclasses.fields(c)} - every) for k, c in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    return {"every type": sorted(every), **dict(sorted(own.items()))}


def text() -> str:
    """Return the table's text."""
    import peft

    lines = [
        f"# Settings of every adapter type of peft {peft.__version__}, as its configuration classes declare them.",
        "# Written by tests/write_peft_types.py; do not edit.",
    ]
    for kind, names in fields().items():
        lines.append(f"{kind}:")
        lines += [f"- {name}" for name in names]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TABLE.write_text(text(), encoding="utf-8")
