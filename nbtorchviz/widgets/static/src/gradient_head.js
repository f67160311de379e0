// Header (what, when, how) and foot (the sliders Step and Layer) of the gradient views.

import { chipOf } from "./chip.js";
import { KEYS, h, onPress, slider } from "./dom.js";
import { columnAt, stepWords } from "./gradient_packet.js";
import { ago } from "./map_math.js";

/** Make the header; `view.hold(on)` hears its button. */
export function headOf(view) {
  const name = h("b"), kind = h("span", { class: "nbtv-quiet" }), what = h("div", { class: "nbtv-what" }, name, kind);
  const step = h("span"), since = h("span", { class: "nbtv-quiet" }), when = h("div", { class: "nbtv-when" }, step, since);
  const chip = chipOf();
  const hold = h("button", { type: "button", "aria-pressed": "false", title: "Stay at this step while training goes on", ...KEYS, onclick: () => view.hold(hold.getAttribute("aria-pressed") !== "true") }, "Hold");
  const el = h("div", { class: "nbtv-head" }, what, when, chip.el, hold);
  const tell = (node, text) => { if (node.textContent !== text) node.textContent = text; };

  function paint(scene) {
    const { state, packet } = scene;
    chip.update(state, scene.gone);
    tell(name, state.model || "");
    const count = state.parameters ? `${state.parameters.toLocaleString("en-US")} parameters` : "";
    tell(kind, `gradients of the loss${count ? `, ${count}` : ""}`);
    const some = packet && packet.columns, { now } = scene;
    hold.setAttribute("aria-pressed", String(scene.held));
    hold.disabled = !some || scene.gone;
    tell(step, some ? `${scene.grey ? "last seen at " : ""}${stepWords(packet, now.step)}` : "");
    const age = some && now.captured_at_s != null && !scene.held ? ago(Date.now() / 1000 + scene.skew - now.captured_at_s) : "";
    const newer = state.step > now.step;
    tell(since, !some ? "" : scene.held ? `held${scene.pick.step === now.step ? "" : `, nearest to ${scene.pick.step}`}${newer ? `, training is at step ${state.step}` : ""}` : [packet.header.phase, age].filter(Boolean).join(", "));
  }

  return { el, paint };
}

/** Make the foot; `view.step(step | null)` and `view.choose({layer})` hear its sliders. */
export function footOf(view) {
  let steps = [], rows = [], flagKey = "";
  const step = slider("Step", (at) => view.step(at >= steps.length - 1 ? null : steps[at]));
  const layer = slider("Layer", (at) => rows[at] && view.press(rows[at], true));
  const channel = slider("Channel", (at) => view.choose({ channel: at })), sample = slider("Sample", (at) => view.choose({ sample: at }));
  const flags = h("div", { class: "nbtv-flags" }), ticks = h("div", { class: "nbtv-step-ticks" });
  step.el.classList.add("nbtv-step");
  step.el.insertBefore(h("span", { class: "nbtv-step-track" }, flags, step.input, ticks), step.out);
  const el = h("div", { class: "nbtv-foot g-foot" }, step.el, layer.el, channel.el, sample.el);

  /** Sliders of the maps. */
  function paintMapped({ mapped, pick, gone, narrow, mode }) {
    layer.el.hidden = Boolean(mapped) && narrow;
    channel.el.hidden = sample.el.hidden = !mapped;
    if (!mapped) return;
    const total = mapped.view === "matrix" || !mapped.total ? 1 : mapped.total, items = mapped.of === "@gradient" ? mapped.batch_size || 1 : 1;
    channel.el.firstChild.textContent = mapped.view === "strip" || mapped.view === "matrix" ? "Value" : mapped.noun === "output" ? "Output" : "Channel";
    const chosen = Math.min(pick.channel, total - 1);
    channel.set(chosen, total - 1, total < 2 ? "–" : narrow ? String(chosen) : `${chosen} (0–${total - 1})`);
    sample.set(Math.min(pick.sample, items - 1), items - 1, items < 2 ? "–" : narrow ? `${pick.sample}` : `${pick.sample} (0–${items - 1})`);
    const late = gone ? "kernel gone" : mode === "one-way" ? "after the cell ends" : "";
    sample.el.title = late;
    if (late) sample.input.disabled = true;
  }

  function paint(scene) {
    const { packet, held, live, narrow, compact, gone, mapped } = scene;
    steps = mapped ? mapped.kept_steps || [] : packet ? packet.told : [];
    rows = scene.rows.filter(({ kind }) => kind !== "parameter");
    const at = Math.max(0, columnAt(steps, scene.now.step)), some = steps.length > 0, now = mapped ? scene.now.step : some ? steps[at] : 0;
    const edge = !some ? (scene.state.step ? "no picture" : "not run yet") : held ? "held" : live ? (narrow || compact ? "live" : "live edge") : "newest";
    step.set(Math.max(0, at), Math.max(0, steps.length - 1), step.out.textContent);
    const key = [steps.length, now, edge, narrow].join();
    if (step.out.dataset.key !== key) {
      step.out.dataset.key = key;
      step.out.replaceChildren(
        ...(narrow || compact || !some ? [] : [h("span", { class: "nbtv-quiet" }, `${steps.length} kept`)]), some ? String(now) : "",
        h("span", { class: edge === "held" ? "nbtv-held" : edge.startsWith("live") ? "nbtv-edge" : "nbtv-quiet" }, edge));
    }
    step.input.setAttribute("aria-valuetext", some ? `step ${now}, ${edge}` : edge);
    const found = scene.flags;
    const words = JSON.stringify([found, steps.length, steps[0], steps[steps.length - 1]]);
    if (words !== flagKey) {
      flagKey = words;
      const place = (s) => { const k = steps.findIndex((v) => v >= s); return (100 * (k < 0 ? steps.length - 1 : k)) / Math.max(1, steps.length - 1); };
      while (flags.children.length > found.length) flags.lastChild.remove();
      found.forEach(({ step: s, text, kind }, i) => { // in place: the focus may be on one of them
        const flag = flags.children[i] || flags.appendChild(h("button", { type: "button", ...KEYS }));
        flag.className = `nbtv-${kind}`;
        flag.style.left = `${place(s)}%`;
        flag.title = `step ${s}: ${text}`;
        flag.setAttribute("aria-label", flag.title);
        onPress(flag, () => view.step(s));
      });
    }
    flags.hidden = !some;
    ticks.hidden = !some || steps.length > 64;
    ticks.style.backgroundSize = `${100 / Math.max(1, steps.length - 1)}% 100%`;
    const own = rows.findIndex(({ key: k }) => k === scene.pick.layer);
    const around = own < 0 ? rows.findLastIndex(({ key: k }) => scene.pick.layer.startsWith(`${k}.`)) : own; // its closed block
    layer.set(Math.max(0, around), rows.length - 1, own >= 0 ? `${own + 1} of ${rows.length}` : around >= 0 ? `in ${rows[around].name}` : rows.length ? "not in the list" : "");
    layer.input.setAttribute("aria-valuetext", `${scene.pick.layer}, ${layer.out.textContent}`);
    if (gone && !some) step.input.disabled = true;
    paintMapped(scene);
  }

  return { el, paint };
}
