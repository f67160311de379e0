// What is wrong, in one sentence with its evidence; quiet when nothing is.

import { KEYS, h } from "./dom.js";
import { worded } from "./map_status.js";

const VIEWS = {
  exploding_gradients: "time", nonfinite_loss: "time", nonfinite_gradients: "time", skipped_steps: "time", diverging_loss: "time", bottomless_loss: "time",
  no_optimizer: "ratio", no_update: "ratio", update_too_large: "ratio", update_too_small: "ratio",
  dead_relu: "histograms", almost_dead_relu: "histograms", dead_channels: "histograms", constant_output: "histograms",
  saturated: "histograms", saturated_states: "histograms",
};

/** Findings that hold, problems before hints; else in the order in which Python ranked them. */
export function ranked(findings) {
  const held = findings.filter(({ active }) => active !== false), problem = ({ severity }) => severity === "problem";
  return [...held.filter(problem), ...held.filter((finding) => !problem(finding))];
}

/** The view that shows a finding best. */
export const viewOf = (finding) => finding.view || VIEWS[finding.rule] || "flow";

/** Ids of rows that findings are about: id -> severity of the worst. */
export function markedBy(findings) {
  const marked = new Map();
  for (const { layer, layers, severity } of ranked(findings)) for (const id of layers && layers.length ? layers : [layer]) if (id && !marked.has(id)) marked.set(id, severity);
  return marked;
}

/** Make the strip; `view.show(finding)` hears "Show me". */
export function findingsOf(view) {
  const mark = h("span", { class: "g-finding-mark", "aria-hidden": "true" });
  const title = h("b"), evidence = h("div", { class: "g-evidence" });
  const words = h("div", { class: "g-finding-words", role: "status" }, title, evidence);
  const show = h("button", { type: "button", class: "nbtv-primary", ...KEYS, onclick: () => view.show(list[0]) }, "Show me");
  const more = h("button", { type: "button", "aria-expanded": "false", ...KEYS, onclick: () => open(panel.hidden) });
  const panel = h("div", { class: "g-findings", hidden: true });
  const el = h("div", { class: "g-finding" }, mark, words, show, more, panel);
  let list = [], key = "";

  function open(shown) {
    panel.hidden = !shown;
    more.setAttribute("aria-expanded", String(shown));
  }
  el.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || panel.hidden) return;
    open(false);
    more.focus();
    event.stopPropagation();
  });

  function entry(finding) {
    return h("div", { class: `g-entry g-${finding.severity}` },
      h("div", {}, h("b", {}, finding.title), h("span", { class: "nbtv-quiet" }, ` ${finding.severity}, since step ${finding.since_step}`)),
      h("div", { class: "nbtv-quiet" }, ...worded(finding.evidence)), h("div", {}, ...worded(finding.remedy)),
      h("button", { type: "button", ...KEYS, "aria-label": `Show me: ${finding.title}`, onclick: () => { open(false); view.show(finding); } }, "Show me"));
  }

  /** `healthy` is what to say, title and evidence, when nothing was found; `early`: it is too early to say so. */
  function paint({ findings, healthy, early }) {
    const now = JSON.stringify([findings, healthy, early]);
    if (now === key) return;
    key = now;
    list = ranked(findings || []);
    const worst = list[0];
    el.className = `g-finding g-${worst ? worst.severity : early ? "early" : "healthy"}`;
    el.hidden = !findings;
    title.textContent = worst ? worst.title : healthy[0];
    evidence.replaceChildren(...(worst ? worded(worst.evidence) : [healthy[1]]));
    evidence.title = worst ? `${worst.evidence} ${worst.remedy}` : "";
    show.hidden = !worst;
    more.hidden = !worst;
    more.textContent = list.length > 1 ? `${list.length} findings` : "Details";
    panel.replaceChildren(...list.map(entry));
    if (!worst) open(false);
  }

  return { el, paint };
}
