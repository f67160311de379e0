// Norms against step: the picked layers as named lines, all others thin behind them.

import { KEYS, h } from "./dom.js";
import { BROKEN, columnAt } from "./gradient_packet.js";
import { drawable, reachOf, smoothLog, span } from "./gradient_math.js";
import { paint as paintChart, pointsAt, scalesOf } from "./loss_draw.js";
import { emptiest, nearest } from "./loss_math.js";
import { grabbed } from "./loss_zoom.js";
import { sized } from "./map_colours.js";
import { short } from "./map_math.js";

export const SLOTS = 6;
export const WEIGHT = 0.8; // of the neighbouring sample in the thick lines
const SMOOTHED_FROM = 48; // samples; fewer are drawn as they are
const LANE = 24, BELOW = 24;

const softened = new WeakMap();

/** Stretches of samples whose norm is no number: [first step, last step, "NaN" | "Inf"]. */
export function brokenSpans(steps, values) {
  const spans = [];
  for (let c = 0, before = ""; c < values.length; c += 1) {
    const kind = values[c] === BROKEN ? "NaN" : values[c] === Infinity ? "Inf" : "";
    if (kind && kind === before) spans[spans.length - 1][1] = steps[c];
    else if (kind) spans.push([steps[c], steps[c], kind]);
    before = kind;
  }
  return spans;
}

/** One line of the chart: what was measured of `row`, in the terms of loss_draw.js. */
function lineOf(packet, row, metric, slot) {
  const all = packet.series(row, metric), at = [];
  all.forEach((v, c) => { if (!Number.isNaN(v)) at.push(c); });
  const steps = Float64Array.from(at, (c) => packet.steps[c]), real = Float64Array.from(at, (c) => all[c]);
  const values = real.map((v) => (v === BROKEN ? NaN : v));
  if (!softened.has(all)) softened.set(all, at.length < SMOOTHED_FROM ? null : smoothLog(values, WEIGHT));
  const soft = softened.get(all), picked = slot >= 0;
  return {
    row, key: row.id, label: row.id, current: picked, val: false, color: picked ? `line${slot}` : "earlier", dash: [], hidden: false,
    steps, xs: steps, values: picked || !soft ? values : soft, soft: picked ? soft : null, softSteps: steps, softXs: steps,
    spans: picked ? brokenSpans(steps, real) : [], line: { run: 0, latest: at.length ? [steps[at.length - 1], values[at.length - 1]] : null, spans: [] },
  };
}

/** What stands for the stretches without a norm: one red rug for all lines that share them. */
function rugsOf(lines) {
  const alike = new Map();
  for (const l of lines) if (l.spans.length) alike.set(JSON.stringify(l.spans), [...(alike.get(JSON.stringify(l.spans)) || []), l]);
  return [...alike.values()].map((group) => ({
    ...group[0], key: `rug ${group[0].key}`, label: group.length > 2 ? `${group.length} layers` : group.map(({ label }) => label).join(", "),
    rug: true, xs: [], values: [], soft: null, line: { ...group[0].line, spans: group[0].spans },
  }));
}

/** Whole and shown stretch of steps: {whole, shown, range}; a range that ends in null follows the newest. */
export function stretchOf(steps, range) {
  const last = steps[steps.length - 1];
  const whole = steps.length ? [Math.min(steps[0], last - 1), last] : [0, 1];
  if (whole[0] > 0 && whole[0] < 0.05 * whole[1]) whole[0] = 0;
  const from = range ? Math.max(whole[0], range[0]) : 0, to = range ? Math.min(whole[1], range[1] ?? whole[1]) : 0;
  return to > from ? { whole, shown: [from, to], range: [from, to] } : { whole, shown: whole, range: null };
}

/** The chart's scene. `picked` are {row, slot}; `others` rows; `zone` [low, high] or null; `range` of steps or null. */
export function sceneOf(packet, { picked, others, metric, title, zone = null, range = null }) {
  const { steps, header } = packet, stretch = stretchOf(steps, range), [from, to] = stretch.shown;
  const lines = [...picked.map(({ row, slot }) => lineOf(packet, row, metric, slot)), ...others.map((row) => lineOf(packet, row, metric, -1))];
  const seen = (l) => Array.from(l.values).filter((_, i) => l.xs[i] >= from && l.xs[i] <= to);
  let [low, high] = span(reachOf(Float64Array.from(lines.flatMap(seen))), lines.flatMap((l) => (l.current ? seen(l) : [])));
  if (high - low < 1) [low, high] = [(low + high - 1) / 2, (low + high + 1) / 2];
  const flags = header.flags || [], gaps = header.gaps || [];
  return {
    header: { metric: title, epochs: [], flags, gaps, runs: [{ run: 0, name: "" }], current: 0, bounds: stretch.whole },
    axis: { kind: "step", unit: "step", to: (_, step) => step, from: (_, x) => x },
    log: true, lines: [...lines, ...rugsOf(lines)], ...stretch, limits: [10 ** low, 10 ** high], zone, soft: lines.some((l) => l.soft),
  };
}

/** Make the chart; `view.step(step)`, `view.press(row)`, `view.hover(row)` and `view.ask()` hear of it. `zoom` is of loss_zoom.js, `host` what it was made of. */
export function linesOf(view, host, zoom) {
  const canvas = h("canvas");
  const focus = h("div", { class: "g-canvas", role: "img", tabindex: 0, "aria-label": "No samples yet.", ...KEYS }, canvas);
  const lane = h("div", { class: "g-lane" }), readout = h("div", { class: "g-readout", hidden: true, "aria-hidden": "true" });
  const spoken = h("div", { class: "nbtv-sr", "aria-live": "polite" });
  const el = h("div", { class: "g-lines" }, focus, lane, readout, spoken);
  let scene = null, scales = null, cursor = null, steps = [], flagKey = "";

  function paint(next, { packet, width, height, palette, description, step, hovered }) {
    scene = next;
    steps = packet.steps;
    const dpr = window.devicePixelRatio || 1, ctx = sized(canvas, width, height);
    ctx.scale(dpr, dpr);
    ctx.family = palette.family;
    ctx.total = width;
    scales = scalesOf(scene, { left: 56, right: width - (width < 480 ? 88 : 116), top: LANE, bottom: height - BELOW }, 6);
    if (scene.zone) zone(ctx, palette);
    for (const l of scene.lines) if (l.soft || l.row.id === hovered) thin(ctx, l, palette, l.row.id === hovered);
    const at = cursor ?? step, points = at === null ? null : pointsAt({ ...scene, lines: scene.lines.filter((l) => l.current) }, at);
    paintChart(ctx, scene, scales, { ...palette, trainRaw: "#0000" }, { cursor: points && { x: at, points } });
    ctx.font = `11px ${ctx.family}`;
    ctx.fillStyle = palette.text;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.fillText(scene.header.metric, 16, 10, width - 32);
    flags(ctx.measureText(scene.header.metric).width + 24);
    read(points);
    if (focus.getAttribute("aria-label") !== description) focus.setAttribute("aria-label", description);
  }

  function zone(ctx, palette) {
    const { left, right, top, bottom } = scales.box, [low, high] = scene.zone.map((v) => Math.min(bottom, Math.max(top, scales.y(v))));
    ctx.fillStyle = palette.zone;
    ctx.fillRect(left, high, right - left, low - high);
  }

  /** Every sample, thin, in the colour of the line that smooths it. */
  function thin(ctx, l, palette, strong) {
    const { left, right, top, bottom } = scales.box;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, right - left, bottom - top);
    ctx.clip();
    ctx.globalAlpha = strong ? 1 : 0.45;
    ctx.strokeStyle = strong && !l.current ? palette.fg : palette[l.color];
    ctx.lineWidth = 1;
    ctx.lineJoin = "round";
    ctx.beginPath();
    let open = false;
    l.values.forEach((v, i) => {
      if (!drawable(v)) { open = false; return; }
      const x = scales.x(l.xs[i]), y = Math.min(bottom, Math.max(top, scales.y(v)));
      if (open) ctx.lineTo(x, y);
      else ctx.moveTo(x, y);
      open = true;
    });
    ctx.stroke();
    ctx.restore();
  }

  function flags(free) {
    const shown = scene.header.flags.map((flag) => ({ ...flag, x: scales.x(flag.step) })).filter(({ x }) => x >= scales.box.left && x <= scales.box.right);
    const key = JSON.stringify([shown, free]);
    if (key === flagKey) return;
    flagKey = key;
    lane.replaceChildren(...shown.map(({ x, text, kind, step }, i) => {
      const room = Math.min((shown[i + 1] ? shown[i + 1].x - 8 : Infinity), scales.box.right + 100) - x - 16, words = x > free && room > 30;
      return h("button", { type: "button", class: `g-flag g-flag-${kind}`, style: `left:${x}px`, title: `${text} (step ${step})`, "aria-label": `${text}, step ${step}`, onclick: () => view.step(step), ...KEYS },
        h("i"), h("span", { style: `max-width:${words ? room : 0}px` }, words ? text : ""));
    }));
  }

  function read(points) {
    readout.hidden = cursor === null || !points || !points.length;
    if (readout.hidden) return;
    const sorted = [...points].sort((a, b) => (b.value || 0) - (a.value || 0)), { step } = sorted[0];
    readout.replaceChildren(h("span", { class: "nbtv-quiet" }, `step ${step}`), h("span"), ...sorted.flatMap((p) => [
      h("span", {}, h("i", { style: `background:var(--l-${p.item.color})` }), p.item.label),
      h("b", {}, Number.isNaN(p.value) ? "NaN" : short(p.value), p.step === step ? "" : ` at ${p.step}`)]));
    const { box } = scales, w = readout.offsetWidth, tall = readout.offsetHeight;
    const left = box.left + 8, right = box.right - w - 8, top = box.top + 8, bottom = box.bottom - tall - 8;
    const points2 = scene.lines.filter((l) => l.current).flatMap((l) => Array.from(l.xs, (x, i) => [scales.x(x), scales.y(l.values[i])]));
    for (let y = box.top; y < box.bottom; y += 4) points2.push([scales.x(cursor), y]);
    const places = [[right, top], [left, top], [right, bottom], [left, bottom]];
    const best = emptiest(places.map(([x, y]) => [x - 6, y - 6, x + w + 6, y + tall + 6]), points2);
    [readout.style.left, readout.style.top] = places[best].map((v) => `${v}px`);
  }

  const stepAt = (event) => {
    const px = event.clientX - canvas.getBoundingClientRect().left;
    if (!scales || !steps.length || px < scales.box.left - 6 || px > scales.box.right + 6) return null;
    return steps[nearest(steps, scales.fromX(px))];
  };

  /** The row whose line is nearest to the pointer, within 10 px. */
  function rowAt(event) {
    const box = canvas.getBoundingClientRect(), px = event.clientX - box.left, py = event.clientY - box.top;
    let best = null, off = 10;
    for (const l of scene ? scene.lines : []) {
      const ys = l.soft || l.values, i = nearest(l.xs, scales.fromX(px));
      const d = i < 0 || !drawable(ys[i]) ? Infinity : Math.hypot(scales.x(l.xs[i]) - px, scales.y(ys[i]) - py);
      if (d < off) { off = d; best = l.row; }
    }
    return best;
  }

  grabbed(focus, host, zoom, {
    x: (event) => (stepAt(event) === null ? null : scales.fromX(event.clientX - canvas.getBoundingClientRect().left)),
    width: () => scales.box.right - scales.box.left,
    moved(event) {
      cursor = stepAt(event);
      view.hover(scales ? rowAt(event) : null);
      view.ask();
    },
    pressed(event) {
      const row = rowAt(event), step = stepAt(event);
      return () => {
        if (row && !scene.lines.some((l) => l.current && l.row.id === row.id)) view.press(row);
        else if (step !== null) view.step(step);
      };
    },
  });
  focus.addEventListener("pointerleave", () => { cursor = null; view.hover(null); view.ask(); });
  focus.addEventListener("blur", () => { cursor = null; view.ask(); });
  focus.addEventListener("keydown", (event) => {
    if (!steps.length || event.metaKey || event.altKey || event.ctrlKey) return;
    const [from, end] = scene.shown, last = columnAt(steps, end), first = Math.min(last, columnAt(steps, from - 1) + 1);
    const at = cursor === null ? last : nearest(steps, cursor), jump = event.shiftKey ? 10 : 1;
    const to = { ArrowLeft: cursor === null ? at : at - jump, ArrowRight: at + jump, Home: first, End: last }[event.key];
    if (to !== undefined) {
      cursor = steps[Math.min(steps.length - 1, Math.max(0, to))];
      zoom.show(cursor);
      const points = pointsAt({ ...scene, lines: scene.lines.filter((l) => l.current && !l.rug) }, cursor);
      spoken.textContent = points.map((p) => `${p.item.label} ${Number.isNaN(p.value) ? "NaN" : short(p.value)} at step ${p.step}`).join(", ");
    } else if (event.key === "Enter" && cursor !== null) view.step(cursor);
    else if (event.key === "Escape" && cursor !== null) cursor = null;
    else if (!zoom.key(event.key, cursor ?? end)) return;
    view.ask();
    event.preventDefault();
    event.stopPropagation();
  });

  return { el, paint };
}
