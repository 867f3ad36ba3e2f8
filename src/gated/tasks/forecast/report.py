"""A forecast in pictures: one PNG, and one HTML page that holds everything it shows.

Both are made of the same plates. The page inlines them as SVG whose colours follow the reader's light or dark scheme.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gated import observe
from gated._check import optional
from gated.report.plots import INK, LINE, PAPER, SOFT, canvas, save
from gated.tasks.forecast.horizon import future_times
from gated.tasks.forecast.panel import Panel
from gated.tasks.forecast.scoring import by_method, cells, count_text, notes, verdict

OURS = "#1f6fb2"
OTHERS = {"SeasonalNaive": "#6b7686", "AutoETS": "#c2500d", "Theta": "#2b7f56", "": "#7a4fa3"}
DARK = {
    INK: "#e8ecf1", SOFT: "#9fabb9", LINE: "#313c49", OURS: "#6cb3f5",
    "#6b7686": "#93a0b1", "#c2500d": "#f5945b", "#2b7f56": "#62c394", "#7a4fa3": "#bd9be4",
}  # fmt: skip
NIGHT = "#141a21"  # paper of the dark scheme
SERIES = 4  # drawn at most
LAYERS = 4  # whose gates are drawn at most
LABELS = {"mase": "MASE", "smape": "sMAPE", "wql": "WQL"}


@dataclass(frozen=True)
class Plate:
    """One picture: what it shows, in words a reader needs no other to understand, and how to paint it."""

    title: str
    caption: str
    paint: Callable[[Any], None]
    left: float = 0.5  # inches beside the axes, for the labels there
    right: float = 0.1


@dataclass(frozen=True)
class Sheet:
    """What stands above the plates."""

    title: str
    verdict: str
    what: str  # the target and where its forecast begins
    bands: list[str]


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
    spans = [f"{p} % band" for p, *_ in _spans(levels)[:1]]
    won = "" if result is None else verdict(result)
    sheet = Sheet(title, won, f"{target}; {steps} from the dotted line on", spans)
    paths = [folder / "report.png", folder / "report.html"]
    _png(paths[0], plates, sheet)
    paths[1].write_text(_html(plates, sheet, result, observe.describe(losses)), encoding="utf-8")
    return paths


def _spans(levels: Sequence[float]) -> list[tuple[int, int, int]]:
    """(percent, lower, upper) of the central intervals, widest first."""
    pairs = [(k, [i for i, r in enumerate(levels) if abs(q + r - 1) < 1e-9]) for k, q in enumerate(levels) if q < 0.5]
    return sorted(((round(100 * (1 - 2 * levels[k])), k, u[0]) for k, u in pairs if u), reverse=True)


def _metric(detail: Mapping[str, Any]) -> str:
    """The metric by which to compare: MASE, or sMAPE where none is known."""
    return "mase" if any(v is not None for v in detail["mase"]) else "smape"


def _choose(history: Panel, result: Mapping[str, Any] | None) -> list[tuple[int, str]]:
    """The series to draw, and their captions."""
    errors, captions = {}, [(0, "The first series")]
    if result is not None:
        detail = result["per"]["series"]
        metric = _metric(detail)
        errors = {n: error for n, error in enumerate(detail[metric]) if error is not None}
        order = sorted(errors, key=lambda n: errors[n])
        if len(order) > 1:
            typical, best, worst = order[len(order) // 2], order[0], order[-1]
            captions = [(typical, "A typical series"), (best, "The best"), (worst, "The worst"), *captions]
        errors = {n: f"{LABELS[metric]} {error:.2f}" for n, error in errors.items()}
    chosen: dict[int, str] = {}
    for n, caption in captions:
        chosen.setdefault(n, caption if len(history) > 1 else "")
    return [(n, ", ".join(filter(None, (caption, errors.get(n))))) for n, caption in list(chosen.items())[:SERIES]]


def _forecast(
    history: Panel, n: int, quantiles: np.ndarray, levels: Sequence[float], truth: np.ndarray | None, caption: str
) -> Plate:  # fmt: skip
    h = quantiles.shape[1]
    rows = history.series(n)
    start = max(rows.start, rows.stop - max(2 * h, 24))
    past, y = history.times[start : rows.stop], history.y[start : rows.stop]
    ahead = future_times(history, h)[n]
    spans = _spans(levels)
    inner = min(spans[1:], key=lambda s: abs(s[0] - 50), default=None)

    def paint(ax: Any) -> None:
        one = h == 1
        for band, alpha in ((spans[:1], 0.18), ([inner] if inner else [], 0.25)):
            for _, low, high in band:
                if one:
                    ax.vlines(ahead, quantiles[n, :, low], quantiles[n, :, high], color=OURS, alpha=alpha, lw=6)
                else:
                    ax.fill_between(ahead, quantiles[n, :, low], quantiles[n, :, high], color=OURS, alpha=alpha, lw=0)
        line: dict[str, Any] = {"lw": 1.3, "solid_capstyle": "round", "marker": "o" if one else None, "ms": 3}
        ax.plot(past, y, color=INK, **{**line, "marker": None})
        if truth is not None:
            ax.plot(np.r_[past[-1:], ahead], np.r_[y[-1:], truth[n]], color=INK, **line)
        ax.plot(ahead, quantiles[n, :, list(levels).index(0.5)], color=OURS, **{**line, "lw": 1.8})
        ax.axvline(past[-1], color=SOFT, lw=0.7, ls=(0, (2, 3)))
        ax.margins(x=0.01)
        if history.times.dtype.kind == "M":
            dates = optional("matplotlib.dates", "forecast")
            locator = dates.AutoDateLocator(minticks=3, maxticks=6)
            ax.xaxis.set_major_locator(locator)
            ax.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator))
            ax.xaxis.get_offset_text().set(color=SOFT, fontsize=9)

    return Plate(str(history.ids[n]), caption + "." * bool(caption), paint)


def _colour(method: str, result: Mapping[str, Any]) -> str:
    return OURS if method == result["model"] else OTHERS.get(method, OTHERS[""])


def _by_step(result: Mapping[str, Any]) -> Plate | None:
    metric = _metric(result["per"]["step"])
    curves = {k: np.array(r["per"]["step"][metric], float) for k, r in by_method(result).items()}
    h = len(curves[result["model"]])
    if h < 2:
        return None

    def paint(ax: Any) -> None:
        ends = {}
        for method, curve in curves.items():
            width, order = (2.2, 3) if method == result["model"] else (1.2, 2)
            ax.plot(np.arange(1, h + 1), curve, color=_colour(method, result), lw=width, zorder=order)
            known = curve[~np.isnan(curve)]
            ends[method] = float(known[-1]) if len(known) else 0.0
        ax.set_ylim(bottom=0)
        ax.set_xlim(1, h)
        ax.set_xlabel("steps ahead", color=SOFT, fontsize=9.5, loc="left")
        _label(ax, ends, {method: _colour(method, result) for method in ends}, bold=result["model"])

    caption = f"Mean of {count_text(result)}; lower is better." if result["forecasts"] > 1 else "Lower is better."
    return Plate(f"{LABELS[metric]} by step ahead", caption, paint, right=_room(curves))


def _label(ax: Any, ends: Mapping[str, float], colours: Mapping[str, str], bold: str = "") -> None:
    """Each curve's name at its right end: a line apart, in their order, moved as little as that needs."""
    log = ax.get_yscale() == "log"
    low, high = np.log10(ax.get_ylim()) if log else ax.get_ylim()
    order, gap = sorted(ends, key=lambda name: ends[name]), 0.085 * (high - low)
    places = np.array([ends[name] for name in order])
    places = np.clip(np.log10(np.maximum(places, 1e-30)) if log else places, low, high)
    for k in range(1, len(places)):
        places[k] = max(places[k], places[k - 1] + gap)
    places[-1] -= max(0.0, places[-1] - high)
    for k in range(len(places) - 2, -1, -1):
        places[k] = min(places[k], places[k + 1] - gap)
    for name, y in zip(order, map(float, places), strict=True):
        ax.annotate(
            name, (1, 10**y if log else y), xycoords=("axes fraction", "data"), xytext=(5, 0), va="center",
            textcoords="offset points", color=colours[name], fontsize=9.5, annotation_clip=False, parse_math=False,
            fontweight="bold" if name == bold else "normal",
        )  # fmt: skip


def _room(names: Iterable[str]) -> float:
    """Inches that labels of 10 points need."""
    return 0.15 + 0.086 * max(map(len, names))


def _comparison(result: Mapping[str, Any]) -> Plate | None:
    metric = "mase" if result["mase"] is not None else "wql"
    values = {k: r[metric] for k, r in by_method(result).items() if r[metric] is not None}
    if len(values) < 2:
        return None
    order = sorted(values, key=lambda k: (-values[k], k == result["best"]))

    def paint(ax: Any) -> None:
        for y, method in enumerate(order):
            colour = _colour(method, result)
            weight = "bold" if method == result["best"] else "normal"
            ax.plot([0, values[method]], [y, y], color=LINE, lw=2, zorder=1, solid_capstyle="round")
            ax.plot(values[method], y, "o", color=colour, ms=8)
            ax.annotate(
                f"{values[method]:.3f}", (values[method], y), xytext=(9, 0), textcoords="offset points", va="center",
                color=colour, fontsize=10.5, fontweight=weight,
            )  # fmt: skip
        ax.set_yticks(range(len(order)), order)
        for tick, method in zip(ax.get_yticklabels(), order, strict=True):
            weight = "bold" if method == result["best"] else "normal"
            tick.set(color=_colour(method, result), fontsize=10.5, fontweight=weight)
        ax.set_xlim(0, 1.18 * max(values.values()))
        ax.set_ylim(-0.6, len(order) - 0.4)
        ax.grid(False)

    caption = "Lower is better; the best is in bold."
    return Plate(f"{LABELS[metric]} of each method", caption, paint, left=_room(order), right=0.3)


def _losses(rows: Sequence[Mapping[str, Any]]) -> Plate:
    key = next((k for row in rows for k in row if k.startswith("valid")), None)
    curves = {"training": [(r["step"], r["loss"]) for r in rows if np.isfinite(r.get("loss", np.nan))]}
    if key:
        curves["validation"] = [(r["step"], r[key]) for r in rows if np.isfinite(r.get(key, np.nan))]
    curves = {name: np.array(points, float) for name, points in curves.items() if points}
    main, caption, best = "training", "On the training windows.", None
    if "validation" in curves:
        best = curves["validation"][np.argmin(curves["validation"][:, 1])]
        main, caption = "validation", f"Lowest on validation at step {int(best[0]):,}: {best[1]:.4g}."
    colours = {name: OURS if name == main else SOFT for name in curves}

    def paint(ax: Any) -> None:
        for name, c in curves.items():
            ax.plot(c[:, 0], c[:, 1], color=colours[name], lw=1.8 if name == main else 1.0)
        if best is not None:
            ax.plot(*best, "o", color=OURS, ms=5)
        _label(ax, {name: c[-1, 1] for name, c in curves.items()}, colours)
        ax.margins(x=0)
        ax.set_xlabel("updates", color=SOFT, fontsize=9.5, loc="left")

    return Plate("Training loss", caption, paint, right=_room(curves))


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
    plates = [_curves("Gradient norm by layer", words, norms)] if norms else []
    words = "Share above 0.95 (open), below 0.05 (shut)."
    return plates + [_curves(f"Gates of {layer}", words, own) for layer, own in list(gates.items())[:LAYERS]]


def _curves(title: str, caption: str, curves: Mapping[str, np.ndarray]) -> Plate:
    """Curves over the updates: norms, on a logarithmic scale, or shares of gates, a colour for each gate."""
    shares = title.startswith("Gates")
    kinds = list(dict.fromkeys(name.split()[0] if shares else name for name in curves))
    kinds = sorted(kinds, key=lambda kind: kind not in ("f", "z"))  # what keeps memory is ours
    palette = dict(zip(kinds, [OURS, *OTHERS.values()] * len(kinds), strict=False))
    colours = {name: palette[name.split()[0] if shares else name] for name in curves}
    every = np.concatenate([c[:, 1] for c in curves.values()])

    def paint(ax: Any) -> None:
        for name, c in curves.items():
            ax.plot(c[:, 0], c[:, 1], color=colours[name], lw=1.3, ls="--" if name.endswith(" shut") else "-")
        if shares:
            ax.set_ylim(0, min(1.0, 1.1 * max(0.1, every.max())))
        elif every.min() > 0:
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
            ax.minorticks_off()
        _label(ax, {name: c[-1, 1] for name, c in curves.items()}, colours)
        ax.margins(x=0)
        ax.set_xlabel("updates", color=SOFT, fontsize=9.5, loc="left")

    return Plate(title, caption, paint, right=_room(curves))


# -- sheets


def _prepare(ax: Any, plate: Plate) -> None:
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


def _png(path: Path, plates: Sequence[Plate], sheet: Sheet) -> None:
    width, head, row = 11.5, 1.75, 3.2
    height = head + row * -(-len(plates) // 2)
    fig = canvas(width, height, "forecast")

    def write(x: float, y: float, text: str, size: float, colour: str, weight: str = "normal") -> None:
        fig.text(x, 1 - y / height, text, fontsize=size, color=colour, fontweight=weight, parse_math=False)

    write(0.05, 0.55, sheet.title, 19.0, INK, "bold")
    write(0.05, 0.9, sheet.verdict, 12.0, INK)
    _key(fig, 1 - (1.22 if sheet.verdict else 0.9) / height, sheet)
    for k, plate in enumerate(plates):
        wide = k == len(plates) - 1 and k % 2 == 0
        left, top, own = 0.05 + 0.49 * (k % 2), head + row * (k // 2), 0.91 if wide else 0.42
        before, after = plate.left / width, plate.right / width
        ax = fig.add_axes((left + before, 1 - (top + 2.62) / height, own - before - after, 2.05 / height))
        _prepare(ax, plate)
        short = plate.title if len(plate.title) <= 48 else plate.title[:47] + "…"
        write(left, top + 0.12, short, 12.5, INK, "bold")
        write(left, top + 0.36, plate.caption, 9.5, SOFT)
    save(fig, path, "forecast")


def _key(fig: Any, y: float, sheet: Sheet) -> None:
    """The colours' names, in their colours, and what is shown."""
    offsetbox = optional("matplotlib.offsetbox", "forecast")
    words = [("observed", INK, 1.0), ("forecast", OURS, 1.0), *((band, OURS, 0.55) for band in sheet.bands)]
    looks = [(w, {"color": c, "alpha": a, "fontsize": 10.5, "fontweight": "bold"}) for w, c, a in words]
    looks.append((sheet.what, {"color": SOFT, "fontsize": 10.5, "parse_math": False}))
    packed = offsetbox.HPacker(children=[offsetbox.TextArea(w, textprops=p) for w, p in looks], pad=0, sep=12)
    box = offsetbox.AnchoredOffsetbox(
        "lower left", child=packed, frameon=False, bbox_to_anchor=(0.05, y), bbox_transform=fig.transFigure,
        pad=0, borderpad=0,
    )  # fmt: skip
    fig.add_artist(box)


def _svg(plate: Plate) -> str:
    """A plate as inline SVG: text stays text, colours become the page's."""
    matplotlib = optional("matplotlib", "forecast")
    figure = optional("matplotlib.figure", "forecast").Figure
    fig = figure(figsize=(4.5, 2.6), facecolor="none")
    ax = fig.add_axes((plate.left / 4.5, 0.18, 1 - (plate.left + plate.right) / 4.5, 0.78))
    _prepare(ax, plate)
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": plate.title}):
        fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(
        r'<svg [^>]*viewBox="([^"]*)"[^>]*>',
        rf'<svg viewBox="\1" role="img" aria-label="{html.escape(plate.title)}">',
        text,
        count=1,
    )
    text = re.sub(
        r"font: ((?:bold |\d+ )?)([\d.]+)px [^;\"]*",
        lambda m: f"font-size:{m[2]}px;font-weight:{m[1].strip() or 400}",
        text,
    )
    for k, colour in enumerate(DARK):
        text = text.replace(colour, f"var(--c{k})")
    return re.sub(r"\n\s*", "\n", text)


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
svg { display: block; width: 100%%; height: auto; overflow: visible; font-family: inherit; stroke-linejoin: round }
.numbers { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: clamp(13px, 3.4vw, 15px) }
th, td { text-align: right; padding: 6px 0 6px clamp(9px, 2vw, 28px); border-bottom: 1px solid var(--c2);
  white-space: nowrap }
th { color: var(--c1); font-weight: 400 } th:first-child, td:first-child { text-align: left; padding-left: 0 }
tr.best td { font-weight: 650 }
.note { color: var(--c1); font-size: 14px; max-width: 75ch }
"""


def _html(plates: Sequence[Plate], sheet: Sheet, result: Mapping[str, Any] | None, observations: Sequence[str]) -> str:
    light = " ".join(f"--c{k}: {colour};" for k, colour in enumerate(DARK))
    dark = " ".join(f"--c{k}: {colour};" for k, colour in enumerate(DARK.values()))
    title, bands = html.escape(sheet.title), "".join(f', <b class="band">{band}</b>' for band in sheet.bands)
    figures = "\n".join(
        f"<figure><figcaption><h2>{html.escape(p.title)}</h2><p>{html.escape(p.caption)}</p></figcaption>\n{_svg(p)}"
        "</figure>"
        for p in plates
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{STYLE % (PAPER, light, NIGHT, dark)}</style></head>
<body><main><header><h1>{title}</h1><p class="verdict">{html.escape(sheet.verdict)}</p>
<p class="key"><b class="seen">Observed</b>, <b class="ours">forecast</b>{bands}. {html.escape(sheet.what)}.</p>
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
    lines = ["<tr>" + "".join(f"<th>{head}</th>" for head in ("", *heads)) + "</tr>"]
    for method, row in rows.items():
        mark = ' class="best"' if method == result["best"] else ""
        lines.append(f"<tr{mark}><td>{html.escape(method)}</td>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>")
    text = " ".join(map(html.escape, notes(result)))
    what = (
        "MASE: 1 is the error of the seasonal naive method within the history. OWA: 1 is Naive2. sMAPE: from 0 to 200. "
        "WQL: the loss of all quantiles over the sum of the truth. Lower is better in all four."
    )
    return f'<section class="numbers"><table>{"".join(lines)}</table></section><p class="note">{text} {what}</p>'
