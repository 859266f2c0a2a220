"""The order of commands in `--help`. Typer lists the plain commands of a group before its subgroups."""

from typing import Any

from typer.core import TyperGroup


def group_in_order(*order: str) -> type[TyperGroup]:
    """A group that lists its commands in this order. A command missing from it comes last."""

    class OrderedGroup(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:
            return sorted(super().list_commands(ctx), key=lambda name: (*order, name).index(name))

    return OrderedGroup
