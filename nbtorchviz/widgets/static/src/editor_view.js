// The input editor: tools, the pad, the difference, and what it did to the prediction.
//
// Reads the traits `options`: {compact, name, size, pad, colours}; `pad`: model id of the canvas; `state`, as all
// views, with `editor`: {tool, size, ink: [0..1], low, high, missing: [sentence, remedy] or null, refusal}; `picture`: a packet with
// {edit, changed, pixels, channels, most, strokes, computed, step, explained, flip: [before, now] or null, classes: [[class, name, before, after]]}
// and `difference` u1 (h, w), 127: none. Sends intents `tool`, `size`, `ink`, `stroke`, actions `blank`, `undo`,
// `reset`, `close`; acks stream "result".

import { KEYS, h, segmented, slider } from "./dom.js";
import { padOf } from "./editor_pad.js";
import { inkOf } from "./editor_ink.js";
import { fieldsOf, wordsOf } from "./editor_words.js";
import { connect } from "./link.js";
import { sized, tableOf } from "./map_colours.js";
import { percent, short } from "./map_math.js";
import { followFocus, memoryOf, restoreFocus } from "./memory.js";
import { decode } from "./packet.js";
import { watchTheme } from "./theme.js";

const ROOM_PX = 224, SMALL_PX = 168, BESIDE_PX = 112, WIDE_PX = 820, NARROW_PX = 760, MIDDLE = 127, LEVELS = 252;
const TOOLS = [["brush", "Brush"], ["erase", "Erase"], ["rectangle", "Occlude"]];
const tell = (node, text) => { if (node.textContent !== text) node.textContent = text; };

export function render({ model, el }) {
  const options = model.get("options") || {}, [rows, columns] = options.size || [28, 28], most = Math.max(rows, columns);
  const compact = Boolean(options.compact), memory = memoryOf(options.id);
  let { pick = null } = memory;
  let result = null, seq = 0, acked = 0, asked = false, narrow = false, wide = true, painted = "";

  const press = (word, id, title) => h("button", { type: "button", title, ...KEYS, onclick: () => link.action(id) }, word);
  const tool = segmented("Tool", TOOLS, (value) => choose({ tool: value }));
  const size = slider("Size", (value) => choose({ size: value }));
  const ink = inkOf(options.colours || 1, (value) => choose({ ink: value }));
  const blank = press("Blank", "blank", "Begin with an empty picture"), undo = press("Undo", "undo", "Take the newest stroke back (Ctrl+Z on the pad)");
  const reset = press("Reset", "reset", "Back to the image as it was given"), close = press("Close", "close", "Close the editor; the image is as it was again");
  const tools = h("div", { class: "e-tools", role: "toolbar", "aria-label": "Painting" }, tool.el, size.el, ink.el, blank, undo, reset, h("span", { class: "e-grow" }), close);
  size.input.min = 1;
  const pad = padOf({ model, name: options.name || "image", size: [rows, columns], pad: options.pad || [rows, columns], stroke: (kind, x, y) => link.intent("stroke", [kind, x, y]), undo: () => link.action("undo") });
  const missing = h("div", { class: "e-missing", hidden: true });
  const difference = h("canvas", { role: "img" }), bar = h("canvas", { "aria-hidden": "true" });
  const high = h("span"), zero = h("span", {}, "0"), low = h("span"), scale = h("div", { class: "e-scale" }, high, zero, low);
  const figure = (title, ...inside) => h("figure", {}, h("div", { class: "e-figure" }, ...inside), h("figcaption", { class: "nbtv-quiet" }, title));
  const title = h("b"), words = h("div", { class: "e-words" }), when = h("div", { class: "e-when nbtv-quiet" });
  const table = h("div", { class: "e-classes", role: "list", "aria-label": "Probabilities before and after" });
  const side = h("div", { class: "e-side" }, title, words, table, when), twin = h("div", { class: "nbtv-sr", role: "status" });
  const shown = h("div", { class: "e-body" }, figure("paint here", pad.el, missing), figure("difference", difference, bar, scale), side);
  const root = h("div", { class: `nbtv-input-editor nbtv-view${compact ? " e-compact" : ""}` }, tools, shown, twin);
  el.append(root);

  const link = connect({ model, el: root, onVisible: ask });
  link.onKernel(ask);
  followFocus(root, memory);

  function choose(changes) {
    pick = { ...pick, ...changes };
    for (const [name, value] of Object.entries(changes)) link.intent(name, value);
    ask();
  }

  function ask() {
    if (!asked) requestAnimationFrame(paint);
    asked = true;
  }

  function paint() {
    asked = false;
    if (!link.isVisible() || !root.isConnected) return;
    const state = model.get("state") || {}, editor = state.editor || {}, gone = link.kernelGone();
    if (!pick && editor.tool) pick = { tool: editor.tool, size: editor.size, ink: editor.ink };
    const room = compact || narrow ? SMALL_PX : ROOM_PX;
    pad.fit(room);
    tool.set(pick ? pick.tool : "brush");
    size.set(pick ? pick.size : 1, Math.max(2, Math.round(most / 2)), pick ? `${pick.size} px` : "");
    size.input.disabled = gone || (pick && pick.tool === "rectangle");
    ink.paint(pick ? pick.ink : null, editor, pick ? pick.tool !== "brush" : true);
    const none = editor.missing || (pad.place.dataset.child === "none" ? ["This host shows no pad inside a widget; paint from Python:", "editor.brush([(3, 4), (9, 4)])"] : null);
    pad.el.hidden = Boolean(none);
    missing.hidden = !none;
    if (none && missing.dataset.text !== none.join()) {
      missing.dataset.text = none.join();
      missing.replaceChildren(none[0], h("code", {}, none[1]));
    }
    for (const button of [blank, undo, reset, close]) button.disabled = gone;
    if (result) {
      undo.disabled = gone || !result.header.strokes;
      reset.disabled = gone || !result.header.changed;
      paintResult(state, gone, room);
    }
    Object.assign(root.dataset, { mode: gone ? "kernel gone" : (state.chip || {}).mode || "", child: pad.place.dataset.child || "" });
    Object.assign(memory, { pick });
    restoreFocus(root, memory);
    if (seq !== acked) link.ack("result", (acked = seq));
  }

  function paintResult(state, gone, room) {
    const { header } = result, said = wordsOf(header, { state, gone });
    tell(title, options.name || "");
    tell(words, said.changed);
    tell(when, said.when);
    when.classList.toggle("e-waits", said.waits);
    const fields = fieldsOf(header);
    while (table.children.length > fields.length) table.lastChild.remove();
    fields.forEach((field, i) => {
      const row = table.children[i] || table.appendChild(h("div", { class: "e-class", role: "listitem" }, h("span", { class: "e-name" }), h("span", { class: "e-track" }, h("i"), h("u")), h("span", { class: "e-p" })));
      const [name, track, p] = row.children;
      row.classList.toggle("e-explained", field.explained);
      tell(name, field.name);
      name.title = field.name;
      track.firstChild.style.width = `${100 * (field.after || 0)}%`;
      track.lastChild.style.left = `${100 * (field.before || 0)}%`;
      track.lastChild.hidden = field.before === null;
      tell(p, field.before === null ? percent(field.after, 1) : `${percent(field.before, 1)} → ${percent(field.after, 1)}`);
    });
    if (twin.textContent !== said.spoken) twin.textContent = said.spoken;
    paintDifference(wide && !compact ? room : BESIDE_PX, said);
    Object.assign(root.dataset, { seq: header.seq, edit: header.edit, changed: header.changed, strokes: header.strokes, computed: header.computed, step: header.step ?? "" });
  }

  function paintDifference(room, said) {
    const { header, arrays } = result, key = [seq, room, window.devicePixelRatio].join();
    difference.setAttribute("aria-label", said.difference);
    tell(high, header.most ? `+${short(header.most)}` : "");
    tell(low, header.most ? `−${short(header.most)}` : "");
    zero.hidden = !header.most;
    bar.hidden = !header.most;
    if (painted === key) return;
    painted = key;
    const [h0, w0] = arrays.difference.shape, table = tableOf("diverging"), pixels = new Uint32Array(h0 * w0);
    arrays.difference.forEach((code, i) => { pixels[i] = table[Math.round((code * LEVELS) / (2 * MIDDLE))]; });
    const source = document.createElement("canvas"), box = pad.box(room);
    [source.width, source.height] = [w0, h0];
    source.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), w0, h0), 0, 0);
    const context = sized(difference, box.width, box.height);
    context.imageSmoothingEnabled = false;
    context.drawImage(source, 0, 0, difference.width, difference.height);
    const strip = sized(bar, 10, box.height);
    for (let y = 0; y < bar.height; y += 1) {
      const pixel = table[Math.round(LEVELS * (1 - y / Math.max(1, bar.height - 1)))];
      strip.fillStyle = `rgb(${pixel & 255},${(pixel >> 8) & 255},${(pixel >> 16) & 255})`;
      strip.fillRect(0, y, bar.width, 1);
    }
    scale.style.height = `${box.height}px`;
  }

  function onPicture() {
    const data = model.get("picture");
    if (data && data.byteLength) {
      result = decode(data);
      seq = result.header.seq;
    }
    ask();
  }

  const resizes = new ResizeObserver(([entry]) => {
    narrow = entry.contentRect.width < NARROW_PX;
    wide = entry.contentRect.width >= WIDE_PX;
    root.classList.toggle("e-narrow", narrow);
    ask();
  });
  resizes.observe(root);
  const listeners = [["change:picture", onPicture], ["change:state", ask]];
  for (const [event, listener] of listeners) model.on(event, listener);
  const stopTheme = watchTheme(root, (dark) => { root.classList.toggle("nbtv-dark", dark); ask(); });
  const clock = setInterval(() => link.isVisible() && ask(), 1000);
  onPicture();
  return () => {
    Object.assign(memory, { pick });
    for (const [event, listener] of listeners) model.off(event, listener);
    clearInterval(clock);
    resizes.disconnect();
    stopTheme();
    pad.gone();
    link.dispose();
  };
}
