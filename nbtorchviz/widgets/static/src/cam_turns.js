// Above maps of the input, which are made in pieces while training goes on: how far they are, of which step, one button.
//
// Reads `state.cam.turns`: {method, share, left_s, step} or null. Presses are actions "input:cancel" and "input:again".

import { mapsInput, methodName } from "./cam_words.js";
import { KEYS, h } from "./dom.js";

const CANCEL = ["input:cancel", "Cancel"], AGAIN = ["input:again", "Compute again"];

/** What is said: {kind, words, act: [id, label], percent}; null: nothing. */
export function turnsOf({ cam, frame, pick, gone, state }) {
  const { turns } = cam, name = methodName(pick.method);
  if (gone || !mapsInput(pick.method)) return null;
  if (turns && turns.method === pick.method) {
    const percent = Math.round(100 * turns.share), left = turns.left_s === null ? "" : `, about ${Math.ceil(turns.left_s)} s of work left`;
    return { kind: "running", words: `${name} of step ${turns.step}: ${percent} %${left}`, act: CANCEL, percent };
  }
  if (cam.busy) return { kind: "waiting", words: `${name} begins at the next step.`, act: CANCEL };
  if (frame.header.method !== pick.method) return cam.message ? { kind: "failed", words: `${name} was not computed.`, act: AGAIN } : null;
  const ahead = (state.step || 0) - frame.header.step;
  return ahead > 0 ? { kind: "stale", words: `${name} is of the weights of step ${frame.header.step}, ${ahead} ${ahead === 1 ? "step" : "steps"} ago.`, act: AGAIN } : null;
}

/** Make the line; `view.act(id)` hears its button. */
export function turnsLine(view) {
  const words = h("span", {}), fill = h("i"), bar = h("div", { class: "c-progress", role: "progressbar", "aria-label": "Map of the input", "aria-valuemin": 0, "aria-valuemax": 100 }, fill);
  const press = h("button", { type: "button", ...KEYS, onclick: () => view.act(press.dataset.act) });
  const el = h("div", { class: "c-turns", hidden: true }, words, bar, press);

  /** Returns what it shows: "running", "waiting", "failed", "stale" or "". */
  function paint(scene) {
    const said = turnsOf(scene);
    el.hidden = !said;
    if (!said) return "";
    const { kind, percent = 0, act: [id, label] } = said;
    if (words.textContent !== said.words) words.textContent = said.words;
    if (press.dataset.act !== id) [press.dataset.act, press.textContent] = [id, label];
    bar.hidden = kind !== "running";
    fill.style.width = `${percent}%`;
    bar.setAttribute("aria-valuenow", percent);
    el.classList.toggle("c-late", kind === "stale" || kind === "failed");
    return kind;
  }
  return { el, paint };
}
