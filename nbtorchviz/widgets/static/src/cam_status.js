// What stands in the place of pictures while there are none, and above them when they are no longer live.

import { KEYS, h } from "./dom.js";
import { isAbove, worded } from "./map_status.js";

const QUIET = new Set(["waiting", "paused", "evaluating", "stale", "one_way"]); // the chip says it; maps stay as they are

/** Make banner and board; `view.act(id)` hears the buttons. */
export function statusOf(view) {
  const banner = h("div", { class: "nbtv-banner", role: "status", hidden: true });
  const board = h("div", { class: "c-board", hidden: true });
  let dismissed = "";

  function blockOf(said) {
    return [
      h("b", {}, ...worded(said.title)), ...(said.lines || []).filter(Boolean).map((text) => h("div", {}, ...worded(text))),
      ...(said.code_line ? [h("div", {}, h("code", { class: "nbtv-code" }, said.code_line))] : []),
      ...(said.actions && said.actions.length ? [h("div", { class: "nbtv-actions" }, ...said.actions.map(({ id, label }, i) =>
        h("button", { type: "button", class: i ? null : "nbtv-primary", ...KEYS, onclick: () => act(id, said) }, label)))] : []),
    ];
  }

  function act(id, said) {
    if (id === "keep") { dismissed = said.title; view.ask(); }
    view.act(id);
  }

  function show(el, said) {
    const key = said ? JSON.stringify(said) : "";
    el.hidden = !said;
    if (el.dataset.key === key) return;
    el.dataset.key = key;
    el.classList.remove("nbtv-warn", "nbtv-error", "nbtv-gone");
    if (said && said.level) el.classList.add(`nbtv-${said.level}`);
    el.replaceChildren(...(said ? blockOf(said) : []));
  }

  function paint({ state, cam, gone, frame, compact, kept }) {
    const own = cam.message || null, shared = state.status && !QUIET.has(state.status.code) ? state.status : null;
    if (!frame) {
      show(banner, null);
      show(board, gone ? { title: "Kernel gone before any map was computed.", lines: [] } : own || shared || { title: "Computing maps.", lines: [] });
      return;
    }
    const last = kept.length ? kept[kept.length - 1] : frame.header.step;
    const lost = gone ? { level: "gone", title: "Kernel gone.", lines: [`All but Method still answers, on maps of ${kept.length > 1 ? `steps ${kept[0]} to ${last}` : `step ${last}`}.`] } : null;
    const above = compact && shared && isAbove(shared);
    const said = lost || own || (above ? null : shared);
    show(banner, said && said.title !== dismissed ? said : null);
    show(board, null);
  }

  return { banner, board, paint };
}
