// TrainingControls: the state in words, a row of buttons, breakpoints and knobs.

import { chipOf } from "./chip.js";
import { barOf } from "./controls_bar.js";
import { CONDITION, breakpointsOf } from "./controls_breakpoints.js";
import { knobsOf } from "./controls_knobs.js";
import { questionsOf } from "./controls_words.js";
import { h } from "./dom.js";
import { connect } from "./link.js";
import { followFocus, memoryOf, restoreFocus } from "./memory.js";
import { watchTheme } from "./theme.js";

const NARROW_PX = 640;

export function render({ model, el }) {
  const options = model.get("options") || {}, memory = memoryOf(options.id), questions = questionsOf(memory);
  const view = { ask: send, act: (id) => link.action(id), update: ask, step: () => (model.get("state") || {}).step };
  const what = h("div", { class: "nbtv-what" }), when = h("div", { class: "nbtv-when" }), chip = chipOf();
  const head = h("div", { class: "nbtv-head", hidden: Boolean(options.compact) }, what, when, h("span", { class: "c-grow" }), chip.el);
  const bar = barOf(view, memory), breakpoints = breakpointsOf(view, memory), knobs = knobsOf(view, memory);
  const root = h("div", { class: `nbtv-training-controls nbtv-view${options.compact ? " c-compact" : ""}`, role: "group", "aria-label": "Training controls" },
    head, ...bar.parts, h("div", { class: "c-body" }, breakpoints.el, knobs.el));
  el.append(root);

  const link = connect({ model, el: root, onVisible: ask });
  link.onKernel(ask);
  followFocus(root, memory);
  let asked = 0, acked = 0, rebuilt = true;

  /** Ask Python for something; its answer goes to `place`. */
  function send(place, name, value = null) {
    questions.asked(link.view, link.moves() + 1, place);
    link.intent(name, value);
  }

  function answer(place, error) {
    if (place === "bar" || place === "cancel") bar.fail(error);
    else if (place.startsWith(CONDITION)) breakpoints.answered(error, place.slice(CONDITION.length));
    else knobs.answered(place, error);
  }

  function ask() {
    asked ||= requestAnimationFrame(() => { asked = 0; paint(); });
  }

  function paint() {
    const state = model.get("state") || {}, gone = link.kernelGone();
    const scene = { controls: state.controls || {}, status: state.status, vocabulary: model.get("vocabulary") || {}, gone };
    for (const [place, error] of questions.heard(scene.controls.answers)) answer(place, error);
    paintHead(state, gone);
    bar.paint(scene);
    breakpoints.paint(scene);
    knobs.paint(scene);
    Object.assign(root.dataset, { step: state.step ?? "", phase: gone ? "gone" : scene.controls.phase || "", mode: gone ? "kernel gone" : (state.chip || {}).mode || "" });
    if (rebuilt && root.isConnected) { // it is first painted before it is in the page, where nothing takes the focus
      if (memory.leftAt) restoreFocus(root, memory);
      rebuilt = false;
    }
    const beat = model.get("beat") || 0;
    if (beat !== acked) link.ack("beat", (acked = beat));
  }

  function paintHead(state, gone) {
    const count = state.parameters ? `${state.parameters.toLocaleString("en-US")} parameters` : "";
    what.replaceChildren(h("b", {}, state.model || ""), h("span", { class: "nbtv-quiet" }, count));
    const details = state.epoch != null ? `epoch ${Number(state.epoch.toFixed(2))}` : "";
    when.replaceChildren(`step ${state.step ?? 0}`, h("span", { class: "nbtv-quiet" }, details));
    chip.update(state, gone);
  }

  const resizes = new ResizeObserver(([entry]) => root.classList.toggle("c-narrow", entry.contentRect.width < NARROW_PX));
  resizes.observe(root);
  const events = ["change:state", "change:vocabulary", "change:beat"];
  for (const event of events) model.on(event, ask);
  const stopTheme = watchTheme(root, (dark) => root.classList.toggle("nbtv-dark", dark));
  paint();
  return () => {
    for (const event of events) model.off(event, ask);
    cancelAnimationFrame(asked);
    resizes.disconnect();
    stopTheme();
    link.dispose();
  };
}
