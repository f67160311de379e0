// Numbers behind the maps: sizes in whole device pixels, values from codes, order, bins, words.

export const LEVELS = 252; // codes 0..252 are values; 253 -Inf, 254 +Inf, 255 NaN
export const BINS = 23; // 253 codes fall into 23 bins of 11, so no bin is favoured

/** Value of a code on a channel's own scale; NaN and infinities stand for themselves. */
export function valueOf(code, lo, hi) {
  if (code > LEVELS) return [-Infinity, Infinity, NaN][code - LEVELS - 1];
  return lo + (code * (hi - lo)) / LEVELS;
}

/**
 * How to draw `n` values on about `target` device pixels: {scale, shrink, side}, whole pixels per
 * value (scale) or whole values per pixel (shrink). `most` is a limit the side must keep.
 */
export function fit(n, target, most = Infinity) {
  let best = null;
  const offer = (scale, shrink) => {
    const side = Math.ceil(n / shrink) * scale;
    const off = Math.abs(Math.log(side / target)) + (side > most ? 100 : 0);
    if (!best || off < best.off) best = { scale, shrink, side, off };
  };
  const scale = Math.max(1, Math.floor(target / n));
  offer(scale, 1);
  offer(scale + 1, 1);
  const shrink = Math.max(1, Math.floor(n / target));
  offer(1, shrink);
  offer(1, shrink + 1);
  return best;
}

/** Average blocks of `k` x `kx` codes; a block with nothing finite keeps its special code. */
export function shrinkCodes(codes, h, w, k, kx = k) {
  if (k === 1 && kx === 1) return codes;
  const rows = Math.ceil(h / k), columns = Math.ceil(w / kx);
  const out = new Uint8Array(rows * columns);
  for (let r = 0; r < rows; r += 1) {
    for (let c = 0; c < columns; c += 1) {
      let sum = 0, count = 0, special = 0;
      for (let y = r * k; y < Math.min(h, (r + 1) * k); y += 1) {
        for (let x = c * kx; x < Math.min(w, (c + 1) * kx); x += 1) {
          const code = codes[y * w + x];
          if (code > LEVELS) special = Math.max(special, code);
          else { sum += code; count += 1; }
        }
      }
      out[r * columns + c] = count ? Math.round(sum / count) : special;
    }
  }
  return out;
}

/** Columns, rows and step of tiles of `side` in `width`: CSS pixels. */
export function tiling(count, side, width, gap) {
  const columns = Math.max(1, Math.min(count, Math.floor((width + gap) / (side + gap))));
  return { columns, rows: Math.ceil(count / columns) };
}

/** Channels in the order to show: by index, highest mean first, or most zeros first. */
export function orderOf(by, total, first, values) {
  const channels = Array.from({ length: total }, (_, i) => i);
  if (by === "index" || !values) return channels;
  const rank = (c) => {
    const value = values[c - first];
    return value === undefined || Number.isNaN(value) ? -Infinity : value;
  };
  return channels.sort((a, b) => rank(b) - rank(a) || a - b);
}

/** Index of the largest finite value, or of the smallest; 0 when none is finite. */
export function peakOf(codes, lowest = false) {
  let at = 0, best = -1;
  for (let i = 0; i < codes.length; i += 1) {
    const height = lowest ? LEVELS - codes[i] : codes[i];
    if (codes[i] <= LEVELS && height > best) { best = height; at = i; }
  }
  return at;
}

/** Count codes into bins over lo..hi, exact zeros apart: {bins, zeros, nan, inf, count}. */
export function histogram(codes, lo, hi, zeroShare, from = lo, to = hi) {
  const counts = new Uint32Array(256);
  for (const code of codes) counts[code] += 1;
  const span = hi - lo, bins = new Uint32Array(BINS);
  const zeroCode = span > 0 ? Math.round((-lo / span) * LEVELS) : 0;
  const inRange = zeroCode >= 0 && zeroCode <= LEVELS && (span > 0 || lo === 0);
  const zeros = inRange ? Math.min(counts[zeroCode], Math.round((zeroShare || 0) * codes.length)) : 0;
  for (let code = 0; code <= LEVELS; code += 1) {
    const count = counts[code] - (inRange && code === zeroCode ? zeros : 0);
    if (!count) continue;
    const own = from === lo && to === hi;
    const at = own ? code / (LEVELS + 1) : (valueOf(code, lo, hi) - from) / (to - from || 1);
    bins[Math.min(BINS - 1, Math.max(0, Math.floor(at * BINS)))] += count;
  }
  return { bins, zeros, nan: counts[255], inf: counts[253] + counts[254], count: codes.length };
}

const MINUS = "\u2212";

/** A number in few characters: 2.22, 0.0043, 1.2e5, −3, NaN. */
export function short(value, digits = 3) {
  if (value == null) return "–";
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "Inf" : `${MINUS}Inf`;
  const size = Math.abs(value);
  if (size === 0) return "0";
  const tiny = digits < 3 ? 1e-2 : 1e-3;
  let text;
  if (size >= 1e5 || size < tiny) text = value.toExponential(Math.max(0, digits - 2)).replace("e+", "e");
  else if (size >= 1) text = value.toFixed(Math.max(0, digits - String(Math.floor(size)).length));
  else if (size >= 0.1) text = value.toFixed(digits - 1);
  else text = digits < 3 ? value.toFixed(2) : value.toPrecision(digits - 1);
  return text.replaceAll("-", MINUS);
}

/** The same decimals for all numbers of an axis, so that they line up. */
export function axisText(values) {
  const size = Math.max(...values.map(Math.abs)), span = Math.max(...values) - Math.min(...values);
  if (!Number.isFinite(size)) return values.map(() => "–");
  if (size === 0) return values.map(() => "0");
  if (size >= 1e5 || size < 1e-3) return values.map((v) => (v === 0 ? "0" : v.toExponential(1).replace("e+", "e").replaceAll("-", MINUS)));
  const decimals = size >= 100 ? (span < 20 ? 1 : 0) : size >= 10 ? 1 : size < 0.01 ? 4 : size < 0.1 ? 3 : 2;
  return values.map((v) => (v === 0 && decimals === 0 ? "0" : v.toFixed(decimals).replace("-", MINUS).replace(/^−(0\.?0*)$/, "$1")));
}

/** The same for an axis with little room: [texts, what they are to be multiplied with, as "×1e−8", or ""]. */
export function scaledText(values) {
  const size = Math.max(...values.map(Math.abs)), power = size > 0 && Number.isFinite(size) ? Math.floor(Math.log10(size)) : 0;
  if (power > -4 && power < 5) return [axisText(values), ""];
  return [axisText(values.map((v) => v / size * (size / 10 ** power))), `×1e${power}`.replace("-", MINUS)];
}

/** Names cut to `most` characters where their neighbours do not differ: "…0.sel…out_proj". */
export function namesApart(names, most) {
  const long = names.filter((name) => name.length > most), [first = ""] = long;
  let same = 0;
  while (long.length > 1 && same < first.length && long.every((name) => name[same] === first[same])) same += 1;
  return names.map((name) => {
    const rest = same > 2 && name.length > most ? `…${name.slice(same)}` : name;
    return rest.length <= most ? rest : `${rest.slice(0, 6)}…${rest.slice(7 - most)}`;
  });
}

export const times = (shape) => (shape && shape.length ? shape.join("×") : "");

/** A share as words that never round to a lie: "85 %", "99.7 %", "> 99.9 %". */
export function percent(share, digits = 0) {
  if (share == null || Number.isNaN(share)) return "–";
  const edge = 0.5 * 10 ** -(digits + 2), low = share > 0 && share < edge, high = share < 1 && share > 1 - edge;
  if (!low && !high) return `${(100 * share).toFixed(digits)} %`;
  if (!digits) return percent(share, 1); // 99.7 % rather than "nearly 100 %"
  return low ? `< ${10 ** -digits} %` : `> ${100 - 10 ** -digits} %`;
}

/** "0.4 s ago", "14 s ago", "3 min ago". */
export function ago(seconds) {
  const s = Math.max(0, seconds);
  if (s < 0.95) return `${s.toFixed(1)} s ago`;
  if (s < 120) return `${Math.round(s)} s ago`;
  if (s < 7200) return `${Math.round(s / 60)} min ago`;
  return `${Math.round(s / 3600)} h ago`;
}

/** "18, 21", "4 to 9", or the first few and how many more. */
export function listed(numbers, most = 6) {
  if (numbers.length > 2 && numbers[numbers.length - 1] - numbers[0] === numbers.length - 1) {
    return `${numbers[0]} to ${numbers[numbers.length - 1]}`;
  }
  const shown = numbers.slice(0, most).join(", ");
  return numbers.length > most ? `${shown} and ${numbers.length - most} more` : shown;
}

/** Input box [y, x, height, width] that an activation sees, cut to the picture; null: none of it. */
export function boxOf(field, row, col, height, width) {
  if (!field) return null;
  const y = field.start[0] + field.stride[0] * row, x = field.start[1] + field.stride[1] * col;
  const top = Math.max(0, y), left = Math.max(0, x);
  const bottom = Math.min(height, y + field.size[0]), right = Math.min(width, x + field.size[1]);
  return bottom > top && right > left ? [top, left, bottom - top, right - left] : null;
}
