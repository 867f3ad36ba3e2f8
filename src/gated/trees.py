"""Trees: tensors in tuples, named tuples, lists, dicts and dataclasses, one in another.

Anything else is a leaf that `map` leaves as it is; None is an empty tree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from torch import Tensor

__all__ = ["detach", "leaves", "map"]


def map(change: Callable[[Tensor], Tensor], tree: Any) -> Any:
    """The same tree with `change` of each of its tensors."""
    if isinstance(tree, Tensor):
        return change(tree)
    parts = _parts(tree)
    if parts is None:
        return tree
    changed = {key: map(change, part) for key, part in parts.items()}
    if isinstance(tree, dict):
        return changed
    if isinstance(tree, tuple | list):
        kind = cast(Any, type(cast(object, tree)))
        return kind(*changed.values()) if hasattr(kind, "_fields") else kind(changed.values())
    return dataclasses.replace(tree, **changed)


def leaves(tree: Any) -> Iterator[Any]:
    """Everything in the tree that holds nothing else, in order."""
    parts = _parts(tree)
    if parts is not None:
        for part in parts.values():
            yield from leaves(part)
    elif tree is not None:
        yield tree


def detach(tree: Any) -> Any:
    """The same tree, its tensors without their graph."""
    return map(Tensor.detach, tree)


def _parts(tree: Any) -> dict[Any, Any] | None:
    """The members of a tree by key, index or name; None of a leaf."""
    if isinstance(tree, dict):
        return cast(dict[Any, Any], tree)
    if isinstance(tree, tuple | list):
        return dict(enumerate(cast(Iterable[Any], tree)))
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return {field.name: getattr(tree, field.name) for field in dataclasses.fields(tree) if field.init}
    return None
