// Pointer, pin, zoom, and the text about them.

function point() {
  if (!DOC.examples.length) return;
  for (const stack of stacks) {
    const { width: w, host } = stack, gutter = host.clientWidth - w;
    const a = Math.max(0, xOf(state.step, w)), b = Math.min(w, xOf(state.step + 1, w));
    stack.cursor.hidden = b < 0 || a > w;
    stack.cursor.classList.toggle("pinned", state.pinned);
    Object.assign(stack.cursor.style, { left: `${gutter + a}px`, width: `${Math.max(1, b - a)}px` });
    const whole = span() >= steps() - 1e-9;
    stack.where.hidden = whole;
    const percent = (x) => `${(100 * x) / steps()}%`;
    Object.assign(stack.where.style, { left: percent(state.from), width: percent(span()) });
    for (const row of stack.rows) {
      if (!row.value) continue;
      const x = row.at(row.key === "contributions" ? state.over : state.step), now = datum(x);
      row.value.value = now.value;
      row.value.textContent = now.textContent;
    }
  }
  read();
}

function read() { // the values at the step under the pointer
  const [name, more] = place(state.step), l = layer(), box = byId("readout");
  const parts = [make("span", name, "place")], pin = make("span", "pinned", "pin");
  pin.style.visibility = state.pinned ? "visible" : "hidden"; // it keeps its space, so that nothing below moves
  if (more) parts.push(make("small", more));
  const pair = (label, x) => {
    const part = make("span");
    part.dataset.name = label;
    part.append(make("small", label + " "), datum(x));
    parts.push(part);
  };
  for (const [label, ref] of input().values.slice(0, 4)) pair(label, rowOf(ref, 0)[state.step]);
  const shares = example().attributions[state.output];
  if (shares) pair(`share in ${shares.output}:`, rowOf(shares.shares, 0)[state.step]);
  if (l) {
    const k = stepOf(l, state.step);
    parts.push(make("small", `unit ${unit()}`));
    for (const [letter, ref] of l.values) pair(letter, rowOf(ref, state.unit)[k]);
    if (state.hint >= 0 && state.hint !== state.unit && state.hint < l.selection.length) {
      const ref = l.values.find(([letter]) => letter === state.gate)[1];
      pair(`${state.gate} of unit ${l.selection[state.hint]}`, rowOf(ref, state.hint)[k]);
    }
  }
  parts.push(pin);
  const mark = input().marks.find(({ first, last }) => first <= state.step && state.step <= last);
  if (mark) parts.push(make("span", mark.text));
  box.replaceChildren(...parts);
  note();
}

function note() { // the state at the step, and when it was written
  const row = stacks[0].rows.find(({ key }) => key === "contributions"), l = layer(), box = byId("note");
  if (!row?.result) return box.replaceChildren();
  const t = stepOf(l, state.step), { shares, sum } = row.result, back = l.reverse ? 1 : -1;
  const all = shares.reduce((sum, w) => sum + Math.abs(w), 0);
  const age = (part) => { // steps back to when this part of all had been written
    let n = 0;
    for (let s = t, total = 0; s in shares && total < part * all; s += back, n++) total += Math.abs(shares[s]);
    return n;
  };
  const states = l.values.find(([letter]) => letter === l.state), c = states && rowOf(states[1], state.unit)[t];
  const rest = c - sum, parts = [`At ${place(state.step)[0]}, ${l.state} = `];
  if (states && Math.abs(rest) > 1e-4 * Math.max(Math.abs(c), all, 1e-12)) {
    parts.push(datum(c), ": ", datum(sum), " written at the steps shown, ", datum(rest));
    parts.push(" remaining of the initial state. ");
  } else parts.push(datum(sum), ", written at the steps shown. ");
  if (all > 0) {
    const reach = age(0.99) * l.stride, half = age(0.5), when = l.reverse ? "next" : "last";
    const range = half === 1 ? "at this step" : `within the ${when} ${count(half, "step")}`;
    parts.push(`Half of the absolute shares were written ${range}`, l.stride !== 1 ? " of the layer. " : ". ");
    if (reach < span() / 40) {
      const near = make("button", "Zoom to the shares");
      near.type = "button";
      const [before, after] = l.reverse ? [0.1, 1.2] : [1.2, 0.1];
      near.onclick = () => see(state.step - before * reach - 2, state.step + after * reach + 3);
      parts.push(near);
    }
  }
  if (state.pinned && state.over !== state.step) {
    const w = shares[stepOf(l, state.over)] ?? 0;
    parts.push(`Share of ${place(state.over)[0]}: `, datum(w), `, ${format((100 * Math.abs(w)) / all, 3)} % of all.`);
  }
  box.replaceChildren(...parts);
}

// Set the step under the pointer, and draw only what depends on it.
function moveTo(step) {
  const s = Math.max(0, Math.min(steps() - 1, Math.floor(step)));
  state.over = s;
  if (!state.pinned && s !== state.step) {
    state.step = s;
    drawContributions();
  }
  point();
}

function drawContributions() {
  for (const row of stacks[0].rows) if (row.key === "contributions") drawRow(row);
}

function pin(step) {
  state.pinned = !(state.pinned && step === state.step);
  if (step !== state.step) {
    state.step = state.over = step;
    drawContributions();
  }
  point();
}

function unpin() {
  state.pinned = false;
  state.over = state.step;
  point();
}

function see(from, to) { // set the range of the input that is drawn
  const all = steps(), wide = Math.min(all, Math.max(to - from, Math.min(all, 4)));
  state.from = Math.max(0, Math.min(all - wide, from));
  state.to = state.from + wide;
  refresh();
}

function zoom(factor, at = (state.from + state.to) / 2) {
  see(at - (at - state.from) * factor, at + (state.to - at) * factor);
}

function listen(stack) {
  const { host } = stack, down = new Map(); // pressed pointers: their last events
  let begun = null, squeeze = null;
  const plotOf = (event) => event.target.closest?.(".rowplot");
  const xIn = (event) => event.clientX - host.getBoundingClientRect().right + stack.width;
  const stepAt = (event) => state.from + (Math.max(0, Math.min(stack.width, xIn(event))) / stack.width) * span();
  const unitAt = (event, row) => {
    const box = row.plot.getBoundingClientRect(), n = row.values.length;
    return Math.max(0, Math.min(n - 1, Math.floor(((event.clientY - box.top) / box.height) * n)));
  };

  host.addEventListener("pointerdown", (event) => {
    const row = plotOf(event)?.row;
    if (!row || event.button) return;
    down.set(event.pointerId, event);
    begun = { row, x: xIn(event), from: state.from, to: state.to, step: stepAt(event), moved: false };
    if (down.size === 2) {
      const [a, b] = [...down.values()].map(xIn), at = state.from + ((a + b) / 2 / stack.width) * span();
      squeeze = { wide: Math.max(20, Math.abs(a - b)), at, from: state.from, to: state.to };
    }
  });

  host.addEventListener("pointermove", (event) => {
    if (down.has(event.pointerId)) down.set(event.pointerId, event);
    if (squeeze && down.size === 2) {
      const [a, b] = [...down.values()].map(xIn), factor = squeeze.wide / Math.max(20, Math.abs(a - b));
      if (begun) begun.moved = true;
      const { at, from, to } = squeeze;
      return see(at - (at - from) * factor, at + (to - at) * factor);
    }
    if (begun && Math.abs(xIn(event) - begun.x) > 4 && !begun.moved) {
      begun.moved = true;
      host.setPointerCapture(event.pointerId);
    }
    const row = begun?.row ?? plotOf(event)?.row;
    if (!row) return;
    state.hint = row.key === "units" ? unitAt(event, row) : -1;
    if (begun?.moved && row.kind?.startsWith("axis")) {
      const [a, b] = [begun.step, stepAt(event)].map((s) => xOf(s, stack.width)).sort((x, y) => x - y);
      stack.choice.hidden = false;
      Object.assign(stack.choice.style, { left: `${host.clientWidth - stack.width + a}px`, width: `${b - a}px` });
      return;
    }
    if (begun?.moved && event.pointerType === "mouse" && span() < steps()) {
      const by = ((begun.x - xIn(event)) / stack.width) * (begun.to - begun.from);
      return see(begun.from + by, begun.to + by);
    }
    moveTo(stepAt(event));
  });

  const up = (event) => {
    down.delete(event.pointerId);
    const was = begun;
    if (down.size) return;
    begun = null;
    stack.choice.hidden = true;
    if (squeeze) return void (squeeze = null);
    if (!was || event.type === "pointercancel") return;
    if (was.row.kind?.startsWith("axis") && was.moved) {
      const [a, b] = [was.step, stepAt(event)].sort((x, y) => x - y);
      return see(Math.floor(a), Math.ceil(b));
    }
    if (was.moved) return;
    if (was.row.key === "units") return choose({ unit: unitAt(event, was.row) });
    pin(Math.min(steps() - 1, Math.floor(stepAt(event))));
  };
  host.addEventListener("pointerup", up);
  host.addEventListener("pointercancel", up);
  host.addEventListener("pointerleave", () => {
    state.hint = -1;
    if (DOC.examples.length && !begun) moveTo(state.step);
  });
  host.addEventListener("dblclick", (event) => {
    if (plotOf(event)?.row.kind?.startsWith("axis")) see(0, steps());
  });
  host.addEventListener("wheel", (event) => {
    const row = plotOf(event)?.row;
    if (!row) return;
    const [along, turned] = [event.deltaX, event.deltaY].map((d) => (event.deltaMode ? 30 * d : d));
    if (event.ctrlKey || event.metaKey || row.kind?.startsWith("axis")) {
      event.preventDefault();
      zoom(Math.exp(Math.max(-60, Math.min(60, turned)) * (event.ctrlKey ? 0.012 : 0.004)), stepAt(event));
    } else if (Math.abs(along) > Math.abs(turned) && span() < steps()) {
      event.preventDefault();
      const by = (along / stack.width) * span();
      see(state.from + by, state.to + by);
    }
  }, { passive: false });

  host.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const by = event.shiftKey ? Math.max(1, Math.round(span() / 10)) : Math.max(1, Math.floor(layer()?.stride ?? 1));
    const walk = (s) => {
      state.step = Math.max(0, Math.min(steps() - 1, s));
      state.over = state.step;
      if (state.step < state.from) see(state.step, state.step + span());
      else if (state.step + 1 > state.to) see(state.step + 1 - span(), state.step + 1);
      drawContributions();
      point();
    };
    const keys = {
      ArrowLeft: () => walk(state.step - by), ArrowRight: () => walk(state.step + by),
      Home: () => walk(0), End: () => walk(steps() - 1),
      ArrowUp: () => turn(-1), ArrowDown: () => turn(1),
      "+": () => zoom(0.5, state.step + 0.5), "-": () => zoom(2, state.step + 0.5), 0: () => see(0, steps()),
      Enter: () => pin(state.step),
    };
    Object.assign(keys, { "=": keys["+"], " ": keys.Enter });
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });
}

// Rebuild the rows for another example, layer, unit or output.
function rebuild() {
  const l = layer(), [main, shares] = stacks;
  byId("result").textContent = input().output;
  const rows = [axisRow(), ...inputRows(), ...(l ? layerRows(l) : [])];
  const units = rows.find(({ key }) => key === "units");
  setRows(main, rows, units && scaleOf(units.limits));
  if (shares) attribute(shares);
  paintHalfLives();
  refresh();
}

function attribute(stack) {
  const { attributions } = example(), shown = attributions[state.output];
  byId("inputs").hidden = !shown;
  if (!shown) return setRows(stack, []);
  fill(byId("output"), attributions.map((a, n) => [n, a.output]), state.output);
  const { shares, value, baseline, picture } = shown, row = rowOf(shares, 0);
  const sum = row.reduce((a, b) => a + (Number.isFinite(b) ? b : 0), 0);
  const difference = value - baseline, parts = ["Output ", datum(value), ", baseline ", datum(baseline)];
  parts.push(", difference ", datum(difference), ". The bars are the shares of the places in the difference. ");
  if (!(Math.abs(difference - sum) <= 0.01 * Math.abs(difference))) parts.push("They sum to ", datum(sum), ".");
  byId("difference").replaceChildren(...parts);
  extremes(row, 0, row.length);
  const ticks = [Math.min(0, minimum || 0), Math.max(0, maximum || 0)];
  if (ticks[0] === ticks[1]) ticks[1] = 1;
  const inputs = inputRows(true), bar = {
    key: "shares", name: "share", about: "in the output", height: 110, ticks, at: (s) => row[s],
    label: `Share of each ${input().unit}`, draw: (ctx, w, h) => bars(ctx, w, h, row, 1, ticks),
  };
  if (picture) {
    const all = Array.from({ length: picture.shape[0] }, (_, r) => rowOf(picture, r));
    const high = Math.max(...sweep(all).map(Math.abs));
    const under = inputs.find(({ key }) => key === "picture"), plain = under?.draw;
    const draw = (ctx, w, h) => {
      ctx.globalAlpha = 0.55;
      plain?.(ctx, w, h);
      ctx.globalAlpha = 1;
      raster(ctx, w, h, all, 1, [-high, high], colours.over, input().kind === "sound");
    };
    if (under) Object.assign(under, { draw, about: "and shares" });
    else inputs.push({ key: "picture", name: "share", about: "by place", height: 110, draw });
  }
  const after = inputs.findLastIndex(({ key }) => key === "picture" || key === "tokens") + 1;
  inputs.splice(after, 0, bar);
  setRows(stack, [axisRow(), ...inputs]);
}
