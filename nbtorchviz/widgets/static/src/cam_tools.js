// Header (what, when, how), the choices above the pictures, and the sliders below them.

import { chipOf } from "./chip.js";
import { KEYS, combobox, h, segmented, setUnlessHeld, slider } from "./dom.js";
import { OWN } from "./cam_packet.js";
import { SECOND } from "./cam_scene.js";
import { className, mapsInput, methodName, methodOptions } from "./cam_words.js";
import { COLORMAPS } from "./map_colours.js";
import { ago, percent, times } from "./map_math.js";

const tell = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const SEARCHED_FROM = 12; // classes

/** Make the header; `view.hold(on)` hears its button. */
export function headOf(view) {
  const name = h("b"), kind = h("span", { class: "nbtv-quiet" }), what = h("div", { class: "nbtv-what" }, name, kind);
  const step = h("span"), since = h("span", { class: "nbtv-quiet" }), when = h("div", { class: "nbtv-when" }, step, since), chip = chipOf();
  const hold = h("button", { type: "button", "aria-pressed": "false", title: "Stay at this step while training goes on", ...KEYS, onclick: () => view.hold(hold.getAttribute("aria-pressed") !== "true") }, "Hold");
  const el = h("div", { class: "nbtv-head" }, what, when, chip.el, hold);

  function paint({ state, frame, pick, gone, held, skew, grey, newest, narrow }) {
    chip.update(state, gone);
    const layer = frame && frame.layer(pick.layer);
    tell(name, frame ? pick.layer : state.model || "");
    tell(kind, layer ? [layer.type, times(layer.shape)].filter(Boolean).join(", ") : frame ? "" : "Grad-CAM");
    hold.setAttribute("aria-pressed", String(held));
    hold.hidden = !frame || !state.step;
    hold.disabled = gone;
    tell(step, frame ? `${grey ? "last seen at " : ""}step ${frame.header.step}` : "");
    const age = frame && frame.header.captured_at_s && !held ? ago(Date.now() / 1000 + skew - frame.header.captured_at_s) : "";
    const later = held && newest > frame.header.step ? `held, newest is step ${newest}` : held ? "held" : "";
    tell(since, frame ? [narrow ? "" : methodName(frame.header.method), "eval mode", later || age].filter(Boolean).join(", ") : "");
  }
  return { el, paint };
}

/** Make the row of choices. */
export function toolsOf(view) {
  const numeric = (word) => (word === "" ? null : word === SECOND ? word : Number(word));
  const target = grouped("Class", (word) => view.choose({ target: numeric(word) }));
  const contrast = grouped("Contrast class", (word) => view.choose({ contrast: numeric(word) }));
  const search = h("input", { type: "search", class: "c-search", "aria-label": "Search classes", placeholder: "Search", ...KEYS });
  const method = combobox("Method", (word) => view.choose({ method: word })), colormap = combobox("Colour map", (word) => view.choose({ colormap: word }));
  const sign = segmented("Values", [["positive", "positive"], ["signed", "signed"]], (word) => view.choose({ sign: word }));
  const compare = h("button", { type: "button", "aria-pressed": "false", title: "Keep this map beside the one that is shown: another layer, class, method or step", ...KEYS, onclick: () => view.compare() }, "Compare");
  const layers = combobox("Layer", (key) => view.choose({ layer: key }));
  search.addEventListener("input", () => view.ask());
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !made.found || !made.found.length) return;
    view.choose({ target: made.found[0] });
    search.value = "";
  });
  const el = h("div", { class: "c-tools" },
    h("span", { class: "c-pair" }, h("span", { class: "nbtv-quiet" }, "Class"), target.el), search,
    h("span", { class: "c-pair" }, h("span", { class: "nbtv-quiet" }, "against"), contrast.el), h("span", { class: "c-grow" }), layers.el, method.el, colormap.el, sign.el, compare);
  let made = {};

  function paint({ frame, pick, names, gone, state, newest, narrow, besides }) {
    compare.setAttribute("aria-pressed", String(Boolean(besides)));
    const count = frame.header.classes_known || 0, query = search.value.trim().toLowerCase();
    search.hidden = count < SEARCHED_FROM || !names.length;
    search.title = `Search ${count.toLocaleString("en")} classes`;
    const own = frame.rows[0].cls === OWN;
    if (made.frame !== frame || made.query !== query || made.names !== names) made = { frame, query, names, ...listed(frame, names, query, count) };
    const { groups } = made, value = pick.target === null || pick.target === undefined ? "" : String(pick.target);
    target.set([["", frame.header.own || "predicted"]], groups, value);
    contrast.set([["", "nothing"], [SECOND, "next probable"]], groups, pick.contrast === null || pick.contrast === undefined ? "" : String(pick.contrast), own);
    method.set(methodOptions(state.cam, pick.method), pick.method);
    method.el.disabled = gone;
    method.el.title = gone ? "the kernel is gone" : frame.header.method === pick.method ? "" : newest ? "computed from the next step on" : "is being computed";
    colormap.set(COLORMAPS.filter((each) => each !== "diverging").map((each) => [each, each]), pick.colormap);
    colormap.el.disabled = pick.sign === "signed";
    sign.set(pick.sign);
    layers.el.hidden = !narrow;
    layers.set(frame.layers.map(({ key }) => [key, key]), pick.layer);
  }
  return { el, paint };
}

/** Classes by name: those that were most probable in some image first, or those that are searched. */
function listed(frame, names, query, count) {
  const likely = new Map(), all = Array.from({ length: count }, (_, i) => i), option = (cls) => [String(cls), className(names, cls)];
  if (query) {
    const found = all.filter((cls) => className(names, cls).toLowerCase().includes(query));
    return { found, groups: [[`${found.length} found`, found.map(option)]] };
  }
  frame.rows.forEach((row) => row.top.forEach(([cls, p]) => likely.set(cls, Math.max(p, likely.get(cls) || 0))));
  const first = [...likely].sort((a, b) => b[1] - a[1]).map(([cls, p]) => [String(cls), `${className(names, cls)} (${percent(p, 1)})`]);
  return { found: [], groups: [["most probable", first], ["others", all.filter((cls) => !likely.has(cls)).map(option)]] };
}

/** A native combobox with groups: {el, set(free options, [[group, options]], value, disabled)}. */
function grouped(name, chosen) {
  const el = h("select", { "aria-label": name, ...KEYS });
  let known = "", last = null;
  el.addEventListener("change", () => chosen(el.value));
  return {
    el,
    set(free, groups, value, disabled = false) {
      const missing = ![free, ...groups.map(([, list]) => list)].some((list) => list.some(([each]) => each === value));
      const key = JSON.stringify([free, missing && value]);
      if (key !== known || groups !== last) {
        [known, last] = [key, groups];
        const option = ([each, text]) => h("option", { value: each }, text);
        el.replaceChildren(...free.map(option), ...(missing ? [option([value, value])] : []), ...groups.filter(([, list]) => list.length).map(([label, list]) => h("optgroup", { label }, ...list.map(option))));
        el.value = value;
      }
      if (document.activeElement !== el || el.value === "") el.value = value;
      el.disabled = disabled;
    },
  };
}

/** Make the sliders: Step over kept maps, Layer, Opacity, Contour. */
export function footOf(view) {
  let steps = [], keys = [];
  const step = slider("Step", (at) => view.choose({ step: at >= steps.length - 1 ? null : steps[at] }));
  const layer = slider("Layer", (at) => keys[at] && view.choose({ layer: keys[at] }));
  const opacity = slider("Opacity", (at) => view.choose({ opacity: at / 100 })), level = slider("Contour", (at) => view.choose({ contour: at / 100 }));
  const el = h("div", { class: "c-foot" }, step.el, h("div", { class: "c-foot-row" }, layer.el, opacity.el, level.el));

  function paint({ frame, pick, held, live, narrow, kept }) {
    steps = kept;
    keys = frame.layers.map(({ key }) => key);
    const input = mapsInput(frame.header.method); // it does not follow training
    step.el.hidden = steps.length < 2;
    const at = steps.findLastIndex((each) => each <= frame.header.step), edge = held ? "held" : live && !input ? (narrow ? "live" : "live edge") : "newest";
    step.set(Math.max(0, at), Math.max(0, steps.length - 1), step.out.textContent);
    const key = [steps.length, frame.header.step, edge, narrow].join();
    if (step.out.dataset.key !== key) {
      step.out.dataset.key = key;
      step.out.replaceChildren(...(narrow ? [] : [h("span", { class: "nbtv-quiet" }, `${steps.length} kept`)]), String(frame.header.step), h("span", { class: edge === "held" ? "nbtv-held" : edge.startsWith("live") ? "nbtv-edge" : "nbtv-quiet" }, edge));
    }
    step.input.setAttribute("aria-valuetext", `step ${frame.header.step}, ${edge}`);
    const own = keys.indexOf(pick.layer);
    layer.set(Math.max(0, own), keys.length - 1, input ? "the input" : own < 0 ? "not sent" : `${own + 1} of ${keys.length}`);
    layer.el.title = input ? `${methodName(frame.header.method)} maps the input: there is no layer to choose` : "";
    layer.input.setAttribute("aria-valuetext", `${pick.layer}, ${layer.out.textContent}`);
    const share = (input, value, most) => { setUnlessHeld(input.input, Math.round(100 * value)); input.set(Math.round(100 * value), most, most === 100 && value === 0 ? "off" : `${Math.round(100 * value)} %`); };
    share(opacity, pick.opacity, 100);
    share(level, pick.contour, 100);
    if (pick.opacity === 0) tell(opacity.out, "0 %");
  }
  return { el, paint };
}
