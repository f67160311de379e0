// The row of buttons: Pause or Resume, Step, Run to step, Stop; and the state in words above it.

import { KEYS, h, taken } from "./dom.js";
import { wholeOf } from "./controls_words.js";

const LOUD = new Set(["model_gone", "closed", "run_failed", "forward_failed", "one_way"]); // said in place of the state
const WHY = { model_gone: "", closed: "", one_way: "To steer while training:" }; // their other words are about pictures

/** A button that stays focusable while it cannot be used, and then says why: {el, set(reason)}. */
export function buttonOf(name, pressed, refused) {
  const el = h("button", { type: "button", ...KEYS, onclick: () => (el.ariaDisabled === "true" ? refused(el.title) : pressed()) }, name);
  return {
    el,
    set(reason, text = name) {
      if (el.textContent !== text) el.textContent = text;
      const disabled = String(Boolean(reason));
      if (el.getAttribute("aria-disabled") !== disabled) el.setAttribute("aria-disabled", disabled);
      const title = reason ? `${text}: ${reason}` : "";
      if (el.title !== title) el.title = title;
    },
  };
}

/** A button with a number beside it; Enter in the number presses it. */
function counted(name, label, draft, pressed, refused) {
  const button = buttonOf(name, press, refused);
  const input = h("input", { type: "text", inputmode: "numeric", "aria-label": label, value: draft.text, autocomplete: "off", ...KEYS });
  function press() { pressed(wholeOf(input.value.trim() || input.placeholder)); }
  input.addEventListener("input", () => { draft.text = input.value; });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing) return;
    taken(event);
    button.el.click();
  });
  return { el: h("span", { class: "c-pair" }, button.el, input), input, button };
}

/** Make the state line and the row; `view.ask(place, name, value)` sends. */
export function barOf(view, memory) {
  const mark = h("span", { class: "c-mark", "aria-hidden": "true" });
  const title = h("b"), why = h("span", { class: "c-why" }), code = h("code", { hidden: true }), acts = h("span", { class: "c-acts" });
  const said = h("div", { class: "c-state", role: "status" }, mark, h("span", { class: "c-words" }, title, " ", why, " ", code), acts);
  const error = h("div", { class: "c-error", role: "alert", hidden: true });
  const ask = (name, value) => view.ask("bar", name, value);
  const refuse = (text) => fail(text ? `${text[0].toUpperCase()}${text.slice(1)}.` : "");
  const steps = (memory.steps ||= { text: "1" }), goal = (memory.goal ||= { text: "" });
  const pause = buttonOf("Pause", () => ask(held ? "resume" : "pause"), refuse);
  const stop = buttonOf("Stop", () => ask("stop"), refuse);
  const step = counted("Step", "Number of steps", steps, (n) => ask("step", n), refuse);
  const runTo = counted("Run to step", "Step to run to", goal, (n) => ask("run_to", n), refuse);
  pause.el.classList.add("c-pause"); // these two are in a cockpit's first line
  stop.el.classList.add("c-stop");
  const reason = h("span", { class: "c-reason" });
  const row = h("div", { class: "c-bar", role: "group", "aria-label": "Training" }, pause.el, step.el, runTo.el, stop.el, reason);
  let held = false, actions = "";

  function fail(text) {
    error.hidden = !text;
    if (error.textContent !== text) error.textContent = text;
  }

  function paint({ controls, status, gone }) {
    const phase = gone ? "gone" : controls.phase || "idle", can = controls.can || {};
    const lost = gone ? "the kernel is gone" : "";
    const loud = !gone && status && LOUD.has(status.code) ? status : null;
    const fault = !gone && status && status.code === "fault" ? `Something in nbtorchviz failed: ${(status.lines || [])[0] || ""}` : "";
    const words = gone ? ["Kernel gone.", "It was restarted or has ended; nothing can be steered from here."]
      : loud && phase !== "paused" ? [loud.title, loud.code in WHY ? WHY[loud.code] : (loud.lines || [])[0] || ""] : [controls.title || "", phase === "idle" && fault ? fault : [controls.why, fault].filter(Boolean).join(" ")];
    if (title.textContent !== words[0]) title.textContent = words[0];
    if (why.textContent !== words[1]) why.textContent = why.title = words[1];
    const line = (loud && phase !== "paused" && loud.code_line) || "";
    if (code.textContent !== line) code.textContent = line;
    code.hidden = !line;
    const key = JSON.stringify((loud && loud.actions) || []);
    if (key !== actions) {
      actions = key;
      acts.replaceChildren(...JSON.parse(key).filter(({ id }) => id !== "keep").map(({ id, label }) => h("button", { type: "button", ...KEYS, onclick: () => view.act(id) }, label)));
    }
    said.dataset.phase = loud && loud.level === "error" && phase !== "paused" ? "error" : phase;
    held = phase === "paused" || phase === "pausing";
    pause.set(lost || (held ? can.resume : can.pause), held ? "Resume" : "Pause");
    pause.el.classList.toggle("nbtv-primary", held && !lost);
    step.button.set(lost || can.step);
    runTo.button.set(lost || can.run_to);
    stop.set(lost || can.stop);
    // One reason holds for all of them nearly always; it is told once, in words.
    const told = !gone && !held && !loud && can.pause && can.pause !== "nothing is training" ? can.pause : "";
    reason.hidden = !told;
    if (reason.textContent !== told) reason.textContent = reason.title = told;
    if (!runTo.input.value && document.activeElement !== runTo.input) runTo.input.placeholder = String(100 * (Math.floor((view.step() || 0) / 100) + 1));
  }

  return { parts: [said, row, error], paint, fail };
}
