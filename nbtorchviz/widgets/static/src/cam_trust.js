// "Can I trust this map?": three checks, each a button, what it costs, how far it is and what it said.
//
// Reads `state.cam.trust`: {share, checks: [{id, refusal, cost}], running: {check, share, left_s, about} or null, answers:
// {id: {about, verdict, said, failed, note, step, row, layer, target, method}}}. Presses are actions "trust:<id>:<row>".

import { explained } from "./cam_scene.js";
import { KEYS, combobox, h } from "./dom.js";

const tell = (node, text) => { if (node.textContent !== text) node.textContent = text; };
const WORDS = {
  faithfulness: ["Do these pixels matter?", "Blurs, then shows the picture's pixels in the map's order, and in that of 10 random maps."],
  weights: ["Does it depend on the weights?", "Replaces weights by random ones from the head down: a map that explains the model is lost."],
  methods: ["Do other methods agree?", "Compares Grad-CAM, HiResCAM and LayerCAM at this layer."],
};

/** Why an answer is not about what is shown now; "" when it is. */
export function staleWords(answer, { row, layer, target, method, step }) {
  const changed = [["image", answer.row !== row], ["layer", answer.layer !== layer], ["class", answer.target !== target], ["method", answer.method !== method]].filter(([, is]) => is).map(([name]) => name);
  if (changed.length) return `Not of the map shown: ${changed.join(" and ")} changed since.`;
  return answer.step === step ? "" : `The map shown is of step ${step}.`;
}

/** When and at what price a check runs. */
export function whenWords(trust, { mode, status, step }) {
  const share = `${Math.round(100 * (trust.share || 0))} %`;
  if (status === "paused") return "On a copy of the model, now, while training is paused.";
  if (mode === "one-way") return "On a copy of the model. A press is heard when the running cell ends.";
  return step || mode === "live" ? `On a copy of the model. While training goes on, a check takes up to ${share} of its time, between its steps, until it is done.` : "On a copy of the model.";
}

/** Make the panel; `memory` keeps {open, row} while the page rebuilds it. */
export function trustOf(view, memory) {
  const heading = h("span", {}, "Can I trust this map?"), short = h("span", { class: "nbtv-quiet" });
  const fold = h("button", { type: "button", class: "c-fold", "aria-expanded": "false", ...KEYS, onclick: () => { memory.open = !memory.open; view.ask(); } }, heading, short);
  const rowPick = combobox("Image to check", (at) => { memory.row = Number(at); view.ask(); });
  const when = h("span", { class: "nbtv-quiet" }), intro = h("div", { class: "c-when" }, rowPick.el, when);
  const checks = Object.entries(WORDS).map(([id, words]) => checkOf(view, id, words, () => memory.row || 0));
  const body = h("div", { class: "c-checks", hidden: true }, intro, ...checks.map(({ el }) => el));
  const el = h("section", { class: "c-trust", "aria-label": "Can I trust this map?" }, fold, body);

  /** Returns whether the panel is open. */
  function paint(scene) {
    const { cam, frame, pick, mode, state, gone } = scene, trust = cam.trust, open = Boolean(memory.open);
    el.hidden = !trust;
    if (!trust) return false;
    fold.setAttribute("aria-expanded", String(open));
    body.hidden = !open;
    if ((memory.row || 0) >= frame.rows.length) memory.row = 0;
    const row = memory.row || 0, { cls } = explained(frame, row, pick), now = { row, layer: pick.layer, target: cls, method: pick.method, step: frame.header.step };
    const answered = Object.values(trust.answers).filter(({ failed }) => !failed).length;
    tell(short, trust.running ? `checking, ${Math.round(100 * trust.running.share)} %` : answered ? `${answered} of 3 checked` : "three checks, on demand");
    if (!open) return false;
    rowPick.el.hidden = frame.rows.length < 2;
    rowPick.set(frame.rows.map(({ name }, i) => [String(i), name]), String(row));
    tell(when, gone ? "The kernel is gone: nothing can be checked." : whenWords(trust, { mode, status: (state.status || {}).code, step: state.step }));
    checks.forEach((check) => check.paint(trust, now, gone));
    return true;
  }
  return { el, paint };
}

/** One check: a button, and beside it its words. */
function checkOf(view, id, [label, what], row) {
  const press = h("button", { type: "button", ...KEYS, onclick: () => view.act(`trust:${id}:${row()}`) }, label);
  const cancel = h("button", { type: "button", hidden: true, ...KEYS, onclick: () => { press.focus(); view.act("trust:cancel"); } }, "Cancel");
  const fill = h("i"), bar = h("div", { class: "c-progress", role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100, hidden: true }, fill);
  const verdict = h("b"), said = h("span"), about = h("div", { class: "nbtv-quiet" }), stale = h("div", { class: "c-stale" }), words = h("div", { class: "c-answer" }, h("div", {}, verdict, said), bar, about, stale);
  const el = h("div", { class: "c-check", "data-check": id }, h("div", { class: "c-press" }, press, cancel), words);

  function paint(trust, now, gone) {
    const { refusal = "", cost = "" } = trust.checks.find((each) => each.id === id) || {}, answer = trust.answers[id];
    const running = trust.running && trust.running.check === id ? trust.running : null, old = answer && !running ? staleWords(answer, now) : "";
    press.disabled = gone || Boolean(refusal) || Boolean(trust.running);
    cancel.hidden = bar.hidden = !running;
    const percent = running ? Math.round(100 * running.share) : 0;
    fill.style.width = `${percent}%`;
    bar.setAttribute("aria-valuenow", percent);
    tell(verdict, running || !answer ? "" : answer.verdict ? `${answer.verdict} ` : "Not checked. ");
    tell(said, running ? `${percent} %${running.left_s === null ? "" : `, about ${Math.ceil(running.left_s)} s of work left`}` : answer ? answer.said : refusal || `${what} ${cost}.`);
    tell(about, running ? running.about : answer ? [answer.about, answer.note].filter(Boolean).join("; ") : "");
    tell(stale, [old, answer && refusal].filter(Boolean).join(" "));
    el.classList.toggle("c-past", Boolean(old) && old.startsWith("Not"));
    Object.assign(el.dataset, { state: running ? "running" : answer ? (answer.failed ? "failed" : "answered") : refusal ? "refused" : "ready" });
  }
  return { el, paint };
}
