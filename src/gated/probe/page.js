"use strict";
// The state of the page and its changes. stack.js draws lanes on one axis, charts.js the rest.
// Text of the document reaches the page through textContent or a canvas, never as markup.

const byId = (id) => document.getElementById(id);
const DOC = JSON.parse(byId("document").textContent);

// ---- numbers

const decoded = new Map(); // an array's number -> Float32Array
const rowViews = new Map(); // "number:row" -> its row, always the same object, the key of `known`

function floats(ref) {
  if (!decoded.has(ref.array)) {
    const text = atob(byId("a" + ref.array).textContent.trim());
    const bytes = new Uint8Array(text.length);
    for (let k = 0; k < bytes.length; k++) bytes[k] = text.charCodeAt(k);
    decoded.set(ref.array, new Float32Array(bytes.buffer));
  }
  return decoded.get(ref.array);
}

function rowOf(ref, r) {
  const key = ref.array + ":" + ref.shape.join("x") + ":" + r, T = ref.shape[ref.shape.length - 1];
  if (!rowViews.has(key)) rowViews.set(key, floats(ref).subarray(r * T, (r + 1) * T));
  return rowViews.get(key);
}

const SUPER = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

function format(x, digits = 4) {
  x = Number(x);
  if (Number.isNaN(x)) return "–";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (x === 0) return "0";
  const size = Math.abs(x);
  if (size < 1e-4 || size >= 1e7) {
    const [base, power] = x.toExponential(digits - 2).split("e");
    const raised = [...power.replace("+", "")].map((c) => SUPER[c]).join("");
    return `${base.replace("-", "−")} × 10${raised}`;
  }
  const places = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  const text = x.toLocaleString("en", { maximumFractionDigits: Math.min(places, 8) });
  return text.replace("-", "−");
}

const count = (n, word) => `${format(n, 8)} ${word}${n === 1 ? "" : "s"}`;
const nice = (x, among = [1, 2, 5, 10]) => { // the next of 1, 2, 5 × 10^k
  const power = 10 ** Math.floor(Math.log10(x));
  return power * among.find((m) => m * power >= x * (1 - 1e-9));
};

// Minimum, maximum and mean of a range, finite numbers only; blocks of 64 are computed once.
const BLOCK = 64, known = new WeakMap(); // a row -> statistics of its blocks
let minimum = NaN, maximum = NaN, mean = NaN; // results of `extremes`, without an array as it runs for every pixel

function blocks(values) {
  if (!known.has(values)) {
    const n = Math.ceil(values.length / BLOCK), low = new Float64Array(n), high = new Float64Array(n);
    const sums = new Float64Array(n), counts = new Float64Array(n);
    for (let b = 0; b < n; b++) {
      let lo = Infinity, hi = -Infinity;
      for (let k = b * BLOCK; k < Math.min((b + 1) * BLOCK, values.length); k++) {
        const v = values[k];
        if (v - v !== 0) continue; // NaN or infinite
        if (v < lo) lo = v;
        if (v > hi) hi = v;
        sums[b] += v;
        counts[b]++;
      }
      low[b] = lo;
      high[b] = hi;
    }
    const all = (part) => part.reduce((a, b) => a + b, 0);
    known.set(values, { low, high, sums, counts, mean: all(sums) / all(counts) });
  }
  return known.get(values);
}

function extremes(values, from, to) {
  const far = to - from > 2 * BLOCK ? blocks(values) : null;
  let lo = Infinity, hi = -Infinity, sum = 0, n = 0;
  for (let k = Math.max(0, from), end = Math.min(to, values.length); k < end; ) {
    if (far && k % BLOCK === 0 && k + BLOCK <= end) {
      const b = k / BLOCK;
      if (far.low[b] < lo) lo = far.low[b];
      if (far.high[b] > hi) hi = far.high[b];
      sum += far.sums[b];
      n += far.counts[b];
      k += BLOCK;
    } else {
      const v = values[k++];
      if (v - v !== 0) continue;
      if (v < lo) lo = v;
      if (v > hi) hi = v;
      sum += v;
      n++;
    }
  }
  mean = sum / n;
  minimum = lo <= hi ? lo : NaN;
  maximum = lo <= hi ? hi : NaN;
}

// The share of each step's write in the state at t: w_s = write_s times keep at every step after s, up to t.
// In a backward layer time runs from the last step to the first.
function sharesAt(keep, write, t, reverse) {
  const shares = new Float64Array(keep.length), back = reverse ? 1 : -1;
  let left = 1, sum = 0;
  for (let s = t; s >= 0 && s < keep.length && left !== 0; s += back) {
    shares[s] = left * write[s];
    sum += shares[s];
    left *= keep[s];
  }
  return { shares, sum };
}

// ---- the page's state

const state = { example: 0, layer: 0, unit: 0, gate: "", output: 0, from: 0, to: 1, step: 0, pinned: false };

const example = () => DOC.examples[state.example];
const input = () => example().input;
const layer = () => example().layers[state.layer];
const unit = () => (layer() ? layer().selection[state.unit] : undefined);
const steps = () => Math.max(1, input().steps);
const stepOf = (l, s) => Math.floor(s / l.stride); // the layer's step at a step of the input

function place(s) { // a step of the input in words
  const { unit: word, labels, scale } = input(), nth = `${word} ${format(scale[0] + s * scale[1], 8)}`;
  if (labels.length) return [labels[s] ?? "–", `step ${format(s, 8)} of ${format(steps(), 8)}`];
  if (/^seconds?$/.test(word)) return [`${format(scale[0] + s * scale[1], 6)} s`, `step ${format(s, 8)}`];
  return [nth, ""];
}

// ---- choosers

const DIRECTION = /[\s,·/(-]*\b(forwards?|backwards?|reversed?)\b\)?\s*$/i;
const stem = (name) => name.replace(DIRECTION, "") || name;

function fill(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, text]) => new Option(text, value)));
  select.value = String(chosen);
}

function siblings(one = layer()) { // layers of one name that differ in direction
  const name = one ? stem(one.name) : "";
  const all = example().layers.map((l, n) => [l, n]);
  const same = all.filter(([l]) => stem(l.name) === name && DIRECTION.test(l.name));
  return same.length === 2 && same[0][0].reverse !== same[1][0].reverse ? same : [];
}

function choosers() {
  const { layers } = example(), pair = siblings().map(([, n]) => n);
  fill(byId("example"), DOC.examples.map((e, n) => [n, e.name]), state.example);
  byId("example").parentElement.hidden = DOC.examples.length < 2;
  for (const id of ["layer", "gate", "unit"]) byId(id).closest(".tools > *").hidden = !layers.length;
  byId("direction").hidden = pair.length === 0;
  byId("direction").lastElementChild.replaceChildren();
  if (!layers.length) return;
  const entries = [];
  layers.forEach((l, n) => { // both directions of a layer are one entry
    const twins = siblings(l).map(([, k]) => k);
    const name = `${twins.length ? stem(l.name) : l.name} (${l.cell}, ${count(l.units, "unit")})`;
    if (!twins.length || twins[0] === n) entries.push([n, name]);
  });
  fill(byId("layer"), entries, pair.length ? pair[0] : state.layer);
  for (const n of pair) {
    const button = make("button", layers[n].reverse ? "Backward" : "Forward");
    button.type = "button";
    button.setAttribute("aria-pressed", String(n === state.layer));
    button.onclick = () => choose({ layer: n });
    byId("direction").lastElementChild.append(button);
  }
  fill(byId("unit"), layer().selection.map((u, n) => [n, String(u)]), state.unit);
  byId("before").disabled = byId("after").disabled = layer().selection.length < 2;
  fill(byId("gate"), layer().values.map(([name]) => [name, nameOf(name)]), state.gate);
}

// Change the selection, keep the rest where possible, and draw.
function choose(change) {
  const number = unit(), was = state.example, name = layer()?.name;
  Object.assign(state, change);
  if (state.example !== was) {
    if (!("layer" in change)) state.layer = Math.max(0, example().layers.findIndex((l) => l.name === name));
    Object.assign(state, { from: 0, to: steps(), pinned: false, output: 0 });
    state.step = start();
  }
  if (layer() && !("unit" in change)) state.unit = Math.max(0, layer().selection.indexOf(number));
  if (layer() && !layer().values.some(([name]) => name === state.gate)) {
    const names = layer().values.map(([name]) => name);
    state.gate = ["f", "z", "h"].find((name) => names.includes(name)) ?? names[0] ?? "";
  }
  choosers();
  rebuild();
}

// The step at which the page opens: the last one in the layer's time.
const start = () => (layer()?.reverse ? 0 : steps() - 1);

function turn(by) {
  const n = layer()?.selection.length ?? 0;
  if (n > 1) choose({ unit: (state.unit + by + n) % n });
}

// Where the unit of a layer is shown: in the current example, else in the first that has it.
function find(name, number) {
  const all = DOC.examples.map((_, n) => n);
  for (const n of DOC.examples.length ? [state.example, ...all] : []) {
    const at = DOC.examples[n].layers.findIndex((l) => l.name === name && l.selection.includes(number));
    if (at >= 0) return { example: n, layer: at, unit: DOC.examples[n].layers[at].selection.indexOf(number) };
  }
  return null;
}

const isShown = (place) => Object.entries(place).every(([name, n]) => state[name] === n);

// ---- elements and colours

function make(tag, text = "", about = "") {
  const element = document.createElement(tag);
  if (text !== "") element.textContent = text;
  if (about) element.className = about;
  return element;
}

function datum(x, digits = 4) { // a number with its full value, displayed rounded
  const element = make("data", format(x, digits));
  element.value = String(Number(x));
  return element;
}

const colours = {};

function mixColours() {
  const probe = document.body.appendChild(make("i"));
  for (const name of ["paper", "wash", "ink", "soft", "line", "accent", "warm", "green", "violet", "grey"]) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  const rgb = (name) => {
    if (name === "deep") return rgb("accent").map((v, c) => 0.5 * v + 0.5 * rgb("ink")[c]);
    return colours[name].match(/[\d.]+/g).slice(0, 3).map(Number);
  };
  const pale = (name) => `rgb(${rgb(name).map((v, c) => 0.5 * v + 0.5 * rgb("paper")[c])})`;
  colours.pale = new Map(["accent", "ink"].map((name) => [colours[name], pale(name)]));
  const ramp = (...names) => {
    const stops = names.map(rgb), table = new Uint8ClampedArray(1024);
    for (let k = 0; k < 256; k++) {
      const at = (k / 255) * (stops.length - 1), n = Math.min(Math.floor(at), stops.length - 2), part = at - n;
      for (let c = 0; c < 3; c++) table[4 * k + c] = stops[n][c] * (1 - part) + stops[n + 1][c] * part;
      table[4 * k + 3] = 255;
    }
    return table;
  };
  colours.rising = ramp("paper", "accent", "deep");
  colours.signed = ramp("warm", "paper", "accent");
  colours.picture = ramp("paper", "ink");
  colours.over = ramp("warm", "paper", "accent");
  for (let k = 0; k < 256; k++) colours.over[4 * k + 3] = 235 * Math.min(1, Math.abs(k - 127.5) / 100);
}

const THEMES = ["auto", "light", "dark"];

function theme(change = 0) {
  const root = document.documentElement;
  let now = root.dataset.theme ?? "auto";
  if (change) now = THEMES[(THEMES.indexOf(now) + 1) % 3];
  if (now === "auto") delete root.dataset.theme;
  else root.dataset.theme = now;
  byId("theme").textContent = { auto: "◐ As the system", light: "○ Light", dark: "● Dark" }[now];
  byId("theme").setAttribute("aria-label", `Colours: ${now === "auto" ? "as the system" : now}. Change.`);
  mixColours();
}
