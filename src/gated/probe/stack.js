// Rows on one axis: a name, its value at the step under the pointer, and a canvas.

const ABOUT = {
  i: "input gate", f: "forget gate", g: "candidate", o: "output gate", c: "cell", h: "output",
  r: "reset gate", z: "update gate", n: "candidate", k: "candidate",
};
const nameOf = (letter) => (Object.hasOwn(ABOUT, letter) ? `${letter}, ${ABOUT[letter]}` : letter);
const isState = (letter) => letter === "c" || letter === "h"; // in ink, after the gates, which have the accent
const stacks = [];

function makeStack(host) {
  const stack = { host, rows: [], width: 0, cursor: make("i", "", "cursor"), choice: make("i", "", "choice") };
  stack.choice.hidden = true;
  stacks.push(stack);
  new ResizeObserver(() => refresh()).observe(host);
  listen(stack);
  return stack;
}

// Rows: {key, name, about, height, draw(ctx, w, h), at(step) -> number, ticks: [low, high], label, kind}
function setRows(stack, rows, scale) {
  stack.rows = rows;
  stack.host.replaceChildren();
  for (const row of rows) {
    const outer = make("div", "", `row ${row.kind ?? ""}`);
    const name = make("div", "", "rowname"), plot = make("div", "", "rowplot");
    outer.dataset.row = row.key;
    name.append(make("b", row.name));
    name.firstChild.title = row.name;
    if (row.at) name.append((row.value = datum(NaN)));
    if (row.about) name.append(make("small", row.about));
    row.canvas = make("canvas");
    row.canvas.setAttribute("role", "img");
    row.canvas.setAttribute("aria-label", row.label ?? row.name);
    plot.append(row.canvas);
    if (row.ticks) {
      row.low = make("span", "", "tick low");
      row.high = make("span", "", "tick high");
      name.append(row.high, row.low);
    }
    row.plot = plot;
    row.stack = stack;
    plot.row = row;
    outer.append(name, plot);
    stack.host.append(outer);
  }
  const where = make("div", "", "where");
  where.append((stack.where = make("i")));
  stack.host.append(where, stack.cursor, stack.choice);
  if (scale) stack.host.append(scale);
}

// ---- drawing

let pending = false;

function refresh() { // at maximum once a frame
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => {
    pending = false;
    draw();
  });
}

function draw() {
  for (const stack of stacks) for (const row of stack.rows) drawRow(row);
  point();
}

function drawRow(row) {
  const w = row.plot.clientWidth, h = typeof row.height === "function" ? row.height(w) : row.height;
  row.plot.style.height = h + "px";
  if (w < 2) return;
  const ratio = window.devicePixelRatio || 1, { canvas } = row;
  if (canvas.width !== Math.round(w * ratio)) canvas.width = Math.round(w * ratio);
  if (canvas.height !== Math.round(h * ratio)) canvas.height = Math.round(h * ratio);
  const ctx = canvas.getContext("2d");
  ctx.setTransform(1, 0, 0, 1, 0, 0);
  ctx.clearRect(0, 0, canvas.width, canvas.height);
  ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
  ctx.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  ctx.textBaseline = "middle";
  row.stack.width = w;
  row.draw(ctx, w, h);
  if (row.ticks) [row.low.textContent, row.high.textContent] = row.ticks.map((v) => format(v, 3));
}

const span = () => state.to - state.from;
const xOf = (s, w) => ((s - state.from) / span()) * w;
const dense = (stride, w) => span() / (stride * w * (window.devicePixelRatio || 1)); // steps of the layer a pixel

function columns(w, stride) { // how many columns of pixels there are, and which steps of the layer lie in each
  const n = Math.max(1, Math.round(w * (window.devicePixelRatio || 1)));
  const first = state.from / stride, each = span() / (n * stride);
  const part = (p) => {
    const from = Math.floor(first + p * each);
    return [from, Math.max(from + 1, Math.floor(first + (p + 1) * each))];
  };
  return { n, each, part, at: (p) => Math.floor(first + (p + 0.5) * each) };
}

// A curve. Where several steps share a pixel, a line from their minimum to their maximum, so that no spike is lost, and
// where they are many their mean over it. Else every point.
function curve(ctx, w, h, values, stride, [low, high], colour) {
  const y = (v) => 2 + (h - 4) * (1 - (v - low) / (high - low));
  ctx.strokeStyle = ctx.fillStyle = colour;
  ctx.lineWidth = 1.3;
  ctx.lineJoin = "round";
  ctx.beginPath();
  let drawing = false;
  if (dense(stride, w) > 1) {
    const { n, part } = columns(w, stride);
    const means = new Float64Array(n), many = dense(stride, w) > 6;
    if (many) ctx.strokeStyle = colours.pale.get(colour);
    let last = 0;
    for (let p = 0; p < n; p++) {
      extremes(values, ...part(p));
      means[p] = mean;
      if (Number.isNaN(minimum)) {
        drawing = false;
        continue;
      }
      const x = ((p + 0.5) / n) * w, a = y(minimum), b = y(maximum), up = Math.abs(last - a) < Math.abs(last - b);
      if (drawing) ctx.lineTo(x, up ? a : b);
      else ctx.moveTo(x, up ? a - 0.6 : b + 0.6); // a single column is a dot
      ctx.lineTo(x, (last = up ? b : a));
      drawing = true;
    }
    ctx.stroke();
    if (!many) return;
    ctx.strokeStyle = colour;
    ctx.beginPath();
    means.forEach((v, p) => {
      if (Number.isNaN(v)) return;
      if (p && !Number.isNaN(means[p - 1])) ctx.lineTo(((p + 0.5) / n) * w, y(v));
      else ctx.moveTo(((p + 0.5) / n) * w, y(v));
    });
    ctx.stroke();
    return;
  }
  const from = Math.max(0, Math.floor(state.from / stride) - 1);
  const to = Math.min(values.length, Math.ceil(state.to / stride) + 1);
  const dots = (w * stride) / span() > 9;
  const finite = (k) => k >= 0 && k < values.length && Number.isFinite(values[k]);
  for (let k = from; k < to; k++) {
    if (!finite(k)) {
      drawing = false;
      continue;
    }
    const x = xOf((k + 0.5) * stride, w);
    if (drawing) ctx.lineTo(x, y(values[k]));
    else ctx.moveTo(x, y(values[k]));
    drawing = true;
  }
  ctx.stroke();
  for (let k = from; k < to; k++) {
    if (!finite(k) || !(dots || (!finite(k - 1) && !finite(k + 1)))) continue;
    ctx.beginPath();
    ctx.arc(xOf((k + 0.5) * stride, w), y(values[k]), dots ? 2.2 : 1.3, 0, 7);
    ctx.fill();
  }
}

// Signed bars from zero, each as wide as its step.
function bars(ctx, w, h, values, stride, [low, high]) {
  const y = (v) => 1 + (h - 2) * (1 - (v - low) / (high - low)), zero = y(0);
  const bar = (x, wide, lo, hi) => {
    ctx.fillStyle = colours.accent;
    if (hi > 0) ctx.fillRect(x, Math.min(y(hi), zero - 0.5), wide, Math.max(zero - y(hi), 0.5));
    ctx.fillStyle = colours.warm;
    if (lo < 0) ctx.fillRect(x, zero, wide, Math.max(y(lo) - zero, 0.5));
  };
  if (dense(stride, w) > 1) {
    const { n, part } = columns(w, stride);
    for (let p = 0; p < n; p++) {
      extremes(values, ...part(p));
      bar((p / n) * w, w / n, minimum, maximum);
    }
  } else {
    const wide = (w * stride) / span(), gap = wide > 4 ? 1 : 0;
    const to = Math.min(values.length, Math.ceil(state.to / stride));
    for (let k = Math.max(0, Math.floor(state.from / stride)); k < to; k++) {
      bar(xOf(k * stride, w) + gap / 2, wide - gap, values[k], values[k]);
    }
  }
  ctx.fillStyle = colours.line;
  ctx.fillRect(0, zero - 0.5, w, 1);
}

// Rows of numbers as colours. Where steps share a pixel, the one farthest from the mean of its row is drawn.
const sheet = document.createElement("canvas");

function raster(ctx, w, h, rows, stride, [low, high], table, flip = false) {
  const { n, each, part, at: middleOf } = columns(w, stride), R = rows.length, image = new ImageData(n, R);
  rows.forEach((values, r) => {
    const centre = each > 1 ? blocks(values).mean : 0;
    let to = 4 * n * (flip ? R - 1 - r : r);
    for (let p = 0; p < n; p++, to += 4) {
      let v = values[middleOf(p)];
      if (each > 1) {
        extremes(values, ...part(p));
        v = maximum - centre >= centre - minimum ? maximum : minimum;
      }
      if (!(v === v)) continue; // missing, or not a number
      const at = 4 * Math.max(0, Math.min(255, Math.round((255 * (v - low)) / (high - low))));
      for (let c = 0; c < 4; c++) image.data[to + c] = table[at + c];
    }
  });
  sheet.width = n;
  sheet.height = R;
  sheet.getContext("2d").putImageData(image, 0, 0);
  ctx.imageSmoothingEnabled = false;
  ctx.drawImage(sheet, 0, 0, w, h);
}

function cut(ctx, text, wide) { // with an ellipsis, whole characters only
  if (ctx.measureText(text).width <= wide) return text;
  const letters = [...text.slice(0, 200)];
  while (letters.length && ctx.measureText(letters.join("") + "…").width > wide) letters.pop();
  return letters.length ? letters.join("") + "…" : "";
}

function tokens(ctx, w, h) {
  const { labels } = input(), wide = w / span();
  const from = Math.max(0, Math.floor(state.from)), to = Math.min(steps(), Math.ceil(state.to));
  const flat = fits(ctx, w, from, to);
  for (let s = from; s < to && wide >= 2; s++) {
    const x = xOf(s, w);
    ctx.fillStyle = colours.wash;
    ctx.fillRect(x + 0.5, 2, wide - 1, h - 4);
    if (wide < 12 && !flat) continue;
    ctx.save();
    ctx.fillStyle = colours.ink;
    ctx.textAlign = "center";
    ctx.translate(x + wide / 2, h / 2);
    if (!flat) ctx.rotate(-Math.PI / 2);
    ctx.fillText(cut(ctx, labels[s] ?? "", flat ? wide - 4 : h - 10), 0, 0);
    ctx.restore();
  }
  if (wide >= 2) return;
  ctx.fillStyle = colours.soft;
  ctx.fillText(`${count(steps(), input().unit)}: zoom in to read them`, 6, h / 2);
}

function fits(ctx, w, from, to) { // whether most words lie in their places without being turned
  const wide = w / (to - from), { labels } = input();
  if (wide < 8) return false;
  let good = 0;
  for (let s = from; s < to; s++) good += ctx.measureText(labels[s] ?? "").width <= wide - 4;
  return good >= 0.85 * (to - from);
}

function marks(ctx, w, h) { // a mark's word may use the space to halfway to its neighbours
  ctx.textAlign = "center";
  const all = input().marks, ends = all.map(({ first, last }) => [xOf(first, w), xOf(last + 1, w)]);
  const middle = ([a, b]) => (Math.max(a, 0) + Math.min(b, w)) / 2;
  all.forEach(({ text }, k) => {
    const [a, b] = ends[k], mid = middle(ends[k]);
    if (b < 0 || a > w) return;
    ctx.fillStyle = colours.accent;
    ctx.fillRect(a + (b - a > 3 ? 0.75 : 0), 1, Math.max(b - a - 1.5, 1), 2);
    const left = k ? (middle(ends[k - 1]) + mid) / 2 : 0, right = ends[k + 1] ? (middle(ends[k + 1]) + mid) / 2 : w;
    const room = Math.max(b - a, right - left - 6);
    if (room < 7) return;
    ctx.fillStyle = colours.ink;
    const shown = cut(ctx, text, room), half = ctx.measureText(shown).width / 2;
    const at = Math.max(Math.min(mid, Math.max(right, b) - half), Math.min(left, a) + half);
    if (shown !== "…") ctx.fillText(shown, at, h / 2 + 3);
  });
}

function axis(ctx, w, h) {
  const { labels, scale, unit: word } = input();
  ctx.textAlign = "center";
  let end = -Infinity; // of the last label
  const tick = (s, text) => {
    const x = xOf(s + 0.5, w), half = ctx.measureText(text).width / 2, at = Math.max(half, Math.min(w - half, x));
    if (x < 0 || x > w) return;
    ctx.fillStyle = colours.line;
    ctx.fillRect(x - 0.5, h - 6, 1, 6);
    ctx.fillStyle = colours.soft;
    if (at - half < end + 12) return;
    ctx.fillText(text, at, h / 2 - 3);
    end = at + half;
  };
  if (labels.length && input().kind !== "tokens") {
    const sample = cut(ctx, labels[Math.floor(state.from)] ?? "", 150);
    const room = Math.max(60, ctx.measureText(sample).width + 26);
    const every = Math.max(1, nice(Math.max(1, (span() * room) / w)));
    for (let s = Math.ceil(state.from / every) * every; s < Math.min(state.to, labels.length); s += every) {
      tick(s, cut(ctx, labels[s] ?? "", 150));
    }
    return;
  }
  const size = Math.abs(scale[1]) || 1, whole = !/^seconds?$/.test(word) && Number.isInteger(size);
  const each = Math.max(nice((span() * size * 84) / w), whole ? size : 0), value = (s) => scale[0] + s * scale[1];
  const [a, b] = [value(state.from), value(state.to)].sort((x, y) => x - y);
  for (let k = Math.ceil(a / each); k * each < b; k++) {
    tick((k * each - scale[0]) / (scale[1] || 1), format(k * each, 8));
  }
}

// ---- the rows

function spread(values) { // a range for a curve of the input
  extremes(values, 0, values.length);
  if (!(minimum < maximum)) return minimum === maximum ? [minimum - 0.5, maximum + 0.5] : [0, 1];
  return [minimum, maximum];
}

function range(letter, values) { // gates stand between 0 and 1, states around 0
  extremes(values, 0, values.length);
  if (!isState(letter) && minimum >= 0 && maximum <= 1) return [0, 1];
  const size = Math.max(Math.abs(minimum), Math.abs(maximum)) || 1;
  const round = Number.isFinite(size) ? nice(size, [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10]) : 1;
  return [minimum < 0 ? -round : 0, maximum > 0 || !(minimum < 0) ? round : 0];
}

// One range for the colours of many rows: what they span, or for signed ones as much below zero as above.
function sweep(rows, signed = true) {
  let low = Infinity, high = -Infinity;
  for (const values of rows) {
    extremes(values, 0, values.length);
    if (minimum < low) low = minimum;
    if (maximum > high) high = maximum;
  }
  const size = Math.max(-low, high);
  if (!(low < high)) return low === high ? [low, low + 1] : [0, 1];
  return low < 0 && signed ? [-size, size] : [low, high];
}

function axisRow() {
  const word = input().unit;
  return { key: "axis", kind: "axis bare", name: `${word}s`, height: 30, draw: axis, label: `Axis: ${word}s` };
}

function inputRows(small = false) {
  const { kind, values, picture, labels, marks: list } = input(), rows = [];
  if (picture) {
    const lines = picture.shape[0], all = Array.from({ length: lines }, (_, r) => rowOf(picture, r));
    const limits = sweep(all, false);
    const sound = kind === "sound", height = sound ? 132 : (w) => Math.max(40, Math.min(132, (w * lines) / steps()));
    rows.push({
      key: "picture", name: kind, about: sound ? `${lines} bands, low to high` : `${lines} rows`, height,
      label: `Picture of the ${kind}`, draw: (ctx, w, h) => raster(ctx, w, h, all, 1, limits, colours.picture, sound),
    });
  }
  if (kind === "tokens" && labels.length) {
    const height = (w) => (fits(sheet.getContext("2d"), w, 0, steps()) ? 32 : 86);
    const about = count(steps(), input().unit);
    rows.push({ key: "tokens", name: "input", about, height, draw: tokens, label: "Input tokens" });
  }
  values.forEach(([name, ref], n) => {
    const row = rowOf(ref, 0), ticks = spread(row);
    const pad = (ticks[1] - ticks[0]) * 0.06, limits = [ticks[0] - pad, ticks[1] + pad];
    rows.push({
      key: "input:" + name, name, height: n || small ? 46 : 112, ticks, at: (s) => row[s],
      label: `Input ${name}`, draw: (ctx, w, h) => curve(ctx, w, h, row, 1, limits, colours.ink),
    });
  });
  if (list.length) {
    rows.push({ key: "marks", name: "output", height: 30, draw: marks, label: "The output at its places" });
  }
  return rows;
}

function contributionRow(l) {
  const keep = rowOf(l.keep, state.unit), write = rowOf(l.write, state.unit);
  const row = {
    key: "contributions", name: "shares", about: `of ${l.state}, by step of writing`, height: 74, ticks: [0, 1],
    label: `Shares of ${l.state} at the step under the pointer, by step of writing`, result: null,
    at: (s) => (row.result && stepOf(l, s) < keep.length ? row.result.shares[stepOf(l, s)] : NaN),
    compute: () => {
      const t = stepOf(l, state.step);
      row.result = t < keep.length ? sharesAt(keep, write, t, l.reverse) : null;
    },
    draw: (ctx, w, h) => {
      row.compute();
      if (!row.result) return;
      extremes(row.result.shares, 0, keep.length);
      row.ticks = [Math.min(0, minimum), Math.max(0, maximum)];
      if (row.ticks[0] === row.ticks[1]) row.ticks[1] = 1;
      bars(ctx, w, h, row.result.shares, l.stride, row.ticks);
    },
  };
  return row;
}

function layerRows(l) {
  const rows = [], known = l.keep && l.write && l.state;
  if (known) rows.push(contributionRow(l));
  for (const [letter, ref] of l.values) {
    const values = rowOf(ref, state.unit), limits = range(letter, values), colour = isState(letter) ? "ink" : "accent";
    const about = Object.hasOwn(ABOUT, letter) ? ABOUT[letter] : "";
    rows.push({
      key: letter, name: letter, about, height: 54, ticks: limits, at: (s) => values[stepOf(l, s)],
      label: `${nameOf(letter)} of unit ${unit()}`,
      draw: (ctx, w, h) => {
        if (limits[0] < 0) {
          ctx.fillStyle = colours.line;
          ctx.fillRect(0, h * (limits[1] / (limits[1] - limits[0])), w, 1);
        }
        curve(ctx, w, h, values, l.stride, limits, colours[colour]);
      },
    });
  }
  const chosen = l.values.find(([name]) => name === state.gate);
  if (!chosen) return rows;
  const all = l.selection.map((_, u) => rowOf(chosen[1], u)), limits = sweep(all);
  rows.push({
    key: "units", name: `${state.gate} of all`, about: `${all.length} of ${count(l.units, "unit")}`, limits,
    height: Math.max(28, Math.min(320, all.length * 16)), values: all,
    label: `${nameOf(state.gate)} of every chosen unit; a click chooses a unit`,
    draw: (ctx, w, h) => {
      raster(ctx, w, h, all, l.stride, limits, limits[0] < 0 ? colours.signed : colours.rising);
      const each = h / all.length;
      ctx.strokeStyle = colours.ink;
      ctx.lineWidth = 1.5;
      ctx.strokeRect(0.75, state.unit * each + 0.75, w - 1.5, Math.max(each - 1.5, 2));
    },
  });
  return rows;
}

function scaleOf(limits) { // the colour scale of the overview
  const host = make("div", "", "scale"), canvas = make("canvas");
  canvas.width = 256;
  canvas.height = 1;
  canvas.setAttribute("aria-hidden", "true");
  const image = new ImageData(256, 1);
  image.data.set(limits[0] < 0 ? colours.signed : colours.rising);
  canvas.getContext("2d").putImageData(image, 0, 0);
  host.append(make("span", format(limits[0])), canvas, make("span", format(limits[1])));
  return host;
}
