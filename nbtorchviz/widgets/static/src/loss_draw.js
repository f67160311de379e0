// Paints a scene of the loss chart on a 2d canvas, in CSS pixels.

import { formatTicks, formatValue, logTicks, lowerBound, nearest, spread, ticks } from "./loss_math.js";
import { spanWords } from "./loss_scene.js";

/** Colours of the chart, from the style sheet: one place for both themes. */
export function paletteOf(el) {
  const style = getComputedStyle(el);
  return new Proxy({}, { get: (kept, name) => (kept[name] ??= style.getPropertyValue(`--l-${name}`).trim()) });
}

export const colorOf = (item, palette) => palette[item.color];

/** Scales of a plot in `box` {left, right, top, bottom}. Ticks may move the upper end. */
export function scalesOf(scene, box, most = 6) {
  let [low, high] = scene.limits;
  const { log } = scene;
  const f = log ? Math.log10 : (v) => v;
  const inverse = log ? (v) => 10 ** v : (v) => v;
  const pad = 0.03 * (f(high) - f(low));
  let yTop = inverse(f(high) + pad);
  const yBottom = log || low ? inverse(f(low) - pad) : low;
  let marks = log ? logTicks(yBottom, yTop, most) : ticks(yBottom, yTop, most);
  const next = 2 * marks[marks.length - 1] - marks[marks.length - 2];
  if (!log && next - yTop < 0.1 * (yTop - yBottom) && marks.length < most) {
    yTop = next; // a labelled tick closes the axis
    marks = [...marks, Number(next.toPrecision(12))];
  }
  const [x0, x1] = scene.shown;
  const height = box.bottom - box.top, width = box.right - box.left;
  const base = f(yBottom), span = f(yTop) - base || 1;
  return {
    box, yTop, yBottom, marks,
    x: (v) => box.left + ((v - x0) / (x1 - x0)) * width,
    y: (v) => box.bottom - ((f(v) - base) / span) * height,
    fromX: (px) => x0 + ((px - box.left) / width) * (x1 - x0),
  };
}

/** Indices of `xs` within the shown range, one more on each side. */
const inView = (xs, [a, b]) => [Math.max(0, lowerBound(xs, a) - 1), Math.min(xs.length, lowerBound(xs, b) + 1)];

function stroke(ctx, scene, scales, xs, ys, style) {
  const [from, to] = inView(xs, scene.shown);
  ctx.save();
  ctx.strokeStyle = style.color;
  ctx.lineWidth = style.width;
  ctx.lineJoin = "round";
  ctx.setLineDash(style.dash || []);
  ctx.beginPath();
  let open = false;
  for (let i = from; i < to; i++) {
    const v = ys[i];
    if (!Number.isFinite(v) || (scene.log && v <= 0)) { open = false; continue; }
    // Far above or below is still drawn as a line that leaves the plot.
    const y = Math.max(-1e4, Math.min(1e4, scales.y(v)));
    if (open) ctx.lineTo(scales.x(xs[i]), y);
    else ctx.moveTo(scales.x(xs[i]), y);
    open = true;
  }
  ctx.stroke();
  ctx.restore();
}

function dots(ctx, scene, scales, item, palette) {
  const [from, to] = inView(item.xs, scene.shown);
  for (let i = from; i < to; i++) dot(ctx, scales.x(item.xs[i]), scales.y(item.values[i]), 3.25, colorOf(item, palette), palette.background);
}

function dot(ctx, x, y, radius, color, fill) {
  if (!Number.isFinite(y)) return;
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fillStyle = fill || color;
  ctx.fill();
  if (fill) { ctx.strokeStyle = color; ctx.lineWidth = 1.5; ctx.stroke(); }
}

/** Whether so few points are in view that each is drawn as an open dot. */
export function sparse(scene, item, box) {
  const [from, to] = inView(item.xs, scene.shown);
  return to - from <= Math.max(8, (box.right - box.left) / 14);
}

const text = (ctx, words, x, y, color, { size = 11, align = "left", bold = false } = {}) => {
  ctx.font = `${bold ? "600 " : ""}${size}px ${ctx.family}`;
  ctx.fillStyle = color;
  ctx.textAlign = align;
  ctx.textBaseline = "middle";
  ctx.fillText(words, x, y);
  return ctx.measureText(words).width;
};

export function paint(ctx, scene, scales, palette, { cursor = null, compact = false, mark = null } = {}) {
  const { box } = scales;
  const { header, axis, lines } = scene;
  const seen = lines.filter((l) => !l.hidden);
  const clip = (draw) => {
    ctx.save();
    ctx.beginPath();
    ctx.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
    ctx.clip();
    draw();
    ctx.restore();
  };
  axes(ctx, scene, scales, palette);
  clip(() => {
    for (const [first, last] of header.gaps) hatch(ctx, scales.x(axis.to(header.current, first)), scales.x(axis.to(header.current, last)), box, palette);
  });
  for (const flag of header.flags) {
    const x = scales.x(axis.to(header.current, flag.step));
    if (x < box.left || x > box.right) continue;
    ctx.save();
    ctx.setLineDash([2, 3]);
    ctx.strokeStyle = palette[flag.kind] || palette.change;
    ctx.beginPath();
    ctx.moveTo(x, box.top - (compact ? 0 : 12));
    ctx.lineTo(x, box.bottom);
    ctx.stroke();
    ctx.restore();
  }
  const dotted = new Set();
  clip(() => {
    for (const l of [...seen].reverse()) {
      const color = colorOf(l, palette);
      const few = sparse(scene, l, box);
      if (few && (l.current || l.xs.length < 9)) dotted.add(l);
      if (!l.current) stroke(ctx, scene, scales, l.xs, l.values, { color, width: 1, dash: l.dash });
      else if (!l.soft) stroke(ctx, scene, scales, l.xs, l.values, { color, width: l.val || few ? 2 : 1.25, dash: l.dash });
      else if (!few) stroke(ctx, scene, scales, l.xs, l.values, { color: palette[l.val ? "valRaw" : "trainRaw"], width: 1 });
    }
    for (const l of [...seen].reverse()) {
      if (l.current && l.soft) stroke(ctx, scene, scales, l.softXs, l.soft, { color: colorOf(l, palette), width: 2, dash: l.dash });
    }
    // Clipped at the axis, an open dot on it would be cut in half: they are drawn after this.
  });
  for (const l of dotted) {
    ctx.save();
    ctx.beginPath();
    ctx.rect(box.left - 4, box.top - 4, box.right - box.left + 8, box.bottom - box.top + 8);
    ctx.clip();
    dots(ctx, scene, scales, l, palette);
    ctx.restore();
  }
  clipMarks(ctx, scene, scales, seen, palette);
  rug(ctx, scene, scales, seen, palette);
  endNames(ctx, scene, scales, seen, palette, compact);
  if (mark !== null) pointer(ctx, scales, mark, palette);
  if (cursor) crosshair(ctx, scales, cursor, palette);
}

/** The step at which the other widgets are. */
function pointer(ctx, scales, mark, palette) {
  const { box } = scales, x = Math.round(scales.x(mark)) + 0.5;
  if (x < box.left - 1 || x > box.right + 1) return;
  line(ctx, x, box.top, x, box.bottom, palette.text);
  ctx.fillStyle = palette.text;
  ctx.beginPath();
  ctx.moveTo(x, box.bottom - 6);
  ctx.lineTo(x + 5, box.bottom + 1);
  ctx.lineTo(x - 5, box.bottom + 1);
  ctx.fill();
}

function axes(ctx, scene, scales, palette) {
  const { box, marks } = scales;
  const { header, axis } = scene;
  ctx.lineWidth = 1;
  const labels = formatTicks(marks);
  marks.forEach((mark, i) => {
    const y = Math.round(scales.y(mark)) + 0.5;
    line(ctx, box.left, y, box.right, y, palette.grid);
    text(ctx, labels[i], box.left - 8, y, palette.text, { align: "right" });
  });
  const drawn = [];
  if (axis.kind !== "epoch") {
    const places = header.epochs.map(([step, n]) => [Math.round(scales.x(axis.to(header.current, step))) + 0.5, n]).filter(([x]) => x >= box.left && x <= box.right);
    const [first, last] = [places[0], places[places.length - 1]];
    const each = places.length > 1 ? (last[0] - first[0]) / (last[1] - first[1]) : Infinity;
    const stride = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 1e4, 1e5, 1e6].find((k) => k * each >= 34) || 1;
    for (const [x, n] of places) {
      if (n % stride) continue;
      line(ctx, x, box.top, x, box.bottom, palette.grid);
      drawn.push([x, drawn.length ? String(n) : `epoch ${n}`]);
    }
  }
  line(ctx, box.left, box.bottom + 0.5, box.right, box.bottom + 0.5, palette.axis);
  const across = ticks(scene.shown[0], scene.shown[1], Math.max(4, Math.floor((box.right - box.left) / 110))).filter((v) => scene.axis.kind !== "step" || Number.isInteger(v) || scene.shown[1] < 2);
  const written = formatTicks(across).map((t, i) => (Math.abs(across[i]) >= 1e4 && across[i] < 1e6 ? Number(across[i]).toLocaleString("en") : t));
  let end = box.right;
  across.forEach((v, i) => {
    const x = Math.round(scales.x(v)) + 0.5;
    line(ctx, x, box.bottom, x, box.bottom + 4, palette.axis);
    end = Math.max(end, x + text(ctx, written[i], x, box.bottom + 12, palette.text, { align: "center" }) / 2);
  });
  text(ctx, axis.unit, end + 9, box.bottom + 12, palette.text);
  for (const [x, words] of drawn) text(ctx, words, x, box.bottom + 25, palette.second, { align: "center" });
}

function line(ctx, x0, y0, x1, y1, color) {
  ctx.strokeStyle = color;
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
  ctx.stroke();
}

function hatch(ctx, from, to, box, palette) {
  if (to < box.left || from > box.right) return;
  const left = Math.max(from, box.left), right = Math.max(Math.min(to, box.right), left + 2);
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, box.top, right - left, box.bottom - box.top);
  ctx.clip();
  const tall = box.bottom - box.top;
  for (let x = left - tall; x < right; x += 7) line(ctx, x, box.bottom, x + tall, box.top, palette.hatch);
  ctx.restore();
}

function clipMarks(ctx, scene, scales, seen, palette) {
  const { box, yTop, yBottom } = scales;
  for (const l of seen) {
    const [from, to] = inView(l.xs, scene.shown);
    const last = { up: -Infinity, down: -Infinity };
    for (let i = from; i < to; i++) {
      const v = l.values[i];
      const x = scales.x(l.xs[i]);
      if (Number.isNaN(v) || !Number.isFinite(v) || x < box.left || x > box.right) continue;
      const way = v > yTop ? "up" : v < yBottom && !(scene.log && v <= 0) ? "down" : "";
      if (!way || x - last[way] < 2.5) continue;
      last[way] = x;
      const y = way === "up" ? box.top - 1 : box.bottom - 8;
      const tip = way === "up" ? -6 : 6;
      ctx.fillStyle = l.current && l.soft && !l.val ? palette.trainRaw : colorOf(l, palette);
      ctx.beginPath();
      ctx.moveTo(x - 3.5, y);
      ctx.lineTo(x + 3.5, y);
      ctx.lineTo(x, y + tip);
      ctx.fill();
    }
  }
}

function rug(ctx, scene, scales, seen, palette) {
  const { box } = scales;
  let row = 0;
  for (const l of seen) {
    let words = false;
    for (const span of l.line.spans) {
      const a = scales.x(scene.axis.to(l.line.run, span[0]));
      const b = scales.x(scene.axis.to(l.line.run, span[1]));
      if (b < box.left || a > box.right) continue;
      const y = box.top + 3 + 14 * row;
      ctx.fillStyle = palette.broken;
      const right = Math.min(b, box.right - 3);
      let x = Math.max(a, box.left);
      do { ctx.fillRect(x, y, 2, 9); x += 4; } while (x <= right);
      if (words) continue;
      words = true;
      const label = spanWords(l, span);
      ctx.font = `11px ${ctx.family}`;
      const wide = ctx.measureText(label).width;
      const fits = x + 4 + wide < box.right;
      const at = fits ? x + 4 : Math.max(box.left + 2, Math.min(a, box.right) - wide - 6);
      ctx.globalAlpha = 0.85;
      ctx.fillStyle = palette.background;
      ctx.fillRect(at - 2, y - 1, wide + 4, 12);
      ctx.globalAlpha = 1;
      text(ctx, label, at, y + 5, palette.broken);
    }
    if (words) row = Math.min(row + 1, 3);
  }
}

/** Last drawn point in view of each current line, for the names at the line ends. */
export function lineEnds(scene, scales, seen) {
  const ends = [];
  for (const l of seen) {
    if (!l.current) continue;
    const xs = l.soft ? l.softXs : l.xs, ys = l.soft ? l.soft : l.values;
    let i = Math.min(xs.length, lowerBound(xs, scene.shown[1] + 1e-9)) - 1;
    while (i >= 0 && (!Number.isFinite(ys[i]) || (scene.log && ys[i] <= 0))) i--;
    if (i < 0 || xs[i] < scene.shown[0]) continue;
    ends.push({ item: l, x: scales.x(xs[i]), y: Math.min(Math.max(scales.y(ys[i]), scales.box.top), scales.box.bottom) });
  }
  return ends;
}

function endNames(ctx, scene, scales, seen, palette, compact) {
  const { box } = scales;
  const ends = lineEnds(scene, scales, seen);
  const places = spread(ends.map((e) => e.y), 16, box.top + 6, box.bottom - 4);
  ends.forEach(({ item, x, y }, i) => {
    const color = colorOf(item, palette);
    const room = ctx.total - box.right - 10;
    const value = item.line.latest[1];
    ctx.font = `600 12px ${ctx.family}`;
    const fits = (words) => ctx.measureText(words).width <= room;
    const told = (digits) => `${item.label} ${formatValue(value, Math.abs(value) < 1e3 ? digits : 0)}`;
    // A number is left out whole rather than cut: "1.…" reads as another one.
    let words = (compact && [4, 2].map(told).find(fits)) || item.label;
    while (words.length > 2 && !fits(words)) words = `${words.slice(0, -2)}…`;
    text(ctx, words, box.right + 9, places[i], color, { size: 12, bold: true });
    if (!item.val) dot(ctx, Math.min(x, box.right), y, 3.25, color);
    const far = x < box.right - 20;
    if (far || Math.abs(places[i] - y) > 10) { // which end the name belongs to
      ctx.save();
      ctx.globalAlpha = 0.6;
      ctx.setLineDash(far ? [1, 4] : []);
      line(ctx, Math.min(x, box.right) + 4, y, box.right + (far ? 0 : 8), far ? y : places[i], color);
      if (far) line(ctx, box.right, y, box.right + 8, places[i], color);
      ctx.restore();
    }
  });
}

/** The real point of each visible line nearest to x: {item, index, step, value, soft}. */
export function pointsAt(scene, x) {
  const points = [];
  for (const item of scene.lines) {
    if (item.hidden || !item.xs.length) continue;
    const index = nearest(item.xs, x);
    // An earlier run that ended long before the pointer has nothing to say here.
    const width = scene.shown[1] - scene.shown[0];
    if (!item.current && Math.abs(item.xs[index] - x) > 0.02 * width) continue;
    const softAt = item.soft ? nearest(item.softSteps, item.steps[index]) : -1;
    // A smoothed sample is shown for the step it was taken at, never between two.
    const soft = softAt >= 0 && item.softSteps[softAt] === item.steps[index] ? item.soft[softAt] : null;
    points.push({ item, index, x: item.xs[index], step: item.steps[index], value: item.values[index], soft });
  }
  return points;
}

function crosshair(ctx, scales, cursor, palette) {
  const { box } = scales;
  const x = Math.round(scales.x(cursor.x)) + 0.5;
  if (x >= box.left - 1 && x <= box.right + 1) line(ctx, x, box.top, x, box.bottom, palette.second);
  for (const p of cursor.points) {
    const y = scales.y(p.value), at = scales.x(p.x);
    if (Number.isFinite(y) && y >= box.top - 1 && y <= box.bottom + 1 && at >= box.left - 1 && at <= box.right + 1) {
      dot(ctx, at, y, 5.5, palette.background);
      dot(ctx, at, y, 4.5, colorOf(p.item, palette));
    }
  }
}

/** The whole run in `box`, for the brush; the same kind of y scale as the plot. */
export function paintOverview(ctx, scene, packet, box, palette) {
  const { header, arrays } = packet;
  ctx.fillStyle = palette.panel;
  ctx.fillRect(box.left, box.top, box.right - box.left, box.bottom - box.top);
  ctx.strokeStyle = palette.rule;
  ctx.strokeRect(box.left + 0.5, box.top + 0.5, box.right - box.left - 1, box.bottom - box.top - 1);
  const main = scene.lines.find((l) => l.current && !l.hidden) || scene.lines[0];
  if (!main) return;
  let xs = main.soft ? main.softXs : main.xs, ys = main.soft || main.values;
  if (header.overview) {
    xs = Float64Array.from(arrays[header.overview.x], (s) => scene.axis.to(header.current, s));
    ys = arrays[header.overview.y];
  }
  const whole = { ...scene, shown: scene.whole, limits: header.overview || scene.range ? limitsOf(ys, scene.log) || scene.limits : scene.limits };
  const scales = scalesOf(whole, { left: box.left, right: box.right, top: box.top + 3, bottom: box.bottom - 2 });
  ctx.save();
  ctx.beginPath();
  ctx.rect(box.left, box.top, box.right - box.left, box.bottom - box.top);
  ctx.clip();
  stroke(ctx, whole, scales, xs, ys, { color: colorOf(main, palette), width: 1 });
  ctx.restore();
}

function limitsOf(values, log) {
  const real = Array.from(values).filter((v) => Number.isFinite(v) && (!log || v > 0));
  if (!real.length) return null;
  real.sort((a, b) => a - b);
  const high = real[Math.floor((real.length - 1) * 0.995)], low = real[0];
  return high > low ? [log ? low : Math.min(0, low), high] : null;
}

