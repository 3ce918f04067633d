"""A base and what is laid on it, as two module trees that share their weights: putting one in place of the other is exact.

Libraries that attach adapters rearrange the base's modules, and some write into its parameters; not all of them can take
that back. So the tree is noted before and after, and a turn of base or adapter is the exchange of what differs. Made by
``evaluators._model.attaching`` and ``evaluators._model.home``; used by ``evaluators._model.resident``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

Which = Literal["base", "adapter"]

#: Where a module keeps its parts; forward hooks are parts too.
_PARTS = (
    "_modules", "_parameters", "_buffers", "_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs", "_forward_hooks_always_called",
)  # fmt: skip
_Parts = tuple[dict[Any, Any], ...]


class Pair(Protocol):
    """Base and adapter, one of them in place."""

    @property
    def model(self) -> PreTrainedModel:
        """The model that is in place."""

    def use(self, which: Which) -> AbstractContextManager[PreTrainedModel]:
        """Give one of both, and put back afterwards what was in place before; may be nested."""

    def detach(self) -> None:
        """Leave the base alone; the pair is of no use afterwards."""


class Tree:
    """The module tree of a model at one moment: which module holds which parts, by reference.

    Args:
        model: Its root.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self._parts: dict[torch.nn.Module, _Parts] = {m: _parts(m) for m in model.modules()}

    def changed(self, earlier: Tree) -> list[tuple[torch.nn.Module, _Parts, _Parts]]:
        """Return each module of the earlier tree whose parts differ now, with the parts then and now."""
        found = []
        for module, then in earlier._parts.items():
            now = self._parts.get(module) or _parts(module)
            if any(not _same(a, b) for a, b in zip(then, now, strict=True)):
                found.append((module, then, now))
        return found


class Graft:
    """An adapter on its base, within one model.

    Args:
        model: The base, as it is now: with the adapter.
        bare: Its tree as it was without.
        attributes: Names of the attributes its root had without.
    """

    def __init__(self, model: PreTrainedModel, bare: Tree, attributes: frozenset[str]) -> None:
        self._model, self._attributes = model, attributes
        self._changes = Tree(model).changed(bare)
        self._placed: Which = "adapter"

    @property
    def model(self) -> PreTrainedModel:
        """The one model; which of both it is depends on what is in place."""
        return self._model

    @contextmanager
    def use(self, which: Which) -> Iterator[PreTrainedModel]:
        """Give the model as base or with its adapter."""
        before = self._placed
        self._place(which)
        try:
            yield self._model
        finally:
            self._place(before)

    def detach(self) -> None:
        """Take the adapter off for good."""
        self._place("base")
        self._changes = []
        for name in self._model.__dict__.keys() - self._attributes:
            del self._model.__dict__[name]

    def _place(self, which: Which) -> None:
        if which == self._placed:
            return
        for module, bare, grafted in self._changes:
            for name, parts in zip(_PARTS, bare if which == "base" else grafted, strict=True):
                held = module.__dict__[name]
                held.clear()
                held.update(parts)
        self._placed = which


class Alone:
    """Base and nothing else, for passes before anything is attached.

    Args:
        model: The base.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model

    @contextmanager
    def use(self, which: Which) -> Iterator[PreTrainedModel]:
        """Give the base, whatever is asked for."""
        yield self.model

    def detach(self) -> None:
        """Do nothing."""


def _parts(module: torch.nn.Module) -> _Parts:
    return tuple(dict(module.__dict__[name]) for name in _PARTS)


def _same(a: dict[Any, Any], b: dict[Any, Any]) -> bool:
    return len(a) == len(b) and all(k in b and b[k] is v for k, v in a.items()) and list(a) == list(b)
