"""Discovery: a module in a plug-in package with a ``PLUGIN`` is registered by being there."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType
from typing import Protocol, TypeVar

from governance.errors import PluginError


class Identified(Protocol):
    """Anything with an id."""

    @property
    def id(self) -> str:
        """Unique in its package."""


P = TypeVar("P", bound=Identified)


def discover(package: ModuleType, contract: type[P]) -> Mapping[str, P]:
    """Return every ``PLUGIN`` of a package's public modules, by id in id order.

    Args:
        package: A plug-in package such as ``scanners``.
        contract: The protocol each must fulfil.

    Raises:
        PluginError: A module has no ``PLUGIN``, it does not fulfil the contract, or two share an id.
    """
    found: dict[str, P] = {}
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.startswith("_"):
            continue
        name = f"{package.__name__}.{module.name}"
        plugin = getattr(importlib.import_module(name), "PLUGIN", None)
        if plugin is None:
            raise PluginError(f"{name} has no PLUGIN", hint="give the module a PLUGIN, or a name that begins with _")
        if not isinstance(plugin, contract):
            raise PluginError(f"{name}.PLUGIN does not fulfil {contract.__name__}")
        if plugin.id in found:
            raise PluginError(f"two plug-ins share the id {plugin.id!r}", hint="ids are never reused")
        found[plugin.id] = plugin
    return dict(sorted(found.items()))
