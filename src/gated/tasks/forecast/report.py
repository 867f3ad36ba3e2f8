"""A forecast in pictures: one PNG, and one HTML page that holds everything it shows.

Both are made of the same plates. The page inlines them as SVG whose colours follow the reader's light or dark scheme.
"""

from __future__ import annotations

import html
import io
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gated import observe
from gated._check import optional
from gated.io.zones import to_local
from gated.report.plots import INK, LINE, PAPER, SOFT, canvas, save
from gated.tasks.forecast.horizon import future_times
from gated.tasks.forecast.panel import Panel
from gated.tasks.forecast.scoring import by_method, cells, count_text, notes, spans, verdict

OURS = "#1f6fb2"
OTHERS = {"SeasonalNaive": "#6b7686", "AutoETS": "#c2500d", "Theta": "#2b7f56", "": "#7a4fa3"}
DARK = {
    INK: "#e8ecf1", SOFT: "#9fabb9", LINE: "#313c49", OURS: "#6cb3f5",
    "#6b7686": "#93a0b1", "#c2500d": "#f5945b", "#2b7f56": "#62c394", "#7a4fa3": "#bd9be4",
}  # fmt: skip
NIGHT = "#141a21"  # paper of the dark scheme
LAYERS = 4  # whose gates are drawn at most
LABELS = {"mase": "MASE", "smape": "sMAPE", "wql": "WQL"}


@dataclass(frozen=True)
class Plate:
    """One picture: what it shows, in words a reader needs no other to understand, and how to paint it."""

    title: str
    caption: str
    paint: Callable[[Any], None]


def draw(
    folder: str | Path, history: Panel, quantiles: Float[np.ndarray, "N h Q"], levels: Sequence[float], *,
    truth: Float[np.ndarray, "N h"] | None = None, result: Mapping[str, Any] | None = None,
    losses: Sequence[Mapping[str, Any]] = (), title: str = "Forecast", target: str = "y",
) -> list[Path]:  # fmt: skip
    """Write report.png and report.html into the folder and return their paths.

    history, quantiles, levels: the forecast. truth: observed values, NaN where there are none. result: of
    `scoring.score`, in full detail. losses: rows with `step`, `loss` and perhaps `valid…`, and what `fit(watch=True)`
    recorded. target: the forecast quantity, with its unit. Drawn are the typical, the best and the worst series, where
    there is a result, and the first.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plates = [_forecast(history, n, quantiles, levels, truth, caption) for n, caption in _choose(history, result)]
    if result is not None:
        plates += [p for p in (_by_step(result), _comparison(result)) if p is not None]
    if losses:
        plates += [_losses(losses), *_watched(losses)]
    steps = f"{quantiles.shape[1]} step" + "s" * (quantiles.shape[1] > 1)
    what = f"{target}; {steps} from the dotted line on"
    words = title, "" if result is None else verdict(result), what
    paths = [folder / "report.png", folder / "report.html"]
    _png(paths[0], plates, *words)
    percent = next((percent for percent, *_ in spans(levels)), None)
    paths[1].write_text(_html(plates, *words, percent, result, observe.describe(losses)), encoding="utf-8")
    return paths


def _metric(detail: Mapping[str, Any]) -> str:
    """The metric by which to compare: MASE, or sMAPE where none is known."""
    return "mase" if any(v is not None for v in detail["mase"]) else "smape"


def _choose(history: Panel, result: Mapping[str, Any] | None) -> list[tuple[int, str]]:
    """The series to draw, and their captions."""
    errors, captions = {}, [(0, "The first series")]
    if result is not None:
        detail = result["per"]["series"]
        metric = _metric(detail)
        values = {n: error for n, error in enumerate(detail[metric]) if error is not None}
        order = sorted(values, key=lambda n: values[n])
        if len(order) > 1:
            typical, best, worst = order[len(order) // 2], order[0], order[-1]
            captions = [(typical, "A typical series"), (best, "The best"), (worst, "The worst"), *captions]
        errors = {n: f"{LABELS[metric]} {error:.2f}" for n, error in values.items()}
    chosen: dict[int, str] = {}
    for n, caption in captions:
        chosen.setdefault(n, caption if len(history) > 1 else "")
    return [(n, ", ".join(filter(None, (caption, errors.get(n))))) for n, caption in chosen.items()]


def _forecast(
    history: Panel, n: int, quantiles: np.ndarray, levels: Sequence[float], truth: np.ndarray | None, caption: str
) -> Plate:  # fmt: skip
    h = quantiles.shape[1]
    rows = history.series(n)
    start = max(rows.start, rows.stop - max(2 * h, 24))
    past, y = history.times[start : rows.stop], history.y[start : rows.stop]
    past, ahead = (to_local(times, history.zone) for times in (past, future_times(history, h)[n]))
    bands = spans(levels)
    bands = [*bands[:1], *sorted(bands[1:], key=lambda span: abs(span[0] - 50))[:1]]

    def paint(ax: Any) -> None:
        band, width = (ax.vlines, 6) if h == 1 else (ax.fill_between, 0)
        for (percent, low, high), alpha in zip(bands, (0.18, 0.25), strict=False):
            label = f"{percent} % band" if alpha == 0.18 else None
            band(ahead, quantiles[n, :, low], quantiles[n, :, high], color=OURS, alpha=alpha, lw=width, label=label)
        line: dict[str, Any] = {"lw": 1.3, "solid_capstyle": "round", "ms": 3, "marker": "o" if h == 1 else None}
        ax.plot(past, y, color=INK, label="observed", **line | {"marker": None})
        if truth is not None:
            ax.plot(np.r_[past[-1:], ahead], np.r_[y[-1:], truth[n]], color=INK, **line)
        ax.plot(ahead, quantiles[n, :, list(levels).index(0.5)], color=OURS, label="forecast", **line | {"lw": 1.8})
        ax.axvline(past[-1], color=SOFT, lw=0.7, ls=(0, (2, 3)))
        ax.margins(x=0.01)
        if history.times.dtype.kind == "M":
            dates = optional("matplotlib.dates", "forecast")
            locator = dates.AutoDateLocator(minticks=3, maxticks=7)  # with 6 it warns at 36 months
            ax.xaxis.set_major_locator(locator)
            ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
            ax.xaxis.get_offset_text().set(color=SOFT, fontsize=9)

    return Plate(str(history.ids[n]), caption + "." * bool(caption), paint)


def _colours(result: Mapping[str, Any]) -> dict[str, str]:
    return {method: OTHERS.get(method, OTHERS[""]) for method in result["baselines"]} | {result["model"]: OURS}


def _by_step(result: Mapping[str, Any]) -> Plate | None:
    metric = _metric(result["per"]["step"])
    rows = {method: np.array(r["per"]["step"][metric], float) for method, r in by_method(result).items()}
    h = len(rows[result["model"]])
    caption = f"Mean of {count_text(result)}; lower is better." if result["forecasts"] > 1 else "Lower is better."
    curves = {method: np.stack([np.arange(1, h + 1), row], 1) for method, row in rows.items()}
    plate = _curves(f"{LABELS[metric]} by step ahead", caption, curves, _colours(result), "steps ahead",
                    lambda ax: ax.set_ylim(bottom=0))  # fmt: skip
    return plate if h > 1 else None


def _comparison(result: Mapping[str, Any]) -> Plate | None:
    metric = "mase" if result["mase"] is not None else "wql"
    values = {k: r[metric] for k, r in by_method(result).items() if r[metric] is not None}
    order = sorted(values, key=lambda k: (-values[k], k == result["best"]))

    def paint(ax: Any) -> None:
        colours = _colours(result)
        for k, method in enumerate(order):
            weight = "bold" if method == result["best"] else "normal"
            bar = ax.barh(k, values[method], 0.4, color=colours[method])
            ax.bar_label(bar, fmt="%.3f", padding=6, color=colours[method], fontsize=10.5, fontweight=weight)
        ax.set_yticks(range(len(order)), order)
        ax.margins(x=0.18)
        ax.grid(False)

    caption = "Lower is better; the best is in bold."
    return Plate(f"{LABELS[metric]} of each method", caption, paint) if len(values) > 1 else None


def _losses(rows: Sequence[Mapping[str, Any]]) -> Plate:
    key = next((k for row in rows for k in row if k.startswith("valid")), "valid")
    points = {"training": "loss", "validation": key}
    curves = {name: np.array([(r["step"], r[k]) for r in rows if np.isfinite(r.get(k, np.nan))], float)
              for name, k in points.items()}  # fmt: skip
    curves = {name: curve for name, curve in curves.items() if len(curve)}
    title, colours = "Training loss", {"training": OURS}
    if "validation" not in curves:
        return _curves(title, "On the training windows.", curves, colours)
    step, lowest = curves["validation"][np.argmin(curves["validation"][:, 1])]
    caption = f"Lowest on validation at step {int(step):,}: {lowest:.4g}."
    colours = {"training": SOFT, "validation": OURS}
    return _curves(title, caption, curves, colours, adjust=lambda ax: ax.plot(step, lowest, "o", color=OURS, ms=5))


def _watched(rows: Sequence[Mapping[str, Any]]) -> list[Plate]:
    """Gradient norms of all layers during training, and the gates of the first few."""
    norms: dict[str, np.ndarray] = {}
    gates: dict[str, dict[str, np.ndarray]] = {}
    names = observe.columns(rows)
    labels = observe.name_layers([layer for _, layer, _ in names.values()])
    for name, (kind, layer, gate) in names.items():
        points = np.array([(r["step"], r[name]) for r in rows if name in r], float)
        if not gate:
            norms[labels[layer]] = points
        elif kind == "open" or points[:, 1].max() >= 0.01:
            gates.setdefault(labels[layer], {})[f"{gate} {kind}"] = points
    clipped = np.average([r.get("clipped", 0.0) for r in rows], weights=np.diff([0, *(r["step"] for r in rows)]))
    words = f"Before clipping, which acted on {100 * clipped:.0f} % of updates."

    def logarithmic(ax: Any) -> None:
        if min(points[:, 1].min() for points in norms.values()) > 0:
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
            ax.minorticks_off()

    plates = [_curves("Gradient norm by layer", words, norms, _palette(norms), adjust=logarithmic)] if norms else []
    for layer, shares in list(gates.items())[:LAYERS]:
        letters = sorted((name.split()[0] for name in shares), key=lambda gate: gate not in ("f", "z"))
        palette = _palette(letters)  # what keeps memory is ours
        colours = {name: palette[name.split()[0]] for name in shares}
        top = min(1.0, 1.1 * max(0.1, *(points[:, 1].max() for points in shares.values())))
        words, limit = "Share above 0.95 (open), below 0.05 (shut).", lambda ax, top=top: ax.set_ylim(0, top)
        plates.append(_curves(f"Gates of {layer}", words, shares, colours, adjust=limit))
    return plates


def _palette(names: Iterable[str]) -> dict[str, str]:
    return dict(zip(dict.fromkeys(names), itertools.cycle([OURS, *OTHERS.values()])))


def _curves(
    title: str, caption: str, curves: Mapping[str, np.ndarray], colours: Mapping[str, str], x: str = "updates",
    adjust: Callable[[Any], Any] = lambda ax: None,
) -> Plate:  # fmt: skip
    """Curves of rows (x, y), named in the order of their ends; those of shut gates are dashed."""

    def paint(ax: Any) -> None:
        for name in sorted(curves, key=lambda name: -np.nan_to_num(curves[name][-1, 1])):
            width, order = (2.0, 3) if colours[name] == OURS else (1.2, 2)
            ax.plot(*curves[name].T, color=colours[name], lw=width, zorder=order, label=name,
                    ls="--" if name.endswith(" shut") else "-")  # fmt: skip
        adjust(ax)
        ax.margins(x=0)
        ax.set_xlabel(x, color=SOFT, fontsize=9.5, loc="left")
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, labelcolor="linecolor", handlelength=1.2)

    return Plate(title, caption, paint)


# -- sheets


def _paint(ax: Any, plate: Plate) -> None:
    ticker = optional("matplotlib.ticker", "forecast")
    ax.set_facecolor("none")
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set(color=LINE)
    ax.tick_params(colors=SOFT, labelsize=9.5, length=0, pad=5)
    ax.set_axisbelow(True)
    ax.grid(axis="y", color=LINE, lw=0.7)
    ax.yaxis.set_major_locator(ticker.MaxNLocator(4))
    ax.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,.10g}"))
    plate.paint(ax)


def _png(path: Path, plates: Sequence[Plate], title: str, verdict: str, what: str) -> None:
    width, head, row = 11.5, 1.75, 3.2
    lines = -(-len(plates) // 2)
    height = head + row * lines
    fig = canvas(width, height, "forecast")
    fig.set_layout_engine("constrained", h_pad=0.15, w_pad=0.1, rect=(0.03, 0, 0.94, 1 - head / height))
    grid = fig.add_gridspec(lines, 2)
    for k, plate in enumerate(plates):
        wide = k == len(plates) - 1 and k % 2 == 0
        ax = fig.add_subfigure(grid[k // 2, slice(None) if wide else k % 2]).add_subplot()
        _paint(ax, plate)
        short = plate.title if len(plate.title) <= 48 else plate.title[:47] + "…"
        ax.set_title(short, loc="left", pad=26, fontsize=12.5, color=INK, fontweight="bold", parse_math=False)
        ax.annotate(plate.caption, (0, 1), (0, 10), "axes fraction", "offset points", fontsize=9.5, color=SOFT)
        if k == 0:
            fig.legend(*ax.get_legend_handles_labels(), loc="lower right", bbox_to_anchor=(0.96, 1 - 1.25 / height),
                       ncols=3, frameon=False)  # fmt: skip
    for down, text, size, weight in ((0.55, title, 19, "bold"), (0.9, verdict, 12, None), (1.2, what, 10.5, None)):
        fig.text(0.04, 1 - down / height, text, fontsize=size, fontweight=weight, color=INK, parse_math=False)
    save(fig, path, "forecast")


def _svg(plate: Plate) -> str:
    """A plate as inline SVG: text stays text, colours become the page's."""
    fig = canvas(4.5, 2.6, "forecast")
    fig.set(facecolor="none", layout_engine="constrained")
    _paint(fig.add_subplot(), plate)
    buffer = io.StringIO()
    with optional("matplotlib", "forecast").rc_context({"svg.fonttype": "none", "svg.hashsalt": plate.title}):
        fig.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    text = buffer.getvalue().partition("<svg")[2]
    for k, colour in enumerate(DARK):
        text = text.replace(colour, f"var(--c{k})")
    return "<svg" + text


STYLE = """
:root { color-scheme: light dark; --paper: %s; %s }
@media (prefers-color-scheme: dark) { :root { --paper: %s; %s } }
* { box-sizing: border-box }
body { margin: 0; padding: clamp(16px, 4vw, 56px); background: var(--paper); color: var(--c0);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif }
main { max-width: 1500px; margin: auto }
h1 { font-size: clamp(24px, 3vw, 34px); line-height: 1.15; margin: 0 0 8px; letter-spacing: -.015em;
  text-wrap: balance }
.verdict { font-size: clamp(17px, 1.6vw, 20px); margin: 0 0 4px; max-width: 60ch }
.key { color: var(--c1); margin: 0 }
.key b { font-weight: 600 } .ours { color: var(--c3) } .seen { color: var(--c0) }
.band { background: color-mix(in srgb, var(--c3) 25%%, transparent); padding: 0 .35em; border-radius: 3px;
  color: var(--c0) }
.plates { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%%, 340px), 1fr)); gap: 40px 48px;
  margin: 36px 0 44px }
figure { margin: 0; min-width: 0 }
h2 { font-size: 17px; margin: 0; line-height: 1.3; overflow-wrap: anywhere }
figcaption p { margin: 2px 0 8px; color: var(--c1); font-size: 14px }
svg { display: block; width: 100%%; height: auto; overflow: visible }
svg text { font-family: inherit !important }
.numbers { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: clamp(13px, 3.4vw, 15px) }
th, td { text-align: right; padding: 6px 0 6px clamp(9px, 2vw, 28px); border-bottom: 1px solid var(--c2);
  white-space: nowrap }
th { color: var(--c1); font-weight: 400 } th:first-child { text-align: left; padding-left: 0 }
tbody th { color: inherit } tbody tr:first-child * { font-weight: 650 }
.note { color: var(--c1); font-size: 14px; max-width: 75ch }
"""


def _html(
    plates: Sequence[Plate], title: str, verdict: str, what: str, percent: int | None,
    result: Mapping[str, Any] | None, observations: Sequence[str],
) -> str:  # fmt: skip
    light = " ".join(f"--c{k}: {colour};" for k, colour in enumerate(DARK))
    dark = " ".join(f"--c{k}: {colour};" for k, colour in enumerate(DARK.values()))
    title, verdict, what = map(html.escape, (title, verdict, what))
    band = "" if percent is None else f', <b class="band">{percent} % band</b>'
    figures = "\n".join(
        f"<figure><figcaption><h2>{html.escape(p.title)}</h2><p>{html.escape(p.caption)}</p></figcaption>\n{_svg(p)}"
        "</figure>"
        for p in plates
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{STYLE % (PAPER, light, NIGHT, dark)}</style></head>
<body><main><header><h1>{title}</h1><p class="verdict">{verdict}</p>
<p class="key"><b class="seen">Observed</b>, <b class="ours">forecast</b>{band}. {what}.</p>
</header>
<section class="plates">
{figures}
</section>
{f'<p class="note">At the end of training: {html.escape(" ".join(observations))}</p>' if observations else ""}
{_numbers(result) if result is not None else ""}
</main></body></html>
"""


def _numbers(result: Mapping[str, Any]) -> str:
    """The result as an HTML table, best first, with what it leaves out."""
    heads, rows = cells(result)
    table = optional("pandas", "forecast").DataFrame.from_dict(rows, orient="index", columns=heads).to_html(border=0)
    what = (
        "MASE: 1 is the error of the seasonal naive method within the history. OWA: 1 is Naive2. sMAPE: from 0 to 200. "
        "WQL: the loss of all quantiles over the sum of the truth. Lower is better in all four."
    )
    return (
        f'<section class="numbers">{table}</section><p class="note">{html.escape(" ".join(notes(result)))} {what}</p>'
    )
