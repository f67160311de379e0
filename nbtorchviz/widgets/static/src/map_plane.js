// One plane enlarged: whole pixels per value, crosshair by pointer and keys, its value in words.

import { drawPlanes, pixelsByCode, sized } from "./map_colours.js";
import { KEYS, h, ratio, taken } from "./dom.js";
import { fit, peakOf, short, valueOf } from "./map_math.js";

/**
 * The plane that a scene enlarges: {codes, h, w, index, lo, hi, fold} or null. A strip is folded
 * into rows so that thousands of values are still seen one by one.
 */
export function planeIn(scene) {
  if (!scene.frame) return null;
  const { header, arrays } = scene.frame;
  const [count, tall, wide] = arrays.planes.shape;
  const maps = header.view === "maps";
  const index = maps ? scene.pick.channel - header.first : 0;
  if (index < 0 || index >= count) return null;
  const plane = { index, lo: arrays.lo[index], hi: arrays.hi[index], fold: 0 };
  const codes = arrays.planes.subarray(index * tall * wide, (index + 1) * tall * wide);
  if (header.view !== "strip") return { ...plane, codes, h: tall, w: wide, count: codes.length };
  const columns = wide <= 16 ? wide : Math.ceil(Math.sqrt(wide)), rows = Math.ceil(wide / columns);
  const folded = new Uint8Array(rows * columns);
  folded.set(codes);
  return { ...plane, codes: folded, h: rows, w: columns, fold: columns, count: wide };
}

/** Where the crosshair is: where the user put it, else on the largest value, in size where colours are zero-centred. */
export function crossOf(scene, plane) {
  if (plane.fold) {
    const at = Math.min(Math.max(0, scene.pick.channel - scene.frame.header.first), plane.count - 1);
    return { row: Math.floor(at / plane.fold), col: at % plane.fold };
  }
  if (scene.cross) return { row: Math.min(scene.cross.row, plane.h - 1), col: Math.min(scene.cross.col, plane.w - 1) };
  const at = peakOf(plane.codes, scene.centred && -plane.lo > plane.hi);
  return { row: Math.floor(at / plane.w), col: at % plane.w };
}

/** {where: "row 21, col 14", value: "2.22"} under the crosshair. */
export function readOut(scene, plane, { row, col }) {
  const { header, arrays } = scene.frame;
  const value = valueOf(plane.codes[row * plane.w + col], plane.lo, plane.hi);
  if (plane.fold) {
    const at = row * plane.fold + col, name = header.names && header.names[header.first + at];
    return { where: `${header.cols} ${header.first + at}${name ? ` (${name})` : ""}`, value: short(arrays.values ? arrays.values[at] : value) };
  }
  if (header.view === "scalar") return { where: "value", value: short(arrays.values[0], 6) };
  const k = header.pooled || 1;
  const at = (i) => (k > 1 ? `${i * k}–${i * k + k - 1}` : i);
  return { where: `${header.rows} ${at(row)}, ${header.cols} ${at(col)}`, value: short(value) };
}

/** Make an enlarged map; `view.point(row, col)` hears the crosshair, `view.release()` lets it go. */
export function planeOf(view, name) {
  const canvas = h("canvas", { "aria-hidden": "true" });
  const el = h("div", { class: "nbtv-plane", role: "img", tabindex: "0", "aria-label": name, ...KEYS }, canvas);
  let plane = null, cross = null, px = [1, 1];

  const cell = (event) => {
    const box = canvas.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * px[0]);
    const col = Math.floor(((event.clientX - box.left) / box.width) * px[1]);
    return row >= 0 && col >= 0 && row < plane.h && col < plane.w ? [row, col] : null;
  };
  canvas.addEventListener("pointermove", (event) => {
    const at = plane && !plane.fold && cell(event);
    if (at) view.point(...at);
  });
  canvas.addEventListener("click", (event) => {
    const at = plane && cell(event);
    if (at) view.point(...at);
  });
  el.addEventListener("dblclick", () => view.zoom());
  el.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (step && cross) {
      const row = Math.min(plane.h - 1, Math.max(0, cross.row + step[0])), col = Math.min(plane.w - 1, Math.max(0, cross.col + step[1]));
      cross = { row, col }; // the next key may come before the next paint
      view.point(row, col);
    } else if (event.key === "Enter") view.zoom();
    else if (event.key === "Escape") view.release();
    else return;
    taken(event);
  });

  /** Paint within `box` = [width, height]; returns the height used, in CSS pixels. */
  function paint(scene, [boxW, boxH]) {
    plane = planeIn(scene);
    if (!plane) {
      sized(canvas, 1, 1);
      el.setAttribute("aria-label", `${name}: nothing to show yet`);
      return 0;
    }
    const dpr = ratio(), limitH = Math.floor(boxH * dpr), limitW = Math.floor(boxW * dpr);
    const free = scene.frame.header.view === "matrix";
    const byHeight = plane.h / limitH > plane.w / limitW;
    const one = byHeight ? fit(plane.h, limitH, limitH) : fit(plane.w, limitW, limitW);
    const down = free ? fit(plane.h, Math.min(limitH, 40 * dpr * plane.h), limitH) : one;
    const over = free ? fit(plane.w, Math.min(limitW, 40 * dpr * plane.w), limitW) : one;
    const tall = Math.ceil(plane.h / down.shrink) * down.scale, wide = Math.ceil(plane.w / over.shrink) * over.scale;
    const context = sized(canvas, wide / dpr, tall / dpr);
    const pixels = pixelsByCode(scene.table, plane.lo, plane.hi, scene.scaleOf(plane.index), scene.centred);
    drawPlanes(context, [{ codes: plane.codes, pixels, x: 0, y: 0 }], plane.h, plane.w, down, over);
    const unit = [down.scale / down.shrink, over.scale / over.shrink];
    px = [tall / unit[0], wide / unit[1]];
    if (plane.fold) {
      const rest = plane.h * plane.w - plane.count;
      context.clearRect((plane.w - rest) * unit[1], (plane.h - 1) * unit[0], rest * unit[1], unit[0]);
    }
    cross = crossOf(scene, plane);
    if (scene.cross || plane.fold || plane.hi > plane.lo) drawCross(context, cross, unit, tall, wide, dpr);
    const { where, value } = readOut(scene, plane, cross);
    el.setAttribute("aria-label", `${name}: ${where} = ${value}`);
    return tall / dpr;
  }

  return { el, canvas, paint };
}

function drawCross(context, { row, col }, [tall, wide], height, width, dpr) {
  const x = col * wide, y = row * tall, midX = Math.floor(x + wide / 2), midY = Math.floor(y + tall / 2);
  const line = Math.max(1, Math.round(dpr / 2));
  context.fillStyle = "rgb(255 255 255 / .55)";
  context.fillRect(midX, 0, line, Math.max(0, y - 2 * dpr));
  context.fillRect(midX, y + tall + 2 * dpr, line, height);
  context.fillRect(0, midY, Math.max(0, x - 2 * dpr), line);
  context.fillRect(x + wide + 2 * dpr, midY, width, line);
  for (const [colour, weight] of [["#000", 3], ["#fff", 1.5]]) {
    context.strokeStyle = colour;
    context.lineWidth = weight * dpr;
    context.strokeRect(x - dpr, y - dpr, wide + 2 * dpr, tall + 2 * dpr);
  }
}
