// Read what widgets/cam_packet.py packs: raw maps of every layer for some classes of each image.
//
// Header: {version, seq, step, method, linear, captured_at_s, classes_known, steps, rows: [{name, label, cls: explained
// where none is chosen, top: [[class, p], ...]}], layers: [{key, type, shape, pooled, note}]}. Arrays: `classes` and `against` i4 (rows, slots), -1:
// none; `p` f4 (rows, slots); for layer i `maps<i>` u2 (rows, slots, h, w), codes 0..65534 on each map's own range
// `range<i>` f4 (rows, slots, 2); 65535 is no number.

import { decode } from "./packet.js";

const LAST = 65534;
export const OWN = -2; // "class" of a target that is no class: a callable, a mask, a box
export const NONE = -1;

/** Unpack a frame; maps become numbers when they are first asked for. */
export function read(data) {
  const { header, arrays } = decode(data), { rows, layers } = header;
  const { classes, against, p } = arrays, slots = classes.shape[1], known = new Map();
  const places = new Map(layers.map(({ key }, i) => [key, i]));

  /** Slot of a class (against another) for an image; -1 when it was not sent. */
  function slotOf(row, cls, other = NONE) {
    for (let at = row * slots; at < (row + 1) * slots; at += 1) if (classes[at] === cls && against[at] === other) return at - row * slots;
    return -1;
  }

  /** {values, h, w} of a layer for an image and slot. */
  function mapOf(row, layer, slot) {
    const i = places.get(layer), at = row * slots + slot, id = i * rows.length * slots + at;
    if (i === undefined || slot < 0) return null;
    if (!known.has(id)) {
      const codes = arrays[`maps${i}`], range = arrays[`range${i}`], [, , h, w] = codes.shape, size = h * w;
      const lo = range[2 * at], step = (range[2 * at + 1] - lo) / LAST, values = new Float32Array(size);
      for (let k = 0, from = at * size; k < size; k += 1, from += 1) values[k] = codes[from] > LAST ? NaN : lo + codes[from] * step;
      known.set(id, { values, h, w });
    }
    return known.get(id);
  }

  return {
    header, rows, layers, slotOf, mapOf,
    bytes: data.byteLength,
    layer: (key) => layers[places.get(key)] || null,
    /** Classes sent for an image, each against nothing: [[class, probability], ...]. */
    sent: (row) => Array.from({ length: slots }, (_, s) => row * slots + s).filter((at) => classes[at] !== NONE && against[at] === NONE).map((at) => [classes[at], p[at]]),
    forget: () => known.clear(),
  };
}

/** Read the images: [{name, note, h, w, pixels (ImageData-ready Uint32Array) or null, jpeg (bytes) or null}]. */
export function readImages(data) {
  const { header, arrays } = decode(data);
  return header.rows.map((row, i) => {
    const bytes = arrays[`image${i}`], jpeg = arrays[`jpeg${i}`] || null;
    if (!bytes) return { h: 1, w: 1, ...row, pixels: null, jpeg };
    const [h, w, depth = 1] = bytes.shape, pixels = new Uint32Array(h * w);
    for (let at = 0, from = 0; at < h * w; at += 1, from += depth) {
      const red = bytes[from], green = depth > 1 ? bytes[from + 1] : red, blue = depth > 1 ? bytes[from + 2] : red;
      pixels[at] = ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
    }
    return { ...row, pixels, jpeg: null, h, w };
  });
}
