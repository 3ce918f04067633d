"""Names a subject chose, made fit to be shown: what is not printable is escaped. Read by everything that writes a finding."""

from __future__ import annotations


def shown(name: str) -> str:
    """Return a name with everything that is not printed spelt out."""
    return name if name.isprintable() else name.encode("unicode_escape", "backslashreplace").decode("ascii")
