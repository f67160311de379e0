// Knobs: present values, edits that wait for the end of a step, and what was changed.

import { KEYS, h, taken } from "./dom.js";
import { layerText, placeOf, timesTen, valueOf, whenText } from "./controls_words.js";

/** One value: label, field, and beside it "Set", what waits, or what went wrong below. */
function fieldOf(view, row, memory) {
  const place = placeOf(row), drafts = (memory.drafts ||= {}), sent = (memory.sent ||= {});
  const name = [row.title, row.where].filter(Boolean).join(" of ");
  const label = h("span", { class: "c-label" }, ...(row.next ? [] : [row.title]), ...(row.where ? [h("span", { class: "c-where", title: row.where }, row.where)] : []));
  const input = h("input", { type: "text", "aria-label": name, spellcheck: "false", autocomplete: "off", ...KEYS });
  const set = h("button", { type: "button", class: "nbtv-primary", "aria-label": `Set ${name}`, ...KEYS, onclick: send }, "Set");
  const less = tenth("÷10", false), more = tenth("×10", true);
  const note = h("span", { class: "c-note" }), error = h("div", { class: "c-error", role: "alert", hidden: true });
  const el = h("div", { class: "c-knob" }, label, input, h("span", { class: "c-beside" }, set, ...(row.knob === "lr" ? [less, more] : []), note), error);
  let value = row.value, locked = "";

  function tenth(text, up) {
    return h("button", { type: "button", class: "c-ten", "aria-label": `${name} ${up ? "times" : "divided by"} 10`, ...KEYS, onclick: () => { draft(timesTen(input.value, up)); input.focus(); } }, text);
  }
  const dirty = () => drafts[place] !== undefined;

  function draft(text) {
    if (text === value) delete drafts[place]; else drafts[place] = text;
    if (text !== undefined && input.value !== text) input.value = text;
    fail("");
    view.update();
  }
  input.addEventListener("input", () => draft(input.value));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) { taken(event); if (dirty()) send(); }
    if (event.key === "Escape" && dirty()) { taken(event); draft(value); }
  });

  function send() {
    if (locked) return;
    sent[place] = input.value;
    view.ask(place, "knob", { knob: row.knob, target: row.target, value: input.value });
  }

  function fail(message) {
    error.hidden = !message;
    if (error.textContent !== message) error.textContent = message;
    input.setAttribute("aria-invalid", String(Boolean(message)));
  }

  function answered(message) {
    fail(message);
    if (message || drafts[place] !== sent[place]) return; // what was typed since then stays
    delete drafts[place];
    if (document.activeElement === set) input.focus(); // Set is about to be hidden
  }

  function paint(now, waiting, phase, reason) {
    value = now.value;
    locked = reason;
    const shown = dirty() ? drafts[place] : value;
    if (input.value !== shown) input.value = shown;
    input.disabled = Boolean(reason);
    input.title = reason;
    set.hidden = !dirty() || Boolean(reason);
    less.hidden = more.hidden = dirty() || Boolean(waiting) || Boolean(reason) || !Number(value);
    el.classList.toggle("c-dirty", dirty());
    const text = dirty() ? `now ${value || "unknown"}` : waiting ? `→ ${valueOf(waiting)} ${whenText(phase)}` : now.more || "";
    if (note.textContent !== text) note.textContent = note.title = text;
    note.classList.toggle("c-waits", !dirty() && Boolean(waiting));
  }
  return { el, paint, answered };
}

/** Make the panel; `view.ask(place, name, value)` sends. */
export function knobsOf(view, memory) {
  const fields = h("div", { class: "c-fields" });
  const none = h("div", { class: "c-empty nbtv-quiet" }, "No optimizer is known yet: it shows with the first step, or at once with ", h("code", {}, "watch(model, optimizer)"), ".");
  const layer = h("select", { "aria-label": "Layer to freeze", ...KEYS });
  const freeze = h("button", { type: "button", ...KEYS, onclick: () => turn(true) }, "Freeze");
  const unfreeze = h("button", { type: "button", ...KEYS, onclick: () => turn(false) }, "Unfreeze");
  const frozenNote = h("span", { class: "c-note" }), frozenError = h("div", { class: "c-error", role: "alert", hidden: true });
  const frozen = h("div", { class: "c-knob c-freeze" }, h("span", { class: "c-label" }, "Freeze"), layer, h("span", { class: "c-beside" }, freeze, unfreeze, frozenNote), frozenError);
  const cancel = h("button", { type: "button", ...KEYS, onclick: () => view.ask("cancel", "cancel", null) }, "Cancel");
  const waits = h("div", { class: "c-waiting", role: "status", hidden: true }, h("span", { class: "c-words" }), cancel);
  const log = h("ol", { class: "c-log", "aria-label": "Changes", hidden: true, ...KEYS });
  const el = h("section", { class: "c-panel c-knobs", "aria-label": "Knobs" }, h("div", { class: "c-title" }, h("b", {}, "Knobs"), h("span", { class: "nbtv-quiet" }, "change at the end of a step")), none, fields, frozen, waits, log);
  const rows = new Map();
  let tree = "", logged = "", layers = [];

  layer.addEventListener("change", () => { memory.layer = layer.value; failFreeze(""); view.update(); });

  function turn(on) { view.ask("freeze", "freeze", { layer: layer.value, frozen: on }); }

  function failFreeze(message) {
    frozenError.hidden = !message;
    if (frozenError.textContent !== message) frozenError.textContent = message;
  }

  function answered(place, message) {
    if (place === "freeze") failFreeze(message);
    else rows.get(place)?.field.answered(message);
  }

  function paintFields(controls, reason) {
    const all = [...(controls.settings || []), ...(controls.dropout || [])], waiting = new Map((controls.waiting || []).map(([knob, target, text]) => [`${knob}:${target}`, text]));
    const kept = new Set(all.map((row) => placeOf(row)));
    for (const [place, { field }] of rows) if (!kept.has(place)) { field.el.remove(); rows.delete(place); }
    all.forEach((each, at) => {
      const row = { ...each, next: at > 0 && all[at - 1].knob === each.knob }; // its title stands above
      const place = placeOf(row), shape = `${row.title}${row.where}${row.next}`;
      if (rows.get(place)?.shape !== shape) {
        rows.get(place)?.field.el.remove();
        rows.set(place, { shape, field: fieldOf(view, row, memory) });
      }
      const { field } = rows.get(place);
      if (fields.children[at] !== field.el) fields.insertBefore(field.el, fields.children[at] || null);
      field.paint(row, waiting.get(place) || "", controls.phase, reason);
    });
    none.hidden = (controls.settings || []).length > 0 || controls.phase === "gone";
  }

  function paintFreeze(controls, vocabulary, reason) {
    const now = JSON.stringify(vocabulary.layers || []);
    if (now !== tree && document.activeElement !== layer) {
      tree = now;
      layers = vocabulary.layers || [];
      layer.replaceChildren(h("option", { value: "" }, "choose a layer"), ...layers.map((row) => h("option", { value: row[0], title: row[0] }, layerText(row))));
      layer.value = layers.some(([key]) => key === memory.layer) ? memory.layer : "";
    }
    const fresh = (vocabulary.layers || []).find(([key]) => key === layer.value), is = fresh ? fresh[2] : 0;
    layer.disabled = Boolean(reason);
    layer.title = reason || layer.value;
    freeze.hidden = is === 2;
    freeze.disabled = Boolean(reason) || !layer.value;
    unfreeze.hidden = is === 0;
    unfreeze.disabled = Boolean(reason);
    const waiting = (controls.waiting || []).filter(([knob]) => knob === "frozen").map(([, , text]) => text).join(", ");
    const cold = controls.frozen || [], text = waiting ? `${waiting} ${whenText(controls.phase)}` : cold.length ? `${cold.length} frozen` : "";
    if (frozenNote.textContent !== text) frozenNote.textContent = text;
    frozenNote.title = cold.length ? `frozen: ${cold.join(", ")}` : "";
    frozenNote.classList.toggle("c-waits", Boolean(waiting));
    frozen.hidden = !layers.length;
  }

  function paintLog(controls) {
    const waiting = controls.waiting || [], words = waiting.length ? `${waiting.length === 1 ? "One change waits" : `${waiting.length} changes wait`}.` : "";
    waits.hidden = !waiting.length;
    if (waits.firstChild.textContent !== words) waits.firstChild.textContent = words;
    const changes = controls.changes || [], key = JSON.stringify(changes);
    log.hidden = !changes.length;
    log.tabIndex = log.scrollHeight > log.clientHeight + 1 ? 0 : -1; // what scrolls has to be reached by keyboard
    if (key === logged) return;
    logged = key;
    log.replaceChildren(...changes.map(({ step, text, note, applied }) => h("li", { class: applied ? null : "c-faulty" },
      h("span", { class: "c-step" }, step == null ? "" : `step ${step}`), h("span", { class: "c-said" }, text, ...(note ? [h("span", { class: "c-why" }, ` ${note}`)] : [])))));
  }

  function paint({ controls, vocabulary, gone }) {
    const reason = gone ? "the kernel is gone" : (controls.can || {}).knob || "";
    paintFields(controls, reason);
    paintFreeze(controls, vocabulary, reason);
    paintLog(controls);
    cancel.disabled = Boolean(reason);
  }

  return { el, paint, answered };
}
