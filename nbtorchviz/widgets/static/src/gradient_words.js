// Numbers of the gradient views as words.

import { countsOf, edgesOf } from "./gradient_histogram.js";
import { BROKEN, measuredAt } from "./gradient_packet.js";
import { BAND, bandOf, drawable } from "./gradient_math.js";
import { short } from "./map_math.js";

export const METRICS = [
  ["gradient", "parameter gradient"], ["activation", "gradient of the output"], ["weight", "weights"], ["update", "update"],
  ["ratio", "update ÷ weight"], ["effective", "effective learning rate"], ["raw", "gradient before clipping"],
];

export const metricWords = (metric) => (METRICS.find(([name]) => name === metric) || METRICS[0])[1];

/** A norm, or the word that stands for it. */
export const normText = (v) => (v === BROKEN ? "NaN" : v === 0 ? "exactly 0" : short(v));

/** What a strip counts. */
export const ofWords = (of) => (of === "@gradient" ? "gradient of the output" : of === "@activation" ? "output" : `gradient of ${of}`);

/** A row at a step, in words. `v` comes from valuesOf. */
export function rowWords(packet, row, v, column, view) {
  const parts = [], here = packet.steps[column], at = (step) => (step === null || step === here ? "" : ` at step ${step}`);
  if (view === "ratio") {
    if (v.word) parts.push(v.word);
    if (!Number.isNaN(v.main)) parts.push(`update ÷ weight ${normText(v.main)}${at(v.step)}`);
    if (v.number !== undefined && !Number.isNaN(v.number)) parts.push(`effective learning rate ${normText(v.number)}`);
    if (v.rate) parts.push(`learning rate ${short(v.rate)}`);
  } else {
    if (v.word) parts.push(v.word);
    if (row.parameters.length && !Number.isNaN(v.main)) parts.push(`parameter gradient ${normText(v.main)}${at(v.step)}${drawable(v.raw) && v.raw > 1.001 * v.main ? `, ${normText(v.raw)} before clipping` : ""}`);
    if (v.band.count > 1) parts.push(`last ${BAND}: ${short(v.band.low)} to ${short(v.band.high)}`);
    if (v.ring !== undefined && !Number.isNaN(v.ring)) parts.push(`gradient of the output ${normText(v.ring)}${at(v.ringStep)}`);
    if (v.number !== undefined && !Number.isNaN(v.number)) parts.push(`update ÷ weight ${normText(v.number)}${at(v.numberStep)}`);
  }
  return [...parts, ...packet.wordsWithin(row, column)].join(", ") || "not measured";
}

/** One cell of a strip of histograms. */
export function cellWords(strip, at, k) {
  const found = countsOf(strip, at), [low, high] = edgesOf(strip, k), n = [...found.negative, found.zeros, ...found.positive][k];
  const outermost = [0, strip.bins - 1, strip.bins + 1, 2 * strip.bins].includes(k); // also holds what lies beyond
  const where = k === strip.bins ? "exactly 0" : `from ${normText(low)} to ${normText(high)}${outermost ? " or beyond" : ""}`;
  return `step ${strip.steps[at]}: ${n > 20 ? "about " : ""}${n.toLocaleString("en")} ${n === 1 ? "value" : "values"} ${where}`;
}

const totals = new WeakMap();

/** Norm over all parameters at each step; kept with the packet. */
function totalOf(packet, name) {
  if (!totals.has(packet)) totals.set(packet, {});
  const kept = totals.get(packet), row = { id: "\nall", layer: -1, parameters: packet.header.parameters.map((_, p) => p), elements: 1 };
  return (kept[name] ||= packet.series(row, name));
}

/** Norm of the gradient of all parameters: {now, rest, title}; null when it was never measured. */
export function totalWords(packet, column) {
  const total = totalOf(packet, "gradient"), c = measuredAt(total, column);
  if (c < 0) return null;
  const raw = packet.arrays.raw ? totalOf(packet, "raw")[c] : NaN, { low, high, count } = bandOf(total, column);
  const clipped = drawable(raw) && raw > 1.001 * total[c] ? `, clipped from ${short(raw)}` : "";
  const band = count > 1 ? `, last ${Math.min(BAND, count)}: ${short(low)} to ${short(high)}` : "";
  return { now: normText(total[c]), rest: clipped || band, title: `Norm of the gradient of all parameters at step ${packet.steps[c]}${clipped}${band}` };
}

/** What to say when nothing is wrong: title and the line below. */
export function healthyWords(packet, state) {
  const { findings, rules } = state.gradients || {}, last = packet.steps[packet.columns - 1];
  if (!findings) return ["", ""];
  return [`Nothing found in ${last.toLocaleString("en")} ${last === 1 ? "step" : "steps"}.`, rules ? `${rules} rules look at every sample: gradients, updates, activations, the loss.` : ""];
}
