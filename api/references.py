"""What a person types to name an adapter, as an ``ArtifactRef``."""

from __future__ import annotations

from pathlib import Path

from governance.errors import SubjectError
from governance.subject import HUB_NAME, ArtifactRef, SourceKind


def parse_reference(text: str) -> ArtifactRef:
    """Return the reference a person wrote.

    A folder that exists wins over a Hub name; ``hub:owner/name`` always means the Hub.

    Args:
        text: A folder, or ``owner/name[@revision]``.

    Raises:
        SubjectError: It is neither.
    """
    name = text.removeprefix("hub:")
    if name == text:
        folder = Path(text).expanduser()
        if folder.exists() or text.startswith((".", "/", "~")):
            return ArtifactRef(source=SourceKind.LOCAL, name=str(folder.resolve()))
    name, _, revision = name.partition("@")
    if not HUB_NAME.match(name):
        raise SubjectError(
            f"{text!r} is neither a folder nor a Hub name", hint="give a folder that exists, or owner/name[@revision]"
        )
    return ArtifactRef(source=SourceKind.HUB, name=name, revision=revision or None)
