// Half-lives, gradient flow, health and training; and the start.

const SHADES = ["accent", "warm", "green", "violet", "ink", "grey"];
const SHAPES = ["circle", "square", "triangle", "diamond"];

function svg(tag, attributes = {}, ...inside) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...inside);
  return element;
}

function shape(kind, x, y, r, colour) {
  const path = {
    circle: `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`,
    square: `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
    triangle: `M${x} ${y - r}l${r} ${1.8 * r}h${-2 * r}z`,
    diamond: `M${x} ${y - 1.3 * r}l${r} ${1.3 * r}l${-r} ${1.3 * r}l${-r} ${-1.3 * r}z`,
  };
  return svg("path", { d: path[kind], fill: colour });
}

function decades(low, high, most = 7) { // powers of ten between, at most so many
  const every = Math.max(1, Math.ceil((high - low) / most)), from = Math.ceil(low / every - 1e-9) * every;
  return Array.from({ length: Math.max(0, Math.floor((high - from) / every + 1e-9) + 1) }, (_, k) => from + k * every);
}

function logarithmic(low, high) { // ticks, as powers: decades, or where there are few 1, 2, 5 of each
  if (high - low >= 2.4) return decades(low, high);
  const fine = decades(Math.floor(low), high, 99).flatMap((p) => [0, Math.log10(2), Math.log10(5)].map((q) => p + q));
  const ticks = fine.filter((p) => p >= low && p <= high);
  return ticks.length > 2 ? ticks : evenly(10 ** low, 10 ** high, 4).map(Math.log10).filter(Number.isFinite);
}

const padded = (low, high) => [low - Math.max(0.1, 0.04 * (high - low)), high + Math.max(0.1, 0.04 * (high - low))];

const power = (p) => (p > -3 && p < 5 ? format(10 ** p, 6) : `10${[...String(p)].map((c) => SUPER[c]).join("")}`);

function evenly(low, high, most = 5) {
  const each = nice((high - low) / most || 1), ticks = [];
  for (let k = Math.ceil(low / each - 1e-9); k * each <= high + each * 1e-9; k++) ticks.push(k * each);
  return ticks;
}

const stroke = ({ colour, dash }) => ({ stroke: colour, "stroke-width": 2, "stroke-dasharray": dash });

// Curves over a shared x: {name, colour, dash, shape, x, y}. The legend hides and shows them and has their values.
function chart(host, { curves, log = false, across, unit: word = "", height = 250, label, legend = true }) {
  const drawn = make("div"), list = make("ul", "", "legend"), shown = new Set(curves), values = new Map();
  for (const one of curves) {
    const button = make("button"), item = make("li"), value = make("data");
    const sample = svg("svg", { viewBox: "0 0 34 12", "aria-hidden": "true" });
    sample.append(svg("line", { x1: 1, x2: 33, y1: 6, y2: 6, ...stroke(one) }));
    if (one.shape) sample.append(shape(one.shape, 17, 6, 3.6, one.colour));
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    button.append(sample, make("span", one.name), value);
    button.onclick = () => {
      if (!shown.delete(one)) shown.add(one);
      button.setAttribute("aria-pressed", String(shown.has(one)));
      paint();
    };
    values.set(one, value);
    item.append(button);
    list.append(item);
  }
  const now = make("p", "", "now");
  host.append(...(legend ? [list] : []), drawn, now);
  const every = [...new Set(curves.flatMap(({ x }) => [...x]))].filter(Number.isFinite).sort((a, b) => a - b);
  let at = every.length - 1;

  const tell = () => {
    for (const [one, value] of values) {
      const k = one.x.indexOf(every[at]), y = k < 0 ? NaN : one.y[k];
      value.value = String(y);
      value.textContent = format(y, 3);
    }
    const one = curves[0], k = one.x.indexOf(every[at]);
    now.textContent = `At ${across} ${format(every[at], 8)}` + (legend ? "" : `: ${format(k < 0 ? NaN : one.y[k])}`);
  };

  function paint() {
    const W = drawn.clientWidth, H = height, left = 56, right = 12, top = 10, bottom = 40;
    if (W < 80) return;
    const usable = (v) => Number.isFinite(v) && (!log || v > 0);
    let low = Infinity, high = -Infinity;
    for (const { y } of shown) for (const v of y) if (usable(v)) [low, high] = [Math.min(low, v), Math.max(high, v)];
    if (!(low <= high)) [low, high] = [log ? 0.1 : 0, 1];
    if (log) {
      [low, high] = [Math.log10(low), Math.log10(high)];
      [low, high] = padded(Math.max(low, high - 12), high); // smaller gradients have no effect
    } else {
      if (low > 0 && low < 0.6 * high) low = 0;
      if (low === high) [low, high] = [Math.min(0, 2 * low), Math.max(0, 2 * low) || 1];
      const pad = (high - low) * 0.04;
      [low, high] = [low === 0 ? 0 : low - pad, high + pad];
    }
    const first = every[0] ?? 0, far = [...shown].flatMap(({ x, y }) => {
      const k = y.findLastIndex((v) => usable(v) && (!log || Math.log10(v) >= low));
      return k < 0 ? [] : [x[k]];
    });
    const last = Math.max(...far) > first ? Math.max(...far) : first + 1; // where the last curve ends
    const X = (x) => left + ((x - first) / (last - first)) * (W - left - right);
    const Y = (v) => top + (1 - ((log ? Math.log10(v) : v) - low) / (high - low)) * (H - top - bottom);
    const root = svg("svg", { viewBox: `0 0 ${W} ${H}`, height: H, role: "img", "aria-label": label, tabindex: 0 });
    for (const tick of log ? logarithmic(low, high) : evenly(low, high)) {
      const y = Y(log ? 10 ** tick : tick);
      const about = log && tick === 0 ? "one" : "grid-line";
      root.append(svg("line", { class: about, x1: left, x2: W - right, y1: y, y2: y }));
      root.append(svg("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, log ? power(tick) : format(tick)));
    }
    const ticks = evenly(first, last, Math.max(2, Math.floor(W / 110))), whole = every.every(Number.isInteger);
    for (const tick of whole ? ticks.filter(Number.isInteger) : ticks) {
      root.append(svg("text", { x: X(tick), y: H - bottom + 18, "text-anchor": "middle" }, format(tick, 8)));
    }
    root.append(svg("text", { x: W - right, y: H - 4, "text-anchor": "end" }, `${across}${word && `, ${word}`} →`));
    for (const one of shown) {
      let d = "", open = false, spots = [];
      const thin = Math.max(1, Math.floor(one.x.length / (4 * W)));
      for (let k = 0; k < one.x.length; k += thin) {
        if (!usable(one.y[k]) || (log && Math.log10(one.y[k]) < low)) {
          open = false;
          continue;
        }
        const [x, y] = [X(one.x[k]), Y(one.y[k])];
        d += `${open ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
        open = true;
        if (one.shape) spots.push([x, y]);
      }
      root.append(svg("path", { d, fill: "none", "stroke-linejoin": "round", ...stroke(one) }));
      const apart = spots.length > 1 ? Math.ceil(90 / Math.max(1e-3, Math.min(90, spots[1][0] - spots[0][0]))) : 1;
      spots.filter((_, k) => k % apart === 0).forEach(([x, y]) => root.append(shape(one.shape, x, y, 3.4, one.colour)));
    }
    const line = svg("line", { class: "at", y1: top, y2: H - bottom });
    const set = (n) => {
      const end = every.findLastIndex((x) => x <= last);
      at = Math.max(0, Math.min(end, n));
      line.setAttribute("x1", X(every[at] ?? first));
      line.setAttribute("x2", X(every[at] ?? first));
      tell();
    };
    root.append(line);
    root.addEventListener("pointermove", (event) => {
      const px = event.clientX - root.getBoundingClientRect().left - left;
      const x = first + (px / (W - left - right)) * (last - first);
      let best = 0;
      every.forEach((v, n) => (Math.abs(v - x) < Math.abs(every[best] - x) ? (best = n) : 0));
      set(best);
    });
    root.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by) return;
      event.preventDefault();
      set(at + by);
    });
    drawn.replaceChildren(root);
    set(at);
  }
  new ResizeObserver(paint).observe(drawn);
}

function table(head, rows, words = []) {
  const host = make("div", "", "wide"), body = make("table"), top = make("tr");
  host.tabIndex = 0;
  host.setAttribute("role", "region");
  host.setAttribute("aria-label", "Table");
  head.forEach((name, n) => {
    const cell = make("th", name, words.includes(n) ? "words" : "");
    cell.scope = "col";
    top.append(cell);
  });
  body.append(make("thead"), make("tbody"));
  body.tHead.append(top);
  for (const row of rows) {
    const line = make("tr");
    row.forEach((entry, n) => {
      const cell = make("td", "", words.includes(n) ? "words" : "");
      cell.dataset.head = head[n];
      if (typeof entry === "number") cell.append(datum(entry));
      else cell.append(entry);
      line.append(cell);
    });
    body.tBodies[0].append(line);
  }
  host.append(body);
  return host;
}

function folded(head, rows) { // a table that is built when it is opened
  const host = make("details");
  host.append(make("summary", "As a table"));
  host.addEventListener("toggle", () => {
    if (host.open && host.children.length < 2) host.append(table(head, rows()));
  });
  return host;
}

function sentences(all) {
  const list = make("ul", "", "sentences");
  list.append(...all.filter(Boolean).map((text) => make("li", text)));
  return list;
}

// ---- half-lives

const halfLifeCharts = [];
const paintHalfLives = () => halfLifeCharts.forEach((paint) => paint());

function halfLifeChart(memory) {
  const host = make("div", "", "chart"), drawn = make("div"), now = make("p", "", "now");
  const lives = floats(memory.half_life), order = [...lives.keys()].sort((a, b) => lives[b] - lives[a]);
  const finite = [...lives].filter((v) => v > 0 && Number.isFinite(v));
  const never = [...lives].filter((v) => v === Infinity).length, none = lives.length - finite.length - never;
  const half = lives[order[Math.floor((order.length - 1) / 2)]]; // of an even number the longer
  const words = (u) => `Unit ${u}: ${lives[u] === Infinity ? "never forgets" : `${format(lives[u])} steps`}`;
  host.append(make("h3", memory.name), ...(memory.summary ? [make("p", memory.summary)] : []), drawn, now);
  host.append(folded(["Unit", "Half-life, steps"], () => order.map((u) => [u, lives[u]])));

  function paint() {
    const W = drawn.clientWidth, H = 250, left = 50, top = 10, bottom = 38;
    if (W < 80 || !lives.length) return;
    let low = Math.min(...finite.map(Math.log10)), high = Math.max(...finite.map(Math.log10));
    if (!(low <= high)) [low, high] = [0, 1];
    [low, high] = padded(low, high);
    const upper = top + (never ? 34 : 0), lower = H - bottom - (none ? 30 : 0), mid = left + (W - left) * 0.68;
    const Y = (v) => {
      if (v === Infinity) return top + 8;
      return v > 0 ? lower - ((Math.log10(v) - low) / (high - low)) * (lower - upper) : H - bottom - 6;
    };
    const X = (rank) => left + 8 + (rank / Math.max(1, lives.length - 1)) * (mid - left - 26);
    const label = `Half-lives of ${count(lives.length, "unit")}, median ${format(half)} steps. Arrow keys choose one.`;
    const root = svg("svg", { viewBox: `0 0 ${W} ${H}`, height: H, tabindex: 0, role: "group", "aria-label": label });
    const tick = (y, text) => root.append(
      svg("line", { class: "grid-line", x1: left, x2: W, y1: y, y2: y }),
      svg("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, text),
    );
    for (const p of logarithmic(low, high)) tick(Y(10 ** p), power(p));
    if (never) tick(Y(Infinity), "∞");
    if (none) tick(Y(0), "0");
    const bins = Math.max(4, Math.min(24, Math.round(Math.sqrt(lives.length) * 2))), counts = new Array(bins).fill(0);
    for (const v of finite) counts[Math.min(bins - 1, Math.floor(((Math.log10(v) - low) / (high - low)) * bins))]++;
    const full = Math.max(...counts, never, none), thick = (lower - upper) / bins;
    const bin = (n, y, h) => {
      if (!n) return;
      const wide = Math.max(2, (n / full) * (W - mid - 34));
      root.append(svg("rect", { class: "bin", x: mid, y, width: wide, height: Math.max(1, h) }));
      if (h >= 9 || n === full) root.append(svg("text", { x: mid + wide + 5, y: y + h / 2 + 4 }, String(n)));
    };
    counts.forEach((n, b) => bin(n, lower - (b + 1) * thick + 0.5, thick - 1));
    bin(never, Y(Infinity) - 6, 12);
    bin(none, Y(0) - 6, 12);
    const r = Math.max(2.2, Math.min(4.5, (mid - left) / lives.length / 2.2)), dots = [];
    order.forEach((u, rank) => {
      const here = find(memory.name, u), chosen = here && isShown(here);
      const about = `unit${here ? " here" : ""}${chosen ? " now" : ""}`;
      const dot = svg("circle", { class: about, cx: X(rank), cy: Y(lives[u]), r: here ? r + 0.8 : r, "data-unit": u });
      dot.append(svg("title", {}, words(u)));
      dot.onpointerenter = () => (now.textContent = words(u));
      if (here) dot.onclick = () => choose(here);
      if (chosen) now.textContent = `${words(u)}; shown above`;
      dots.push(dot);
    });
    const front = (d) => d.classList.contains("here");
    root.append(...dots.filter((d) => !front(d)), ...dots.filter(front));
    const foot = (x, text) => root.append(svg("text", { x, y: H - 6 }, text));
    foot(0, "steps");
    foot(left + 4, "units, sorted →");
    foot(mid, "count");
    const here = order.map((u) => find(memory.name, u)).filter(Boolean);
    root.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by || !here.length) return;
      event.preventDefault();
      const k = here.findIndex(isShown);
      choose(here[k < 0 ? 0 : (k + by + here.length) % here.length]);
      drawn.firstChild.focus();
    });
    drawn.replaceChildren(root);
    if (!now.textContent) now.textContent = `Median ${format(half)} steps`;
  }
  halfLifeCharts.push(() => {
    now.textContent = "";
    paint();
  });
  new ResizeObserver(paint).observe(drawn);
  return host;
}

// ---- the other sections

function flows() {
  const layers = [...new Set(DOC.flow.map((one) => one.layer))], names = [...new Set(DOC.flow.map((one) => one.name))];
  const drawn = byId("flows"), choice = byId("flow-layer");
  const label = "Norm of the gradient against the lag, on a logarithmic axis";
  const paint = () => { // a curve has the colour of its name, whatever the layer
    const where = layers[Number(choice.value)], chosen = DOC.flow.filter((one) => !where || one.layer === where);
    const curves = chosen.flatMap(({ name, layer: at, lags, norms }) => {
      const x = [...floats(lags)], n = names.indexOf(name), called = where ? name : `${at}, ${name}`;
      const colour = `var(--${SHADES[n % SHADES.length]})`, shape = SHAPES[n % SHAPES.length];
      const dash = (s, m) => (s === "c" ? "7 5" : m && s !== "h" ? "2 3" : "none");
      const one = (s, y, m) => ({ name: `${called}: ${s}`, x, y, colour, shape, dash: dash(s, m) });
      return norms.map(([s, ref], m) => one(s, floats(ref), m));
    });
    drawn.replaceChildren();
    chart(drawn, { curves, log: true, across: "lag", unit: "steps", height: 340, label });
    const called = (one) => (where ? one.name : `${one.layer}, ${one.name}`);
    drawn.append(sentences(chosen.map((one) => one.summary && `${called(one)}: ${one.summary}`)));
  };
  fill(choice, [...layers, "All layers"].map((name, n) => [n, name]), 0);
  choice.closest(".tools").hidden = layers.length < 2;
  choice.onchange = paint;
  paint();
}

function healths() {
  const share = (x) => {
    const host = make("div"), bar = make("span", "", "bar"), part = make("i");
    host.append(datum(100 * x, 3), " %", bar);
    host.firstChild.value = String(x);
    part.style.width = `${100 * Math.max(0, Math.min(1, Number(x) || 0))}%`;
    bar.append(part);
    return host;
  };
  const rows = DOC.health.map((h) => [
    h.name, nameOf(h.gate), share(h.open), share(h.shut), share(h.unused), h.advice || "Nothing need be done.",
  ]);
  const host = table(["Layer", "Gate", "Always open", "Always shut", "Unused", "Advice"], rows, [0, 1, 5]);
  host.classList.add("folding");
  byId("healths").append(host);
}

function histories() {
  const names = [...new Set(DOC.history.flatMap((row) => row.map(([name]) => name)))];
  const rows = DOC.history.map((row) => new Map(row)), groups = new Map();
  const x = rows.map((row, n) => Number(row.get("step") ?? n + 1));
  const cell = (row, name) => ([undefined, null, ""].includes(row.get(name)) ? NaN : Number(row.get(name)));
  for (const name of names.filter((n) => n !== "step" && n !== "seconds")) {
    const y = rows.map((row) => cell(row, name));
    if (!y.some(Number.isFinite)) continue;
    const family = /^(loss$|valid)/.test(name) ? "loss" : name.split(":", 1)[0];
    groups.set(family, [...(groups.get(family) ?? []), { name, y }]);
  }
  const called = {
    loss: "Loss", lr: "Learning rate", grad_norm: "Norm of the gradient, before clipping",
    clipped: "Share of steps with a clipped gradient",
    open: "Share of gate values that are open (> 0.95)", shut: "Share of gate values that are shut (< 0.05)",
  };
  for (const [family, curves] of groups) {
    const host = make("div", "", "chart"), whole = curves.flatMap(({ y }) => y.filter(Number.isFinite));
    const [low, high] = whole.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
    const log = low > 0 && high > 30 * low && !["open", "shut", "lr"].includes(family);
    host.append(make("h3", Object.hasOwn(called, family) ? called[family] : family));
    byId("histories").append(host);
    chart(host, {
      label: family, across: "step", log, height: 220, legend: curves.length > 1 || curves[0].name !== family,
      curves: curves.map(({ name, y }, n) => ({
        name: name.slice(name.indexOf(":") + 1), x, y, colour: `var(--${SHADES[n % SHADES.length]})`,
        dash: n < SHADES.length ? "none" : "6 4", shape: curves.length > 1 ? SHAPES[n % SHAPES.length] : undefined,
      })),
    });
  }
  const others = names.filter((n) => n !== "step");
  const entries = () => rows.map((row, n) => [x[n], ...others.map((name) => cell(row, name))]);
  byId("histories").append(folded(["step", ...others], entries));
}

// ---- the start

function open() {
  try {
    const stored = localStorage.getItem("gated-theme");
    if (THEMES.includes(stored) && stored !== "auto") document.documentElement.dataset.theme = stored;
  } catch { /* a page from a disk may have no storage */ }
  theme();
  byId("theme").hidden = false;
  const recolour = () => {
    mixColours();
    if (DOC.examples.length) rebuild();
  };
  byId("theme").onclick = () => {
    theme(1);
    recolour();
    try {
      localStorage.setItem("gated-theme", document.documentElement.dataset.theme ?? "auto");
    } catch { /* then it is not stored */ }
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);

  const fillings = {
    steps: DOC.examples.length, memory: DOC.half_lives.length, flow: DOC.flow.length, health: DOC.health.length,
    inputs: DOC.examples.some((e) => e.attributions.length), history: DOC.history.length,
  };
  for (const [id, something] of Object.entries(fillings)) {
    const section = byId(id);
    if (!something) {
      section.remove();
      continue;
    }
    section.hidden = false;
    const link = make("a", section.querySelector("h2").textContent);
    link.href = "#" + id;
    byId("contents").append(link);
  }
  if (DOC.half_lives.length) byId("memories").append(...DOC.half_lives.map(halfLifeChart));
  if (DOC.flow.length) flows();
  if (DOC.health.length) healths();
  if (DOC.history.length) histories();
  if (!DOC.examples.length) return;
  const rank = ([letter]) => (letter === "h" ? 2 : letter === "c" ? 1 : 0);
  for (const { layers } of DOC.examples) for (const l of layers) l.values.sort((a, b) => rank(a) - rank(b));

  makeStack(byId("stack"));
  if (byId("shares")) makeStack(byId("shares"));
  const chooser = (id, change) => byId(id).addEventListener("change", (event) => choose(change(event.target.value)));
  chooser("example", (v) => ({ example: Number(v) }));
  chooser("layer", (v) => ({ layer: Number(v) }));
  chooser("unit", (v) => ({ unit: Number(v) }));
  chooser("gate", (v) => ({ gate: v }));
  if (byId("output")) chooser("output", (v) => ({ output: Number(v) }));
  byId("before").onclick = () => turn(-1);
  byId("after").onclick = () => turn(1);
  byId("in").onclick = () => zoom(0.5);
  byId("out").onclick = () => zoom(2);
  byId("whole").onclick = () => see(0, steps());
  document.addEventListener("keydown", (event) => event.key === "Escape" && unpin());
  Object.assign(state, { to: steps(), hint: -1 });
  state.step = state.over = start();
  choose({});
}

open();
