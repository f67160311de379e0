// Paint images, maps over them, raw maps and film strips on canvases.

import { contour, heat, resize } from "./cam_math.js";
import { ratio } from "./dom.js";
import { sized, tableOf } from "./map_colours.js";

const FIELD_PX = 112; // a map is resized to this many values a side; the browser enlarges the rest
const LEVELS = 252;
const DASH = 5; // values of the field from one stroke of a dashed line to the next gap
const SMOOTH_FROM = 64; // pictures with larger sides are photographs: enlarged smoothly

/** Pixels as something that a canvas draws. */
export function bitmap(pixels, h, w) {
  const canvas = document.createElement("canvas");
  canvas.width = w;
  canvas.height = h;
  canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer, pixels.byteOffset, 4 * h * w), w, h), 0, 0);
  return canvas;
}

/** CSS size of a picture of h x w in a square of `side`. */
export function boxOf(h, w, side) {
  const most = Math.max(h, w);
  return { height: Math.max(8, Math.round((side * h) / most)), width: Math.max(8, Math.round((side * w) / most)) };
}

function draw(canvas, { height, width }, painter) {
  const context = sized(canvas, width, height);
  painter(context, canvas.width, canvas.height);
}

export function paintImage(canvas, image, box) {
  draw(canvas, box, (context, w, h) => {
    context.imageSmoothingEnabled = Math.max(image.h, image.w) > SMOOTH_FROM;
    context.imageSmoothingQuality = "high";
    context.drawImage(image.bitmap, 0, 0, w, h);
  });
}

/** The map over its image: strength of colour by value, and one line at a share of the maximum. */
export function paintOverlay(canvas, image, map, box, { colormap, opacity, level, signed }) {
  draw(canvas, box, (context, w, h) => {
    context.imageSmoothingEnabled = Math.max(image.h, image.w) > SMOOTH_FROM;
    context.imageSmoothingQuality = "high";
    if (image.bitmap) context.drawImage(image.bitmap, 0, 0, w, h);
    if (!map || map.word) return;
    const H = Math.max(2, Math.round((FIELD_PX * box.height) / Math.max(box.height, box.width)));
    const W = Math.max(2, Math.round((FIELD_PX * box.width) / Math.max(box.height, box.width)));
    const field = resize(map.shown, map.h, map.w, H, W);
    context.imageSmoothingEnabled = true;
    context.drawImage(bitmap(heat(field, map.scale, tableOf(colormap).subarray(0, LEVELS + 1), opacity, signed), H, W), 0, 0, w, h);
    if (level <= 0) return;
    for (const side of signed ? [1, -1] : [1]) {
      const lines = contour(side < 0 ? field.map((value) => -value) : field, H, W, level * map.scale);
      stroke(context, lines, w / W, h / H, side < 0);
    }
  });
}

/** White on black, so that it is seen on any picture; dashed where the map speaks against. */
function stroke(context, lines, across, down, dashed) {
  const dpr = ratio();
  context.beginPath();
  for (let i = 0; i < lines.length; i += 4) {
    if (dashed && (Math.floor(lines[i] / DASH) + Math.floor(lines[i + 1] / DASH)) % 2) continue;
    context.moveTo(lines[i] * across, lines[i + 1] * down);
    context.lineTo(lines[i + 2] * across, lines[i + 3] * down);
  }
  context.lineCap = "round";
  for (const [colour, width] of [["#000", 3], ["#fff", 1.25]]) {
    context.strokeStyle = colour;
    context.lineWidth = width * dpr;
    context.stroke();
  }
}

/** Pixels of a map without smoothing. */
function pixelsOf(map, colormap, signed) {
  const table = tableOf(colormap), pixels = new Uint32Array(map.shown.length);
  for (let i = 0; i < pixels.length; i += 1) {
    const share = map.scale > 0 ? map.shown[i] / map.scale : 0, at = signed ? (share + 1) / 2 : share;
    pixels[i] = Number.isNaN(map.raw[i]) ? table[255] : table[Math.round(LEVELS * Math.min(1, Math.max(0, at)))];
  }
  return pixels;
}

/** The raw map as it is, one rectangle per value; `cross` [row, column] is framed. */
export function paintRaw(canvas, map, box, { colormap, signed, cross = null }) {
  draw(canvas, box, (context, w, h) => {
    context.imageSmoothingEnabled = false;
    context.drawImage(bitmap(pixelsOf(map, colormap, signed), map.h, map.w), 0, 0, w, h);
    if (!cross) return;
    const [y, x] = cross, dpr = ratio();
    for (const [colour, width] of [["#000", 3], ["#fff", 1.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = width * dpr;
      context.strokeRect((x * w) / map.w, (y * h) / map.h, w / map.w, h / map.h);
    }
  });
}

/** Diagonal lines: nothing to be seen here, in words elsewhere. */
export function hatch(context, x, y, w, h, colour) {
  context.save();
  context.beginPath();
  context.rect(x, y, w, h);
  context.clip();
  context.beginPath();
  const gap = 4 * ratio();
  for (let at = x - h; at < x + w; at += gap) {
    context.moveTo(at, y + h);
    context.lineTo(at + h, y);
  }
  context.strokeStyle = colour;
  context.lineWidth = ratio();
  context.stroke();
  context.restore();
}

export function paintHatch(canvas, box, colour) {
  draw(canvas, box, (context, w, h) => {
    hatch(context, 0, 0, w, h, colour);
    context.strokeStyle = colour;
    context.strokeRect(0.5, 0.5, w - 1, h - 1);
  });
}

/** A colour bar, the largest value at the top. */
export function paintBar(canvas, { height, width }, colormap) {
  draw(canvas, { height, width }, (context, w, h) => {
    const table = tableOf(colormap), pixels = new Uint32Array(h);
    for (let y = 0; y < h; y += 1) pixels[y] = table[Math.round(LEVELS * (1 - y / Math.max(1, h - 1)))];
    context.imageSmoothingEnabled = false;
    context.drawImage(bitmap(pixels, h, 1), 0, 0, w, h);
  });
}

/** A strip of small maps, each on its own scale; `side` and `pitch` in CSS pixels. */
export function paintStrip(canvas, maps, { side, pitch, colormap, signed, edge }) {
  draw(canvas, { width: maps.length * pitch, height: side }, (context) => {
    const dpr = ratio(), px = Math.round(side * dpr);
    context.imageSmoothingEnabled = false;
    maps.forEach((map, i) => {
      const x = Math.round(i * pitch * dpr);
      if (map.word) hatch(context, x, 0, px, px, edge);
      else context.drawImage(bitmap(pixelsOf(map, colormap, signed), map.h, map.w), x, 0, px, px);
    });
  });
}
