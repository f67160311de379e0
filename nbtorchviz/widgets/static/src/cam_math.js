// Numbers of class activation maps: resize, difference, contour, mass. Nothing here knows the page.

/**
 * Resize a map to H x W, bilinear with half-pixel centres and clamped edges: what
 * torch.nn.functional.interpolate(mode="bilinear", align_corners=False) does.
 */
export function resize(map, h, w, H, W, out = new Float32Array(H * W)) {
  const left = new Int32Array(W), right = new Int32Array(W), share = new Float32Array(W);
  for (let x = 0; x < W; x += 1) {
    const at = Math.max(0, ((x + 0.5) * w) / W - 0.5);
    left[x] = Math.min(w - 1, Math.floor(at));
    right[x] = Math.min(w - 1, left[x] + 1);
    share[x] = at - left[x];
  }
  for (let y = 0, to = 0; y < H; y += 1) {
    const at = Math.max(0, ((y + 0.5) * h) / H - 0.5), top = Math.min(h - 1, Math.floor(at));
    const a = top * w, b = Math.min(h - 1, top + 1) * w, down = at - top;
    for (let x = 0; x < W; x += 1, to += 1) {
      const l = left[x], r = right[x], s = share[x];
      const above = map[a + l] + (map[a + r] - map[a + l]) * s;
      const below = map[b + l] + (map[b + r] - map[b + l]) * s;
      out[to] = above + (below - above) * down;
    }
  }
  return out;
}

/** a - b, value by value: the map of "why a rather than b" where maps are linear in the score. */
export function difference(a, b) {
  const out = new Float32Array(a.length);
  for (let i = 0; i < a.length; i += 1) out[i] = a[i] - b[i];
  return out;
}

/** Positive values; the rest, NaN too, is 0. */
export function positive(map) {
  const out = new Float32Array(map.length);
  for (let i = 0; i < map.length; i += 1) if (map[i] > 0) out[i] = map[i];
  return out;
}

/** {lo, hi, nan, zero}: smallest and largest finite value, how many are NaN, whether all are 0. */
export function spanOf(map) {
  let lo = Infinity, hi = -Infinity, nan = 0, some = false;
  for (const value of map) {
    if (!Number.isFinite(value)) { nan += 1; continue; }
    if (value < lo) lo = value;
    if (value > hi) hi = value;
    if (value !== 0) some = true;
  }
  return lo > hi ? { lo: NaN, hi: NaN, nan, zero: false } : { lo, hi, nan, zero: !some && !nan };
}

/**
 * Where a field of H x W values crosses `level`: line segments [x0, y0, x1, y1, ...] in pixels of the
 * field, values at pixel centres (marching squares; a saddle is decided by the mean of its corners).
 * Outside the field lies nothing, so that a region at the border is closed.
 */
export function contour(field, H, W, level) {
  const found = [];
  const at = (x, y) => (x < 0 || y < 0 || x >= W || y >= H ? -Infinity : field[y * W + x]);
  const cut = (a, b) => (a === -Infinity || b === -Infinity ? 0.5 : (level - a) / (b - a));
  for (let y = -1; y < H; y += 1) {
    for (let x = -1; x < W; x += 1) {
      const a = at(x, y), b = at(x + 1, y), c = at(x + 1, y + 1), d = at(x, y + 1);
      const kind = (a >= level) | ((b >= level) << 1) | ((c >= level) << 2) | ((d >= level) << 3);
      if (kind === 0 || kind === 15) continue;
      const X = x + 0.5, Y = y + 0.5; // centre of pixel (x, y)
      const top = () => [X + cut(a, b), Y], right = () => [X + 1, Y + cut(b, c)];
      const bottom = () => [X + cut(d, c), Y + 1], left = () => [X, Y + cut(a, d)];
      const line = (p, q) => found.push(...p, ...q);
      const high = kind === 5 || kind === 10 ? (a + b + c + d) / 4 >= level : false;
      switch (kind) {
        case 1: case 14: line(left(), top()); break;
        case 2: case 13: line(top(), right()); break;
        case 3: case 12: line(left(), right()); break;
        case 4: case 11: line(right(), bottom()); break;
        case 6: case 9: line(top(), bottom()); break;
        case 7: case 8: line(left(), bottom()); break;
        case 5: if (high) { line(top(), right()); line(left(), bottom()); } else { line(left(), top()); line(right(), bottom()); } break;
        default: if (high) { line(left(), top()); line(right(), bottom()); } else { line(top(), right()); line(left(), bottom()); }
      }
    }
  }
  return Float32Array.from(found);
}

/**
 * Colour a field into RGBA pixels: the table gives the colour of value / scale, its strength is
 * opacity times |value| / scale, so that where the map is 0 the picture below is untouched.
 */
export function heat(field, scale, table, opacity, signed, pixels = new Uint32Array(field.length)) {
  const last = table.length - 1;
  for (let i = 0; i < field.length; i += 1) {
    const share = scale > 0 ? Math.max(-1, Math.min(1, field[i] / scale)) : 0;
    const strength = signed ? Math.abs(share) : Math.max(0, share);
    const colour = table[Math.round(last * (signed ? (share + 1) / 2 : strength))];
    pixels[i] = ((colour & 0xffffff) | (Math.round(255 * opacity * strength) << 24)) >>> 0;
  }
  return pixels;
}
