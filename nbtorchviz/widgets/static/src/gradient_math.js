// Arithmetic of the gradient views: log axes, bands, sparklines, strips. No DOM.

import { BROKEN } from "./gradient_packet.js";
import { smooth } from "./loss_math.js";

export const BAND = 32; // samples behind a grey band
const MOST_DECADES = 16, LEAST_DECADES = 3;

export const drawable = (v) => v > 0 && v < Infinity; // has a place on a log axis
const power = (v) => Math.log10(v);

/** log10 of the ends of all but the outermost 0.5 % of norms; null where nothing has a place. */
export function reachOf(norms) {
  const seen = Float64Array.from(norms.filter(drawable), power).sort();
  const at = (share) => seen[Math.round(share * (seen.length - 1))];
  return seen.length ? [at(0.005), at(0.995)] : null;
}

const extremes = (list) => list.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);

/** Ends [low, high] of a log axis that hold `reach` and all of `now`, but at most 16 decades below the highest. */
export function span(reach, now = []) {
  const [low, high] = extremes(Array.from(now).filter(drawable).map(power).concat(reach || []));
  return high >= low ? [Math.max(low, high - MOST_DECADES), high] : [-4, 0];
}

/** The same as whole decades, at least 3. */
export function decades(reach, now = []) {
  const ends = span(reach, now);
  let low = Math.floor(ends[0] + 1e-9), high = Math.ceil(ends[1] - 1e-9) + 0; // -0 + 0 is 0
  for (let grow = true; high - low < LEAST_DECADES; grow = !grow) grow ? (low -= 1) : (high += 1);
  return [low, high];
}

/** Place of a norm on an axis of decades: 0 at its left end, 1 at its right; beyond is cut. */
export function placeOf(value, [low, high]) {
  if (value === 0) return 0;
  return Math.min(1, Math.max(0, (power(value) - low) / (high - low)));
}

/** Exponents to label within [low, high] when `most` labels fit. */
export function labelled([low, high], most) {
  const every = [1, 2, 3, 4, 5, 6, 8, 10].find((k) => (high - low) / k < most) || 20;
  const out = [];
  for (let p = Math.ceil(low / every) * every; p <= high; p += every) out.push(p);
  return out;
}

/** Powers of ten in one format: 0.001 ... 100, or 1e-9 ... 1. */
export function powerTexts(powers) {
  const plain = powers.every((p) => p >= -4 && p <= 4);
  return powers.map((p) => (plain ? (p < 0 ? `0.${"0".repeat(-p - 1)}1` : `1${"0".repeat(p)}`) : p === 0 ? "1" : `1e${p < 0 ? "\u2212" : ""}${Math.abs(p)}`));
}

/** Smallest and largest norm of the last `n` measured columns up to `column`: {low, high, count, zeros}. */
export function bandOf(values, column, n = BAND) {
  let low = Infinity, high = -Infinity, count = 0, zeros = 0;
  for (let c = column, seen = 0; c >= 0 && seen < n; c -= 1) {
    const v = values[c];
    if (Number.isNaN(v)) continue;
    seen += 1;
    if (v === 0) zeros += 1;
    if (!drawable(v)) continue;
    count += 1;
    if (v < low) low = v;
    if (v > high) high = v;
  }
  return { low, high, count, zeros };
}

/** Median of what has a place on a log axis; NaN of nothing. */
export function medianOf(values) {
  const sorted = Array.from(values).filter(drawable).sort((a, b) => a - b);
  const n = sorted.length;
  return n ? (n % 2 ? sorted[n >> 1] : Math.sqrt(sorted[n / 2 - 1] * sorted[n / 2])) : NaN;
}

/** Zone [low, high] around the last of `values` that has a place on a log axis; null without one. */
export function zoneAround(values, factor) {
  const last = Array.from(values).filter(drawable).pop();
  return last === undefined ? null : [last / factor, last * factor];
}

/**
 * A series on `width` pixels against step: {spans, marks}. Spans are [x, high, low, mean] of log10 by pixel
 * column; marks [x] are columns without a finite norm.
 */
export function sparkline(steps, values, width) {
  const n = steps.length, first = n ? steps[0] : 0, reach = n ? steps[n - 1] - first : 0;
  const spans = [], marks = [];
  let count = 0;
  for (let c = 0; c < n; c += 1) {
    const v = values[c], x = reach ? Math.round(((steps[c] - first) / reach) * (width - 1)) : width - 1;
    if (v === BROKEN || v === Infinity) { if (marks[marks.length - 1] !== x) marks.push(x); continue; }
    if (!drawable(v)) continue;
    const y = power(v), last = spans[spans.length - 1];
    if (last && last[0] === x) {
      last[1] = Math.max(last[1], y);
      last[2] = Math.min(last[2], y);
      count += 1;
      last[3] += (y - last[3]) / count;
    } else { spans.push([x, y, y, y]); count = 1; }
  }
  return { spans, marks };
}

/** Two-sided mean of log10 over samples, weight w^|samples apart|; what has no place on a log axis stays NaN. */
export function smoothLog(values, w) {
  const logs = Float64Array.from(values, (v) => (drawable(v) ? power(v) : NaN));
  return smooth(Float64Array.from(logs, (_, i) => i), logs, w).map((v) => 10 ** v);
}

/**
 * Columns of a strip for at most `most` pixels: {codes, steps, wide, merged}. Neighbours become one by pairs,
 * each bin keeps the larger code so that what is rare stays in sight; the step is that of the later.
 */
export function fitColumns(codes, steps, wide, most) {
  let merged = 1;
  while (steps.length > Math.max(1, most)) {
    const half = Math.ceil(steps.length / 2), next = new Uint8Array(half * wide), later = new Uint32Array(half);
    for (let i = 0; i < half; i += 1) {
      const a = 2 * i, b = Math.min(2 * i + 1, steps.length - 1);
      later[i] = steps[b];
      for (let k = 0; k < wide; k += 1) next[i * wide + k] = Math.max(codes[a * wide + k], codes[b * wide + k]);
    }
    codes = next;
    steps = later;
    merged *= 2;
  }
  return { codes, steps, wide, merged };
}

/** Left and right pixel of each of `n` equal columns on `width` pixels, without gaps. */
export const columnEdges = (n, width) => Array.from({ length: n + 1 }, (_, i) => Math.round((i * width) / Math.max(1, n)));
