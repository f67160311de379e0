// Colours of values: tables as 32-bit pixels, scales (own, one, held, symmetric), painting of codes.

import { ratio } from "./dom.js";
import { COLORMAP_TABLES } from "./colormap_tables.js";
import { LEVELS, shrinkCodes, valueOf } from "./map_math.js";

export const COLORMAPS = Object.keys(COLORMAP_TABLES);
const tables = new Map();

/** The 256 pixels of a colour map as Uint32 (little-endian RGBA). */
export function tableOf(name) {
  const known = COLORMAP_TABLES[name] ? name : "viridis";
  if (!tables.has(known)) {
    const bytes = atob(COLORMAP_TABLES[known]);
    const table = new Uint32Array(256);
    for (let i = 0; i < 256; i += 1) {
      const [r, g, b] = [0, 1, 2].map((k) => bytes.charCodeAt(3 * i + k));
      table[i] = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
    }
    tables.set(known, table);
  }
  return tables.get(known);
}

/** Pixels by code for a channel coded on lo..hi and coloured on from..to. */
export function pixelsByCode(table, lo, hi, [from, to], centred) {
  if (from === lo && to === hi && hi > lo) return table;
  const pixels = new Uint32Array(256);
  for (let code = 0; code <= LEVELS; code += 1) {
    const value = valueOf(code, lo, hi);
    const at = to > from ? (value - from) / (to - from) : centred ? 0.5 : 0;
    pixels[code] = table[Math.round(LEVELS * Math.min(1, Math.max(0, at)))];
  }
  for (let code = LEVELS + 1; code < 256; code += 1) pixels[code] = table[code];
  return pixels;
}

const symmetric = (lo, hi) => {
  const most = Math.max(Math.abs(lo), Math.abs(hi));
  return [-most, most];
};

/** Scales of a picture; keeps those that a held range froze. */
export function scales() {
  const held = new Map();
  return {
    /** Value range that the colour map spans for plane `index` of `frame`. */
    of(frame, index, { normalize, colormap, lock }) {
      const { header, arrays } = frame;
      const one = normalize === "layer" && header.range;
      let [lo, hi] = one ? header.range : [arrays.lo[index], arrays.hi[index]];
      if (!Number.isFinite(lo) || !Number.isFinite(hi)) [lo, hi] = [0, 0];
      else if (lo === hi && header.range) [lo, hi] = header.range; // a constant has no scale of its own
      if (lock === "hold") {
        const key = `${header.layer} ${header.show} ${one ? "all" : index + (header.first || 0)}`;
        if (!held.has(key)) held.set(key, [lo, hi]);
        [lo, hi] = held.get(key);
      }
      return lock === "symmetric" || colormap === "diverging" ? symmetric(lo, hi) : [lo, hi];
    },
    forget: () => held.clear(),
  };
}

// One for many planes, one for a single one: writing to a canvas that was just drawn elsewhere copies it first.
const [sheet, single] = typeof document === "undefined" ? [] : ["canvas", "canvas"].map((tag) => document.createElement(tag));

/**
 * Draw planes of h x w codes with whole pixels: each of `jobs` is {codes, pixels, x, y} in device
 * pixels of `context`; `down` and `over` are what `fit` said of the height and of the width.
 */
export function drawPlanes(context, jobs, h, w, down, over = down) {
  if (!jobs.length) return;
  const rows = Math.ceil(h / down.shrink), columns = Math.ceil(w / over.shrink);
  const across = Math.max(1, Math.min(jobs.length, Math.floor(2048 / columns)));
  const stack = Math.ceil(jobs.length / across);
  const scratch = jobs.length > 1 ? sheet : single;
  if (scratch.width < across * columns || scratch.height < stack * rows) {
    scratch.width = Math.max(scratch.width, across * columns);
    scratch.height = Math.max(scratch.height, stack * rows);
  }
  const image = new ImageData(across * columns, stack * rows);
  const out = new Uint32Array(image.data.buffer);
  jobs.forEach(({ codes, pixels }, i) => {
    const small = shrinkCodes(codes, h, w, down.shrink, over.shrink);
    const left = (i % across) * columns, top = Math.floor(i / across) * rows;
    for (let y = 0, from = 0; y < rows; y += 1) {
      let to = (top + y) * image.width + left;
      for (let x = 0; x < columns; x += 1) out[to++] = pixels[small[from++]];
    }
  });
  if (jobs.length === 1 && down.scale === 1 && over.scale === 1) return context.putImageData(image, jobs[0].x, jobs[0].y);
  scratch.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  jobs.forEach(({ x, y }, i) => {
    const left = (i % across) * columns, top = Math.floor(i / across) * rows;
    context.drawImage(scratch, left, top, columns, rows, x, y, columns * over.scale, rows * down.scale);
  });
}

/** Give a canvas its size in device pixels for `width` x `height` CSS pixels; returns its context. */
export function sized(canvas, width, height) {
  const dpr = ratio();
  const w = Math.max(1, Math.round(width * dpr)), h = Math.max(1, Math.round(height * dpr));
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${w / dpr}px`;
    canvas.style.height = `${h / dpr}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, w, h);
  return context;
}
