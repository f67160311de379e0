// The list of findings: one card each, the worst first; in words when there is none.

import { askToShow } from "./cockpit_show.js";
import { KEYS, h } from "./dom.js";
import { ranked } from "./gradient_findings.js";
import { connect } from "./link.js";
import { worded } from "./map_status.js";
import { followFocus, memoryOf, restoreFocus } from "./memory.js";
import { watchTheme } from "./theme.js";

const SEEN_IN_MAPS = new Set(["dead_relu", "almost_dead_relu", "dead_channels", "constant_output", "saturated", "saturated_states", "repeated_layer", "first_nonfinite"]);
const MOST_NAMES = 3;

/** The tab that shows a finding best. */
export const kindOf = ({ rule, layer }) => (layer && SEEN_IN_MAPS.has(rule) ? "activation-browser" : "gradient-inspector");

/** Layers that a finding is about, the first one first, as [names shown, how many more]. */
export function namesOf({ layer, layers = [] }) {
  const all = [...new Set([layer, ...layers].filter(Boolean))];
  return [all.slice(0, MOST_NAMES), Math.max(0, all.length - MOST_NAMES)];
}

/** Title and lines where there is nothing to list. */
export function nothingOf({ judged, rules }, state) {
  if (judged == null) return ["Nothing to judge yet.", `${rules || "The"} rules look at every sampled step once training of ${state.model || "the model"} runs.`];
  return ["Nothing wrong was found.", `${rules} rules looked at the gradients, updates, activations and the loss up to step ${judged.toLocaleString("en")}.`];
}

export function render({ model, el }) {
  const options = model.get("options") || {}, memory = memoryOf(options.id);
  const title = h("b"), words = h("span", { class: "nbtv-quiet" });
  const top = h("div", { class: "f-top", role: "status" }, title, words);
  const list = h("ul", { class: "f-list" });
  const root = h("div", { class: "nbtv-findings-panel nbtv-view", role: "group", "aria-label": "Findings" }, top, list);
  el.append(root);
  const link = connect({ model, el: root, onVisible: paint });
  link.onKernel(paint);
  followFocus(root, memory);
  let key = "", rebuilt = true;

  /** Take the other widgets to a layer; in a cockpit to the tab that shows the finding, too. */
  function show(finding, layer) {
    if (layer) link.intent("layer", layer);
    askToShow(root, kindOf(finding), { ...finding, layer });
  }

  function card(finding) {
    const [names, more] = namesOf(finding), step = finding.since_step;
    const [first, ...rest] = names;
    const named = first ? [h("span", { class: "f-layers" }, "in ", ...[first, ...rest].flatMap((name, i) => [i ? ", " : "", nameOf(name, () => show(finding, name), `Show ${name}`)]), more ? ` and ${more} more` : "")] : [];
    return h("li", { class: `f-card f-${finding.severity}` },
      h("div", { class: "f-words" },
        h("div", { class: "f-title" }, h("span", { class: "f-mark", "aria-hidden": "true" }), h("b", {}, finding.title)),
        h("div", { class: "f-about" }, h("span", {}, `${finding.severity}, since `, nameOf(`step ${step.toLocaleString("en")}`, () => link.intent("step", step), `Take the other widgets to step ${step}`)), ...named),
        h("div", { class: "f-evidence" }, ...worded(finding.evidence)),
        ...(finding.remedy ? [h("div", { class: "f-remedy" }, h("span", { class: "nbtv-quiet" }, "Try: "), ...worded(finding.remedy))] : [])),
      h("button", { type: "button", ...KEYS, "aria-label": `Show me: ${finding.title}`, onclick: () => show(finding, first || "") }, "Show me"));
  }

  /** A word to press. */
  const nameOf = (name, onclick, title) => h("button", { type: "button", class: "f-layer", ...KEYS, title, onclick }, name);

  function paint() {
    const state = model.get("state") || {}, known = state.gradients || {}, gone = link.kernelGone();
    const found = ranked(known.findings || []), now = JSON.stringify([found, known.judged, known.rules, state.model, gone]);
    root.dataset.mode = gone ? "kernel gone" : (state.chip || {}).mode || "";
    root.dataset.findings = found.length;
    if (now === key) return;
    key = now;
    const problems = found.filter(({ severity }) => severity === "problem").length, hints = found.length - problems;
    const count = [[problems, "problem"], [hints, "hint"]].filter(([n]) => n).map(([n, noun]) => `${n} ${noun}${n === 1 ? "" : "s"}`);
    const [nothing, why] = nothingOf(known, state), judged = known.judged == null ? "" : `, judged up to step ${known.judged.toLocaleString("en")}`;
    title.textContent = found.length ? count.join(", ") : nothing;
    words.textContent = gone ? "Kernel gone; this is what was found before." : found.length ? `the worst first${judged}` : "";
    root.classList.toggle("f-none", !found.length);
    list.hidden = false;
    const focused = list.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    list.replaceChildren(...(found.length ? found.map(card) : [h("li", { class: "f-empty" }, why)]));
    if (focused) [...list.querySelectorAll("button")].find((each) => each.getAttribute("aria-label") === focused)?.focus({ preventScroll: true });
    if (memory.leftAt && rebuilt) restoreFocus(root, memory);
    rebuilt = false;
  }

  model.on("change:state", paint);
  const stopTheme = watchTheme(root, (dark) => root.classList.toggle("nbtv-dark", dark));
  paint();
  return () => {
    model.off("change:state", paint);
    stopTheme();
    link.dispose();
  };
}
