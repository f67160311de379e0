// The view of one tensor: all samples as pictures, one sample's channels, one channel enlarged. All
// of it lies in the page; Python is asked only for samples that a large tensor left out.

import { combobox, h, segmented, slider } from "./dom.js";
import { connect } from "./link.js";
import { COLORMAPS } from "./map_colours.js";
import { gridOf } from "./map_grid.js";
import { histogramOf } from "./map_histogram.js";
import { keyOf, noteOf } from "./map_key.js";
import { largeOf } from "./map_large.js";
import { planeOf } from "./map_plane.js";
import { store } from "./map_scene.js";
import { LISTED, valuesOf } from "./map_values.js";
import { followFocus, memoryOf, restoreFocus } from "./memory.js";
import { decode } from "./packet.js";
import { frameOf, numbersOf, whatIs } from "./tensor_frame.js";
import { samplesOf } from "./tensor_samples.js";
import { watchTheme } from "./theme.js";

const NARROW_PX = 560;

export function render({ model, el }) {
  const options = model.get("options") || {}, memory = memoryOf(options.id), kept = (memory.kept ||= store());
  let { pick, cross = null, zoomed = false, lock = "auto", counts = "log", mapped = false } = memory;
  pick ||= { layer: "values", show: "value", path: "", step: null, hold: false, order: "index", colormap: options.colormap, normalize: options.normalize, ...model.get("selection") };
  let packet = null, scene = null, asked = false, hovered = null, narrow = false, wanted = "", rebuilt = true;

  const view = {
    choose, ask,
    point(row, col) { cross = { row, col }; ask(); },
    release() { if (zoomed) view.zoom(); else { cross = null; ask(); } },
    zoom() { zoomed = !zoomed; ask(); },
    say(text) { if (text !== hovered) { hovered = text; ask(); } },
    set(changes) { ({ lock = lock, counts = counts } = changes); if (changes.lock) kept.forget(); ask(); },
  };
  const title = h("b"), what = h("span", { class: "nbtv-quiet" }), numbers = h("span", { class: "nbtv-tensor-numbers" }), bad = h("span", { class: "nbtv-bad" });
  const head = h("div", { class: "nbtv-tensor-head" }, title, what, numbers, bad);
  const samples = samplesOf(view), rule = h("div", { class: "nbtv-line" });
  const top = h("div", { class: "nbtv-tensor-top" }, samples.el, rule);
  const sample = slider("Sample", (n) => choose({ sample: n })), channel = slider("Channel", (n) => choose({ channel: n })), depth = slider("Slice", (n) => choose({ slice: n }));
  const scale = segmented("Scale", [["channel", "own scale"], ["layer", "one scale"]], (normalize) => choose({ normalize }));
  const map = combobox("Colour map", (colormap) => { mapped = true; choose({ colormap }); });
  map.set(COLORMAPS.map((name) => [name, name]), pick.colormap);
  const sliders = h("div", { class: "nbtv-tensor-sliders" }, sample.el, channel.el, depth.el, scale.el, map.el);
  const grid = gridOf(view), wide = planeOf(view, "Values"), values = valuesOf(view), absent = h("div", { class: "nbtv-plain" });
  const back = h("button", { type: "button", "data-lm-suppress-shortcuts": "true", onclick: () => view.zoom() }, "Back to all channels");
  const stage = h("div", { class: "nbtv-stage" }, wide.el, back);
  const body = h("div", { class: "nbtv-body" }, grid.el, stage, values.el, absent);
  const line = h("div", { class: "nbtv-line" }), key = keyOf();
  const middle = h("div", { class: "nbtv-tensor-middle" }, body, h("div", { class: "nbtv-below" }, line, key.el));
  const large = largeOf(view), histogram = histogramOf(view);
  const right = h("div", { class: "nbtv-right" }, large.el, histogram.el, histogram.numbers);
  const root = h("div", { class: "nbtv-tensor-view nbtv-view" }, head, top, sliders, h("div", { class: "nbtv-tensor-body" }, middle, right));
  el.append(root);
  const link = connect({ model, el: root, onVisible: ask });
  link.onKernel(ask);
  followFocus(root, memory);

  function choose(changes) {
    if (changes.sample !== undefined && changes.sample !== pick.sample) cross = null;
    pick = { ...pick, ...changes };
    for (const name of ["sample", "channel", "slice"]) if (changes[name] !== undefined) link.intent(name, changes[name]);
    ask();
  }

  function ask() {
    if (!asked) requestAnimationFrame(paint);
    asked = true;
  }

  function paint() {
    asked = false;
    if (!packet || !root.isConnected) return;
    const { header } = packet, { display } = header, n = header.samples;
    pick = { ...pick, sample: Math.min(pick.sample, Math.max(0, n - 1)) };
    const frame = frameOf(packet, pick.sample), cut = display && display.slice;
    if (frame) kept.put(frame);
    scene = frame && kept.look({
      pick: { ...pick, slice: 0 }, rows: [], state: {}, lock, counts, cross, mapped: mapped || pick.colormap !== "viridis", grey: false, compact: false, narrow, tight: narrow, gone: link.kernelGone(), live: false,
      side: narrow ? 150 : 160,
    });
    paintHead(header);
    const pictures = packet.arrays.pictures, shown = pictures && (n > 1 || header.picture.layout === "rgb");
    top.hidden = !shown;
    if (shown) {
      samples.paint(packet, pick.sample);
      const more = pictures.shape[0] < n ? `pictures of the first ${pictures.shape[0]} of ${n}; ` : "";
      rule.textContent = [more + (header.picture.note || ""), ...header.notes].filter(Boolean).join("; ");
      rule.hidden = !rule.textContent;
    }
    sample.el.hidden = n < 2;
    sample.set(pick.sample, n - 1, `${pick.sample} of ${n}`);
    const total = display ? display.total : 1, maps = Boolean(display) && display.view === "maps";
    const at = Math.min(pick.channel, total - 1);
    channel.el.hidden = !maps || total < 2;
    channel.set(at, total - 1, `${at} of ${total}`);
    depth.el.hidden = !cut;
    if (cut) depth.set(pick.slice, cut.count - 1, `${pick.slice} of ${cut.count}`);
    scale.el.hidden = !maps || total < 2;
    scale.set(pick.normalize);
    map.el.hidden = !display || ["strip", "scalar"].includes(display.view);
    map.el.value = scene ? scene.colormap : pick.colormap;
    sliders.hidden = [...sliders.children].every((child) => child.hidden);
    paintBody(header, cut && cut.index !== Math.min(pick.slice, cut.count - 1));
    Object.assign(root.dataset, { sample: pick.sample, channel: at, slice: cut ? cut.index : "", seq: header.seq, view: scene ? scene.header.view : "none" });
    Object.assign(memory, { pick, cross, zoomed, lock, counts, mapped });
    if (memory.leftAt && rebuilt) restoreFocus(root, memory);
    rebuilt = false;
  }

  function paintHead(header) {
    const words = numbersOf(header), now = [header.title || "tensor", whatIs(header), words.text, words.bad];
    if (head.dataset.words === now.join("|")) return;
    head.dataset.words = now.join("|");
    [title, what, numbers, bad].forEach((part, i) => { part.textContent = now[i]; });
  }

  function paintBody(header, coming) {
    const kind = !scene ? "none" : ["scalar", "strip"].includes(scene.header.view) && scene.header.total <= LISTED ? "values" : scene.header.view === "maps" && !zoomed && scene.header.total > 1 ? "maps" : "plane";
    for (const [part, name] of [[grid.el, "maps"], [stage, "plane"], [values.el, "values"], [absent, "none"]]) part.hidden = kind !== name;
    const alone = Boolean(scene) && scene.header.view === "maps" && scene.header.total === 1;
    root.classList.toggle("nbtv-tensor-alone", alone);
    root.classList.toggle("nbtv-tensor-none", kind === "none");
    middle.hidden = alone;
    root.classList.toggle("nbtv-tensor-few", kind === "values"); // as many rows as there are values, three columns of ten at most
    if (kind === "values") body.style.setProperty("--few", `${scene.header.view === "scalar" ? 64 : 24 * Math.min(12, scene.header.total) + 4}px`);
    right.hidden = kind === "none" || (kind === "values" && scene.header.view === "scalar");
    large.el.hidden = kind === "values";
    back.hidden = !(scene && scene.header.view === "maps");
    absent.textContent = header.display ? `Sample ${pick.sample} is not in the page: ${link.kernelGone() ? "the kernel is gone." : "it comes when the kernel answers."}` : "This tensor is empty.";
    const [across, down] = [body.clientWidth, body.clientHeight];
    if (kind === "maps") { grid.resize(across, down, down); grid.paint(scene); }
    else if (kind === "plane" && !alone) wide.paint(scene, [across - 4, Math.max(80, down - (back.hidden ? 4 : 36))]);
    else if (kind === "values") values.paint(scene);
    if (scene && !right.hidden) {
      if (!large.el.hidden) large.paint(scene, alone ? (narrow ? 240 : 300) : scene.side);
      histogram.paint(scene, 240);
    }
    key.paint(scene || {});
    const text = coming ? "another slice comes when the kernel answers" : hovered || (scene ? noteOf(scene) : "");
    if (line.textContent !== text) line.textContent = text;
    line.classList.toggle("nbtv-said", Boolean(hovered));
  }

  function onPicture() {
    const data = model.get("picture");
    if (data && data.byteLength) packet = decode(data);
    ask();
  }

  const resizes = new ResizeObserver(([entry]) => {
    narrow = entry.contentRect.width < NARROW_PX;
    root.classList.toggle("nbtv-tensor-narrow", narrow);
    ask();
  });
  resizes.observe(root);
  const bodies = new ResizeObserver(ask);
  bodies.observe(body);
  model.on("change:picture", onPicture);
  const stopTheme = watchTheme(root, (dark) => { root.classList.toggle("nbtv-dark", dark); kept.forget(); ask(); });
  onPicture();
  return () => {
    Object.assign(memory, { pick, cross, zoomed, lock, counts, mapped });
    model.off("change:picture", onPicture);
    resizes.disconnect();
    bodies.disconnect();
    stopTheme();
    link.dispose();
  };
}
