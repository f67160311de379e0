// The sliders: Step over kept frames with flags, Layer over the visible list, Call, Slice, Channel, Sample.

import { KEYS, h, onPress, oneStop, slider } from "./dom.js";

/** Make the foot; `view.choose(changes)` hears every move, `view.say(text)` which flag has the focus. */
export function footOf(view) {
  let scene = null, kept = [], visible = [], flagKey = "", outKey = "";
  const step = slider("Step", go);
  const layer = slider("Layer", (at) => visible[at] && view.choose({ layer: visible[at].key }));
  const call = slider("Call", (at) => view.choose({ layer: keyOfCall(scene.pick.layer, at) }));
  const slice = slider("Slice", (at) => view.choose({ slice: at }));
  const channel = slider("Channel", (at) => view.choose({ channel: at }));
  const sample = slider("Sample", (at) => view.choose({ sample: at }));
  const flags = h("div", { class: "nbtv-flags", role: "group", "aria-label": "Flags" }), ticks = h("div", { class: "nbtv-step-ticks" });
  const settle = oneStop(flags);
  flags.addEventListener("focusin", ({ target }) => view.say(target.title));
  flags.addEventListener("focusout", () => view.say(null));
  step.el.classList.add("nbtv-step");
  const track = h("span", { class: "nbtv-step-track" }, step.input, ticks, flags); // a label belongs to its first control
  step.el.insertBefore(track, step.out);
  const row = h("div", { class: "nbtv-foot-row" }, layer.el, call.el, slice.el, channel.el, sample.el);
  const el = h("div", { class: "nbtv-foot" }, step.el, row);

  /** Show the kept step at this place; after the last one lies the live edge. */
  function go(at) {
    view.choose(at in kept ? { step: kept[at] } : { step: null, hold: false });
  }

  function paint(next, rows) {
    scene = next;
    visible = rows;
    const { pick, frame, state, narrow, compact } = scene;
    const browser = state.browser || {}, header = frame && frame.header;
    paintStep(browser, header);
    const at = visible.findIndex(({ key }) => key === pick.layer);
    layer.set(Math.max(0, at), visible.length - 1, at < 0 ? `not in the list` : `${at + 1} of ${visible.length}`);
    layer.input.setAttribute("aria-valuetext", `${pick.layer}, ${layer.out.textContent}`);
    const calls = scene.row ? scene.row.calls : 1;
    call.el.hidden = calls < 2;
    const [, , nth = 0] = /^(.*?)(?:#(\d+))?$/.exec(pick.layer);
    call.set(Number(nth), calls - 1, `${Number(nth)} (0–${calls - 1})`);
    const cut = header && header.slice;
    slice.el.hidden = !cut;
    if (cut) slice.set(Math.min(pick.slice, cut.count - 1), cut.count - 1, `${cut.name} ${pick.slice} (0–${cut.count - 1})`);
    const total = header ? header.total : 0, short = narrow || compact;
    const plane = header && header.view === "matrix";
    channel.set(Math.min(pick.channel, Math.max(0, total - 1)), plane ? 0 : total - 1, total > 1 && !plane ? (narrow ? `${pick.channel}` : `${pick.channel} (0–${total - 1})`) : "–");
    channel.el.firstChild.textContent = header && header.view === "strip" ? "Value" : "Channel";
    const items = browser.sample_count || 1;
    sample.el.hidden = compact;
    sample.set(Math.min(pick.sample, items - 1), items - 1, narrow ? `${pick.sample}` : `${pick.sample} (0–${items - 1})`);
    const late = scene.gone ? "kernel gone" : (state.chip || {}).mode === "one-way" ? "after the cell ends" : "";
    if (late) {
      sample.input.disabled = true;
      sample.out.textContent = narrow ? `${pick.sample}` : late;
    }
    sample.el.title = late;
    if (scene.gone) step.input.disabled = call.input.disabled = slice.input.disabled = true;
    el.classList.toggle("nbtv-short", short);
  }

  function paintStep(browser, header) {
    const { pick, state, live, narrow, compact } = scene;
    kept = (browser.kept_steps || []).filter((at) => header === null || at <= Math.max(state.step || 0, header.step));
    const at = pick.step === null ? kept.length : nearest(kept, pick.step);
    const now = header ? header.step : state.step || 0;
    const held = pick.step !== null || pick.hold;
    const edge = held ? "held" : header && header.preview ? "preview" : live && header ? (narrow || compact ? "live" : "live edge") : header ? "newest" : state.step ? "no picture" : "not run yet";
    step.set(at, kept.length, step.out.textContent);
    const key = `${kept.length} ${now} ${edge} ${narrow}`;
    if (key !== outKey) {
      outKey = key;
      step.out.replaceChildren(
        ...(narrow || compact || !kept.length ? [] : [h("span", { class: "nbtv-quiet" }, `${kept.length} kept`)]), String(now),
        h("span", { class: held ? "nbtv-held" : edge.startsWith("live") ? "nbtv-edge" : "nbtv-quiet" }, edge));
    }
    step.input.setAttribute("aria-valuetext", `step ${now}, ${held ? "held" : edge}`);
    ticks.style.backgroundSize = `${100 / Math.max(1, kept.length)}% 100%`;
    ticks.hidden = flags.hidden = compact || !kept.length;
    paintFlags(browser.flags || []);
  }

  function paintFlags(found) {
    const key = JSON.stringify([found, kept, scene.gone]);
    if (key === flagKey) return;
    flagKey = key;
    while (flags.children.length > found.length) flags.lastChild.remove();
    found.forEach(({ step: at, text, kind }, i) => { // in place: the focus may be on one of them
      const el = flags.children[i] || flags.appendChild(h("button", { type: "button", ...KEYS }));
      const { left, first } = placeOf(at, kept);
      el.className = `nbtv-${kind}`;
      el.style.left = `${100 * left}%`;
      el.title = `step ${at}: ${text}`;
      el.setAttribute("aria-label", el.title);
      el.disabled = scene.gone;
      onPress(el, () => go(first));
    });
    settle();
  }

  return { el, paint, layer, row };
}

/** Place of the kept step nearest to `at`: the one that is shown. */
export const nearest = (kept, at) => kept.reduce((best, step, i) => (Math.abs(step - at) < Math.abs(kept[best] - at) ? i : best), 0);

/** Where step `at` lies along the slider of `kept` steps, 0 to 1, and the first kept place from it on. */
export function placeOf(at, kept) {
  const after = kept.findIndex((step) => step >= at), first = after < 0 ? kept.length : after;
  const i = after > 0 ? after - 1 + (at - kept[after - 1]) / (kept[after] - kept[after - 1]) : first;
  return { left: i / Math.max(1, kept.length), first };
}

/** Key of call `nth` of the module that `key` belongs to. */
export function keyOfCall(key, nth) {
  const name = key.replace(/#\d+$/, "");
  return nth ? `${name}#${nth}` : name;
}
