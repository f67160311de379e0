// Paints what lies beside the names of rows: norms of now on a log axis that all rows share, the range of
// the last samples, the update in proportion to the weights, and the whole run as a small line.

import { BROKEN, measuredAt } from "./gradient_packet.js";
import { BAND, bandOf, drawable, labelled, placeOf, powerTexts, sparkline } from "./gradient_math.js";
import { ROW_PX } from "./gradient_tree.js";
import { short } from "./map_math.js";

/** Columns of a body `width` wide: {plot: [left, right], ratio: right edge, spark: [left, right]}, the last two may be null. */
export function layoutOf(width) {
  const end = width - 16;
  const spark = width >= 480 ? [end - (width >= 640 ? 128 : 96), end] : null;
  const ratio = (spark ? spark[0] - 20 : end);
  const left = width >= 480 ? 20 : 14;
  return { plot: [left, ratio - (width >= 480 ? 84 : 68)], ratio, spark };
}

const text = (ctx, words, x, y, color, { size = 11, align = "left", bold = false } = {}) => {
  ctx.font = `${bold ? "600 " : ""}${size}px ${ctx.family}`;
  ctx.fillStyle = color;
  ctx.textAlign = align;
  ctx.textBaseline = "middle";
  ctx.fillText(words, x, y);
  return ctx.measureText(words).width;
};

const line = (ctx, x0, y0, x1, y1, color, width = 1) => {
  ctx.strokeStyle = color;
  ctx.lineWidth = width;
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
  ctx.stroke();
};

/** The titles and the axis above the rows. */
export function paintAxis(ctx, scene, layout, palette) {
  const { plot, ratio, spark } = layout, { axis } = scene;
  const x = (p) => plot[0] + ((p - axis[0]) / (axis[1] - axis[0])) * (plot[1] - plot[0]);
  if (scene.zone) {
    const [a, b] = zoneEdges(scene, plot);
    ctx.fillStyle = palette.zone;
    ctx.fillRect(a, 20, b - a, 20);
  }
  text(ctx, scene.titles[0], plot[0] - 4, 10, palette.fg);
  text(ctx, scene.titles[1], ratio, 10, palette.fg, { align: "right" });
  if (spark) text(ctx, scene.titles[2], spark[1], 10, palette.fg, { align: "right" });
  const powers = labelled(axis, Math.max(3, Math.floor((plot[1] - plot[0]) / 52)));
  powerTexts(powers).forEach((words, i) => {
    const at = Math.round(x(powers[i])) + 0.5;
    line(ctx, at, 36, at, 40, palette.edge);
    ctx.font = `11px ${ctx.family}`;
    text(ctx, words, Math.max(at, ctx.measureText(words).width / 2 + 2), 28, palette.quiet, { align: "center" });
  });
  if (spark && scene.columns) {
    text(ctx, `step ${scene.steps[0]}`, spark[0], 28, palette.quiet);
    text(ctx, String(scene.steps[scene.columns - 1]), spark[1], 28, palette.quiet, { align: "right" });
  }
}

const zoneEdges = (scene, plot) => scene.zone.map((v) => plot[0] + placeOf(v, scene.axis) * (plot[1] - plot[0]));

/** All rows in sight; `top` is how far the list is scrolled, `height` that of the canvas. */
export function paintRows(ctx, scene, layout, palette, { top, height, width }) {
  const { plot, spark } = layout, { rows, axis } = scene;
  const first = Math.max(0, Math.floor(top / ROW_PX)), last = Math.min(rows.length, Math.ceil((top + height) / ROW_PX));
  const middle = (i) => i * ROW_PX - top + ROW_PX / 2;
  const bottom = Math.min(height, rows.length * ROW_PX - top);
  for (let i = first; i < last; i += 1) {
    const marked = rows[i].id === scene.chosen ? palette.on : rows[i].id === scene.hovered ? palette.hover : "";
    if (!marked) continue;
    ctx.fillStyle = marked;
    ctx.fillRect(0, middle(i) - ROW_PX / 2, width, ROW_PX);
  }
  if (scene.zone) {
    const [a, b] = zoneEdges(scene, plot);
    ctx.fillStyle = palette.zone;
    ctx.fillRect(a, 0, b - a, bottom);
    ctx.save();
    ctx.setLineDash([2, 3]);
    for (const x of [a, b]) if (x > plot[0] && x < plot[1]) line(ctx, Math.round(x) + 0.5, 0, Math.round(x) + 0.5, bottom, palette.live);
    ctx.restore();
  }
  for (const p of labelled(axis, Math.max(3, Math.floor((plot[1] - plot[0]) / 52)))) {
    const x = Math.round(plot[0] + ((p - axis[0]) / (axis[1] - axis[0])) * (plot[1] - plot[0])) + 0.5;
    line(ctx, x, 0, x, bottom, palette.grid);
  }
  const place = (v) => plot[0] + placeOf(v, axis) * (plot[1] - plot[0]);
  if (scene.aim) line(ctx, Math.round(place(scene.aim)) + 0.5, 0, Math.round(place(scene.aim)) + 0.5, bottom, palette.live);
  links(ctx, scene, place, middle, first, last, palette);
  for (let i = first; i < last; i += 1) {
    const row = rows[i], y = middle(i);
    if (row.kind === "block" && scene.open.has(row.id)) continue;
    const shown = scene.of(row);
    if (shown.band.count) band(ctx, place(shown.band.low), place(shown.band.high), y, palette);
    if (shown.raw > 0 && drawable(shown.raw) && shown.raw > 1.001 * shown.main) clipped(ctx, place(shown.raw), place(shown.main), y, palette);
    words(ctx, shown, place, plot, y, palette);
    number(ctx, shown, layout.ratio, y, palette);
    if (spark) small(ctx, scene, shown, spark, y, palette);
  }
}

function band(ctx, a, b, y, palette) {
  ctx.fillStyle = palette.band;
  ctx.fillRect(a, y - 2, Math.max(2, b - a), 4);
}

/** From the norm before clipping to the one after it. */
function clipped(ctx, from, to, y, palette) {
  line(ctx, from, y - 0.5, to, y - 0.5, palette.fg);
  line(ctx, from + 0.5, y - 5, from + 0.5, y + 5, palette.fg);
}

/** Thin lines from row to row: how the norms change with depth. */
function links(ctx, scene, place, middle, first, last, palette) {
  for (const [name, color, dash] of [["ring", palette.quiet, [1, 3]], ["main", palette.accent, []]]) {
    ctx.save();
    ctx.setLineDash(dash);
    ctx.globalAlpha = 0.6;
    ctx.strokeStyle = color;
    ctx.lineWidth = 1;
    ctx.beginPath();
    let open = false;
    for (let i = Math.max(0, first - 3); i < Math.min(scene.rows.length, last + 3); i += 1) {
      const row = scene.rows[i];
      if (row.kind === "parameter" || (row.kind === "block" && scene.open.has(row.id))) continue;
      const v = scene.of(row)[name];
      if (v === undefined || !drawable(v)) continue;
      if (open) ctx.lineTo(place(v), middle(i));
      else ctx.moveTo(place(v), middle(i));
      open = true;
    }
    ctx.stroke();
    ctx.restore();
  }
}

function circle(ctx, x, y, r) {
  ctx.beginPath();
  ctx.arc(x, y, r, 0, 2 * Math.PI);
}

/** Dot and ring, or the words that stand for them. */
function words(ctx, shown, place, plot, y, palette) {
  const { main, ring } = shown;
  if (ring !== undefined && drawable(ring)) {
    circle(ctx, place(ring), y, 6.5);
    ctx.fillStyle = palette.bg;
    ctx.fill();
    circle(ctx, place(ring), y, 5.25);
    ctx.strokeStyle = palette.fg;
    ctx.lineWidth = 1.5;
    ctx.stroke();
  }
  if (drawable(main)) {
    const x = place(main), color = shown.out ? palette.warn : palette.accent;
    circle(ctx, x, y, ring !== undefined && Math.abs(place(ring) - x) < 4 ? 4 : 5);
    ctx.fillStyle = palette.bg;
    ctx.fill();
    circle(ctx, x, y, 3.75);
    ctx.fillStyle = color;
    ctx.fill();
    if (shown.out) {
      const said = short(main), taken = [x, ...(drawable(ring) ? [place(ring)] : []), ...(shown.band.count ? [place(shown.band.low), place(shown.band.high)] : [])];
      const right = Math.max(...taken) + 10, fits = right < plot[1] - 44;
      halo(ctx, said, fits ? right : Math.max(plot[0] + 40, Math.min(...taken) - 10), y, color, palette.bg, fits ? "left" : "right");
    }
  }
  const bad = [main, ring].find((v) => v === BROKEN || v === Infinity);
  if (bad !== undefined && !shown.word) halo(ctx, bad === BROKEN ? "NaN" : "Inf", plot[1], y, palette.error, palette.bg, "right");
  if (shown.word) halo(ctx, shown.word, plot[0], y, palette.quiet, palette.bg, "left");
  else if (main === 0) halo(ctx, "exactly 0", plot[0], y, palette.warn, palette.bg, "left");
}

function halo(ctx, words, x, y, color, back, align) {
  ctx.font = `600 11px ${ctx.family}`;
  ctx.textAlign = align;
  ctx.textBaseline = "middle";
  ctx.strokeStyle = back;
  ctx.lineWidth = 3;
  ctx.lineJoin = "round";
  ctx.strokeText(words, x, y);
  ctx.fillStyle = color;
  ctx.fillText(words, x, y);
}

function number(ctx, shown, x, y, palette) {
  const { number: value, side } = shown;
  if (value === undefined || Number.isNaN(value)) return;
  const said = value === BROKEN ? "NaN" : value === 0 ? "0" : short(value);
  const color = value === BROKEN ? palette.error : side ? palette.warn : palette.fg;
  const wide = text(ctx, said, x, y, color, { size: 12, align: "right", bold: Boolean(side) });
  if (!side) return;
  const at = x - wide - 10, up = side > 0 ? -1 : 1;
  ctx.beginPath();
  ctx.moveTo(at - 3.5, y - up * 3);
  ctx.lineTo(at + 3.5, y - up * 3);
  ctx.lineTo(at, y + up * 3);
  ctx.fill();
}

/** The run so far as a line of one row, log, on a scale of its own of at least a decade: mean and range. */
function small(ctx, scene, shown, [left, right], y, palette) {
  const wide = 2, width = right - left, { spans, marks } = sparkline(scene.steps, shown.series, Math.floor(width / wide));
  ctx.fillStyle = palette.error;
  for (const x of marks) ctx.fillRect(left + wide * x, y - 4, 1, 8);
  if (!spans.length) return;
  let high = Math.max(...spans.map((s) => s[1])), low = Math.min(...spans.map((s) => s[2]));
  const grow = Math.max(0, 1 - (high - low)) / 2;
  high += grow;
  low -= grow;
  const at = (v) => y + 9 - ((v - low) / (high - low)) * 18;
  ctx.fillStyle = palette.range;
  for (const [x, top, bottom] of spans) if (top > bottom) ctx.fillRect(left + wide * x, at(top), wide, Math.max(1, at(bottom) - at(top)));
  ctx.strokeStyle = palette.bar;
  ctx.lineWidth = 1.25;
  ctx.beginPath();
  spans.forEach(([x, , , mean], i) => (i ? ctx.lineTo(left + wide * x + 1, at(mean)) : ctx.moveTo(left + wide * x + 1, at(mean))));
  ctx.stroke();
  const c = measuredAt(shown.series, scene.column), reach = scene.steps[scene.columns - 1] - scene.steps[0];
  if (c < 0 || !drawable(shown.series[c])) return;
  circle(ctx, left + (reach ? ((scene.steps[c] - scene.steps[0]) / reach) * (width - 2) : width - 2) + 1, at(Math.log10(shown.series[c])), 2.5);
  ctx.fillStyle = palette.accent;
  ctx.fill();
}

/** What one row shows in a view: `shows` = {main, ring, number, spark} metrics. */
export function valuesOf(packet, row, column, shows, { zone, healthy }) {
  const at = (metric) => {
    if (!metric) return [undefined, -1];
    const values = packet.series(row, metric), c = measuredAt(values, column);
    return [c < 0 ? NaN : values[c], c];
  };
  const [main, c] = at(shows.main), [ring, ringColumn] = at(shows.ring), [number, numberColumn] = at(shows.number);
  const word = column < 0 ? "" : packet.wordAt(row, column);
  const series = packet.series(row, shows.spark);
  const hidden = word && word !== "no optimizer" && word !== "sparse" && word !== "shard"; // these have a gradient all the same
  const shown = hidden ? NaN : main;
  return {
    main: shown, ring: ring, ringStep: ringColumn < 0 ? null : packet.steps[ringColumn], raw: hidden ? NaN : at(shows.raw)[0] ?? NaN, number: hidden ? NaN : number, numberStep: numberColumn < 0 ? null : packet.steps[numberColumn],
    step: c < 0 ? null : packet.steps[c], word, band: hidden || column < 0 ? { count: 0 } : bandOf(packet.series(row, shows.main), column, BAND), series,
    out: Boolean(zone && drawable(shown) && (shown < zone[0] || shown > zone[1])),
    side: healthy && !hidden && number >= 0 ? (number > healthy[1] ? 1 : number < healthy[0] ? -1 : 0) : 0,
  };
}

/** Learning rate that all parameters of a row share; 0 when they differ or none is known. */
function rateOf(packet, row) {
  const rates = packet.arrays.learning_rate ? row.parameters.map((p) => packet.arrays.learning_rate[p]).filter((v) => !Number.isNaN(v)) : [];
  return rates.length && rates.every((v) => v === rates[0]) ? rates[0] : 0;
}
