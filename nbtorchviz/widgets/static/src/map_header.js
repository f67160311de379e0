// The header: what is shown, when it was read, how it comes.

import { chipOf } from "./chip.js";
import { KEYS, h } from "./dom.js";
import { ago, times } from "./map_math.js";

/** Make the header; `view.choose({hold})` and `view.save()` hear its buttons. */
export function headerOf(view) {
  const within = h("span"), name = h("b"), kind = h("span", { class: "nbtv-quiet" });
  const what = h("div", { class: "nbtv-what" }, h("b", {}, within), name, kind);
  const step = h("span"), since = h("span", { class: "nbtv-quiet" });
  const when = h("div", { class: "nbtv-when" }, step, since);
  const chip = chipOf();
  const save = h("button", { type: "button", class: "nbtv-save", title: "Save this picture as a PNG", "aria-label": "Save PNG", ...KEYS, onclick: () => view.save() }, "PNG");
  const hold = h("button", { type: "button", "aria-pressed": "false", title: "Keep this picture while training goes on", ...KEYS, onclick: () => view.choose(hold.getAttribute("aria-pressed") === "true" ? { hold: false, step: null } : { hold: true }) }, "Hold");
  const el = h("div", { class: "nbtv-head" }, what, when, chip.el, save, hold);

  function tell(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  /** Blocks and own name apart: where there is no room, the name stays. */
  function named(key) {
    const at = key.lastIndexOf(".") + 1;
    tell(within, key.slice(0, at));
    tell(name, key.slice(at));
  }

  function paint(scene) {
    const { state, frame, header } = scene;
    chip.update(state, scene.gone);
    hold.setAttribute("aria-pressed", String(scene.pick.hold || scene.pick.step !== null));
    save.disabled = !frame;
    hold.disabled = (!frame && hold.ariaPressed !== "true") || scene.gone;
    if (!frame) {
      const leaves = scene.rows.filter(({ block, type }) => !block && type !== "input").length, blocks = scene.rows.filter(({ block }) => block).length;
      named(header && header.message ? scene.pick.layer : state.model || "");
      tell(kind, header && header.message ? (scene.row ? scene.row.type : "") : `${leaves} layers${blocks ? ` in ${blocks} blocks` : ""}, ${state.status && state.status.code === "forward_failed" ? "no step finished" : "not run yet"}`);
      tell(step, "");
      tell(since, "");
    } else {
      const show = header.show === "gradient" ? "gradient, " : "";
      named(header.layer);
      tell(kind, `${show}${header.type}, ${times(header.shape) || "scalar"}${header.path ? `, output ${header.path}` : ""}`);
      const age = header.captured_at_s == null ? "" : ago(Date.now() / 1000 + scene.skew - header.captured_at_s);
      tell(step, `${scene.grey ? "last seen at " : ""}step ${header.step}`);
      tell(since, [header.source === "pinned" ? "pinned input" : header.phase, age].filter(Boolean).join(", "));
    }
    what.title = frame ? `${header.layer}: ${header.type}${header.detail ? ` ${header.detail}` : ""}, ${times(header.shape)}, ${header.dtype || ""}` : "";
  }

  return { el, paint, when };
}
