"""Groups of commands whose first word may also be a reference: ``curator bom REF`` is ``curator bom write REF``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from typer.core import TyperGroup

if TYPE_CHECKING:
    from typer._click.core import Context


def by_default(command: str) -> type[TyperGroup]:
    """Return a group that takes words which name none of its commands as arguments of one of them.

    Args:
        command: Name of that one.
    """

    class Group(TyperGroup):
        def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
            if args and args[0] not in (*self.commands, "-h", "--help"):
                args = [command, *args]
            return list(super().parse_args(ctx, args))

    return Group
