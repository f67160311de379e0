// One sample of a tensor packet as the frame that the map views know, and what to say of the whole.

import { short, times } from "./map_math.js";

const NAMES = ["planes", "lo", "hi", "mean", "std", "zero", "nonfinite", "values"];

/** Frame of `sample`: {header, arrays}; null when its planes are not in the packet. */
export function frameOf({ header, arrays }, sample) {
  const [first, count] = header.held, at = sample - first;
  if (!header.display || at < 0 || at >= count) return null;
  const own = {};
  for (const name of NAMES) {
    const whole = arrays[name];
    if (!whole) continue;
    const shape = whole.shape.slice(1), size = shape.reduce((a, b) => a * b, 1);
    own[name] = Object.assign(whole.subarray(at * size, (at + 1) * size), { shape });
  }
  const { ranges, quiet, ...facts } = header.display;
  return {
    header: { ...facts, layer: "values", show: "value", sample_word: "sample", shape: itemShape(header), range: ranges[at], quiet: quiet[at], dead: {}, dead_window: Infinity, stats: {}, live: true },
    arrays: own,
  };
}

/** Shape of one sample, with its channel. */
export function itemShape({ shape, batched, layout }) {
  const item = shape.slice(batched ? 1 : 0);
  return layout === "HW" || layout === "NHW" ? [1, ...item] : item;
}

/** What the tensor is: "40×1×28×28, float32, read as NCHW". */
export function whatIs({ shape, dtype, layout }) {
  return `${shape.length ? times(shape) : "one number"}, ${dtype}${layout ? `, read as ${layout}` : ""}`;
}

/** Its numbers in words: {text, bad}. */
export function numbersOf({ stats }) {
  const known = [["min", "minimum"], ["max", "maximum"], ["mean", "mean"], ["std", "std"]].filter(([, key]) => stats[key] !== null);
  const lost = [[stats.nan, "NaN"], [stats.posinf, "Inf"], [stats.neginf, "−Inf"]].filter(([n]) => n);
  return {
    text: known.map(([word, key]) => `${word} ${short(stats[key])}`).join("  "),
    bad: lost.length ? `${lost.map(([n, word]) => `${n} ${word}`).join(", ")} of ${stats.count} values` : "",
  };
}

/** Side in CSS pixels of a sample's picture: few are large. */
export const pictureSide = (count) => (count <= 6 ? 120 : count <= 20 ? 80 : 56);
