// The samples of a batch as pictures with their labels, as a list of which one is chosen.

import { KEYS, h, taken } from "./dom.js";
import { pictureSide } from "./tensor_frame.js";

/** Make the list; `view.choose({sample})` hears which one was chosen. */
export function samplesOf(view) {
  const el = h("div", { class: "nbtv-samples", role: "listbox", "aria-label": "Samples", "aria-orientation": "horizontal" });
  let cells = [], made = null, chosen = 0;

  el.addEventListener("click", (event) => {
    const at = cells.indexOf(event.target.closest(".nbtv-sample"));
    if (at >= 0) view.choose({ sample: at });
  });
  el.addEventListener("keydown", (event) => {
    const [first] = cells, across = Math.max(1, cells.filter((cell) => cell.offsetTop === first.offsetTop).length), last = cells.length - 1;
    const to = { ArrowRight: chosen + 1, ArrowLeft: chosen - 1, ArrowDown: chosen + across, ArrowUp: chosen - across, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    if (to >= 0 && to <= last) {
      view.choose({ sample: to });
      mark(to); // the next key may come before the next paint
      cells[to].focus({ preventScroll: false });
    }
    taken(event);
  });

  function picture(pixels, shape, i, side, blank) {
    const [, tall, wide, deep = 1] = shape, image = new ImageData(wide, tall);
    const from = i * tall * wide * deep;
    for (let p = 0; p < tall * wide && !blank; p += 1) {
      for (let c = 0; c < 3; c += 1) image.data[4 * p + c] = pixels[from + p * deep + (deep > 1 ? c : 0)];
      image.data[4 * p + 3] = 255;
    }
    const canvas = h("canvas", { "aria-hidden": "true", class: blank ? "nbtv-hatch" : "" });
    Object.assign(canvas, { width: wide, height: tall });
    canvas.getContext("2d").putImageData(image, 0, 0);
    const scale = side / Math.max(tall, wide), whole = scale >= 1 ? Math.floor(scale) : scale;
    canvas.style.cssText = `width:${wide * whole}px;height:${tall * whole}px;image-rendering:${scale >= 1 ? "pixelated" : "auto"}`;
    return canvas;
  }

  function make({ header, arrays }) {
    const { pictures } = arrays, blank = new Set((header.picture || {}).blank), count = pictures ? pictures.shape[0] : 0, side = pictureSide(count);
    cells = Array.from({ length: count }, (_, i) => {
      const name = header.labels ? header.labels[i] : String(i);
      const words = header.samples > 1 ? [h("span", {}, blank.has(i) ? `${name} not finite` : name)] : [];
      return h("div", { class: "nbtv-sample", role: "option", title: header.labels ? `sample ${i}, ${name}` : `sample ${i}`, "aria-label": header.labels ? `${name}, sample ${i}` : `${i}`, ...KEYS }, picture(pictures, pictures.shape, i, side, blank.has(i)), ...words);
    });
    el.replaceChildren(...cells);
  }

  function mark(sample) {
    chosen = sample;
    cells.forEach((cell, i) => {
      cell.setAttribute("aria-selected", String(i === sample));
      cell.tabIndex = i === Math.min(sample, cells.length - 1) ? 0 : -1;
    });
  }

  /** Paint the pictures of `packet` and mark `sample`. */
  function paint(packet, sample) {
    if (packet !== made) make(packet);
    made = packet;
    mark(sample);
    const cell = cells[sample];
    if (cell && !el.contains(document.activeElement) && cell.offsetTop + cell.offsetHeight > el.scrollTop + el.clientHeight) el.scrollTop = cell.offsetTop;
  }

  return { el, paint };
}
