"""The forecasting network: the history season by season into an LSTM, the horizon step by step out of another."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import gelu

from gated import trees
from gated.layers import LSTM
from gated.tasks.forecast import likelihood
from gated.tasks.forecast.windows import Batch, Windows

ANY = 1e30  # E where nothing tells it
TRUSTED, UNKNOWN = 1.2, 1.5  # times the largest error in training: up to there the network counts, from here not at all
WEIGHTS = torch.linspace(0, 1, 11)  # of theta, among which `shrink` chooses


class Network(nn.Module):
    """Seasonal naive and Theta, mixed and corrected by an encoder and a decoder.

        e     = LSTM(season_1 … season_S)                                          its last output, [B, H]
        u_k   = GELU(A step_k + C [whole, static, e] + c)                          for each step ahead k = 1 … h
        v_k   = LSTM(u_1 … u_k),  from the state tanh(D e + d)
        g_k   = softmax(G v_k + g)                                                 two shares
        μ_k   = g_k · (naive_k, theta_k) + spread · a_k,   a_k = first of (P v_k + p)
        μ'_k  = r μ_k + (1 - r) (naive_k + theta_k) / 2                            when not training
        μ''_k = (1 - w) μ'_k + w theta_k

    A season is its m values z and as many marks of what was observed, and the covariates of its steps; step_k holds the
    last values of k's phase, what smoothing says of it, the calendar, and covariates known ahead. G and P start at
    zero: untrained, the network is the mean of seasonal naive and Theta (on the smooth scale), whatever it reads.
    The other numbers of P v_k + p become a distribution around μ (`likelihood`).

    r falls from 1 to 0 as the size of a series' latest errors goes from `TRUSTED` to `UNKNOWN` times E, the largest in
    training, set by `bound`: after a change beyond all of these, such as a level that doubles, nothing was learned.

    w is set by `shrink`. Series of one panel rise and fall together, and part of what a network learns of them is the
    past of the panel itself; shrinkage towards Theta, which knows one series at a time, corrects for that.

    Folding by season makes a year of months one step of the LSTM: fewer steps, and phases side by side.
    """

    covariates: Tensor  # [2, P] mean and deviation of past and known covariates
    statics: Tensor  # [2, D]
    shrinkage: Tensor  # w
    largest: Tensor  # E

    def __init__(self, windows: Windows) -> None:
        super().__init__()
        recipe = windows.recipe
        b = windows.at(torch.zeros(1, dtype=torch.int64), windows.lengths[:1])
        H, (m, P), (E, K) = recipe.width, b.past.shape[2:], b.known.shape[2:]
        D, G, F = b.static.shape[1], b.whole.shape[1], b.step.shape[2]
        self.recipe = recipe
        self.encoder = LSTM((2 + P) * m + D, H, batch_first=True)
        self.step = nn.Linear(F + E * K, H)
        self.whole = nn.Linear(G + D + H, H, bias=False)
        self.state = nn.Linear(H, 2 * H)
        self.decoder = LSTM(H, H, batch_first=True)
        self.drop = nn.Dropout(recipe.dropout)
        self.head = nn.Linear(H, likelihood.outputs(recipe))
        self.gate = nn.Linear(H, 2)
        for layer in (self.head, self.gate):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.register_buffer("covariates", _standard(windows.covariates))
        self.register_buffer("statics", _standard(windows.static))
        self.register_buffer("shrinkage", torch.zeros(()))
        self.register_buffer("largest", torch.tensor(ANY))

    def forward(self, b: Batch) -> tuple[Float[Tensor, "B h"], Float[Tensor, "B h R"]]:
        """The centre μ on the smooth scale, and the head's other numbers."""
        S, mean, std = b.x.shape[1], *self.covariates
        past = ((b.past - mean) / std).nan_to_num().clamp(-10, 10).flatten(2)
        kinds = b.known.shape[-1]
        known = ((b.known - mean[len(mean) - kinds :]) / std[len(std) - kinds :]).nan_to_num().clamp(-10, 10).flatten(2)
        static = ((b.static - self.statics[0]) / self.statics[1]).nan_to_num().clamp(-10, 10)
        e, _ = self.encoder(torch.cat([b.x, b.mask - 0.5, past, static[:, None].expand(-1, S, -1)], -1))
        e = e[:, -1]
        whole = self.whole(torch.cat([b.whole, static, self.drop(e)], -1))
        u = self.drop(gelu(self.step(torch.cat([b.step, known], -1)) + whole[:, None]))
        h, c = torch.tanh(self.state(e)).chunk(2, -1)
        v, _ = self.decoder(u, (h[None].contiguous(), c[None].contiguous()))
        v = self.drop(v)
        shares, a = self.gate(v).softmax(-1), self.head(v)
        centre = (shares * b.bases).sum(-1) + b.spread * a[..., 0]
        if not self.training:
            trust = ((UNKNOWN - b.error / self.largest) / (UNKNOWN - TRUSTED)).clamp(0, 1)
            centre = trust * centre + (1 - trust) * b.bases.mean(-1)
            centre = centre + self.shrinkage * (b.bases[..., 1] - centre)
        return centre, a[..., 1:]


def _standard(values: Float[Tensor, "L C"]) -> Float[Tensor, "2 C"]:
    """Mean and deviation of each column where there are numbers, 0 and 1 where there are none or they do not vary."""
    values = values.double()
    count = (~values.isnan()).sum(0).clamp(min=1)
    mean = values.nansum(0) / count
    std = (((values - mean) ** 2).nansum(0) / count).sqrt()
    return torch.stack([mean, torch.where(std > 1e-9 * (mean.abs() + 1e-30), std, 1.0)]).float()


def bound(network: Network, windows: Windows, held: int) -> None:
    """Set E by the origins whose horizons end before the last `held` steps."""
    network.largest.fill_(windows.find_largest_error(held) or ANY)


@torch.no_grad()
def shrink(network: Network, windows: Windows, held: int) -> float:
    """Set w by the horizons in the last `held` steps, and return it: half of the weight that would have been best.

    A horizon is one draw of the future, so it counts for half. Best is the least mean absolute error over
    the series' own seasonal-naive error.
    """
    network.shrinkage.zero_()
    network.eval()
    series, ends = windows.last(held)
    total, count = torch.zeros(len(WEIGHTS)), 0.0
    for s, o in zip(series.split(512), ends.split(512), strict=True):
        b = trees.map(lambda x: x.to(network.shrinkage.device), windows.at(s, o))
        centre, _ = network(b)
        ok = ~b.y.isnan()
        for i, w in enumerate(WEIGHTS):
            y = likelihood.units(centre + w * (b.bases[..., 1] - centre), b)
            total[i] += torch.where(ok, ((y - b.y) / b.scale).abs().clamp(max=50), 0.0).sum().cpu()
        count += float(ok.sum())
    if count:
        network.shrinkage.fill_(WEIGHTS[int(total.argmin())] / 2)
    return float(network.shrinkage)
