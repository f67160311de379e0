// The stretch of the run that is shown: zoom and pan of a plot, and the strip of the whole run to brush.
//
// A scene is {whole, shown: [x0, x1], range: [first, last] of steps or null, header: {bounds, current},
// axis: {from(run, x)}}. `host`: {scene(), range(), setRange(range)}; the second end of a range is null where
// it follows the newest step.

import { KEYS, h, ratio, taken } from "./dom.js";

export const BRUSH_PX = 28;
const DOUBLE_MS = 250;

/** Ways to change the range: {to(x0, x1), pan(share of what is shown), by(factor, around x), whole()}. */
export function zoomOf(host) {
  const stepOf = (scene, x) => scene.axis.from(scene.header.current, x);

  /** Ask for a range; it counts at once, for the next key may come before the next paint. */
  function ask(range, shown, steps) {
    Object.assign(host.scene(), { shown, range: steps });
    host.setRange(range);
  }

  const whole = () => ask(null, host.scene().whole, null);

  function to(x0, x1) {
    const scene = host.scene(), [w0, w1] = scene.whole;
    const least = (w1 - w0) * 1e-6;
    if (x1 - x0 < least || !(x1 > x0)) return;
    if (x0 <= w0 && x1 >= w1) { whole(); return; }
    const bounds = scene.header.bounds;
    const a = Math.max(stepOf(scene, Math.max(x0, w0)), Math.min(0, bounds[0]));
    const b = stepOf(scene, Math.min(x1, w1));
    if (b - a < 2) return;
    ask([a, b >= bounds[1] - 1e-6 * (bounds[1] - bounds[0]) ? null : b], [Math.max(x0, w0), Math.min(x1, w1)], [a, b]);
  }

  function pan(share) {
    const { shown: [x0, x1], whole: [w0, w1] } = host.scene();
    const by = Math.min(Math.max(share * (x1 - x0), w0 - x0), w1 - x1);
    if (by) to(x0 + by, x1 + by);
  }

  function by(factor, x) {
    const [x0, x1] = host.scene().shown;
    to(x - (x - x0) * factor, x + (x1 - x) * factor);
  }

  /** Pan as far as `x` comes into sight. */
  function show(x) {
    const [x0, x1] = host.scene().shown;
    if (x < x0 || x > x1) pan(x < x0 ? (x - x0) / (x1 - x0) - 0.1 : (x - x1) / (x1 - x0) + 0.1);
  }

  /** Answer + - 0 around `x`; false for other keys. */
  function key(name, x) {
    if (name === "+" || name === "=") by(0.7, x);
    else if (name === "-") by(1 / 0.7, x);
    else if (name === "0") whole();
    else return false;
    return true;
  }

  return { to, pan, by, show, key, whole };
}

/**
 * A plot that is dragged, wheeled with Ctrl and, where nothing else hears it, double-clicked. `place`:
 * {x(event) under the pointer, null beside the plot; width() in pixels; moved(event), pressed(event) or neither}. What `pressed`
 * returns is done a moment later, unless the click was half of a double one: that one shows the whole run and moves nobody.
 */
export function grabbed(el, host, zoom, place, { doubled = true } = {}) {
  let drag = null, waits = 0;
  el.addEventListener("pointerdown", (event) => {
    if (event.button || place.x(event) === null) return;
    drag = { x: event.clientX, shown: host.scene().shown, moved: false };
    if (place.pressed) el.setPointerCapture(event.pointerId);
  });
  el.addEventListener("pointermove", (event) => {
    if (!drag) { place.moved?.(event); return; }
    const by = event.clientX - drag.x;
    if (Math.abs(by) > 3 && !drag.moved) {
      drag.moved = true;
      el.setPointerCapture(event.pointerId);
    }
    const scene = host.scene();
    if (!drag.moved || !scene.range) return;
    const [x0, x1] = drag.shown, [w0, w1] = scene.whole;
    const shift = Math.min(Math.max((-by / place.width()) * (x1 - x0), w0 - x0), w1 - x1);
    zoom.to(x0 + shift, x1 + shift);
  });
  el.addEventListener("pointerup", (event) => {
    const act = drag && !drag.moved && place.pressed?.(event);
    clearTimeout(waits);
    if (act) waits = setTimeout(act, DOUBLE_MS);
    drag = null;
  });
  el.addEventListener("pointercancel", () => { drag = null; });
  if (doubled) el.addEventListener("dblclick", () => { clearTimeout(waits); host.scene() && zoom.whole(); });
  el.addEventListener("wheel", (event) => {
    const x = event.ctrlKey ? place.x(event) : null; // a plain wheel scrolls the notebook
    if (x === null) return;
    event.preventDefault();
    zoom.by(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 200))), x);
  }, { passive: false });
}

/** The whole run in little with the shown stretch between two handles: {el, draw}. */
export function brushOf(host, zoom) {
  const canvas = h("canvas");
  const brush = h("div", { class: "l-brush", role: "slider", tabindex: 0, "aria-label": "Shown range", ...KEYS }, canvas);
  const live = h("button", { type: "button", class: "l-live", hidden: true, ...KEYS, onclick: zoom.whole }, "live ▸");
  const extent = h("span", { class: "nbtv-quiet" });
  const el = h("div", { class: "l-overview" }, brush, h("div", { class: "l-extent" }, extent, live));
  let right = 0, grip = null;

  const x = (v) => { const { whole } = host.scene(); return ((v - whole[0]) / (whole[1] - whole[0])) * right; };
  const edges = () => { const { shown } = host.scene(); return [Math.max(0, x(shown[0])), Math.min(right, x(shown[1]))]; };
  const at = (event) => event.clientX - canvas.getBoundingClientRect().left;

  /** `paint(ctx, box)` draws the run; `last` is the newest step, `brief` leaves out words. */
  function draw(width, paint, palette, last, brief) {
    const ctx = sizedTo(canvas, width, BRUSH_PX), scene = host.scene(), { range } = scene;
    right = width;
    paint(ctx, { left: 0, right, top: 0, bottom: BRUSH_PX });
    const [a, b] = edges();
    ctx.fillStyle = palette.background;
    ctx.globalAlpha = 0.72;
    ctx.fillRect(0, 0, a, BRUSH_PX);
    ctx.fillRect(b, 0, right - b, BRUSH_PX);
    ctx.globalAlpha = 1;
    ctx.fillStyle = palette.accent;
    ctx.fillRect(a, 0, 4, BRUSH_PX);
    ctx.fillRect(b - 4, 0, 4, BRUSH_PX);
    const bounds = scene.header.bounds || [0, 0], plain = (v) => Math.round(v).toLocaleString("en");
    extent.textContent = range ? `${brief ? "" : "steps "}${plain(range[0])}–${plain(range[1])}` : `${brief ? "" : "all "}${plain(last)} steps`;
    live.hidden = !(range && host.range()[1] != null);
    brush.setAttribute("aria-valuemin", bounds[0]);
    brush.setAttribute("aria-valuemax", bounds[1]);
    brush.setAttribute("aria-valuenow", Math.round(range ? range[0] : bounds[0]));
    brush.setAttribute("aria-valuetext", extent.textContent);
  }

  brush.addEventListener("pointerdown", (event) => {
    if (event.button || !right || !host.scene()) return;
    const px = at(event);
    const [a, b] = edges();
    const kind = Math.abs(px - a) < 8 ? "left" : Math.abs(px - b) < 8 ? "right" : px > a && px < b && host.scene().range ? "move" : "new";
    grip = { kind, px, a, b };
    brush.setPointerCapture(event.pointerId);
  });
  brush.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const px = Math.min(right, Math.max(0, at(event))), by = px - grip.px;
    let { a, b } = grip;
    if (grip.kind === "left") a = Math.min(px, b - 6);
    else if (grip.kind === "right") b = Math.max(px, a + 6);
    else if (grip.kind === "move") { const d = Math.min(Math.max(by, -a), right - b); a += d; b += d; }
    else { a = Math.min(px, grip.px); b = Math.max(px, grip.px); if (b - a < 4) return; }
    const { whole } = host.scene(), back = (p) => whole[0] + (p / right) * (whole[1] - whole[0]);
    zoom.to(back(a), back(b));
  });
  for (const name of ["pointerup", "pointercancel"]) brush.addEventListener(name, () => { grip = null; });
  brush.addEventListener("dblclick", zoom.whole);
  brush.addEventListener("keydown", (event) => {
    if (!host.scene()) return;
    const [, x1] = host.scene().shown;
    const done = { ArrowLeft: () => zoom.pan(-0.1), ArrowRight: () => zoom.pan(0.1), ArrowUp: () => zoom.by(0.7, x1), ArrowDown: () => zoom.by(1 / 0.7, x1), Home: () => zoom.pan(-1e9), End: () => zoom.pan(1e9), Escape: zoom.whole }[event.key];
    if (!done) return;
    done();
    taken(event);
  });

  return { el, draw };
}

/** Give a canvas its size in device pixels; returns its context in CSS pixels. */
export function sizedTo(canvas, width, height) {
  const dpr = ratio(), [w, tall] = [Math.round(width * dpr), Math.round(height * dpr)];
  if (canvas.width !== w || canvas.height !== tall) {
    canvas.width = w;
    canvas.height = tall;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const ctx = canvas.getContext("2d");
  ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return ctx;
}
