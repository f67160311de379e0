// The chip: how the picture comes (live, one-way, paused ...), how fast, and what watching costs.

import { h } from "./dom.js";

const KINDS = {
  live: "ok", background: "ok", "one-way": "warn", stale: "warn", evaluating: "busy", paused: "busy",
  "forward failed": "error", error: "error",
};

/** Make a chip; `update(state, kernelGone)` shows what `state.chip` says, a press tells why. */
export function chipOf() {
  const dot = h("span", { class: "nbtv-dot", "aria-hidden": "true" });
  const mode = h("span", { class: "nbtv-chip-mode" });
  const cost = h("span", { class: "nbtv-chip-cost" });
  const why = h("div", { class: "nbtv-chip-why", role: "tooltip", hidden: true });
  const button = h(
    "button",
    { type: "button", class: "nbtv-chip", "aria-expanded": "false", "data-lm-suppress-shortcuts": "true" },
    dot, mode, cost,
  );
  const el = h("span", { class: "nbtv-chip-box" }, button, why);

  function open(shown) {
    why.hidden = !shown || !why.textContent;
    button.setAttribute("aria-expanded", String(!why.hidden));
  }
  button.addEventListener("click", () => open(why.hidden));
  button.addEventListener("keydown", (event) => event.key === "Escape" && open(false));
  button.addEventListener("blur", () => open(false));

  function update(state, kernelGone = false) {
    const chip = (state && state.chip) || {};
    const name = kernelGone ? "kernel gone" : chip.mode || "waiting";
    const lively = !kernelGone && (name === "live" || name === "background");
    button.dataset.kind = kernelGone ? "gone" : KINDS[name] || "idle";
    mode.textContent = lively && chip.latency_ms != null ? `${name} ${chip.latency_ms} ms` : name;
    cost.textContent = lively && chip.cost != null ? `cost ${(100 * chip.cost).toFixed(1)} %` : "";
    const reason = kernelGone ? "The kernel was restarted or has ended; this picture stays." : chip.why || "";
    const parts = [reason, chip.latency_ms != null && !kernelGone ? `A frame is painted ${chip.latency_ms} ms after it is sent.` : "", chip.cost != null && !kernelGone ? `Watching takes ${(100 * chip.cost).toFixed(1)} % of the time.` : ""];
    const text = parts.filter(Boolean).join(" ");
    if (why.dataset.text !== text + chip.remedy) {
      why.dataset.text = text + chip.remedy;
      why.replaceChildren(text, ...(chip.remedy && !kernelGone ? [h("code", {}, chip.remedy)] : []));
    }
    button.title = text;
  }
  return { el, update };
}
