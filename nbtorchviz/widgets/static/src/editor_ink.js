// What the brush paints with: a slider from black to white, or a colour.

import { KEYS, h, slider } from "./dom.js";
import { short } from "./map_math.js";

const hex = (ink) => `#${ink.map((part) => Math.round(255 * part).toString(16).padStart(2, "0")).join("")}`;

/** {el, paint(ink, editor, disabled)}; `chosen(ink)` with one number or three, from 0 to 1. */
export function inkOf(colours, chosen) {
  if (colours > 1) {
    const input = h("input", { type: "color", "aria-label": "Colour", ...KEYS });
    input.addEventListener("input", () => chosen([1, 3, 5].map((at) => parseInt(input.value.slice(at, at + 2), 16) / 255)));
    return {
      el: h("label", { class: "e-ink" }, h("span", { class: "nbtv-quiet" }, "Colour"), input),
      paint(ink, _, disabled) {
        if (ink && document.activeElement !== input && input.value !== hex(ink)) input.value = hex(ink);
        input.disabled = disabled;
      },
    };
  }
  const level = slider("Value", (value) => chosen([value / 100])), swatch = h("i", { class: "e-swatch" });
  const el = h("span", { class: "e-ink" }, level.el, swatch);
  return {
    el,
    paint(ink, { low, high }, disabled) {
      const [share] = ink || [1], shade = Math.round(255 * share);
      level.set(Math.round(100 * share), 100, low === undefined ? "" : short(low + share * (high - low)));
      level.input.disabled = disabled;
      swatch.style.background = `rgb(${shade},${shade},${shade})`;
    },
  };
}
