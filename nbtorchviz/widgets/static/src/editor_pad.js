// The pad: ipycanvas' canvas in whole pixels, held to the picture's shape, and a pen for the keyboard.

import { KEYS, h, taken } from "./dom.js";
import { childOf } from "./child.js";

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** CSS pixels of one pixel of the canvas: a whole number where the picture is small enough. */
export const factorOf = (height, width, room) => {
  const most = Math.max(height, width);
  return most <= room ? Math.floor(room / most) : room / most;
};

/**
 * Make the pad of a picture.
 *
 * @param {object} options model; name of the image; size [h, w] in the model's pixels; pad [h, w] of the
 *   canvas; stroke(kind, x, y) hears the keyboard's pen; undo() hears Ctrl+Z
 */
export function padOf({ model, name, size: [rows, columns], pad: [height, width], stroke, undo }) {
  const place = h("div", { class: "e-place" }), pen = h("i", { class: "e-pen", hidden: true });
  const el = h("div", { class: "e-pad", tabindex: 0, role: "application", "aria-label": `Pad: ${name}, ${rows}×${columns}. Paint with the mouse; arrows move a pen, Space paints, Ctrl+Z takes back.`, ...KEYS }, place, pen);
  const child = childOf(model, place, model.get("pad"), prepare);
  let at = [Math.floor(rows / 2), Math.floor(columns / 2)], factor = 1, down = false;

  /** ipycanvas sends every move and swallows every key, Tab too: neither leaves the pad unasked. */
  function prepare(canvas) {
    canvas.setAttribute("tabindex", "-1");
    canvas.setAttribute("aria-hidden", "true");
    canvas.dataset.lmSuppressShortcuts = "true";
    canvas.draggable = false;
    fit(null);
  }
  el.addEventListener("mousemove", (event) => event.buttons & 1 || event.stopPropagation(), true);
  const focus = (event) => { event.preventDefault(); el.focus({ preventScroll: true }); };
  el.addEventListener("mousedown", (event) => { if (event.button) { event.stopPropagation(); focus(event); } }, true);
  el.addEventListener("mousedown", focus); // ipycanvas has given it to the canvas
  el.addEventListener("wheel", (event) => event.stopPropagation(), true); // the page scrolls on

  el.addEventListener("keydown", (event) => {
    event.stopPropagation(); // before ipycanvas
    const step = STEPS[event.key], [y, x] = at;
    if (step) {
      at = [Math.max(0, Math.min(rows - 1, y + step[0])), Math.max(0, Math.min(columns - 1, x + step[1]))];
      if (down) stroke("move", at[1], at[0]);
      show(true);
    } else if (event.key === " ") {
      if (!down) stroke("down", x, y);
      down = true;
      show(true);
    } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) undo();
    else return;
    taken(event);
  }, true);
  const lift = () => { if (down) stroke("up", at[1], at[0]); down = false; };
  el.addEventListener("keyup", (event) => event.key === " " && lift());
  el.addEventListener("blur", () => { lift(); show(false); });

  function show(on) {
    pen.hidden = !on;
    const unit = (factor * width) / columns;
    Object.assign(pen.style, { left: `${at[1] * unit - 1}px`, top: `${at[0] * unit - 1}px`, width: `${Math.max(3, unit) + 2}px`, height: `${Math.max(3, unit) + 2}px` });
  }

  /** Take at most `room` CSS pixels a side. */
  function fit(room) {
    if (room) factor = factorOf(height, width, room);
    const [canvas] = place.children, box = { width: `${Math.round(width * factor)}px`, height: `${Math.round(height * factor)}px` };
    Object.assign(place.style, box);
    if (canvas) Object.assign(canvas.style, { ...box, imageRendering: factor >= 1 ? "pixelated" : "auto" });
  }

  /** CSS size of the pad, and of what is drawn like it. */
  function box(room) {
    const unit = factorOf(height, width, room);
    return { height: Math.round(height * unit), width: Math.round(width * unit) };
  }
  return { el, place, fit, box, gone: child.gone };
}
