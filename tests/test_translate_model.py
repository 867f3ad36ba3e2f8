"""What the network makes of a batch, and what is in one."""

import numpy as np
import pytest
import torch

from gated.tasks.translate import model
from gated.tasks.translate.data import bucket, collate


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("attend", ["first", "last"])
@pytest.mark.parametrize("options", [
    dict(attention="general"), dict(attention="dot", coverage=True), dict(attention="additive", feeding=True),
    dict(attention="additive", coverage=True, feeding=True),
])  # fmt: skip
def test_a_padded_batch_is_its_sentences(cell, attend, options):
    """The loss of a batch is the sum of its sentences' losses, however much padding they get from one another."""
    how = dict(feeding=False, coverage=False) | options
    shape = model.Shape(20, 18, cell, 2, 6, 5, attend=attend, **how)
    network = model.Network(shape).eval()
    rng = np.random.default_rng(0)
    sides = [[rng.integers(4, size, n).tolist() for n in lengths]
             for size, lengths in ((20, (1, 9, 4)), (18, (7, 2, 1)))]  # fmt: skip
    rates = (0.1, 0.0, 1.0 if how["coverage"] else 0.0)
    with torch.no_grad():
        whole, count = model.loss(network, collate(*sides), *rates)
        alone = [model.loss(network, collate([s], [t]), *rates) for s, t in zip(*sides, strict=True)]
    assert count == sum(n for _, n in alone) == 13
    assert float(whole) == pytest.approx(sum(float(loss) for loss, _ in alone), rel=1e-4)


def test_batches_hold_every_pair_once_within_their_budget():
    """One pass has each pair once, no batch has more tokens than it may, and another pass has another order."""
    lengths = np.random.default_rng(0).integers(3, 6, 120)
    sides = [[[5] * n for n in lengths], [[5] * n for n in lengths]]
    batch, turn = bucket(sides, 60, seed=3)
    first, second = ([batch(k * turn + n) for n in range(turn)] for k in range(2))
    assert sum(len(found.lengths) for found in first) == sum(len(found.lengths) for found in second) == len(lengths)
    assert max(found.after.numel() for found in first) <= 60 + 2 * 12
    assert [found.after.shape for found in first] != [found.after.shape for found in second]
