// The view of LiveLossPlot: header, legend, controls, plot, note, and its states.

import { chipOf } from "./chip.js";
import { KEYS, TINY_PX, h } from "./dom.js";
import { connect } from "./link.js";
import { duration } from "./loss_dom.js";
import { plotArea } from "./loss_plot.js";
import { describe, noteOf, sceneOf } from "./loss_scene.js";
import { controls, legend } from "./loss_table.js";
import { worded } from "./map_status.js";
import { decode } from "./packet.js";
import { watchTheme } from "./theme.js";

const ASK_MS = 120;

export function render({ model, el }) {
  const options = model.get("options") || {};
  const compact = Boolean(options.compact);
  const look = { x: "step", y: "linear", hidden: [], range: null, smoothing: 0, metric: "", rev: -1, ...model.get("look") };
  let packet = null, scene = null, pending = 0, acked = 0;

  const what = h("div", { class: "l-what" }), when = h("div", { class: "l-when" });
  const chip = chipOf();
  const head = h("div", { class: "l-head" }, what, when, chip.el);
  const status = h("div", { class: "l-status", role: "status", hidden: true });
  const table = legend(toggle);
  const panel = controls({
    setX: (x) => change({ x }),
    setY: (y) => { change({ y }); link.intent("log_y", y === "log"); },
    smoothing: (smoothing) => { change({ smoothing }); ask("smoothing", smoothing); },
    setMetric: (metric) => { change({ metric, range: null }); link.intent("metric", metric); },
  });
  const top = h("div", { class: "l-top" }, table.el, panel.el);
  const note = h("div", { class: "l-note" });
  const empty = h("div", { class: "l-empty" });
  const plot = plotArea({
    range: () => look.range,
    setRange,
    step: (step, target) => link.intent("step", target ? { step, layer: target } : step),
    redraw: schedule,
    pointed: () => (model.get("state") || {}).pointed ?? null,
    family: () => getComputedStyle(root).fontFamily || "sans-serif",
  }, { compact });
  const body = h("div", { class: "l-body" }, plot.chart, plot.overview, note);
  const root = h("div", { class: `nbtv-view nbtv-live-loss-plot${compact ? " l-compact" : ""}` },
    ...(compact ? [status, body, empty] : [head, status, top, body, empty]));
  el.append(root);

  const link = connect({ model, el: root, onVisible: (visible) => visible && schedule() });
  link.onKernel(schedule);
  const stopTheme = watchTheme(root, (dark) => { root.classList.toggle("nbtv-dark", dark); schedule(); });
  const resized = new ResizeObserver(() => { root.classList.toggle("l-narrow", root.clientWidth < 600); root.classList.toggle("nbtv-tiny", root.clientWidth < TINY_PX); schedule(); });
  resized.observe(root);

  function toggle(key, solo) {
    const keys = scene.lines.map((l) => l.key);
    const others = keys.filter((k) => k !== key);
    let hidden;
    if (solo) hidden = others.every((k) => look.hidden.includes(k)) && !look.hidden.includes(key) ? [] : others;
    else hidden = look.hidden.includes(key) ? look.hidden.filter((k) => k !== key) : [...look.hidden, key];
    change({ hidden });
  }

  let saving = 0;
  function change(part) {
    Object.assign(look, part);
    schedule();
    clearTimeout(saving);
    saving = setTimeout(keepLook, 300);
  }

  /** Keep the look with the widget, so that a rebuilt view looks the same. */
  function keepLook() {
    clearTimeout(saving);
    saving = 0;
    model.set("look", { ...look });
    try { model.save_changes(); } catch { /* no kernel: the look stays in this page */ }
  }

  const asked = new Map();
  /** Send an intent, the last value of a drag surely, no more than one in 120 ms. */
  function ask(name, value) {
    const before = asked.get(name) || { at: -Infinity, timer: 0 };
    clearTimeout(before.timer);
    const send = () => { asked.set(name, { at: performance.now(), timer: 0 }); link.intent(name, value); };
    const wait = before.at + ASK_MS - performance.now();
    if (wait <= 0) send();
    else asked.set(name, { ...before, timer: setTimeout(send, wait) });
  }

  function setRange(range) {
    change({ range });
    if (scene && (!scene.complete || scene.header.range)) ask("range", range);
  }

  function take() {
    const bytes = model.get("curve");
    if (!bytes || !bytes.byteLength) return;
    packet = decode(bytes);
    const { header } = packet;
    if (header.rev > look.rev) { // Python chose since this look was kept
      change({ rev: header.rev, smoothing: header.smoothing, y: header.log_y ? "log" : "linear" });
    }
    schedule();
  }

  function schedule() {
    if (!pending) pending = requestAnimationFrame(draw);
  }

  function draw() {
    pending = 0;
    const state = model.get("state") || {};
    const gone = link.kernelGone();
    if (packet) {
      const { header } = packet;
      if (look.metric && look.metric !== header.metric && header.metrics.includes(look.metric) && header.lines.some((l) => l.metric === look.metric)) {
        packet = { ...packet, header: { ...header, metric: look.metric, limits: {} } };
      }
      scene = sceneOf(packet, look);
    }
    heading(state, gone); // of this scene: its step is that of the table
    const bare = !scene || scene.empty;
    root.classList.toggle("l-bare", bare);
    body.hidden = top.hidden = bare;
    empty.hidden = !bare;
    if (bare) {
      nothing(state);
    } else {
      const mode = (state.chip || {}).mode;
      const reason = scene.complete ? "" : gone ? "the kernel is gone" : mode === "one-way" ? "answers when the cell ends" : "";
      table.update(scene.lines);
      panel.update({ look, header: packet.header, reason, waiting: !scene.complete && packet.header.smoothing !== look.smoothing,
        epochs: packet.header.runs.some((r) => r.run === packet.header.current && r.epochs) });
      const scales = plot.draw(scene, packet, describe(scene, packet.header));
      if (scales && !compact) note.textContent = noteOf(scene, [scales.yBottom, scales.yTop], { smoothing: scene.soft });
    }
    if (!packet) return;
    const main = scene.lines.find((l) => l.current);
    root.dataset.step = main ? main.line.latest[0] : "";
    root.dataset.seq = packet.header.seq;
    root.dataset.mode = gone ? "kernel gone" : (state.chip || {}).mode || "";
    root.dataset.pointed = (model.get("state") || {}).pointed ?? "";
    root.dataset.cursor = plot.cursorStep() ?? "";
    if (packet.header.seq > acked && root.isConnected) {
      acked = packet.header.seq;
      link.ack("curve", acked);
    }
  }

  function heading(state, gone) {
    const latest = scene && scene.lines.find((l) => l.current);
    const step = latest ? latest.line.latest[0] : state.step;
    const metric = packet && packet.header.metric;
    const several = packet && packet.header.runs.length > 1;
    const run = several && packet.header.runs.find((r) => r.run === packet.header.current);
    what.replaceChildren(h("b", {}, state.model || options.title || metric || "Loss"));
    const rest = [state.model || options.title ? metric : "", run ? run.name : ""].filter(Boolean).join(", ");
    if (rest) what.append(h("span", { class: "nbtv-quiet" }, ` ${rest}`));
    when.replaceChildren();
    if (step != null && (packet || state.step)) {
      const details = [state.epoch != null ? `epoch ${Number(state.epoch.toFixed ? state.epoch.toFixed(2) : state.epoch)}` : "", state.elapsed_s ? duration(state.elapsed_s) : ""].filter(Boolean).join(", ");
      when.append(`step ${step}`, details ? h("span", { class: "nbtv-quiet" }, ` ${details}`) : "");
    }
    chip.update(state, gone);
    sayState(state, gone, step);
  }

  function sayState(state, gone, step) {
    const said = gone
      ? { level: "gone", title: `Kernel gone: last value step ${step ?? 0}.`, lines: [], actions: [] }
      : state.status;
    // "waiting" is said in the place of the plot; one-way has a sentence of its own here.
    const shown = said && !compact && said.code !== "waiting" && said.code !== "stale" && said.code !== "evaluating";
    status.hidden = !shown;
    if (!shown) return;
    const title = said.code === "one_way"
      ? `One-way: the curve grows at most once a second${scene && !scene.complete ? "; Smoothing answers when the cell ends" : ""}.`
      : said.title;
    const lines = said.level === "gone" || said.code === "one_way" ? [] : said.lines || [];
    const key = JSON.stringify([title, lines, said.actions]);
    if (status.dataset.key === key) return;
    status.dataset.key = key;
    status.className = `l-status l-${said.level || "info"}`;
    status.replaceChildren(h("b", {}, title), ...lines.map((line) => h("span", {}, " ", ...worded(line))),
      ...(said.actions || []).map((a) => h("button", { type: "button", ...KEYS, onclick: () => link.action(a.id) }, a.label)));
  }

  function nothing(state) {
    const code = options.code || "session.log(loss=loss)";
    const other = packet && packet.header.nothing;
    const title = other ? `${other}.` : state.status && state.status.code === "waiting" && state.status.title ? state.status.title : "No values yet.";
    if (empty.dataset.title === title) return;
    empty.dataset.title = title;
    const copy = h("button", { type: "button", ...KEYS, onclick: async () => {
      try { await navigator.clipboard.writeText(code); copy.textContent = "Copied"; } catch { getSelection().selectAllChildren(line); }
    } }, "Copy");
    const line = h("code", {}, code);
    empty.replaceChildren(h("p", {}, h("b", {}, title)), ...other ? [] : [h("p", { class: "nbtv-quiet" }, "Add to your loop:"), h("p", { class: "l-code" }, line, copy)]);
  }

  model.on("change:curve", take);
  model.on("change:state", schedule);
  take();
  schedule();
  return () => {
    model.off("change:curve", take);
    model.off("change:state", schedule);
    cancelAnimationFrame(pending);
    if (saving) keepLook(); // what was chosen last, too
    resized.disconnect();
    stopTheme();
    link.dispose();
  };
}
