"""Trees: tensors in tuples, named tuples, lists, dicts and dataclasses, one in another.

Anything else is a leaf that `map` leaves as it is; None is an empty tree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor

__all__ = ["detach", "leaves", "map"]


def map(change: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The same tree with `change` of each of its tensors."""
    if isinstance(tree, Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {key: map(change, part) for key, part in tree.items()}
    if isinstance(tree, tuple | list):
        parts = [map(change, part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return dataclasses.replace(tree, **{name: map(change, part) for name, part in _fields(tree).items()})
    return tree


def leaves(tree: Any) -> Iterator[Any]:
    """Everything in the tree that holds nothing else, in order."""
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, tuple | list) else None
    if parts is None and dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        parts = _fields(tree).values()
    if parts is not None:
        for part in parts:
            yield from leaves(part)
    elif tree is not None:
        yield tree


def detach(tree: Any) -> Any:
    """The same tree, its tensors without their graph."""
    return map(Tensor.detach, tree)


def _fields(tree: Any) -> dict[str, Any]:
    return {field.name: getattr(tree, field.name) for field in dataclasses.fields(tree) if field.init}
