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

ANY = 1e30  # N of a network that nothing bounds
WEIGHTS = torch.linspace(0, 1, 11)  # of a base, among which `shrink` chooses
MOST = 0.9  # of w: the network always counts for something
SURE = 2  # standard errors; steps of a window are alike, so that one says little


class Network(nn.Module):
    """Three classical forecasts, mixed and corrected by an encoder and a decoder.

        e     = LSTM(season_1 … season_S)                                          its last output, [B, H]
        u_k   = GELU(A step_k + C [whole, static, e] + c)                          for each step ahead k = 1 … h
        v_k   = LSTM(u_1 … u_k),  from the state tanh(D e + d)
        g_k   = softmax(G v_k + g)                                                 three shares
        μ_k   = g_k · (naive_k, theta_k, drift_k) + spread · a_k,   a_k = first of (P v_k + p)
        μ'_k  = (1 - w) μ_k + w base_k,   base one of theta and drift              when not training
        μ''_k = μ'_k  where novelty ≤ N,  else flat_k

    A season is its m values z and as many marks of what was observed, and the covariates of its steps; step_k holds the
    last values of k's phase, what smoothing says of it, the calendar, and covariates known ahead. G and P start at
    zero: untrained, the network is the mean of the bases (on the smooth scale), whatever it reads. They are seasonal
    naive, Theta, and drift, which is Theta with its whole slope in place of half. The other
    numbers of P v_k + p become a distribution around μ (`likelihood`).

    w is set by `shrink`. Series of one panel rise and fall together, and part of what a network learns of them is the
    past of the panel itself; shrinkage towards a base, which knows one series at a time, corrects for that. Of a
    few windows a network learns less than a base says of them; then w is `MOST`.

    The novelty of an origin is the size of the series' latest errors over the largest that it had up to a horizon
    before, and N the largest novelty in training, at least 1, set by `bound`. Beyond it, as after a level that doubles,
    nothing was learned, last season is of another level, and the change is no slope: flat, the level after the change
    with the seasonal index before it (`Windows.level`), takes the place of the network.

    Folding by season makes a year of months one step of the LSTM: fewer steps, and phases side by side.
    """

    covariates: Tensor  # [2, P] mean and deviation of past and known covariates
    statics: Tensor  # [2, D]
    shrinkage: Tensor  # w
    novelty: Tensor  # N

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
        self.gate = nn.Linear(H, b.bases.shape[-1])
        for layer in (self.head, self.gate):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.register_buffer("covariates", _standard(windows.covariates))
        self.register_buffer("statics", _standard(windows.static))
        self.register_buffer("shrinkage", torch.zeros(2))
        self.register_buffer("novelty", torch.tensor(ANY))

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
            centre = centre + (self.shrinkage * (b.bases[..., 1:] - centre[..., None])).sum(-1)
            centre = torch.where(b.novelty <= self.novelty, centre, b.flat)
        return centre, a[..., 1:]


def _standard(values: Float[Tensor, "L C"]) -> Float[Tensor, "2 C"]:
    """Mean and deviation of each column where there are numbers, 0 and 1 where there are none or they do not vary."""
    values = values.double()
    count = (~values.isnan()).sum(0).clamp(min=1)
    mean = values.nansum(0) / count
    std = (((values - mean) ** 2).nansum(0) / count).sqrt()
    return torch.stack([mean, torch.where(std > 1e-9 * (mean.abs() + 1e-30), std, 1.0)]).float()


def bound(network: Network, windows: Windows, held: int) -> None:
    """Set N by the origins whose horizons end before the last `held` steps."""
    network.novelty.fill_(max(1.0, windows.find_largest_novelty(held)))


@torch.no_grad()
def shrink(network: Network, windows: Windows, held: int) -> float:
    """Set w and its base by the horizons in the last `held` steps, and return w.

    The base is the one of theta and drift that alone has the lower mean absolute error, over the series' own
    seasonal-naive error; w is half of the weight in `WEIGHTS` with the lowest, for a horizon is one draw of the future.
    But w is `MOST` unless that weight is better than the base alone by more than `SURE` standard errors over the steps.
    """
    network.shrinkage.zero_()
    network.eval()
    series, ends = windows.last(held)
    total, squares, count = torch.zeros(2, len(WEIGHTS)), torch.zeros(2, len(WEIGHTS)), 0.0
    for s, o in zip(series.split(512), ends.split(512), strict=True):
        b = trees.map(lambda x: x.to(network.shrinkage.device), windows.at(s, o))
        centre, _ = network(b)
        ok = ~b.y.isnan()
        for j, base in enumerate(b.bases[..., 1:].unbind(-1)):
            x = torch.stack([centre + w * (base - centre) for w in WEIGHTS], -1)
            error = ((likelihood.units(x, b) - b.y[..., None]) / b.scale[..., None]).abs().clamp(max=50)[ok]
            total[j] += error.sum(0).cpu()
            squares[j] += (error[:, -1:] - error).square().sum(0).cpu()
        count += float(ok.sum())
    if count:
        j = int(total[:, -1].argmin())
        i = int(total[j].argmin())
        gain = float(total[j, -1] - total[j, i]) / count
        sure = gain > SURE * ((float(squares[j, i]) / count - gain**2) / count) ** 0.5
        network.shrinkage[j] = WEIGHTS[i] / 2 if sure else MOST
    return float(network.shrinkage.sum())


def renew(state: dict[str, Tensor], name: str) -> None:
    """Bring the tensors of a network that was stored before there were `drift` and `novelty` up to date, in place."""
    state.pop(f"{name}largest", None)
    state.setdefault(f"{name}novelty", torch.tensor(ANY))
    if f"{name}gate.bias" in state and state[f"{name}gate.bias"].shape == (2,):
        state[f"{name}gate.weight"] = nn.functional.pad(state[f"{name}gate.weight"], (0, 0, 0, 1))
        state[f"{name}gate.bias"] = nn.functional.pad(state[f"{name}gate.bias"], (0, 1), value=-ANY)
        state[f"{name}shrinkage"] = torch.stack([state[f"{name}shrinkage"], torch.zeros(())])
