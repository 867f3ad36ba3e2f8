"""The noise of zoneout and recurrent dropout: fixed numbers, the asked rates, nothing shared."""

import pytest
import torch

from gated.kernels import noise

# Random123 1.14, tests/kat_vectors, philox4x32 with 10 rounds: counter, key, result.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def seed(value):
    return torch.tensor(value)


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_philox_is_the_papers(counter, key, result):
    """Philox4x32-10 gives the words that its authors publish."""
    words = noise.philox(tuple(map(torch.tensor, counter)), tuple(map(torch.tensor, key)))
    assert tuple(map(int, words)) == result


def test_a_mask_is_fixed_by_seed_time_row_unit_and_stream():
    """Unit j of row b at time t sees word (j // 16) % 4 of counter (j % 16 + 16 (j // 64), b, t, stream)."""
    value, rate, stream = 0x0123456789ABCDEF, 0.37, 3
    key = (torch.tensor(value & 0xFFFFFFFF), torch.tensor(value >> 32))
    mask = noise.zone(seed(value), torch.zeros(5, 1), 4, 150, rate, stream)
    for t, b, j in [(0, 0, 0), (4, 3, 149), (2, 1, 15), (2, 1, 16), (1, 0, 63), (1, 0, 64), (3, 2, 127), (3, 2, 100)]:
        counter = tuple(map(torch.tensor, (j % 16 + 16 * (j // 64), b, t, stream)))
        word = int(noise.philox(counter, key)[j // 16 % 4])
        assert mask[t, b, j].item() == float(word >> 8 < round(rate * 2**24))
    counter = tuple(map(torch.tensor, (1, 2, 0xFFFFFFFF, 255)))
    dropped = int(noise.philox(counter, key)[1]) >> 8 < round(rate * 2**24)
    mask = noise.drop(seed(value), torch.zeros(1, dtype=torch.float64), 4, 20, rate)
    assert mask[2, 17].item() == (0.0 if dropped else 1 / (1 - rate))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_masks_have_the_rate_asked_for(rate):
    """Zoneout's mask is 1, dropout's 0 at the rate; what is not dropped is scaled so that the mean is 1."""
    zoned = noise.zone(seed(1), torch.zeros(50, 1), 20, 100, rate, 0)
    assert zoned.mean().item() == pytest.approx(rate, abs=0.01)
    dropped = noise.drop(seed(1), torch.zeros(1), 300, 300, rate)
    assert (dropped == 0).float().mean().item() == pytest.approx(rate, abs=0.01)
    assert dropped.mean().item() == pytest.approx(0.0 if rate == 1 else 1.0, abs=0.03)


def test_times_rows_units_streams_and_seeds_share_no_numbers():
    """Masks that differ in one of them agree as often as chance has it."""
    base = noise.zone(seed(1), torch.zeros(8, 1), 8, 128, 0.5, 0)
    others = [
        base.roll(1, 0),
        base.roll(1, 1),
        base.roll(1, 2),
        base.roll(16, 2),
        noise.zone(seed(1), torch.zeros(8, 1), 8, 128, 0.5, 1),
        noise.zone(seed(2), torch.zeros(8, 1), 8, 128, 0.5, 0),
        noise.zone(seed(1 + 2**32), torch.zeros(8, 1), 8, 128, 0.5, 0),
    ]
    for other in others:
        assert (base == other).float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_a_batch_of_one_sees_what_the_first_of_many_sees():
    """A mask depends on neither the number of rows nor that of steps or units."""
    many = noise.zone(seed(3), torch.zeros(6, 1), 5, 70, 0.4, 1)
    assert torch.equal(noise.zone(seed(3), torch.zeros(2, 1), 1, 9, 0.4, 1), many[:2, :1, :9])


def test_seeds_come_from_torchs_generator():
    """The caller's seed decides them; there is one for each direction."""
    torch.manual_seed(5)
    first = noise.draw(2)
    torch.manual_seed(5)
    assert torch.equal(noise.draw(2), first)
    assert first[0] != first[1]
    assert (noise.draw(100) >= 0).all()
