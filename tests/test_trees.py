"""Trees: what `map`, `leaves` and `detach` do to tensors in tuples, lists, dicts and dataclasses."""

from collections import namedtuple
from dataclasses import dataclass, field

import torch
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from gated import trees

Pair = namedtuple("Pair", "left right")


@dataclass(frozen=True)
class Batch:
    x: torch.Tensor
    name: str
    more: list
    size: int = field(init=False, default=7)


def tree():
    a, b, c, d, e = (torch.full((2,), float(k), requires_grad=True) * 1 for k in range(5))
    return {"pair": Pair(a, None), "list": [b, (c, "word")], "batch": Batch(d, "n", [e, 3])}


def test_map_changes_every_tensor_and_nothing_else():
    """`map` keeps the kind of every container, named tuples and dataclasses included, and every other leaf."""
    old = tree()
    new = trees.map(lambda x: x + 10, old)
    assert isinstance(new["pair"], Pair)
    assert isinstance(new["batch"], Batch)
    assert isinstance(new["list"][1], tuple)
    assert (new["pair"].right, new["list"][1][1], new["batch"].name, new["batch"].size) == (None, "word", "n", 7)
    assert [x if isinstance(x, (str, int)) else x[0].item() for x in trees.leaves(new)] == [
        10.0, 11.0, 12.0, "word", 13.0, "n", 14.0, 3
    ]  # fmt: skip
    assert old["batch"].more[0][0].item() == 4.0


def test_leaves_are_those_of_the_tree_in_order():
    """None and empty containers have no leaves; a tensor alone is its own leaf."""
    one = torch.ones(1)
    assert list(trees.leaves(one)) == [one]
    assert list(trees.leaves((None, [], {}, Pair(None, None)))) == []
    assert list(trees.leaves({"b": 1, "a": [2, 3]})) == [1, 2, 3]


def test_detach_cuts_the_graph():
    """No tensor of a detached tree has a graph, those of a packed sequence included."""
    assert all(x.requires_grad for x in trees.leaves(tree()) if isinstance(x, torch.Tensor))
    assert not any(x.requires_grad for x in trees.leaves(trees.detach(tree())) if isinstance(x, torch.Tensor))
    packed = pack_sequence([torch.ones(2, 1, requires_grad=True) * 1, torch.ones(1, 1)])
    cut = trees.detach(packed)
    assert isinstance(cut, PackedSequence)
    assert packed.data.requires_grad
    assert not cut.data.requires_grad
    assert torch.equal(cut.batch_sizes, packed.batch_sizes)
