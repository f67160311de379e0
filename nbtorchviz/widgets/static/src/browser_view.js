// The ActivationBrowser: holds what the user selected, and paints at most once per animation frame.

import { chipOf } from "./chip.js";
import { KEYS, combobox, h, segmented, slider } from "./dom.js";
import { connect } from "./link.js";
import { COLORMAPS } from "./map_colours.js";
import { gridOf } from "./map_grid.js";
import { ago, times } from "./map_math.js";
import { store } from "./map_scene.js";
import { watchTheme } from "./theme.js";

export function render({ model, el }) {
  const compact = Boolean((model.get("options") || {}).compact);
  const kept = store();
  let pick = { layer: "", path: "", sample: 0, channel: 0, slice: 0, show: "activation", colormap: "viridis", normalize: "channel", order: "index", hold: false, step: null };
  let revision = -1, seq = 0, painted = 0, asked = false;

  const view = { choose, zoom() {} };
  const what = h("div", { class: "nbtv-what" }), when = h("div", { class: "nbtv-when" });
  const chip = chipOf();
  const hold = h("button", { type: "button", "aria-pressed": "false", ...KEYS, onclick: () => choose({ hold: !pick.hold }) }, "Hold");
  const head = h("div", { class: "nbtv-head" }, what, when, chip.el, hold);
  const count = h("b", { class: "nbtv-count" });
  const scale = segmented("Scale", [["channel", "own scale"], ["layer", "one scale"]], (normalize) => choose({ normalize }));
  const map = combobox("Colour map", (colormap) => choose({ colormap }));
  map.set(COLORMAPS.map((name) => [name, name]), "viridis");
  const grid = gridOf(view, () => {});
  const middle = h("div", { class: "nbtv-middle" }, h("div", { class: "nbtv-tools" }, count, scale.el, map.el), grid.el);
  const layer = slider("Layer", (at) => choose({ layer: model.get("layers")[at].key }));
  const channel = slider("Channel", (at) => choose({ channel: at }));
  const foot = h("div", { class: "nbtv-foot" }, layer.el, channel.el);
  const root = h("div", { class: "nbtv-activation-browser nbtv-view" }, ...(compact ? [] : [head]), middle, foot);
  el.append(root);

  const link = connect({ model, el: root, onVisible: () => ask() });
  link.onKernel(ask);

  /** Take what the user chose: painted at once here, told to Python for what only it can do. */
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
    const state = model.get("state") || {}, rows = model.get("layers") || [];
    const scene = kept.look({ pick, rows, state, lock: "auto", grey: false, compact, narrow: false });
    const { header } = scene;
    chip.update(state, link.kernelGone());
    hold.setAttribute("aria-pressed", String(pick.hold));
    scale.set(pick.normalize);
    map.set(COLORMAPS.map((name) => [name, name]), pick.colormap);
    const at = rows.findIndex(({ key }) => key === pick.layer);
    layer.set(at, rows.length - 1, `${at + 1} of ${rows.length}`);
    if (scene.frame) {
      what.replaceChildren(h("b", {}, header.layer), h("span", { class: "nbtv-quiet" }, `${header.type}, ${times(header.shape)}`));
      when.replaceChildren(`step ${header.step}`, h("span", { class: "nbtv-quiet" }, `${header.phase}, ${ago(Date.now() / 1000 - header.captured_at_s)}`));
      channel.set(pick.channel, header.total - 1, `${pick.channel} (0–${header.total - 1})`);
      count.textContent = `${header.total} channels`;
      grid.resize(grid.el.clientWidth, grid.el.clientHeight);
      grid.paint(scene);
    }
    Object.assign(root.dataset, { layer: header ? header.layer : pick.layer, channel: pick.channel, step: header ? header.step : "", seq, mode: (state.chip || {}).mode || "" });
    if (seq !== painted) {
      painted = seq;
      requestAnimationFrame(() => link.ack("frame", painted));
    }
  }

  function onPicture() {
    const data = model.get("picture");
    if (data && data.byteLength) seq = kept.frame(data);
    ask();
  }

  function onSelection() {
    const { rev = -1, pinned, call, ...said } = model.get("selection") || {};
    if (rev > revision) {
      revision = rev;
      pick = { ...pick, ...said };
    }
    ask();
  }

  const listeners = [["change:picture", onPicture], ["change:selection", onSelection], ["change:layers", ask], ["change:state", ask]];
  for (const [event, listener] of listeners) model.on(event, listener);
  const stopTheme = watchTheme(root, (dark) => { root.classList.toggle("nbtv-dark", dark); ask(); });
  onSelection();
  onPicture();
  return () => {
    for (const [event, listener] of listeners) model.off(event, listener);
    stopTheme();
    link.dispose();
  };
}
