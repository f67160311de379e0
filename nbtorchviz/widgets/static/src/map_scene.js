// What is to be painted: the newest frame of what the user selected, or the best there is of it.

import { COLORMAPS, scales, tableOf } from "./map_colours.js";
import { decode } from "./packet.js";

/** Keeps the last frame and the thumbnails; `look(...)` says which picture they make together. */
export function store() {
  const thumbs = new Map();
  const scaling = scales();
  let last = null;

  /** A picture of a layer that has not come yet, from its thumbnail; null when there is none. */
  function preview(key, row) {
    const thumb = thumbs.get(key);
    if (!thumb || !thumb.mini || !row || !row.shape) return null;
    const { lo, hi, step, mini } = thumb;
    const [total] = row.shape.length === 3 ? row.shape : [mini.shape[0]];
    const header = {
      seq: 0, layer: key, type: row.type, detail: row.detail, show: "activation", step, phase: "", view: "maps",
      shape: row.shape, total: Math.max(total, mini.shape[0]), first: 0, rows: "row", cols: "col", preview: true, mini: true,
      range: [Math.min(...lo), Math.max(...hi)], signed: Math.min(...lo) < 0, notes: [], dead: {}, quiet: [], pooled: Math.ceil(Math.max(...row.shape.slice(-2)) / 14),
      input: last && last.header.input && { ...last.header.input, text: `input of step ${last.header.step}` }, live: true, held: false,
    };
    const input = last && last.arrays.input;
    return { header, arrays: { planes: mini, lo, hi, ...(input ? { input } : {}) } };
  }

  return {
    thumbs,
    /** Take a packet; returns its sequence number. */
    frame(data) {
      last = decode(data);
      return last.header.seq;
    },
    /** Take a frame that is decoded already. */
    put(frame) { last = frame; },
    thumbnails(data) {
      const { header, arrays } = decode(data);
      header.items.forEach((item, i) => thumbs.set(item.key, { ...item, row: arrays[`t${i}`], mini: arrays[`m${i}`] }));
      return header.seq;
    },
    forget: () => scaling.forget(),

    /** Everything that the parts need to paint `pick`. */
    look({ pick, rows, state, lock, grey, mapped = false, ...rest }) {
      const row = rows.find(({ key }) => key === pick.layer);
      const fits = last && last.header.layer === pick.layer && last.header.show === pick.show;
      const shown = fits ? last : (pick.show === "activation" && preview(pick.layer, row)) || last;
      const some = shown && shown.header.view !== "none";
      const asked = COLORMAPS.includes(pick.colormap) ? pick.colormap : "viridis";
      const two = some && (shown.header.show === "gradient" || (shown.header.signed && !mapped));
      const colormap = two ? "diverging" : asked; // values with a sign: zero in the middle
      const coarse = some && shown.header.view === "maps" && shown.header.pooled > 1; // the full picture will have this shape
      const shape = coarse && (shown.header.mini || (shown.header.axes || [])[0] === "C") ? shown.header.shape : null;
      const most = some && shown.header.view !== "matrix" ? shown.header.total - 1 : Infinity;
      return {
        ...rest, pick: { ...pick, channel: Math.min(pick.channel, most) }, rows, row, state, lock, grey, colormap, thumbs,
        frame: some ? shown : null,
        header: shown ? shown.header : null,
        waiting: Boolean(shown) && shown.header.layer !== pick.layer,
        table: tableOf(grey ? "gray" : colormap),
        strengthTable: tableOf(grey ? "gray" : asked === "diverging" ? "viridis" : asked),
        centred: colormap === "diverging" || lock === "symmetric",
        tile: some ? (shape && shape.length === 3 ? shape.slice(1) : shown.arrays.planes.shape.slice(1)) : [1, 1],
        scaleOf: (plane) => scaling.of(shown, plane, { normalize: pick.normalize, colormap, lock }),
      };
    },
  };
}
