// What to draw of a curve packet under the present look: lines in axis units, words, notes.

import { formatValue, interpolate, lowerBound, smooth, timeUnit, yLimits } from "./loss_math.js";

const smoothed = new WeakMap();

/** The smoothed line of `line`: [steps, values]; [] when smoothing is off. Complete lines are
 *  smoothed here, at once; of thinned ones Python sends samples. */
function smoothLine(line, arrays, weight) {
  if (!weight) return null;
  if (line.sx) return [arrays[line.sx], arrays[line.sy]];
  if (!line.complete) return null;
  const raw = arrays[line.y];
  const kept = smoothed.get(raw);
  if (kept && kept.weight === weight) return kept.pair;
  const pair = [arrays[line.x], smooth(arrays[line.x], raw, weight)];
  smoothed.set(raw, { weight, pair });
  return pair;
}

const keyOf = (line) => `${line.run}/${line.name}`;

/** Strokes and gaps of the nth line of its run and side; each has its own. */
const dashOf = (val, nth) => nth ? [val ? 6 : 12, 3, ...Array(nth).fill([2, 3]).flat()] : val ? [6, 3] : [];

/** Label, look and place of each line of the shown metric, the current run first.
 *  Names and dashes are those of `line_looks` in analysis/curves.py. */
export function linesOf(header) {
  const shown = header.lines.filter((line) => line.metric === header.metric);
  const runs = new Map(header.runs.map((run) => [run.run, run]));
  const isVal = (line) => line.role === "val";
  const paired = shown.some(isVal) && !shown.every(isVal);
  const named = shown.map((line) => {
    const current = line.run === header.current, val = isVal(line);
    const side = shown.filter((other) => other.run === line.run && isVal(other) === val);
    const name = !paired || side.length > 1 ? line.name : val ? "val" : "train";
    const run = runs.get(line.run), dash = dashOf(val, side.indexOf(line));
    return {
      line, run, current, val, dash, key: keyOf(line),
      color: current ? (val ? "val" : "train") : "earlier",
      label: current ? name : `${run.name} ${name}`,
      detail: current ? "" : run.detail,
    };
  });
  return [...named.filter((n) => n.current), ...named.filter((n) => !n.current).reverse()];
}

/** Turns steps of a run into x of the chosen axis and back. */
export function axisOf(header, arrays, kind) {
  const [divisor, unit] = kind === "time" ? timeUnit(Math.max(0, ...header.runs.map((r) => {
    const t = arrays[`${r.clock}t`];
    return t[t.length - 1] - t[0];
  }))) : [1, kind];
  const clocks = new Map(header.runs.map((r) => {
    const s = arrays[`${r.clock}s`];
    if (kind === "step") return [r.run, null];
    const raw = arrays[`${r.clock}${kind === "epoch" ? "e" : "t"}`];
    const offset = kind === "time" ? raw[0] : 0;
    return [r.run, { s, v: Float64Array.from(raw, (x) => (x - offset) / divisor) }];
  }));
  return {
    kind, unit,
    to: (run, step) => { const c = clocks.get(run); return c ? interpolate(c.s, c.v, step) : step; },
    from: (run, x) => { const c = clocks.get(run); return c ? interpolate(c.v, c.s, x) : x; },
  };
}

/** Everything a drawing needs. `look`: {x, y, hidden, range, smoothing}. */
export function sceneOf({ header, arrays }, look) {
  const kind = look.x !== "epoch" || header.runs.some((r) => r.run === header.current && r.epochs) ? look.x : "step";
  const axis = axisOf(header, arrays, kind);
  const log = look.y === "log";
  const range = look.range && header.bounds ? [look.range[0], look.range[1] ?? header.bounds[1]] : null;
  const lines = linesOf(header).map((item) => {
    const steps = arrays[item.line.x], values = arrays[item.line.y];
    const soft = smoothLine(item.line, arrays, look.smoothing);
    const place = (list) => Float64Array.from(list, (s) => axis.to(item.line.run, s));
    return {
      ...item, steps, values, xs: place(steps), hidden: look.hidden.includes(item.key),
      softSteps: soft && soft[0], soft: soft && soft[1], softXs: soft && place(soft[0]),
    };
  });
  const ends = lines.filter((l) => l.xs.length && Number.isFinite(l.xs[0])).flatMap((l) => [l.xs[0], l.xs[l.xs.length - 1]]);
  const whole = header.range || !ends.length
    ? (header.bounds || [0, 1]).map((s) => axis.to(header.current, s))
    : [Math.min(...ends), Math.max(...ends)];
  if (!header.range && axis.kind !== "epoch" && whole[0] > 0 && whole[0] < 0.05 * whole[1]) whole[0] = 0;
  if (whole[1] <= whole[0]) whole[1] = whole[0] + 1;
  const shown = range ? range.map((s) => axis.to(header.current, s)) : whole;
  if (shown[1] <= shown[0]) shown[1] = shown[0] + 1;
  let limits = header.limits[look.y] || null;
  if (JSON.stringify(range) !== JSON.stringify(header.range)) limits = visibleLimits(lines, range, log) || limits;
  const complete = lines.every((l) => l.line.complete);
  const soft = lines.some((l) => l.soft && l.current) ? (complete ? look.smoothing : header.smoothing) : 0;
  return { header, axis, log, lines, whole, shown, range, limits: limits || (log ? [0.1, 1] : [0, 1]), empty: !lines.length, complete, soft };
}

/** Limits that fit each line by itself: a long one must not push a short one out of view. */
function visibleLimits(lines, range, log) {
  const pick = (group) => {
    const pairs = group.map((l) => {
      const from = range ? lowerBound(l.steps, range[0]) : 0;
      const to = range ? lowerBound(l.steps, range[1] + 1e-9) : l.steps.length;
      return yLimits(l.values.slice(from, to), log);
    }).filter(Boolean);
    return pairs.length ? [Math.min(...pairs.map((p) => p[0])), Math.max(...pairs.map((p) => p[1]))] : null;
  };
  return pick(lines.filter((l) => l.current)) || pick(lines);
}

/** The sentence below the plot: what thin, thick and ▲ mean, what was left out. */
export function noteOf(scene, [bottom, top], look) {
  const { header, lines, log } = scene;
  if (scene.empty) return "";
  const parts = [];
  const seen = lines.filter((l) => !l.hidden);
  const thinned = seen.filter((l) => !l.line.whole);
  if (look.smoothing) {
    parts.push(`Thin: ${thinned.length ? "logged values" : "every logged value"}. Thick: two-sided EMA by step distance, so without lag, the same for train and val.`);
  }
  for (const l of thinned.slice(0, 1)) {
    const times = Math.max(2, Math.round(l.line.count / Math.max(1, l.steps.length)));
    parts.push(`Thinned: 1 point in ${times} drawn (min and max kept); history has all.`);
  }
  const kept = seen.find((l) => l.line.thinned > 1);
  if (kept) parts.push(`${kept.label}: older values thinned ${kept.line.thinned}:1 in memory.`);
  const above = new Map();
  let below = Infinity;
  for (const l of seen) {
    for (let i = 0; i < l.values.length; i++) {
      const v = l.values[i];
      if (l.xs[i] < scene.shown[0] || l.xs[i] > scene.shown[1]) continue;
      if (v < bottom && Number.isFinite(v) && !(log && v <= 0)) below = Math.min(below, v);
      if (v > top && Number.isFinite(v)) above.set(l.line.run, Math.max(above.get(l.line.run) || -Infinity, v));
    }
  }
  if (above.size) {
    const names = new Map(header.runs.map((r) => [r.run, r.name]));
    const list = [...above].sort((a, b) => a[0] - b[0]).map(([run, v]) => `${header.runs.length > 1 ? `${names.get(run)} ` : ""}to ${formatValue(v, 2)}`);
    parts.push(`▲ above the axis: ${list.join(", ")}.`);
  }
  if (below < bottom) parts.push(`▼ below the axis: to ${formatValue(below, 2)}.`);
  const skipped = log ? seen.reduce((n, l) => n + l.line.not_positive, 0) : 0;
  if (skipped) parts.push(`log axis: ${skipped} ${skipped > 1 ? "values" : "value"} ≤ 0 not drawn.`);
  const gap = header.gaps.length && header.gaps[header.gaps.length - 1];
  if (gap) parts.push(`Not recorded, steps ${gap[0]}-${gap[1]} (hatched).`);
  return parts.join(" ");
}

/** Words beside the red rug of one stretch without numbers. */
export function spanWords(item, span) {
  const [first, last, kind] = span;
  const steps = item.steps;
  const who = item.current ? item.label : item.run.name;
  if (last >= steps[steps.length - 1]) return `${who}: ${kind} from step ${first}`;
  return first === last ? `${who}: ${kind} at step ${first}` : `${who}: ${kind}, steps ${first}-${last}`;
}

/** What the picture says, in words, for a screen reader. */
export function describe(scene, header) {
  if (scene.empty) return "No values yet.";
  const rows = scene.lines.map((l) => {
    const [step, value] = l.line.latest;
    const best = l.line.best ? `, best ${formatValue(l.line.best[1])} at step ${l.line.best[0]}` : "";
    return `${l.label}: ${formatValue(value)} at step ${step}${best}${l.hidden ? ", hidden" : ""}`;
  });
  const marks = (header.flags || []).slice(-3).map(({ text, step }) => `${text} at step ${step}`);
  return `${header.metric} against ${scene.axis.kind}, ${scene.log ? "log" : "linear"} axis. ${rows.join("; ")}.${marks.length ? ` Marks: ${marks.join("; ")}.` : ""}`;
}
