// The layers overview: one statistic of every layer's output as a strip of colour per row of the tree, against the step.
//
// Trait `strips`: one packet (packet.js) made by widgets/overview_packet.py. Header: version 1, seq (acked on stream
// "strips"), statistic, layers [key], gaps [[last step before, first step after]], samples. Arrays: steps u4 (C),
// values f4 (L, C), NaN: not measured; bad u1 (L, C), only where some values were NaN or infinite.

import { KEYS, combobox, h, ratio } from "./dom.js";
import { paintHeat, paintHeatAxis, stepUnder } from "./gradient_heat.js";
import { medianOf } from "./gradient_math.js";
import { columnAt, measuredAt } from "./gradient_packet.js";
import { sized } from "./map_colours.js";
import { LEVELS, percent, short } from "./map_math.js";
import { decode } from "./packet.js";

const ROW_PX = 26, AXIS_PX = 40, NUMBER_PX = 64, ABSENT = 255, BAD = 254, NEAR_PX = 6;
export const STATISTICS = [["std", "std"], ["mean", "mean"], ["minimum", "min"], ["maximum", "max"], ["zero_share", "zero share"], ["nonfinite", "NaN and Inf"]];
const TITLES = { std: "standard deviation ÷ own median", mean: "mean, each layer by its own largest", minimum: "smallest value, each layer by its own", maximum: "largest value, each layer by its own", zero_share: "share of exact zeros", nonfinite: "NaN or Inf among the values read" };

const coded = (share) => Math.round(LEVELS * Math.min(1, Math.max(0, share)));

/** How strips of a statistic are coloured: {colours, ends (null: no key), look (undefined: in proportion to the median)}. */
export function lookOf(statistic) {
  const kind = (code, away) => ({ code: (v, most) => (v === Infinity ? BAD : Number.isNaN(v) ? ABSENT : code(v, most)), away });
  if (statistic === "std") return { colours: "diverging", ends: ["÷100", "×100"] };
  if (statistic === "zero_share") return { colours: "viridis", ends: ["0 %", "100 %"], look: kind((v) => coded(v), (code) => code) };
  if (statistic === "nonfinite") return { colours: "gray", ends: null, look: kind((v) => (v > 0 ? BAD : Math.round(0.9 * LEVELS)), (code) => code) };
  return { colours: "diverging", ends: ["−", "+"], look: kind((v, most) => coded(0.5 + (0.5 * v) / (most || 1)), (code) => (code === BAD ? Infinity : Math.abs(code - LEVELS / 2))) };
}

/** Read a packet: {header, steps, row(key) -> {values, bad}, or null}. `values` are as the strip shows them: what held NaN is Infinity. */
export function readStrips(data) {
  const { header, arrays } = decode(data), { steps, values, bad } = arrays, columns = steps.length;
  const place = new Map(header.layers.map((key, i) => [key, i])), made = new Map();
  const signed = !["std", "zero_share", "nonfinite"].includes(header.statistic);
  function row(key) {
    const at = place.get(key);
    if (at === undefined) return null;
    if (!made.has(key)) {
      const raw = values.subarray(at * columns, (at + 1) * columns);
      const shown = bad && header.statistic !== "nonfinite" ? raw.map((v, c) => (bad[at * columns + c] ? Infinity : v)) : raw;
      made.set(key, { raw, shown, bad: bad ? bad.subarray(at * columns, (at + 1) * columns) : null, most: signed ? raw.reduce((most, v) => (Number.isFinite(v) ? Math.max(most, Math.abs(v)) : most), 0) : 0 });
    }
    return made.get(key);
  }
  return { header, steps, columns, row };
}

/** A value of a statistic in words. */
export const valueText = (statistic, v) => (Number.isNaN(v) ? "" : statistic === "zero_share" ? percent(v, 1) : statistic === "nonfinite" ? (v ? `${v} NaN/Inf` : "none") : short(v));

/** One cell in words. */
export function cellText(strips, key, step) {
  const found = strips.row(key);
  if (!found) return `${key}: not measured`;
  const c = measuredAt(found.raw, columnAt(strips.steps, step)), { statistic } = strips.header;
  const gap = strips.header.gaps.find(([before, after]) => step > before && step < after);
  if (gap) return `steps ${gap[0] + 1} to ${gap[1] - 1} were not recorded`;
  if (c < 0) return `${key}: not measured by step ${step}`;
  const name = STATISTICS.find(([word]) => word === statistic)[1], broken = found.bad && found.bad[c] && statistic !== "nonfinite" ? ", held NaN or Inf" : "";
  return `${key} at step ${strips.steps[c]}: ${name} ${valueText(statistic, found.raw[c])}${broken}`;
}

/** Make the overview beside `tree`; `view.choose(changes)`, `view.visit(place)` and `view.ask()` hear of it. */
export function overviewOf(view, tree) {
  const which = combobox("Statistic", (overview) => view.choose({ overview }));
  const read = h("div", { class: "nbtv-overview-read" });
  const back = h("button", { type: "button", ...KEYS, onclick: () => view.choose({ overview: "" }) }, "Maps");
  const top = h("div", { class: "nbtv-overview-top" }, which.el, read, back);
  const axis = h("canvas", { "aria-hidden": "true" }), canvas = h("canvas", { role: "img" });
  const wait = h("div", { class: "nbtv-overview-wait" });
  const el = h("div", { class: "nbtv-overview", hidden: true }, top, axis, canvas, wait);
  which.set(STATISTICS, "std");
  let strips = null, pointed = null, scene = null, rows = [], box = null, palette = null;

  const place = () => [8, Math.max(40, (box ? box.width : 300) - NUMBER_PX)];
  const shown = () => [strips.steps[0], strips.steps[strips.columns - 1]];
  const at = (event) => {
    const { left, top: y } = canvas.getBoundingClientRect(), row = rows[Math.floor((event.clientY - y + tree.list.scrollTop) / ROW_PX)];
    const [from, to] = place(), x = event.clientX - left;
    return { row, x, step: strips && strips.columns && x >= from - 4 && x <= to + 4 ? stepUnder(strips.steps, x, [from, to], shown()) : null };
  };
  canvas.addEventListener("pointermove", (event) => { pointed = at(event); view.ask(); });
  canvas.addEventListener("pointerleave", () => { pointed = null; view.ask(); });
  canvas.addEventListener("click", (event) => {
    const { row, step } = at(event);
    if (!row || step === null) return;
    const [from, to] = place(), [first, last] = shown(), within = (NEAR_PX * Math.max(1, last - first)) / (to - from);
    view.visit({ layer: row.key, step, within: step >= last ? -1 : within }); // the newest sample is the live edge
  });
  tree.list.addEventListener("scroll", () => view.ask());
  canvas.addEventListener("wheel", (event) => { tree.list.scrollTop += event.deltaY; event.preventDefault(); }, { passive: false });

  /** Sizes, kept by the observers: asking in the middle of a paint lays the whole page out. */
  const measure = () => { box = el.hidden ? null : { width: el.clientWidth, top: tree.list.offsetTop - el.offsetTop, height: tree.list.clientHeight }; view.ask(); };
  const observer = new ResizeObserver(measure);
  for (const each of [el, tree.list]) observer.observe(each);

  function colours() {
    const style = getComputedStyle(el), of = (name) => style.getPropertyValue(`--nbtv-${name}`).trim();
    palette = { fg: of("fg"), quiet: of("quiet"), bg: of("bg"), edge: of("edge"), on: of("on"), hover: of("panel"), error: of("error"), family: style.fontFamily || "sans-serif" };
  }

  function draw(target, width, height, painter) {
    const ctx = sized(target, width, height), dpr = ratio();
    ctx.scale(dpr, dpr);
    ctx.family = palette.family;
    painter(ctx);
  }

  function paint(next, visible, closed) {
    scene = next;
    const { pick } = scene, on = Boolean(pick.overview);
    if (el.hidden === on) { el.hidden = !on; if (on) { measure(); colours(); } }
    if (!on) return false;
    which.el.value = pick.overview;
    rows = visible;
    const ready = strips && strips.columns && strips.header.statistic === pick.overview;
    wait.hidden = Boolean(ready);
    axis.hidden = canvas.hidden = !ready;
    if (!ready || !box) {
      const text = scene.gone ? "The kernel is gone, and this statistic had not come." : scene.state.step ? "Statistics of all layers come with the next sample." : "Statistics of all layers appear with the first step.";
      if (wait.textContent !== text) wait.textContent = text;
      return false;
    }
    if (!palette) colours();
    const { statistic, gaps } = strips.header, { colours: map, ends, look } = lookOf(statistic), plot = place();
    wait.hidden = true;
    el.style.setProperty("--top", `${box.top}px`);
    const list = rows.map((row) => ({ ...row, id: row.key, kind: row.block ? "block" : "layer", parameters: [0] }));
    const empty = new Float32Array(strips.columns).fill(NaN), most = new Map();
    for (const { key } of rows) { const found = strips.row(key); if (found) most.set(found.shown, found.most); }
    const heat = {
      rows: list, steps: strips.steps, shown: shown(), chosen: pick.layer, hovered: pointed && pointed.row ? pointed.row.key : null, rowPx: ROW_PX, colours: scene.grey ? "gray" : map, ends,
      open: new Set(rows.filter(({ key, block }) => block && !closed.has(key)).map(({ key }) => key)), title: scene.narrow ? "" : TITLES[statistic], gaps,
      step: pick.step, word: (row) => (row.called === false ? "not called" : ""), look,
      series: (row) => { const found = strips.row(row.key); return found ? found.shown : empty; }, scaleOf: look ? (values) => most.get(values) || 0 : medianOf,
    };
    draw(axis, box.width, AXIS_PX, (ctx) => paintHeatAxis(ctx, heat, plot, palette));
    draw(canvas, box.width, box.height, (ctx) => {
      paintHeat(ctx, heat, plot, palette, { top: tree.list.scrollTop, height: box.height, width: box.width });
      numbers(ctx, list, heat, statistic);
    });
    const over = pointed && pointed.row && pointed.step !== null ? cellText(strips, pointed.row.key, pointed.step) : "";
    const text = over || `${strips.header.samples.toLocaleString("en")} samples, steps ${heat.shown[0]} to ${heat.shown[1]}`;
    if (read.textContent !== text) read.textContent = read.title = text;
    const words = `${TITLES[statistic]} at step ${heat.shown[1]}. ${rows.slice(0, 40).map(({ key }) => [key, strips.row(key)]).filter(([, row]) => row).map(([key, { raw }]) => `${key}: ${valueText(statistic, raw[measuredAt(raw, strips.columns - 1)] ?? NaN)}`).join("; ")}.`;
    if (canvas.getAttribute("aria-label") !== words) canvas.setAttribute("aria-label", words);
    return true;
  }

  /** The newest numbers, right of the strips; under the pointer those of that step. */
  function numbers(ctx, list, heat, statistic) {
    const step = pointed && pointed.step !== null ? pointed.step : heat.step === null ? heat.shown[1] : heat.step, column = columnAt(strips.steps, step);
    ctx.font = `11px ${ctx.family}`;
    ctx.textAlign = "right";
    ctx.textBaseline = "middle";
    list.forEach((row, i) => {
      const found = strips.row(row.key), y = i * ROW_PX - tree.list.scrollTop + ROW_PX / 2;
      if (!found || (row.block && heat.open.has(row.key)) || y < 0 || y > box.height) return;
      const c = measuredAt(found.raw, column), broken = c >= 0 && found.bad && found.bad[c];
      ctx.fillStyle = broken ? palette.error : palette.fg;
      if (c >= 0) ctx.fillText(broken && statistic !== "nonfinite" ? "NaN" : valueText(statistic, found.raw[c]), box.width - 8, y);
    });
  }

  return {
    el, paint,
    /** Take a packet; returns its sequence number. */
    take(data) { strips = readStrips(data); return strips.header.seq; },
    forget() { palette = null; },
    statistic: () => which.el.value || "std",
    dispose: () => observer.disconnect(),
  };
}
