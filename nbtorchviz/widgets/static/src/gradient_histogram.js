// How the values of one tensor are spread: counts by power of two, sign and zero apart, and below them the
// same for every kept step. Both share the axis of values; the newest step lies next to the counts.

import { KEYS, h } from "./dom.js";
import { columnAt, countOf } from "./gradient_packet.js";
import { columnEdges, fitColumns } from "./gradient_math.js";
import { ticks } from "./loss_math.js";
import { sized, tableOf } from "./map_colours.js";

const MINUS = "\u2212";
const GUTTER = 92; // right of both pictures: what is no number, the key of colours
const LEFT = 56, ZERO = 28;

/** Counts of one column of a strip: {negative (large to small), zeros, positive (small to large), nan, posinf, neginf}. */
export function countsOf(strip, column) {
  const { bins, wide } = strip, row = Array.from(strip.codes.subarray(column * wide, (column + 1) * wide), countOf);
  const [nan, posinf, neginf] = row.slice(2 * bins + 1);
  return { negative: row.slice(0, bins), zeros: row[bins], positive: row.slice(bins + 1, 2 * bins + 1), nan, posinf, neginf };
}

/** Powers of ten within the bins of a strip: [exponent of ten, place in bins above the lowest]. */
export function decadesIn({ lowest, bins }, most) {
  const low = Math.ceil(lowest * Math.log10(2) - 1e-9), high = Math.floor((lowest + bins) * Math.log10(2) + 1e-9);
  const every = Math.max(1, Math.ceil((high - low + 1) / most)), out = [];
  for (let p = high; p >= low; p -= every) out.push([p, p / Math.log10(2) - lowest]);
  return out.reverse();
}

/** Edges of slot `k` of a strip, 0 the most negative bin: [low, high], 0 for the zeros. */
export function edgesOf({ lowest, bins }, k) {
  if (k === bins) return [0, 0];
  const bin = k < bins ? bins - 1 - k : k - bins - 1, ends = [2 ** (lowest + bin), 2 ** (lowest + bin + 1)];
  return k < bins ? [-ends[1], -ends[0]] : ends;
}

/** x of slots on `width` pixels: {left, right, of(k), at(x)}; `of` gives a slot's [left, right]. */
export function slots({ bins }, width) {
  const left = LEFT, right = Math.max(left + 60, width - GUTTER), half = (right - left - ZERO) / 2;
  const edge = (k) => Math.round(k <= bins ? left + (half * k) / bins : left + half + ZERO + (half * (k - bins - 1)) / bins);
  return {
    left, right, zero: [Math.round(left + half) + 5, Math.round(left + half + ZERO) - 5], side: half,
    of: (k) => (k === bins ? [Math.round(left + half) + 5, Math.round(left + half + ZERO) - 5] : [edge(k), edge(k + 1)]),
    positive: (k) => left + half + ZERO + (half * k) / bins,
    negative: (k) => left + half - (half * k) / bins,
    at(x) {
      if (x < left || x >= right) return -1;
      if (x < left + half) return Math.floor(((x - left) / half) * bins);
      return x < left + half + ZERO ? bins : Math.min(2 * bins, bins + 1 + Math.floor(((x - left - half - ZERO) / half) * bins));
    },
  };
}

/** Make both pictures; `view.step(step)`, `view.say(words)` and `view.ask()` hear of them; `words(strip, at, k)` says one cell. */
export function histogramOf(view, words) {
  const bars = h("canvas"), heat = h("canvas");
  const barsBox = h("div", { class: "g-canvas", role: "img", ...KEYS }, bars);
  const heatBox = h("div", { class: "g-canvas g-heat", role: "img", tabindex: 0, "aria-label": "History", ...KEYS }, heat);
  const nothing = h("div", { class: "g-nothing", hidden: true });
  const el = h("div", { class: "g-histogram" }, barsBox, heatBox, nothing);
  let strip = null, fitted = null, box = null, shown = -1;

  function paint(next, { width, height, palette, step, held, title, said, missing }) {
    strip = next;
    barsBox.hidden = heatBox.hidden = !strip;
    nothing.hidden = Boolean(strip);
    if (!strip) { nothing.textContent = missing; return; }
    shown = Math.max(0, columnAt(strip.steps, step));
    const tall = Math.round(0.52 * height);
    paintBars({ width, height: tall, palette, title });
    paintHeat({ width, height: height - tall, palette, held });
    if (barsBox.getAttribute("aria-label") !== said) barsBox.setAttribute("aria-label", said);
    const about = `The same over ${strip.steps.length} samples, steps ${strip.steps[0]} to ${strip.steps[strip.steps.length - 1]}; arrows move the step.`;
    if (heatBox.getAttribute("aria-label") !== about) heatBox.setAttribute("aria-label", about);
  }

  function begin(canvas, width, height, palette) {
    const dpr = window.devicePixelRatio || 1, ctx = sized(canvas, width, height);
    ctx.scale(dpr, dpr);
    ctx.font = `11px ${palette.family}`;
    ctx.textBaseline = "middle";
    return ctx;
  }

  const write = (ctx, words, x, y, color, align = "left") => { ctx.fillStyle = color; ctx.textAlign = align; ctx.fillText(words, x, y); };

  function paintBars({ width, height, palette, title }) {
    const ctx = begin(bars, width, height, palette), g = slots(strip, width), top = 32, base = height - 22, found = countsOf(strip, shown);
    const counts = [...found.negative, found.zeros, ...found.positive], most = Math.max(1, ...counts), up = Math.max(1, Math.ceil(Math.log10(most)));
    const tall = (n) => (n ? ((Math.log10(n) + 0.3) / (up + 0.3)) * (base - top) : 0);
    for (let p = 0; p <= up; p += up > 4 ? 2 : 1) {
      const y = Math.round(base - tall(10 ** p));
      ctx.fillStyle = palette.grid;
      ctx.fillRect(g.left, y, g.right - g.left, 1);
      write(ctx, String(10 ** p), g.left - 8, y, palette.quiet, "right");
    }
    counts.forEach((n, k) => {
      if (!n) return;
      const [a, b] = g.of(k), high = Math.max(1, tall(n));
      if (k === strip.bins) return hatched(ctx, a, base - high, b - a, high, palette.bar);
      ctx.fillStyle = k < strip.bins ? palette.bar : palette.accent;
      ctx.fillRect(a, base - high, Math.max(1, b - a - 1), high);
    });
    ctx.fillStyle = palette.edge;
    ctx.fillRect(g.left, base, g.right - g.left, 1);
    for (const [p, k] of decadesIn(strip, Math.max(2, Math.floor(g.side / 46)))) {
      for (const [x, sign] of [[g.positive(k), ""], [g.negative(k), MINUS]]) {
        ctx.fillStyle = palette.edge;
        ctx.fillRect(Math.round(x), base, 1, 4);
        const near = Math.abs(x - (g.zero[0] + g.zero[1]) / 2) < 38;
        if (!near) write(ctx, `${sign}1e${p < 0 ? MINUS : ""}${Math.abs(p)}`, x, base + 12, palette.quiet, "center");
      }
    }
    write(ctx, "=0", (g.zero[0] + g.zero[1]) / 2, base + 12, palette.quiet, "center");
    write(ctx, title, 16, 12, palette.fg);
    const apart = [[found.zeros, "zeros"], [found.nan, "NaN"], [found.posinf, "+Inf"], [found.neginf, `${MINUS}Inf`]];
    apart.forEach(([n, name], i) => {
      ctx.font = `${n && i ? "600 " : ""}11px ${palette.family}`;
      write(ctx, n ? `${n.toLocaleString("en")} ${name}` : `no ${name}`, g.right + 14, top + 6 + 17 * i, n ? (i ? palette.error : palette.fg) : palette.quiet);
    });
    ctx.font = `11px ${palette.family}`;
  }

  /** Rows are samples, the newest first. */
  function paintHeat({ width, height, palette, held }) {
    const ctx = begin(heat, width, height, palette), dpr = window.devicePixelRatio || 1, g = slots(strip, width), top = 4, bottom = height - 10;
    const px = (v) => Math.round(v * dpr), room = px(bottom) - px(top);
    if (!fitted || fitted.of !== strip.codes || fitted.room !== room) fitted = { of: strip.codes, room, ...fitColumns(strip.codes, strip.steps, strip.wide, room) };
    const { bins, wide } = strip, n = fitted.steps.length, most = fitted.codes.reduce((m, code, i) => (i % wide <= 2 * bins && code > m ? code : m), 1);
    const table = tableOf("viridis"), colour = (code) => table[Math.round(16 + (236 * code) / most)];
    const image = new ImageData(2 * bins + 1, n), out = new Uint32Array(image.data.buffer);
    for (let i = 0; i < n; i += 1) for (let k = 0; k <= 2 * bins; k += 1) {
      const code = fitted.codes[(n - 1 - i) * wide + k];
      if (code) out[i * (2 * bins + 1) + k] = colour(code);
    }
    const sheet = Object.assign(document.createElement("canvas"), { width: 2 * bins + 1, height: n });
    sheet.getContext("2d").putImageData(image, 0, 0);
    ctx.fillStyle = palette.panel;
    ctx.fillRect(g.left, top, g.right - g.left, bottom - top);
    ctx.save();
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.imageSmoothingEnabled = false;
    for (let k = 0; k <= 2 * bins; k += 1) {
      const [a, b] = g.of(k);
      ctx.drawImage(sheet, k, 0, 1, n, px(a), px(top), px(b) - px(a), room);
    }
    ctx.restore();
    const edges = columnEdges(n, bottom - top);
    box = { top, bottom, n, g };
    const y = (step) => top + (edges[n - 1 - Math.max(0, columnAt(fitted.steps, step))] + edges[n - Math.max(0, columnAt(fitted.steps, step))]) / 2;
    const first = strip.steps[0], last = strip.steps[strip.steps.length - 1], now = strip.steps[shown], used = [];
    for (const step of [...(held ? [now] : []), last, first, ...ticks(first, last, 5).filter((s) => Number.isInteger(s))]) {
      const at = Math.min(bottom - 5, Math.max(top + 5, y(step)));
      if (used.some((other) => Math.abs(other - at) < 15)) continue;
      used.push(at);
      ctx.font = `${held && step === now ? "600 " : ""}11px ${palette.family}`;
      write(ctx, step === last ? `step ${step}` : String(step), g.left - 8, at, held && step === now ? palette.fg : palette.quiet, "right");
    }
    ctx.font = `11px ${palette.family}`;
    if (held) {
      const at = Math.round(y(now)) + 0.5;
      for (const [color, width] of [[palette.bg, 3], [palette.fg, 1]]) {
        ctx.strokeStyle = color;
        ctx.lineWidth = width;
        ctx.beginPath();
        ctx.moveTo(g.left - 4, at);
        ctx.lineTo(g.right, at);
        ctx.stroke();
      }
    }
    key(ctx, g.right + 14, Math.min(96, bottom - top - 16), colour, most, palette);
  }

  /** Colours of counts, in the lower right. */
  function key(ctx, x, tall, colour, most, palette) {
    const from = box.bottom - tall;
    for (let y = 0; y < tall; y += 1) {
      const pixel = colour(Math.max(1, Math.round((most * (tall - 1 - y)) / (tall - 1))));
      ctx.fillStyle = `rgb(${pixel & 255} ${(pixel >> 8) & 255} ${(pixel >> 16) & 255})`;
      ctx.fillRect(x, from + y, 8, Math.min(1.7, tall - y)); // overlapping: no seams at fractional pixels
    }
    const marks = [1, 10, 100, 1000, 10000].filter((n) => 16 * Math.log2(n + 1) <= most);
    for (const n of marks) write(ctx, String(n), x + 14, Math.min(box.bottom - 5, from + tall - (16 * Math.log2(n + 1) * tall) / most), palette.quiet);
    write(ctx, "count", x, from - 10, palette.quiet);
  }

  function hatched(ctx, x, y, w, tall, color) {
    ctx.save();
    ctx.beginPath();
    ctx.rect(x + 0.5, y + 0.5, w - 1, tall);
    ctx.strokeStyle = color;
    ctx.lineWidth = 1;
    ctx.stroke();
    ctx.clip();
    for (let at = y - w; at < y + tall + w; at += 4) {
      ctx.beginPath();
      ctx.moveTo(x, at + w);
      ctx.lineTo(x + w, at);
      ctx.stroke();
    }
    ctx.restore();
  }

  /** Column of the strip under a place on the lower picture. */
  function columnUnder(y) {
    const edges = columnEdges(box.n, box.bottom - box.top), i = edges.findIndex((edge) => edge > y - box.top) - 1;
    return i < 0 ? -1 : columnAt(strip.steps, fitted.steps[box.n - 1 - i]);
  }

  barsBox.addEventListener("pointermove", (event) => {
    const k = strip && box ? box.g.at(event.clientX - bars.getBoundingClientRect().left) : -1;
    view.say(k < 0 ? "" : words(strip, shown, k));
  });
  heatBox.addEventListener("pointermove", (event) => {
    if (!strip || !box) return;
    const place = heat.getBoundingClientRect(), k = box.g.at(event.clientX - place.left), at = columnUnder(event.clientY - place.top);
    view.say(k < 0 || at < 0 ? "" : words(strip, at, k));
  });
  for (const el of [barsBox, heatBox]) el.addEventListener("pointerleave", () => view.say(""));
  heatBox.addEventListener("click", (event) => {
    const at = strip && box ? columnUnder(event.clientY - heat.getBoundingClientRect().top) : -1;
    if (at >= 0) view.step(strip.steps[at]);
  });
  heatBox.addEventListener("keydown", (event) => {
    if (!strip || event.metaKey || event.altKey || event.ctrlKey) return;
    const n = strip.steps.length, jump = event.shiftKey ? 10 : 1;
    const to = { ArrowDown: shown - jump, ArrowLeft: shown - jump, ArrowUp: shown + jump, ArrowRight: shown + jump, Home: 0, End: n }[event.key];
    if (to === undefined) return;
    shown = Math.min(n - 1, Math.max(0, to)); // the next key may come before the next paint
    view.step(shown === n - 1 ? null : strip.steps[shown]);
    event.preventDefault();
    event.stopPropagation();
  });

  return { el, paint };
}
