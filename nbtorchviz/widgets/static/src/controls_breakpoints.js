// Breakpoints: a field for a condition, what is wrong with it, and the list.

import { KEYS, h, taken } from "./dom.js";
import { hitsText, split } from "./controls_words.js";

export const CONDITION = "break:"; // begins the place of a question; the condition follows, so that each has its answer
const EXAMPLES = 3, MOST_REFUSED = 3;
let lists = 0;

/** Make the panel; `view.ask(place, name, value)` sends. */
export function breakpointsOf(view, memory) {
  const id = `nbtv-conditions-${(lists += 1)}`;
  const draft = (memory.condition ||= { text: "", refused: [] }); // refused: [text, why] of conditions that are not in the field
  const known = h("datalist", { id });
  const input = h("input", { type: "text", class: "c-condition", "aria-label": "Condition", list: id, value: draft.text, spellcheck: "false", autocomplete: "off", autocapitalize: "off", ...KEYS });
  const add = h("button", { type: "button", ...KEYS, onclick: send }, "Add");
  const error = h("div", { class: "c-error", role: "alert", hidden: true, id: `${id}-error` });
  const list = h("ul", { class: "c-list", "aria-label": "Breakpoints" });
  const count = h("span", { class: "nbtv-quiet" });
  const empty = h("div", { class: "c-empty" });
  const el = h("section", { class: "c-panel", "aria-label": "Breakpoints" },
    h("div", { class: "c-title" }, h("b", {}, "Breakpoints"), count), h("div", { class: "c-entry" }, input, known, add), error, list, empty);
  const rows = new Map();
  const aside = h("ul", { class: "c-list c-refused", "aria-label": "Refused conditions", hidden: true });
  error.after(aside);
  let suggested = "";

  input.addEventListener("input", () => { draft.text = input.value; fail(""); });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) { taken(event); send(); }
    if (event.key === "Escape" && input.value) { taken(event); put(""); }
  });

  function put(text) {
    input.value = draft.text = text;
    fail("");
  }

  function send() {
    if (add.disabled) return;
    drop(input.value);
    view.ask(CONDITION + input.value, "break", input.value);
  }

  /** What Python said to a condition: nothing when it was added. What was refused stays, in the field or below it. */
  function answered(message, text) {
    if (!message) { drop(text); if (input.value === text) put(""); return; }
    if (input.value && input.value !== text) {
      draft.refused = [...draft.refused.filter(([other]) => other !== text), [text, message]].slice(-MOST_REFUSED);
      return setAside();
    }
    if (input.value !== text) put(text);
    fail(message);
  }

  function drop(text) {
    draft.refused = draft.refused.filter(([other]) => other !== text);
    setAside();
  }

  function setAside() {
    aside.hidden = !draft.refused.length;
    aside.replaceChildren(...draft.refused.map(([text, message]) => {
      const back = h("button", { type: "button", class: "c-example", title: `Put ${text} back into the field`, ...KEYS, onclick: () => { drop(text); put(text); fail(message); input.focus(); } }, h("code", {}, text));
      return h("li", { class: "c-faulty" }, back, h("span", { class: "c-error", role: "alert" }, split(message)[0]));
    }));
  }

  function fail(message) {
    const [first, rest] = split(message);
    error.hidden = !message;
    error.replaceChildren(first, ...(rest ? [h("span", { class: "c-rest" }, rest)] : []));
    if (message) input.setAttribute("aria-invalid", "true"); else input.removeAttribute("aria-invalid");
    if (message) input.setAttribute("aria-describedby", error.id); else input.removeAttribute("aria-describedby");
  }

  function rowOf(key) {
    const text = h("code"), state = h("span", { class: "c-now" }), hits = h("span", { class: "c-hits" });
    const remove = h("button", { type: "button", class: "c-remove", ...KEYS, onclick: () => { forget(li); view.ask("bar", "unbreak", key); } }, "×");
    const li = h("li", {}, text, hits, remove, state);
    return { li, text, state, hits, remove };
  }

  /** The focus goes on to a neighbour, not back to the page's start. */
  function forget(li) {
    const next = li.nextElementSibling || li.previousElementSibling;
    (next ? next.querySelector("button") : input).focus();
  }

  function paint({ controls, vocabulary, gone }) {
    const found = controls.breakpoints || [], reason = gone ? "the kernel is gone" : (controls.can || {}).break || "";
    add.disabled = Boolean(reason);
    input.disabled = Boolean(reason);
    add.title = input.title = reason;
    const texts = vocabulary.suggestions || [], key = JSON.stringify([texts, Boolean(reason)]);
    if (key !== suggested) {
      suggested = key;
      known.replaceChildren(...texts.map((value) => h("option", { value })));
      input.placeholder = `pause when … ${texts.slice(0, EXAMPLES).sort((a, b) => a.length - b.length)[0] || ""}`;
      empty.replaceChildren(h("span", { class: "nbtv-quiet" }, "Training pauses at the end of the step in which one becomes true. For instance:"),
        ...texts.slice(0, EXAMPLES).map((text) => h("button", { type: "button", class: "c-example", disabled: Boolean(reason), title: `Put ${text} into the field`, ...KEYS, onclick: () => { put(text); input.focus(); } }, h("code", {}, text))));
    }
    empty.hidden = found.length > 0;
    const said = found.length ? String(found.length) : "";
    if (count.textContent !== said) count.textContent = said;
    const kept = new Set(found.map((each) => each.id));
    for (const [each, row] of rows) if (!kept.has(each)) { row.li.remove(); rows.delete(each); }
    found.forEach((each, at) => {
      if (!rows.has(each.id)) rows.set(each.id, rowOf(each.id));
      const row = rows.get(each.id);
      if (list.children[at] !== row.li) list.insertBefore(row.li, list.children[at] || null);
      const state = `${each.state}${each.once ? ", once" : ""}${each.last && !each.true && !each.fault ? `; last hit: ${each.last}` : ""}`;
      for (const [place, text] of [[row.text, each.text], [row.state, state], [row.hits, hitsText(each.hits)]]) {
        if (place.textContent !== text) place.textContent = place.title = text;
      }
      row.remove.disabled = Boolean(gone);
      row.remove.setAttribute("aria-label", `Remove ${each.text}`);
      row.remove.title = "Remove";
      row.li.className = each.fault ? "c-faulty" : each.true ? "c-true" : "";
    });
    list.hidden = !found.length;
  }

  setAside();
  return { el, paint, answered };
}
