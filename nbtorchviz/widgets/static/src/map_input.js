// The input sample: picture, what it is and was taken for, and the box that the crosshair sees.

import { sized } from "./map_colours.js";
import { KEYS, h, ratio } from "./dom.js";
import { boxOf, fit, percent, times } from "./map_math.js";
import { crossOf, planeIn } from "./map_plane.js";

/** Make the part; `view.pin(on)` hears the button. */
export function inputOf(view) {
  const canvas = h("canvas", { role: "img", "aria-label": "Input" });
  const pin = h("button", { type: "button", "aria-pressed": "false", ...KEYS, onclick: () => view.pin(pin.getAttribute("aria-pressed") !== "true") }, "Pin");
  const lines = Array.from({ length: 4 }, () => h("div"));
  const box = h("div", { class: "nbtv-input-box" }, canvas);
  const text = h("div", { class: "nbtv-input-text" }, h("div", { class: "nbtv-input-head" }, h("b", {}, "Input"), pin), ...lines);
  const el = h("div", { class: "nbtv-input" }, box, text);
  let lineKey = "", known = {};

  function paint(scene, side) {
    const browser = scene.state.browser || {}, able = browser.pin || { enabled: false, reason: "" };
    const lost = !scene.pinned && scene.frame && !scene.frame.header.input;
    pin.disabled = scene.gone || !able.enabled || Boolean(lost);
    pin.title = scene.gone ? "the kernel is gone" : able.reason || lost && "the input of this picture is not kept" || (scene.pinned ? "Show items of the training batches again" : "Show this input at every step");
    pin.setAttribute("aria-pressed", String(Boolean(scene.pinned)));
    const { header, arrays } = scene.frame || { header: null, arrays: {} };
    const input = header && header.input;
    const seen = picture(scene, arrays.input, header, side);
    const key = JSON.stringify([input || (header && header.step), seen, scene.compact, scene.tight]);
    if (key === lineKey) return;
    lineKey = key;
    lines.forEach((line) => line.replaceChildren());
    if (!input) {
      lines[0].replaceChildren(scene.frame ? `of step ${header.step}: not kept` : "");
      return;
    }
    const { label, prediction, probability } = input;
    const words = [];
    if (label != null) words.push("label ", h("b", {}, label), prediction != null ? ", " : "");
    if (prediction != null) words.push("predicted ", h("b", {}, prediction));
    const chance = probability == null ? "" : percent(probability, 1);
    if (scene.compact && chance) words.push(" ", h("span", { class: "nbtv-quiet" }, chance));
    lines[0].replaceChildren(...(words.length ? words : [times(input.shape)]));
    if (chance && !scene.compact) lines[1].replaceChildren(`p(${prediction}) ${/^[<>]/.test(chance) ? chance : `= ${chance}`}`);
    lines[2].replaceChildren(input.text || "");
    lines[3].replaceChildren(seen || (input.layout === "none" || scene.tight ? "" : (input.note || "").replace("smallest black, largest white", "black: least, white: most").split(";")[0]));
    el.title = [input.text, times(input.shape), input.note].filter(Boolean).join("; ");
  }

  /** Draw the picture and the box; returns the box in words. */
  function picture(scene, pixels, header, side) {
    if (!pixels) {
      const context = sized(canvas, side, side), dpr = ratio();
      canvas.setAttribute("aria-label", "Input: not a picture");
      if (!header || !header.input) return "";
      context.scale(dpr, dpr);
      context.fillStyle = getComputedStyle(canvas).getPropertyValue("--nbtv-quiet");
      context.font = `11px ${getComputedStyle(canvas).fontFamily}`;
      (header.input.note || times(header.input.shape)).split(" ").reduce((rows, word) => {
        const last = rows[rows.length - 1];
        if (last && context.measureText(`${last} ${word}`).width < side - 8) rows[rows.length - 1] = `${last} ${word}`;
        else rows.push(word);
        return rows;
      }, []).slice(0, 5).forEach((row, i) => context.fillText(row, 4, 16 + 15 * i));
      return "";
    }
    const dpr = ratio(), [tall, wide] = pixels.shape;
    const { scale, shrink } = fit(Math.max(tall, wide), side * dpr, side * dpr);
    const rows = Math.ceil(tall / shrink), columns = Math.ceil(wide / shrink);
    const context = sized(canvas, (columns * scale) / dpr, (rows * scale) / dpr);
    if (pixels !== known.pixels || scene.grey !== known.grey) known = { pixels, grey: scene.grey, whole: imageOf(pixels, scene.grey) };
    context.imageSmoothingEnabled = shrink > 1;
    context.drawImage(known.whole, 0, 0, canvas.width, canvas.height);
    const { input } = header;
    canvas.setAttribute("aria-label", `Input${input && input.label != null ? `, label ${input.label}` : ""}`);
    return receptive(scene, context, header, [tall, wide], canvas);
  }

  return { el, canvas, paint, words: () => lines.map((line) => line.textContent).filter(Boolean) };
}

/** The picture at its own size; made once a frame, since the box over it moves more often. */
function imageOf(pixels, inGrey) {
  const [tall, wide, depth = 1] = pixels.shape, image = new ImageData(wide, tall), out = image.data;
  for (let i = 0, at = 0; i < pixels.length; i += depth, at += 4) {
    let r = pixels[i], g = depth === 3 ? pixels[i + 1] : r, b = depth === 3 ? pixels[i + 2] : r;
    if (inGrey) r = g = b = 0.3 * r + 0.59 * g + 0.11 * b;
    out[at] = r;
    out[at + 1] = g;
    out[at + 2] = b;
    out[at + 3] = 255;
  }
  const whole = document.createElement("canvas");
  whole.width = wide;
  whole.height = tall;
  whole.getContext("2d").putImageData(image, 0, 0);
  return whole;
}

function receptive(scene, context, header, [tall, wide], canvas) {
  const plane = header.view === "maps" && planeIn(scene);
  if (!plane || !header.receptive || !header.input || (plane.hi === plane.lo && !scene.cross)) return "";
  const shape = header.input.shape, [height, width] = shape.slice(-2);
  const { row, col } = crossOf(scene, plane);
  const box = boxOf(header.receptive, row, col, height, width);
  const whole = header.receptive.size;
  if (!box) return "";
  const dpr = ratio(), sy = canvas.height / height, sx = canvas.width / width;
  for (const [colour, weight] of [["#000", 3], ["#fff", 1.5]]) {
    context.strokeStyle = colour;
    context.lineWidth = weight * dpr;
    const inset = 1.5 * dpr;
    const x = Math.max(inset, box[1] * sx), y = Math.max(inset, box[0] * sy);
    context.strokeRect(x, y, Math.min(canvas.width - inset, (box[1] + box[3]) * sx) - x, Math.min(canvas.height - inset, (box[0] + box[2]) * sy) - y);
  }
  return whole[0] >= height && whole[1] >= width ? "box: it sees all of it" : `box: ${whole[0]}×${whole[1]} pixels it sees`;
}
