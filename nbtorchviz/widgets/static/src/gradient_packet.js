// What a GradientInspector's view is sent, and how it is read.
//
// Trait `picture`: one packet (packet.js) of header and arrays, made by widgets/gradient_packet.py.
// It is whole: every view, every layer and every kept step can be painted from it alone.
//
// Header
//   version 1, seq      the view acks stream "gradients" with seq once it is painted
//   layers              [key, type, block 0/1, detail] each, in execution order, calls as "#1"; L rows
//   parameters          [index into layers or -1, own name, elements] each; P rows. -1: own name is the
//                       full one (a parameter of the model itself, or of a module that is no layer); then
//                       that name also stands for the layer in what the view sends
//   words               of `state`: "", "frozen", "unused", "no optimizer", "skipped (inf)", ...
//   samples             steps sampled so far; C of them are in the packet, the newest is the last one.
//                       Where C < samples, of neighbouring steps the one with the larger gradient is here
//   strips              [{layer, of, lowest, bins, read, elements}]; `of` is a parameter's own name (its
//                       gradient), "@gradient" (d loss/d output) or "@activation" (the output)
//   optional            phase; captured_at_s (time.time() of the newest sample); gaps [[first, last]] steps
//                       without samples; flags [{step, kind: "change"|"finding", text}];
//                       zones {gradient: {factor, source}: within that factor of the layer next to the loss,
//                       ratio: {low, aim, high, source}}; sources are whole sentences without the full stop
// Arrays, C columns from oldest to newest
//   steps u4 (C)        number of the step that each column completed
//   gradient u2 (P,C)   L2 norm of d loss/d parameter, unscaled, after the user's clipping
//   raw u2 (P,C)        the same before clipping; only where the user clips
//   weight u2 (P,C)     L2 norm of the parameter before the step
//   update u2 (P,C)     L2 norm of what the step added to it
//   activation u2 (L,C) L2 norm of d loss/d output of the layer
//   state u1 (P,C)      index into words
//   learning_rate f4 (P)  now
//   strip<i> u1 (S, 2 bins + 4), strip<i>_steps u4 (S): counts of read values. From left to right: bins
//                       of negative values from large to small, exact zeros, bins of positive values
//                       from small to large, NaN, +Inf, -Inf. Bin k of `bins` holds
//                       2^(lowest+k) <= |x| < 2^(lowest+k+1), the first and last also what lies beyond
// Codes
//   u2  0: norm 0.  1..65532: 2^((code - 1) / 264 - 120), right to 0.14 %.  65533: the tensor held NaN.
//       65534: infinite.  65535: not measured at this step
//   u1  of strips: count + 1 = 2^(code / 16), exact to 20, then right to 2.2 %

import { decode } from "./packet.js";

const NAN = 65533, INF = 65534, NONE = 65535;
export const BROKEN = -1; // stands for the norm of a tensor that holds NaN; NaN itself for "not measured"

let table = null;

/** Norms by code: NaN not measured, BROKEN held NaN, else at least 0. */
export function normTable() {
  if (table) return table;
  table = new Float64Array(65536);
  for (let code = 1; code < NAN; code += 1) table[code] = 2 ** ((code - 1) / 264 - 120);
  table[NAN] = BROKEN;
  table[INF] = Infinity;
  table[NONE] = NaN;
  return table;
}

/** Count of values behind a strip's code. */
export const countOf = (code) => Math.round(2 ** (code / 16) - 1);

/** L2 norm of several parts, each as `normTable` gives them. */
export function together(parts) {
  let sum = 0, measured = false, broken = false;
  for (const part of parts) {
    if (Number.isNaN(part)) continue;
    measured = true;
    if (part === BROKEN) broken = true;
    else sum += part * part;
  }
  return broken ? BROKEN : measured ? Math.sqrt(sum) : NaN;
}

const divided = (a, b) => (a === BROKEN || b === BROKEN ? BROKEN : Number.isNaN(a) || Number.isNaN(b) || !(b > 0) ? NaN : a / b);

/**
 * Read a packet: {header, arrays, steps, columns, series(row, metric), wordAt(row, column)}. A row is one of
 * gradient_rows.js. Series are Float64Array (C), kept once made. Metrics: gradient, raw, weight, update,
 * activation, and what is made of them: ratio = update / weight, effective = update / gradient,
 * rms = gradient / sqrt(elements).
 */
export function read(data) {
  const { header, arrays } = decode(data);
  const steps = arrays.steps, columns = steps.length, norms = normTable(), made = new Map();

  function measured(row, metric) {
    const codes = arrays[metric];
    if (!codes) return new Float64Array(columns).fill(NaN);
    const from = metric === "activation" ? (row.layer < 0 ? [] : [row.layer]) : row.parameters;
    const out = new Float64Array(columns);
    for (let c = 0; c < columns; c += 1) {
      out[c] = from.length === 1 ? norms[codes[from[0] * columns + c]] : together(from.map((p) => norms[codes[p * columns + c]]));
    }
    return out;
  }

  function series(row, metric) {
    const key = `${row.id}\n${metric}`;
    if (!made.has(key)) {
      const quotient = { ratio: ["update", "weight"], effective: ["update", "gradient"] }[metric];
      if (quotient) {
        const [above, below] = quotient.map((name) => series(row, name));
        made.set(key, above.map((v, c) => divided(v, below[c])));
      } else if (metric === "rms") {
        made.set(key, series(row, "gradient").map((v) => (v > 0 ? v / Math.sqrt(row.elements) : v)));
      } else made.set(key, measured(row, metric));
    }
    return made.get(key);
  }

  /** Why a row has no gradient in a column: the word all its parameters share; "" when some have one. */
  function wordAt(row, column) {
    if (!row.parameters.length || !arrays.state) return "";
    const first = arrays.state[row.parameters[0] * columns + column];
    return row.parameters.every((p) => arrays.state[p * columns + column] === first) ? header.words[first] : "";
  }

  /** Words of some but not all parameters of a row: ["bias frozen"]. */
  function wordsWithin(row, column) {
    if (!arrays.state || wordAt(row, column)) return [];
    return row.parameters.filter((p) => arrays.state[p * columns + column]).map((p) => `${header.parameters[p][1]} ${header.words[arrays.state[p * columns + column]]}`);
  }

  const strips = (header.strips || []).map((about, i) => ({ ...about, steps: arrays[`strip${i}_steps`], codes: arrays[`strip${i}`], wide: 2 * about.bins + 4 }));
  const told = steps.filter((s, c) => !c || s !== steps[c - 1]); // for a slider: each number once
  return { header, arrays, steps, told, columns, series, wordAt, wordsWithin, strips };
}

/** Column of the newest sample at or before `step`; -1 when there is none. */
export function columnAt(steps, step) {
  let low = 0, high = steps.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle] <= step) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** Column to show for `step`: the nearest; of the step that was finished, not of those skipped after it, which carry its number. */
export function columnOf(steps, step) {
  let c = columnAt(steps, step);
  if (c < 0 || (c + 1 < steps.length && steps[c + 1] - step < step - steps[c])) c += 1;
  while (c > 0 && steps[c - 1] === steps[c]) c -= 1;
  return c;
}

/** "step 7, then 2 skipped (inf)". Those that were skipped carry the number of the step before. */
export function stepWords({ steps, columns, header, arrays }, step) {
  const skipped = header.words.indexOf("skipped (inf)");
  let n = 0;
  for (let c = columnAt(steps, step); steps[c] === step; c -= 1) n += header.parameters.some((_, p) => arrays.state[p * columns + c] === skipped);
  return `step ${step}${n ? `, ${step ? "then " : ""}${n} skipped (inf)` : ""}`;
}

/** The newest column at or before `column` in which `values` was measured; -1 when none was. */
export function measuredAt(values, column) {
  let c = column;
  while (c >= 0 && Number.isNaN(values[c])) c -= 1;
  return c;
}
