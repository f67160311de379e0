// The GradCAMViewer: holds what the user chose, and paints at most once per animation frame.
//
// Reads the traits `images` and `picture` (cam_packet.js); `state`, as all views, with `editor`: {id, row} or null, and `cam`: {message: {title,
// lines, code_line, level} or null, busy, steps: kept in Python, methods, trust, turns}; `options`: {compact, names, id};
// `selection`: {rev, heard, and any of what is in FIRST}. Messages {type: "frame"} bring older frames that were
// asked for. Sends an intent for everything in FIRST that is chosen, acks stream "maps".

import { KEYS, h } from "./dom.js";
import { bitmap } from "./cam_paint.js";
import { read, readImages } from "./cam_packet.js";
import { rowOf } from "./cam_row.js";
import { explained, forget } from "./cam_scene.js";
import { statusOf } from "./cam_status.js";
import { tapeOf } from "./cam_tape.js";
import { footOf, headOf, toolsOf } from "./cam_tools.js";
import { trustOf } from "./cam_trust.js";
import { turnsLine } from "./cam_turns.js";
import { mapsInput, noteWords } from "./cam_words.js";
import { childOf } from "./child.js";
import { connect } from "./link.js";
import { followFocus, memoryOf, restoreFocus } from "./memory.js";
import { watchTheme } from "./theme.js";

const NARROW_PX = 740, INSET_PX = 32;
const FIRST = { layer: "", target: null, contrast: null, method: "gradcam", opacity: 0.5, contour: 0.5, colormap: "viridis", sign: "positive", step: null };

export function render({ model, el }) {
  const options = model.get("options") || {}, compact = Boolean(options.compact), names = [...(options.names || [])];
  const memory = memoryOf(options.id), tape = (memory.tape ||= tapeOf());
  let { pick = { ...FIRST }, given = "", revision = -1, moved = false } = memory; // given: the layer that nobody chose
  let newest = null, images = [], imagesSeq = 0, rows = [], asked = false, acked = 0, skew = 0, narrow = false, dark = false, width = 868, rebuilt = true, spoken = "", shown = null, besides = null, opened = null;

  const view = {
    ask, choose,
    act: (id) => link.action(id),
    compare() {
      besides = besides || !shown ? null : { frame: shown, pick: pickFor(shown) };
      ask();
    },
    hold: (on) => choose({ step: on && shown ? shown.header.step : null }),
    say(words) { if (words !== spoken) { spoken = words; ask(); } },
  };
  const head = headOf(view), tools = toolsOf(view), foot = footOf(view), status = statusOf(view), trust = trustOf(view, (memory.trust ||= {})), turns = turnsLine(view);
  const list = h("div", { class: "c-rows", tabindex: 0, role: "group", "aria-label": "Images and their maps", ...KEYS });
  const note = h("div", { class: "c-note" }), twin = h("div", { class: "nbtv-sr", role: "status" });
  const slot = h("div", { class: "c-editor" }); // the editor of an image is a widget of its own
  const root = h("div", { class: `nbtv-gradcam-viewer nbtv-view${compact ? " c-compact" : ""}` }, ...(compact ? [] : [head.el]), tools.el, status.banner, turns.el, list, slot, status.board, note, foot.el, trust.el, twin);
  el.append(root);

  const link = connect({ model, el: root, onVisible: ask }); // a view is made before it is in the page
  link.onKernel(ask);
  followFocus(root, memory);

  /** Take what the user chose: painted at once here, told to Python too. */
  function choose(changes) {
    pick = { ...pick, ...changes };
    moved = true;
    for (const [name, value] of Object.entries(changes)) link.intent(name, value);
    ask();
  }

  function ask() {
    if (!asked) requestAnimationFrame(paint);
    asked = true;
  }

  /** The frame of the chosen step, or the nearest earlier one that is here. */
  function frameNow() {
    if (pick.step === null || !newest) return newest;
    const here = tape.steps().filter((step) => step <= pick.step);
    return (here.length && tape.get(here[here.length - 1])) || tape.get(tape.steps()[0]) || newest;
  }

  /** What is chosen, as far as it goes for this frame: maps of the input have no layer to choose. */
  function pickFor(frame) {
    return frame && mapsInput(frame.header.method) ? { ...pick, layer: frame.header.layer } : { ...pick };
  }

  /** Side of the pictures, CSS pixels: whole pixels per value for maps of 7, 14 and 28. */
  function sideOf(count) {
    if (narrow) return Math.max(84, Math.min(opened ? 112 : 168, Math.floor((width - 86) / 2)));
    return compact || opened || count > 2 ? 112 : width < 800 ? 140 : 168;
  }

  function paint() {
    asked = false;
    if (!link.isVisible() || !root.isConnected) return; // becoming visible asks again
    const state = model.get("state") || {}, cam = state.cam || {}, gone = link.kernelGone(), frame = frameNow();
    const mode = gone ? "kernel gone" : (state.chip || {}).mode || "";
    if (frame && shown && shown !== frame) forget(shown);
    shown = frame;
    if (frame && (!pick.layer || pick.layer === given) && !mapsInput(frame.header.method)) {
      given = frame.header.layer || frame.layers[frame.layers.length - 1].key; // of a later frame it may be another
      pick = { ...pick, layer: given };
    }
    const scene = {
      state, cam, gone, frame, pick: pickFor(frame), names, narrow, compact, dark, mode, skew, images, imagesSeq, width,
      held: pick.step !== null, newest: newest ? newest.header.step : 0, live: !gone && (mode === "live" || mode === "background"),
      besides: besides && frame && besides.frame.rows.length === frame.rows.length ? besides : null,
      kept: [...new Set([...(gone ? [] : cam.steps || []), ...tape.steps()])].sort((a, b) => a - b),
      grey: Boolean(state.status && state.status.level === "gone"), dpr: window.devicePixelRatio || 1,
    };
    if (!compact) head.paint(scene);
    status.paint(scene);
    root.classList.toggle("c-empty", !frame);
    root.classList.toggle("c-single", Boolean(frame) && frame.layers.length < 2); // no strip of one layer
    root.classList.toggle("c-grey", scene.grey);
    root.classList.toggle("c-comparing", Boolean(scene.besides));
    showEditor(state.editor || null);
    if (frame) paintFrame(scene);
    Object.assign(root.dataset, { layer: scene.pick.layer, step: frame ? frame.header.step : "", seq: frame ? frame.header.seq : "", mode });
    Object.assign(memory, { pick, given, revision, moved });
    if (memory.leftAt && rebuilt) restoreFocus(root, memory);
    rebuilt = false;
    if (newest && newest.header.seq !== acked) {
      acked = newest.header.seq;
      link.ack("maps", acked);
    }
  }

  function showEditor(editor) {
    if ((editor && editor.id) === (opened && opened.id)) return;
    if (opened) opened.child.gone();
    opened = editor && { ...editor, child: childOf(model, slot, editor.id) };
    root.classList.toggle("c-editing", Boolean(opened));
  }

  function paintFrame(scene) {
    const { frame, state, gone, pick } = scene, count = frame.rows.length, edge = getComputedStyle(root).getPropertyValue("--nbtv-edge").trim();
    if (rows.length !== count) {
      rows = frame.rows.map((_, i) => rowOf(view, i));
      list.replaceChildren(...rows.map((row) => row.el));
    }
    tools.paint(scene);
    foot.paint(scene);
    root.classList.toggle("c-asking", trust.paint(scene));
    root.dataset.turns = turns.paint(scene);
    const computing = frame.header.method !== pick.method || scene.cam.busy;
    const waits = gone ? "The kernel is gone." : computing || !state.step ? "It is being computed." : scene.mode === "one-way" ? "It is computed at the next step." : "It comes with the next maps.";
    const spare = { bitmap: null, h: 1, w: 1, note: "" };
    rows.forEach((row, i) => { row.el.hidden = Boolean(opened) && opened.row !== i && opened.row < count; });
    const told = rows.map((row, i) => row.paint({ ...scene, editing: Boolean(opened), image: images[i] || spare, side: sideOf(count), edge, waits })).filter(Boolean);
    const pooled = frame.layers.filter((layer) => layer.pooled > 1).length;
    const words = told[0] || spoken || noteWords({ frame, pick, images, names, pooled: pooled ? `${frame.layers.length > 1 ? `${pooled} of ${frame.layers.length} layers` : `${frame.layers[0].pooled}×${frame.layers[0].pooled} values`} averaged over blocks.` : "" });
    if (note.textContent !== words) note.textContent = note.title = words;
    note.classList.toggle("c-told", Boolean(told[0] || spoken));
    const { cls, against } = explained(frame, 0, pick);
    Object.assign(root.dataset, { class: cls, against, images: images.filter((image) => image.bitmap).length });
    const spokenNow = told[0] || `${pick.layer}, step ${frame.header.step}`;
    if (twin.textContent !== spokenNow) twin.textContent = spokenNow;
  }

  function take(data, older = false) {
    if (!data || !data.byteLength) return;
    const frame = read(data), last = tape.get(tape.steps().at(-1));
    if (!older && newest && last && (frame.header.step < newest.header.step || frame.header.run !== newest.header.run || frame.header.edit !== newest.header.edit || frame.rows.length !== newest.rows.length)) tape.clear(); // another run, or other images
    if (!older) newest = frame;
    if (frame.header.own) names.own = frame.header.own;
    tape.add(frame);
    ask();
  }

  const onPicture = () => take(model.get("picture"));
  function onMessage(content, buffers) {
    if (content && content.type === "frame" && buffers.length) take(buffers[0], true);
  }

  function onImages() {
    const data = model.get("images");
    if (data && data.byteLength) {
      images = readImages(data).map((image) => ({ ...image, bitmap: image.pixels && bitmap(image.pixels, image.h, image.w) }));
      imagesSeq += 1;
      images.forEach((image) => image.jpeg && createImageBitmap(new Blob([image.jpeg], { type: "image/jpeg" })).then((made) => {
        image.bitmap = made;
        imagesSeq += 1;
        ask();
      }, () => {})); // a hatched place stays
    }
    ask();
  }

  function onSelection() {
    const { rev = -1, heard = {}, ...said } = model.get("selection") || {};
    const late = (heard[link.view] || 0) < link.moves(); // a newer move of ours is on its way: it comes back with all
    if (!late && (rev > revision || (rev === revision && !moved))) {
      if (rev > revision) moved = false;
      revision = rev;
      pick = { ...pick, ...said };
    }
    ask();
  }

  function onState() {
    const { now_s: now } = model.get("state") || {};
    if (now) skew = now - Date.now() / 1000;
    ask();
  }

  const resizes = new ResizeObserver(([entry]) => {
    narrow = entry.contentRect.width < NARROW_PX - 2;
    width = Math.max(200, entry.contentRect.width - INSET_PX);
    root.classList.toggle("c-narrow", narrow);
    ask();
  });
  resizes.observe(root);
  const listeners = [["change:picture", onPicture], ["change:images", onImages], ["change:selection", onSelection], ["change:state", onState], ["msg:custom", onMessage]];
  for (const [event, listener] of listeners) model.on(event, listener);
  const stopTheme = watchTheme(root, (now) => { dark = now; root.classList.toggle("nbtv-dark", dark); ask(); });
  const clock = setInterval(() => link.isVisible() && ask(), 1000);
  onState();
  onImages();
  onPicture();
  onSelection();
  return () => {
    Object.assign(memory, { pick, given, revision, moved }); // what was chosen since the last paint, too
    for (const [event, listener] of listeners) model.off(event, listener);
    if (opened) opened.child.gone();
    clearInterval(clock);
    resizes.disconnect();
    stopTheme();
    link.dispose();
  };
}
