// Arithmetic of the loss chart: smoothing, nearest points, ticks, limits, clocks. No DOM.

/** Two-sided average s(t) = sum w^|t-i| v(i) / sum w^|t-i| over real points, i in steps.
 *  The twin of analysis/smoothing.py; values that are not finite are skipped and stay NaN. */
export function smooth(steps, values, w) {
  const n = steps.length;
  const out = new Float64Array(n);
  if (!w) return out.map((_, i) => (Number.isFinite(values[i]) ? values[i] : NaN));
  const weights = new Float64Array(n);
  let sum = 0, weight = 0;
  for (let i = 0; i < n; i++) {
    const decay = i ? w ** (steps[i] - steps[i - 1]) : 0;
    const real = Number.isFinite(values[i]);
    out[i] = sum = sum * decay + (real ? values[i] : 0);
    weights[i] = weight = weight * decay + (real ? 1 : 0);
  }
  sum = weight = 0;
  for (let i = n - 1; i >= 0; i--) {
    const decay = i < n - 1 ? w ** (steps[i + 1] - steps[i]) : 0;
    sum *= decay;
    weight *= decay;
    const real = Number.isFinite(values[i]);
    out[i] = real ? (out[i] + sum) / (weights[i] + weight) : NaN;
    if (real) { sum += values[i]; weight += 1; }
  }
  return out;
}

/** Index of the first element >= x of a rising array. */
export function lowerBound(array, x) {
  let low = 0, high = array.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (array[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Index of the element nearest to x, the earlier of equals; -1 when there is none. */
export function nearest(array, x) {
  if (!array.length) return -1;
  const above = lowerBound(array, x);
  if (above === 0) return 0;
  if (above === array.length) return lowerBound(array, array[above - 1]);
  const below = x - array[above - 1] <= array[above] - x ? above - 1 : above;
  return lowerBound(array, array[below]);
}

/** y at x on the polyline through rising xs; beyond its ends it goes on in a straight line. */
export function interpolate(xs, ys, x) {
  const n = xs.length;
  if (!n) return NaN;
  if (n === 1) return ys[0] + (x - xs[0]);
  let at = Math.min(Math.max(lowerBound(xs, x), 1), n - 1);
  while (at > 1 && xs[at] === xs[at - 1] && x < xs[at]) at--;
  const span = xs[at] - xs[at - 1];
  return span ? ys[at - 1] + ((ys[at] - ys[at - 1]) * (x - xs[at - 1])) / span : ys[at];
}

/** Limits of the y axis: 99.5 % of the values, spikes left out (twin of y_limits in Python). */
export function yLimits(values, log) {
  let list = [];
  for (const v of values) if (Number.isFinite(v) && (!log || v > 0)) list.push(log ? Math.log10(v) : v);
  if (!list.length) return null;
  list = Float64Array.from(list).sort();
  const last = list.length - 1;
  const inner = last >= 8;
  let low = list[inner ? Math.ceil(last * 0.005) : 0];
  let high = list[inner ? Math.floor(last * 0.995) : last];
  const slack = Math.max((last < 50 ? 3 : last < 200 ? 1.5 : 0.25) * (high - low), log ? 1 : 0);
  if (list[last] <= high + slack) high = list[last];
  if (list[0] >= low - slack) low = list[0];
  if (log) return [10 ** Math.max(low - 0.02, -307), 10 ** Math.min(high + 0.02, 307)];
  if (low >= 0 && low < 0.4 * high) low = 0;
  if (low === high) {
    const margin = Math.abs(low) * 0.05 || 1;
    return [low - margin, high + margin];
  }
  return [low, high];
}

/** At most `most` round values within [low, high]. */
export function ticks(low, high, most = 6) {
  const span = high - low;
  if (!(span > 0) || !Number.isFinite(span)) return [low];
  const size = 10 ** Math.floor(Math.log10(span / most));
  for (const unit of [1, 2, 2.5, 5, 10, 20]) {
    const step = unit * size;
    const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
    if (last - first < most) {
      return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
    }
  }
  return [low, high];
}

/** Powers of ten within [low, high], finer when there are fewer than three. */
export function logTicks(low, high, most = 6) {
  const first = Math.ceil(Math.log10(low) - 1e-9), last = Math.floor(Math.log10(high) + 1e-9);
  const every = Math.max(1, Math.ceil((last - first + 1) / most));
  const marks = [];
  for (let p = first; p <= last; p += every) marks.push(Number(`1e${p}`));
  if (marks.length >= 3) return marks;
  for (const units of [[1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7]]) {
    const finer = [];
    for (let p = first - 1; p <= last; p++) for (const u of units) finer.push(Number(`${u}e${p}`));
    const inside = finer.filter((t) => t >= low && t <= high);
    if (inside.length >= 3) return inside.slice(0, most + 1);
  }
  return ticks(low, high, most);
}

/** All ticks in one format: as many decimals as the finest one needs. */
export function formatTicks(marks) {
  const sizes = marks.map(Math.abs).filter((t) => t > 0);
  const largest = Math.max(0, ...sizes), smallest = Math.min(...sizes, Infinity);
  if (largest >= 1e6 || smallest < 1e-4) {
    let digits = 0;
    while (digits < 7 && marks.some((t) => Math.abs(Number(t.toExponential(digits)) - t) > 1e-9 * largest)) digits++;
    return marks.map((t) => (t ? t.toExponential(digits).replace("e+", "e") : "0"));
  }
  let places = 0;
  while (places < 7 && marks.some((t) => Math.abs(t - Number(t.toFixed(places))) > 1e-9)) places++;
  return marks.map((t) => t.toFixed(places).replace("-", "−"));
}

/** A read-out: four decimals, exponents for the very large and small, words kept. */
export function formatValue(v, places = 4) {
  if (typeof v === "string") return v;
  if (v == null) return "–";
  if (Number.isNaN(v)) return "NaN";
  if (!Number.isFinite(v)) return v > 0 ? "Inf" : "−Inf";
  const size = Math.abs(v);
  const small = places > 2 ? 1e-3 : 1e-2; // below it fixed decimals leave a digit or none
  const text = size && (size >= 1e5 || size < small) ? v.toExponential(size < 1 && places > 2 ? 2 : 1).replace("e+", "e") : v.toFixed(places);
  return text.replace(/^-/, "−");
}

/** Move positions apart so that neighbours are >= gap away, within [low, high], order kept. */
export function spread(positions, gap, low, high) {
  const order = positions.map((_, i) => i).sort((a, b) => positions[a] - positions[b] || b - a);
  const out = positions.map((p) => Math.min(Math.max(p, low), high));
  for (let k = 1; k < order.length; k++) out[order[k]] = Math.max(out[order[k]], out[order[k - 1]] + gap);
  let limit = high;
  for (let k = order.length - 1; k >= 0; k--) {
    out[order[k]] = Math.min(out[order[k]], limit);
    limit = out[order[k]] - gap;
  }
  return out;
}

/** Which of the boxes covers the fewest points; the first of equals. Points are [x, y]. */
export function emptiest(boxes, points) {
  const counts = boxes.map(([l, t, r, b]) => points.reduce((n, [x, y]) => n + (x >= l && x <= r && y >= t && y <= b), 0));
  return counts.indexOf(Math.min(...counts));
}

/** Unit for a time axis that spans `seconds`: [divisor, name]. */
export const timeUnit = (seconds) => (seconds > 10800 ? [3600, "h"] : seconds > 300 ? [60, "min"] : [1, "s"]);
