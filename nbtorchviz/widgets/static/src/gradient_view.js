// The GradientInspector: holds what the user chose, and paints at most once per animation frame.
//
// Reads the traits `picture` (gradient_packet.js), `maps` (gradient_maps.js); `state`, as all views, with `gradients`: {findings: [{rule,
// layer, layers, title, evidence, remedy, severity, since_step, active}], the worst first, rules: how many look},
// no `findings`: no strip for them; `options`: {compact, view, layer, id}; `selection`: {rev, heard, and any of
// what is in FIRST}. Sends an intent for everything in FIRST that is chosen, acks stream "gradients".

import { hearAsked } from "./cockpit_show.js";
import { TINY_PX, combobox, h, segmented } from "./dom.js";
import { bodyOf, isBeside, isHeat, stepsZoom } from "./gradient_body.js";
import { findingsOf, markedBy, ranked, viewOf } from "./gradient_findings.js";
import { footOf, headOf } from "./gradient_head.js";
import { histogramOf } from "./gradient_histogram.js";
import { SLOTS, WEIGHT, linesOf, stretchOf } from "./gradient_lines.js";
import { mapsOf } from "./gradient_maps.js";
import { noteOf } from "./gradient_note.js";
import { columnOf, read } from "./gradient_packet.js";
import { openAtFirst, rowsOf, visible, weighted } from "./gradient_rows.js";
import { ROW_PX, treeOf } from "./gradient_tree.js";
import { METRICS, cellWords, healthyWords, metricWords, rowWords, totalWords } from "./gradient_words.js";
import { connect } from "./link.js";
import { isAbove, statusOf, worded } from "./map_status.js";
import { followFocus, memoryOf, restoreFocus } from "./memory.js";
import { watchTheme } from "./theme.js";

const NARROW_PX = 700, MIDDLE_PX = 960;
const VIEWS = [["flow", "flow"], ["time", "over time"], ["ratio", "ratio"], ["histograms", "histograms"], ["maps", "maps"]];
const FIRST = { view: "flow", layer: "", of: "", step: null, metric: "gradient", drawn: "lines", rows: "", picked: null, range: null, shown: "", part: null, sample: 0, channel: 0, normalize: "channel" };
const COLOURS = {
  nbtv: ["fg", "quiet", "bg", "panel", "rule", "edge", "accent", "on", "warn", "error", "live", "bar"],
  g: ["zone", "band", "hover", "range"],
  l: ["grid", "earlier", "broken", "change", "finding", "hatch", "axis", ...Array.from({ length: SLOTS }, (_, i) => `line${i}`)],
};

export function render({ model, el }) {
  const options = model.get("options") || {}, compact = Boolean(options.compact);
  const memory = memoryOf(options.id), open = (memory.open ||= new Set());
  let { pick = { ...FIRST, view: options.view || FIRST.view, layer: options.layer || "" }, revision = -1, moved = false, touched = false } = memory;
  let packet = null, allRows = [], names = "", asked = false, acked = 0, mapsSeq = 0, mapsAcked = 0, skew = 0, narrow = false, middling = false, rebuilt = true, dark = false;
  let room = 16, shownLayer = null, assumed = null, hovered = null, pointed = null, spoken = "", oneWay = "", last = null;

  const view = {
    ask, choose, press, show,
    act: (id) => link.action(id),
    hold: (on) => choose({ step: on && packet ? packet.steps[packet.columns - 1] : null }),
    hover(row, x = null) { if ((row && row.id) !== hovered || x !== pointed) { hovered = row && row.id; pointed = x; ask(); } },
    opened() { touched = true; paint(); }, // at once: the next key goes by the rows that are there now
    searched() { paint(); },
    say(words) { if (words !== spoken) { spoken = words; ask(); } },
    step: (step) => choose({ step: packet && step !== null && step >= packet.steps[packet.columns - 1] ? null : step }),
  };
  const head = headOf(view), foot = footOf(view), findings = findingsOf(view), tree = treeOf(view, open), status = statusOf(view), note = noteOf();
  const steps = stepsZoom({ range: () => pick.range, setRange: (range) => choose({ range }) });
  const lines = linesOf(view, steps.host, steps.zoom), histogram = histogramOf(view, cellWords);
  const maps = mapsOf(view, memory);
  const tabs = segmented("View", VIEWS, (word) => choose({ view: word }));
  const total = h("div", { class: "g-total" });
  const which = segmented("Rows", [["weights", "with weights"], ["all", "all layers"]], (rows) => choose({ rows }));
  const drawn = segmented("Drawn as", [["lines", "lines"], ["heat", "heat"]], (word) => choose({ drawn: word }));
  const metric = combobox("Norm", (word) => choose({ metric: word }));
  const of = combobox("Values", (word) => choose({ of: word }));
  const layers = combobox("Layer", (key) => pressKey(key));
  metric.set(METRICS, pick.metric);
  const tools = h("div", { class: "g-tools" }, tabs.el, total, h("span", { class: "g-grow" }), layers.el, metric.el, drawn.el, of.el, ...maps.controls, which.el);
  const axis = h("canvas", { "aria-hidden": "true" }), axisBox = h("div", { class: "g-axis" }, axis);
  const side = h("div", { class: "g-side" }, lines.el, histogram.el, maps.el);
  const body = bodyOf({ tree, axis, side, lines, histogram, maps, of, open, steps });
  const twin = h("div", { class: "nbtv-sr", role: "img", hidden: true });
  const wait = h("div", { class: "g-wait", hidden: true });
  const main = h("div", { class: "g-main" }, h("div", { class: "g-corner" }, tree.search), axisBox, tree.el, side, steps.el, wait, status.board, twin, status.banner);
  const root = h("div", { class: `nbtv-gradient-inspector nbtv-view${compact ? " g-compact" : ""}` }, ...(compact ? [] : [head.el]), findings.el, tools, main, note.el, foot.el);
  el.append(root);

  // A view is made before it is in the page, where no style applies yet.
  const link = connect({ model, el: root, onVisible() { colours(); ask(); } });
  link.onKernel(ask);
  followFocus(root, memory);
  root.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input[type=search], select") || narrow || tree.search.offsetParent === null) return;
    event.preventDefault();
    tree.search.focus();
  });

  /** Take what the user chose: painted at once here, told to Python too. */
  function choose(changes) {
    pick = { ...pick, ...changes };
    moved = true;
    for (const [name, value] of Object.entries(changes)) link.intent(name, value);
    ask();
  }

  /** A row was pressed; by a slider it is only selected, in the view over time its line comes or goes too. */
  function press(row, only = false, x = null) {
    const changes = { layer: row.key, of: row.kind === "parameter" ? row.name : "" };
    if (pick.view === "maps" && row.kind === "parameter") changes.shown = `${row.name}.grad`;
    if (pick.view === "time" && pick.drawn === "lines" && !only) changes.picked = toggled(row.id);
    const step = isHeat(pick) && last ? body.stepAt(last, x) : null;
    choose(step === null ? changes : { ...changes, step });
  }

  /** A layer was chosen from the list of narrow views: drawn, if it is not yet. */
  function pressKey(key) {
    const row = allRows.find((each) => each.key === key && each.kind !== "parameter");
    if (row) press(row, pick.view !== "time" || picks().includes(row.id));
  }

  function toggled(id) {
    const picked = picks(), at = picked.indexOf(id);
    if (at >= 0) return picked.map((other, i) => (i === at ? null : other));
    const free = picked.indexOf(null);
    picked[free >= 0 ? free : picked.length < SLOTS ? picked.length : SLOTS - 1] = id;
    return picked;
  }

  /** Ids by colour: those chosen, or the first, middle, last and selected layer, and the one of the worst finding. */
  function picks() {
    if (pick.picked) return [...pick.picked];
    const leaves = leavesOf(), worst = ranked(((model.get("state") || {}).gradients || {}).findings || [])[0];
    const named = (name) => leaves.find(({ key }) => key === name);
    const some = [leaves[0], leaves[leaves.length >> 1], leaves[leaves.length - 1], named(pick.layer), worst && named(worst.layer)]; // what changes comes last: colours stay
    return [...new Set(some.filter(Boolean).map(({ id }) => id))];
  }

  /** "Show me": the view, layer and step of a finding. */
  function show(finding) {
    const row = allRows.find(({ id }) => id === finding.layer) || allRows.find(({ key }) => key && key === finding.layer);
    if (row) {
      for (const block of allRows) if (block.kind === "block" && row.key.startsWith(`${block.key}.`)) open.add(block.id);
      if (row.kind === "parameter") open.add(row.key);
      touched = true;
    }
    tree.search.value = "";
    const shown = viewOf(finding), of = row && row.kind === "parameter" ? row.name : shown === "histograms" ? "@activation" : "";
    choose({ view: shown, ...(row ? { layer: row.key, of } : {}), ...(row && !weighted(row) ? { rows: "all" } : {}) });
  }

  function ask() {
    if (!asked) requestAnimationFrame(paint);
    asked = true;
  }

  const palette = {};
  function colours() {
    const style = getComputedStyle(root);
    for (const [prefix, list] of Object.entries(COLOURS)) for (const name of list) palette[name] = style.getPropertyValue(`--${prefix}-${name}`).trim();
    Object.assign(palette, { text: palette.fg, second: palette.quiet, background: palette.bg, family: style.fontFamily || "sans-serif" });
  }

  const leavesOf = () => allRows.filter((row) => row.kind === "layer" && weighted(row));
  /** Rows without weights have something to show in some views only. */
  const wanted = (row) => weighted(row) || (rowsShown() === "all" && (pick.view === "flow" || pick.view === "histograms" || pick.view === "maps" || (pick.view === "time" && pick.metric === "activation")));
  /** What was chosen, else all layers if there is room for them. */
  const rowsShown = () => pick.rows || (countOfLayers() <= room ? "all" : "weights");

  /** Until the user opens or closes a block: as many levels as there is room for, all layers if they fit. */
  function arrange() {
    if (!allRows.length) return;
    if (!pick.layer) pick = { ...pick, layer: (assumed = (leavesOf()[0] || allRows[0]).key) };
    if (!touched) {
      open.clear();
      for (const id of openAtFirst(allRows, room, wanted)) open.add(id);
    }
    if (pick.layer !== assumed && (shownLayer !== pick.layer || !touched)) for (const { key, kind, id } of allRows) if (kind === "block" && pick.layer.startsWith(`${key}.`)) open.add(id);
    shownLayer = pick.layer;
  }

  function paint() {
    asked = false;
    if (!link.isVisible() || !root.isConnected) return; // becoming visible asks again
    const state = model.get("state") || {}, gone = link.kernelGone(), some = Boolean(packet && packet.columns);
    const mode = gone ? "kernel gone" : (state.chip || {}).mode || "";
    const tall = tree.el.clientHeight;
    if (tall) room = Math.floor(tall / ROW_PX);
    arrange();
    const query = narrow ? "" : tree.search.value, rows = visible(allRows, open, wanted, query);
    const held = pick.step !== null, column = !some ? -1 : held ? Math.max(0, columnOf(packet.steps, pick.step)) : packet.columns - 1;
    const chosen = rows.find((row) => row.kind === "parameter" && row.key === pick.layer && row.name === pick.of) || allRows.find((row) => row.key === pick.layer && row.kind !== "parameter");
    const scene = {
      state, gone, packet, rows, column, held, pick, skew, narrow, middling, compact, chosen, mode, query, flags: flagsOf(state), marked: markedBy((state.gradients || {}).findings || []),
      allRows, wanted, palette, hovered, pointed, leaves: leavesOf(), slots: pick.view === "time" && !isHeat(pick) ? picks() : [], over: hovered && allRows.find(({ id }) => id === hovered),
      grey: Boolean(state.status && state.status.level === "gone"), live: !gone && (mode === "live" || mode === "background"),
    };
    scene.mapped = pick.view === "maps" && some ? maps.header() || { step: packet.steps[column], kept_steps: [] } : null;
    scene.now = scene.mapped && scene.mapped.step ? scene.mapped : { step: some ? packet.steps[column] : 0, ...(some ? packet.header : {}), step: some ? packet.steps[column] : 0 };
    last = scene;
    if (!compact) head.paint(scene);
    findings.paint({ findings: (state.gradients || {}).findings, healthy: some ? healthyWords(packet, state) : ["Nothing to judge yet.", "Rules look at every sampled step once training runs."], early: !some });
    paintTools(scene, some);
    paintStatus(scene, some);
    foot.paint(scene);
    root.classList.toggle("g-empty", !some);
    root.classList.toggle("g-nameless", !some && !rows.length);
    root.classList.toggle("g-grey", scene.grey);
    if (some) paintBody(scene);
    else {
      twin.hidden = true;
      tree.paint({ rows, total: countOfLayers(), chosen: chosen ? chosen.id : "", said: () => "no step yet", swatchOf: () => "", searching: Boolean(query), marked: scene.marked });
      note.paint({ words: "", legend: rows.length ? "early" : "" });
    }
    Object.assign(root.dataset, { range: some && pick.range && pick.view === "time" ? stretchOf(packet.steps, pick.range).shown.map(Math.round).join("-") : "", view: pick.view, layer: chosen ? chosen.id : pick.layer, step: some ? scene.now.step : "", seq: packet && packet.header.seq ? packet.header.seq : "", mode });
    Object.assign(root.dataset, { shown: scene.mapped ? scene.mapped.of || "" : "", channel: scene.mapped ? pick.channel : "" });
    Object.assign(memory, { pick, revision, moved, touched });
    if (memory.leftAt && rebuilt) restoreFocus(root, memory);
    rebuilt = false;
    if (tall !== tree.el.clientHeight) ask(); // the parts around the list have their size only now
    if (packet && packet.header.seq !== acked) {
      acked = packet.header.seq;
      link.ack("gradients", acked);
    }
    if (mapsSeq !== mapsAcked) {
      mapsAcked = mapsSeq;
      link.ack("maps", mapsAcked);
    }
  }

  const countOfLayers = () => allRows.filter(({ kind }) => kind !== "parameter").length;

  /** Banner, board or the words that wait for the first step. */
  function paintStatus({ gone, state, column }, some) {
    const said = gone ? { code: "kernel_gone", level: "gone", title: "Kernel gone.", lines: [some ? `All views still answer, on what was sent up to step ${packet.steps[packet.columns - 1]}.` : ""], actions: [] } : state.status;
    const waiting = !some && (!said || said.code === "waiting"); // said here, not by the shared board
    const above = compact && said && some && isAbove(said);
    const quiet = said && said.code === "one_way"; // the chip says more; a banner would cover rows as long as it lasts
    oneWay = quiet ? `${said.title} Views, layers and steps answer now.` : "";
    const shown = !said || quiet || above ? null : said;
    status.paint({ gone: false, frame: some || waiting ? { header: { step: some ? packet.steps[column] : 0 } } : null, state: { ...state, status: shown }, header: null, rows: [], pick: { layer: "" } }, "");
    wait.hidden = !waiting;
    if (waiting) {
      const words = said || { title: state.model ? `Waiting for the first step of ${state.model}.` : "Waiting for the first step.", lines: ["Run your training loop in the next cell; nothing in it has to change."] };
      const key = JSON.stringify(words);
      if (wait.dataset.key !== key) {
        wait.dataset.key = key;
        wait.replaceChildren(h("b", {}, words.title), ...(words.lines || []).map((text) => h("p", {}, ...worded(text))), h("p", { class: "nbtv-quiet" }, "Norms appear with the first step, one row per layer."));
      }
    }
  }

  function paintTools(scene, some) {
    const { view: shown } = pick, time = shown === "time", heat = isHeat(pick);
    tabs.set(shown);
    which.set(rowsShown());
    drawn.set(pick.drawn);
    if (document.activeElement !== metric.el) metric.el.value = pick.metric;
    which.el.hidden = !some || narrow || shown === "ratio" || (shown === "maps" && middling) || (time && pick.metric !== "activation");
    drawn.el.hidden = !some || !time;
    metric.el.hidden = !some || !time;
    of.el.hidden = !some || shown !== "histograms";
    layers.el.hidden = !some || !narrow || (shown !== "histograms" && shown !== "maps" && !(time && !heat));
    if (!layers.el.hidden) layers.set(allRows.filter((row) => row.kind !== "parameter" && (shown === "histograms" || shown === "maps" || wanted(row))).map(({ key }) => [key, key]), pick.layer);
    const mapped = some && shown === "maps";
    maps.el.hidden = !mapped;
    if (!mapped) for (const el of maps.controls) el.hidden = true;
    else maps.controls[0].hidden = false;
    const words = some && shown !== "histograms" && !mapped ? totalWords(packet, scene.column) : null;
    total.hidden = !words || narrow;
    const key = JSON.stringify([words, shown]);
    if (words && total.dataset.key !== key) {
      total.dataset.key = key;
      total.replaceChildren(h("span", { class: "nbtv-quiet" }, "all parameters: "), h("b", {}, words.now), h("span", { class: "nbtv-quiet" }, shown === "time" ? "" : words.rest));
      total.title = words.title;
    }
  }

  function paintBody(scene) {
    const { rows, column, chosen, slots } = scene, known = body.values(scene), beside = isBeside(pick);
    const said = (row) => rowWords(packet, row, known.valueOf(row), column, pick.view);
    root.classList.toggle("g-beside", beside);
    root.classList.toggle("g-mapped", pick.view === "maps");
    root.classList.toggle("g-timed", pick.view === "time" && !compact);
    tree.paint({
      rows, total: countOfLayers(), chosen: chosen ? chosen.id : "", said, searching: Boolean(scene.query), marked: scene.marked,
      swatchOf: (row) => { const at = slots.indexOf(row.id); return at < 0 ? "" : `var(--l-line${at})`; },
    });
    body.paint(scene, known);
    const spokenHere = pick.view === "histograms" || pick.view === "maps", words = spokenHere ? spoken : body.wordsOf(scene, known);
    note.paint({ words, status: oneWay || status.line.textContent, legend: isHeat(pick) ? "heat" : pick.view, narrow: narrow || compact, zones: packet.header.zones, smoothed: WEIGHT, maps: pick.view === "maps" ? maps.note(scene) : null });
    const all = beside ? `${isHeat(pick) ? metricWords(pick.metric) : pick.view} at step ${packet.steps[column]}. ${rows.slice(0, 40).map((row) => `${row.id}: ${said(row)}`).join("; ")}.` : "";
    twin.hidden = !beside;
    if (all && twin.getAttribute("aria-label") !== all) twin.setAttribute("aria-label", all);
  }

  function flagsOf(state) {
    const found = ranked((state.gradients || {}).findings || []).map(({ since_step: step, title }) => ({ step, text: title, kind: "finding" }));
    return [...((packet && packet.header.flags) || []), ...found];
  }

  function onPicture() {
    const data = model.get("picture");
    if (data && data.byteLength) {
      packet = read(data);
      const now = JSON.stringify([packet.header.layers, packet.header.parameters]);
      if (now !== names) { names = now; allRows = rowsOf(packet.header); }
    }
    ask();
  }

  function onMaps() {
    const data = model.get("maps");
    if (data && data.byteLength) mapsSeq = maps.take(data);
    ask();
  }

  function onSelection() {
    const { rev = -1, heard = {}, ...said } = model.get("selection") || {};
    const late = (heard[link.view] || 0) < link.moves(); // a newer move of ours is on its way: it comes back with all
    if (!late && (rev > revision || (rev === revision && !moved))) {
      if (rev > revision) moved = false;
      revision = rev;
      pick = { ...pick, ...said };
    }
    ask();
  }

  function onState() {
    const { now_s: now } = model.get("state") || {};
    if (now) skew = now - Date.now() / 1000;
    ask();
  }

  const stopHearing = hearAsked(root, ({ kind, finding }) => kind === "gradient-inspector" && show(finding));
  const resizes = new ResizeObserver(([entry]) => {
    narrow = entry.contentRect.width < NARROW_PX - 2;
    middling = entry.contentRect.width < MIDDLE_PX;
    root.classList.toggle("g-narrow", narrow);
    root.classList.toggle("nbtv-tiny", entry.contentRect.width < TINY_PX);
    ask();
  });
  resizes.observe(root);
  tree.el.addEventListener("scroll", ask);
  const listeners = [["change:picture", onPicture], ["change:maps", onMaps], ["change:selection", onSelection], ["change:state", onState]];
  for (const [event, listener] of listeners) model.on(event, listener);
  const stopTheme = watchTheme(root, (now) => { dark = now; root.classList.toggle("nbtv-dark", dark); colours(); ask(); });
  const clock = setInterval(() => link.isVisible() && ask(), 1000);
  onState();
  onPicture();
  onMaps();
  onSelection();
  return () => {
    Object.assign(memory, { pick, revision, moved, touched }); // what was chosen since the last paint, too
    for (const [event, listener] of listeners) model.off(event, listener);
    clearInterval(clock);
    resizes.disconnect();
    stopHearing();
    stopTheme();
    link.dispose();
  };
}
