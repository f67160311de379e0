// Norms of all rows against step as strips of colour: each row in proportion to its own median.

import { BROKEN, columnAt } from "./gradient_packet.js";
import { drawable, medianOf } from "./gradient_math.js";
import { ROW_PX } from "./gradient_tree.js";
import { ticks } from "./loss_math.js";
import { tableOf } from "./map_colours.js";
import { LEVELS } from "./map_math.js";

export const HEAT_DECADES = 2; // the colours end at a hundredth and a hundred times the median
const STRIP_PX = 18, ABSENT = 255, BAD = 254;
const coded = new WeakMap();

const codeOf = (v, median) => {
  if (v === BROKEN || v === Infinity) return BAD;
  if (v === 0) return 0;
  return drawable(v) ? Math.round((LEVELS / 2) * (1 + Math.min(1, Math.max(-1, Math.log10(v / median) / HEAT_DECADES)))) : ABSENT;
};
const distance = (code) => (code === ABSENT ? -1 : code === BAD ? Infinity : Math.abs(code - LEVELS / 2));

/** How values become colours: in proportion to the median; `away` tells which of several in a pixel is shown. */
const OF_MEDIAN = { code: codeOf, away: distance };

/**
 * One code per pixel of `width` for the steps `shown`, by default all: 0..252 for a hundredth to a hundred times `median`, 254 no finite norm, 255
 * not measured. A measured sample holds until the next one; of several in a pixel the one farthest from the
 * median is shown.
 */
export function heatCodes(steps, values, width, median, shown = [steps[0], steps[steps.length - 1]], { code: coding, away } = OF_MEDIAN) {
  const out = new Uint8Array(width).fill(ABSENT), n = steps.length, reach = n ? shown[1] - shown[0] : 0;
  const pixel = (c) => (c >= n || steps[c] > shown[1] ? width : reach ? Math.floor(((steps[c] - shown[0]) / reach) * (width - 1)) : 0);
  for (let c = 0; c < n; ) {
    let next = c + 1;
    const code = coding(values[c], median);
    if (code !== ABSENT) {
      while (next < n && coding(values[next], median) === ABSENT) next += 1;
      if (next === n) next = c + 1; // after the last one nothing is known
      const from = pixel(c), to = Math.max(from + 1, pixel(next));
      if (from >= 0 && from < width && (out[from] === ABSENT || away(code) > away(out[from]))) out[from] = code;
      out.fill(code, Math.max(0, from + 1), Math.max(0, to));
    }
    c = next;
  }
  return out;
}

/** Place among the steps `shown` of x on a strip from `left` to `right`. */
export function placeUnder(shown, x, [left, right]) {
  const share = Math.min(1, Math.max(0, (x - left) / Math.max(1, right - left)));
  return shown[0] + share * (shown[1] - shown[0]);
}

/** Step under x of a strip of the steps `shown`, by default all. */
export const stepUnder = (steps, x, plot, shown = [steps[0], steps[steps.length - 1]]) => steps[Math.max(0, columnAt(steps, placeUnder(shown, x, plot)))];

const placeIn = (shown, step, [left, right]) => left + ((step - shown[0]) / Math.max(1, shown[1] - shown[0])) * (right - left);

/** Title, key of colours and the axis of steps above the rows. */
export function paintHeatAxis(ctx, scene, plot, palette) {
  const { shown, ends = ["÷100", "×100"] } = scene, table = tableOf(scene.colours || "diverging"), key = ends ? 96 : 0;
  ctx.font = `11px ${ctx.family}`;
  ctx.textBaseline = "middle";
  ctx.fillStyle = palette.fg;
  ctx.textAlign = "left";
  ctx.fillText(scene.title, plot[0], 10);
  const from = plot[1] - key - 34;
  for (let x = 0; x < key; x += 1) {
    const pixel = table[Math.round((LEVELS * x) / (key - 1))];
    ctx.fillStyle = `rgb(${pixel & 255} ${(pixel >> 8) & 255} ${(pixel >> 16) & 255})`;
    ctx.fillRect(from + x, 5, Math.min(1.7, key - x), 10); // overlapping: no seams at fractional pixels
  }
  ctx.fillStyle = palette.quiet;
  if (ends) ctx.fillText(ends[1], from + key + 6, 10);
  ctx.textAlign = "right";
  if (ends) ctx.fillText(ends[0], from - 6, 10);
  ctx.textAlign = "center";
  for (const step of ticks(...shown, Math.max(3, Math.floor((plot[1] - plot[0]) / 90))).filter(Number.isInteger)) {
    const x = placeIn(shown, step, plot);
    ctx.fillStyle = palette.edge;
    ctx.fillRect(Math.round(x), 36, 1, 4);
    ctx.fillStyle = palette.quiet;
    ctx.fillText(String(step), x, 28);
  }
}

/** The strips of the rows in sight. */
export function paintHeat(ctx, scene, plot, palette, { top, height, width }) {
  const { rows, steps, shown } = scene, dpr = window.devicePixelRatio || 1, wide = Math.max(1, Math.round((plot[1] - plot[0]) * dpr)), table = tableOf(scene.colours || "diverging"), tall = scene.rowPx || ROW_PX;
  for (let i = Math.max(0, Math.floor(top / tall)); i < Math.min(rows.length, Math.ceil((top + height) / tall)); i += 1) {
    const row = rows[i], y = i * tall - top;
    const marked = row.id === scene.chosen ? palette.on : row.id === scene.hovered ? palette.hover : "";
    if (marked) { ctx.fillStyle = marked; ctx.fillRect(0, y, width, tall); }
    if (row.kind === "block" && scene.open.has(row.id)) continue;
    const values = scene.series(row);
    let kept = coded.get(values);
    const key = [wide, ...shown].join();
    if (!kept || kept.key !== key) coded.set(values, (kept = { key, codes: heatCodes(steps, values, wide, (scene.scaleOf || medianOf)(values), shown, scene.look) }));
    const word = scene.word(row);
    if (kept.codes.every((code) => code === ABSENT) || word === "frozen" || word === "unused") {
      ctx.font = `600 11px ${ctx.family}`;
      ctx.textAlign = "left";
      ctx.textBaseline = "middle";
      ctx.fillStyle = palette.quiet;
      ctx.fillText(word || (row.parameters.length ? "not measured" : ""), plot[0], y + tall / 2);
      continue;
    }
    const image = new ImageData(wide, 1), out = new Uint32Array(image.data.buffer);
    kept.codes.forEach((code, x) => { if (code < BAD) out[x] = table[code]; });
    strip(ctx, image, Math.round(plot[0] * dpr), Math.round((y + (tall - STRIP_PX) / 2) * dpr), Math.round(STRIP_PX * dpr));
    for (const [from, to] of runsOf(kept.codes)) broken(ctx, plot[0] + from / dpr, plot[0] + to / dpr, y + (tall - STRIP_PX) / 2, palette);
  }
  for (const [before, after] of scene.gaps || []) {
    const [from, to] = [before, after].map((step) => Math.min(plot[1], Math.max(plot[0], placeIn(shown, step, plot))));
    for (let i = 0; to - from >= 1 && i < rows.length; i += 1) hatch(ctx, from, to, i * tall - top + (tall - STRIP_PX) / 2, palette.bg, palette.edge, 1);
  }
  if (scene.step === null || scene.step < shown[0] || scene.step > shown[1]) return;
  const x = Math.round(placeIn(shown, scene.step, plot)) + 0.5, bottom = Math.min(height, rows.length * tall - top);
  ctx.strokeStyle = palette.fg;
  ctx.lineWidth = 1;
  ctx.beginPath();
  ctx.moveTo(x, 0);
  ctx.lineTo(x, bottom);
  ctx.stroke();
}

/** Stretches [from, to] of pixels without a finite norm. */
export function runsOf(codes) {
  const runs = [];
  codes.forEach((code, x) => {
    const last = runs[runs.length - 1];
    if (code === BAD && last && last[1] === x) last[1] = x + 1;
    else if (code === BAD) runs.push([x, x + 1]);
  });
  return runs;
}

const broken = (ctx, from, to, y, palette) => hatch(ctx, from, to, y, palette.bg, palette.error, 1.5);

function hatch(ctx, from, to, y, ground, line, thick) {
  const wide = Math.max(2, to - from);
  ctx.save();
  ctx.beginPath();
  ctx.rect(from, y, wide, STRIP_PX);
  ctx.clip();
  ctx.fillStyle = ground;
  ctx.fillRect(from, y, wide, STRIP_PX);
  ctx.strokeStyle = line;
  ctx.lineWidth = thick;
  ctx.beginPath();
  for (let x = from - STRIP_PX; x < from + wide; x += 5) {
    ctx.moveTo(x, y + STRIP_PX);
    ctx.lineTo(x + STRIP_PX, y);
  }
  ctx.stroke();
  ctx.restore();
}

let scratch = null;

function strip(ctx, image, x, y, tall) {
  scratch ||= document.createElement("canvas");
  if (scratch.width !== image.width) { scratch.width = image.width; scratch.height = 1; }
  scratch.getContext("2d").putImageData(image, 0, 0);
  ctx.save();
  ctx.setTransform(1, 0, 0, 1, 0, 0);
  ctx.imageSmoothingEnabled = false;
  ctx.drawImage(scratch, 0, 0, image.width, 1, x, y, image.width, tall);
  ctx.restore();
}
