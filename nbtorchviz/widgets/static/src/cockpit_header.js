// The cockpit's first line: model, step, chip, Pause, Step, Stop.

import { chipOf } from "./chip.js";
import { KEYS, h } from "./dom.js";
import { connect } from "./link.js";
import { isAbove } from "./map_status.js";
import { watchTheme } from "./theme.js";

export function render({ model, el }) {
  const what = h("div", { class: "nbtv-what" });
  const when = h("div", { class: "nbtv-when" });
  const chip = chipOf();
  const pause = button("Pause", () => link.action(pause.textContent === "Resume" ? "resume" : "pause"));
  const step = button("Step", () => link.action("step"));
  const stop = button("Stop", () => link.action("stop"));
  const status = h("div", { class: "nbtv-cockpit-status", role: "status", hidden: true });
  const summary = h("summary", KEYS), printed = h("pre", {});
  const log = h("details", { class: "nbtv-log", hidden: true }, summary, printed);
  const line = h("div", { class: "nbtv-head" }, what, when, h("span", { class: "nbtv-grow" }), chip.el, pause, step, stop);
  const root = h("div", { class: "nbtv-cockpit-header nbtv-view" }, line, status, log);
  el.append(root);

  const link = connect({ model, el: root });
  link.onKernel(update);
  const stopTheme = watchTheme(root, (dark) => root.classList.toggle("nbtv-dark", dark));
  const clock = setInterval(update, 1000);

  function button(name, pressed) {
    return h("button", { type: "button", onclick: pressed, ...KEYS }, name);
  }

  function update() {
    const state = model.get("state") || {};
    const gone = link.kernelGone();
    const count = state.parameters ? `${state.parameters.toLocaleString("en-US")} parameters` : "";
    what.replaceChildren(h("b", {}, state.model || ""), h("span", { class: "nbtv-quiet" }, ` ${count}`));
    const details = [state.epoch != null ? `epoch ${Number(state.epoch.toFixed(2))}` : "", state.phase || ""];
    const words = `step ${state.step ?? 0}`;
    when.style.minWidth = `calc(${words.length}ch + 14px)`; // what is cut is not the number
    when.replaceChildren(words, h("span", { class: "nbtv-quiet" }, ` ${details.filter(Boolean).join(", ")}`));
    chip.update(state, gone);
    const control = state.control || {};
    pause.textContent = control.state === "paused" ? "Resume" : "Pause";
    for (const [name, el] of [["pause", pause], ["step", step], ["stop", stop]]) {
      const { enabled = false, reason = "" } = control[name] || {};
      el.disabled = gone || !enabled;
      el.title = gone ? "the kernel is gone" : reason;
    }
    const said = state.status;
    const actions = (said && said.actions) || [];
    status.hidden = gone || !said || !isAbove(said);
    if (!status.hidden && status.dataset.key !== said.title) {
      status.dataset.key = said.title;
      status.className = `nbtv-cockpit-status nbtv-${said.level}`;
      status.replaceChildren(h("b", {}, said.title), ...(said.code_line ? [h("code", {}, said.code_line)] : []), ...actions.map((a) => button(a.label, () => link.action(a.id))));
    }
    const text = (state.log || "").trimEnd();
    log.hidden = !text;
    if (printed.textContent !== text) {
      const follow = printed.scrollTop + printed.clientHeight >= printed.scrollHeight - 4;
      printed.textContent = text;
      summary.textContent = text.slice(text.lastIndexOf("\n") + 1);
      if (follow) printed.scrollTop = printed.scrollHeight;
    }
    root.dataset.step = state.step ?? "";
    root.dataset.mode = gone ? "kernel gone" : (state.chip || {}).mode || "";
  }

  model.on("change:state", update);
  update();
  return () => {
    model.off("change:state", update);
    clearInterval(clock);
    stopTheme();
    link.dispose();
  };
}
