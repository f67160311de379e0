// The ActivationBrowser: holds what the user selected, and paints at most once per animation frame.

import { KEYS, TINY_PX, combobox, h, segmented } from "./dom.js";
import { connect } from "./link.js";
import { COLORMAPS } from "./map_colours.js";
import { footOf } from "./map_foot.js";
import { gridOf } from "./map_grid.js";
import { headerOf } from "./map_header.js";
import { histogramOf } from "./map_histogram.js";
import { inputOf } from "./map_input.js";
import { keyOf, noteOf } from "./map_key.js";
import { largeOf } from "./map_large.js";
import { times } from "./map_math.js";
import { overviewOf } from "./map_overview.js";
import { nonfiniteOf } from "./map_nonfinite.js";
import { planeIn, planeOf } from "./map_plane.js";
import { download, pictureOf } from "./map_save.js";
import { store } from "./map_scene.js";
import { statusOf } from "./map_status.js";
import { followFocus, memoryOf, restoreFocus } from "./memory.js";
import { treeOf } from "./map_tree.js";
import { LISTED, valuesOf } from "./map_values.js";
import { watchTheme } from "./theme.js";

const NARROW_PX = 740, MIDDLE_PX = 860; // JupyterLab's output is 768 wide beside its file browser
const ALL = "overview", BROKEN = "nonfinite"; // what "Show" calls all layers, and the first NaN
const FIRST = { layer: "", path: "", sample: 0, channel: 0, slice: 0, show: "activation", colormap: "viridis", normalize: "channel", order: "index", overview: "", hold: false, step: null };

export function render({ model, el }) {
  const options = model.get("options") || {}, compact = Boolean(options.compact);
  const memory = memoryOf(options.id), kept = (memory.kept ||= store());
  let { pick = FIRST, revision = -1, moved = false, cross = null, zoomed = false, lock = "auto", counts = "log", mapped = false } = memory;
  let seq = 0, acked = 0, strips = 0, painted = 0, asked = false, scene = null, size = null;
  let hovered = null, skew = 0, narrow = false, middling = false, rebuilt = true;

  const view = {
    ask, choose,
    act: (id) => link.action(id),
    pin(on) {
      link.intent("pin", on && scene && scene.frame ? scene.frame.header.seq : on); // the input that is seen now
      if (pick.hold || pick.step !== null) choose({ hold: false, step: null }); // of the other input
    },
    point(row, col) {
      const at = scene && planeIn(scene);
      if (at && at.fold) return choose({ channel: scene.frame.header.first + Math.min(at.count - 1, row * at.fold + col) });
      cross = { row, col };
      ask();
    },
    release() { if (zoomed) view.zoom(); else { cross = null; ask(); } },
    zoom() {
      zoomed = !zoomed;
      paint(); // at once: the next key goes to what is shown now
      (zoomed ? wide.el : root.querySelector(".nbtv-cell[tabindex='0']:not([hidden])"))?.focus();
    },
    say(text) { if (text !== hovered) { hovered = text; ask(); } },
    set(changes) { ({ lock = lock, counts = counts } = changes); if (changes.lock) kept.forget(); ask(); },
    visit(place) {
      pick = { ...pick, layer: place.layer, path: "", slice: 0, overview: "" };
      moved = true;
      link.intent("visit", place); // Python knows which frames are kept, and answers with the step
      ask();
    },
    leave() { memory.left = (found() || {}).seq; memory.called = null; ask(); },
    save,
  };

  const head = headerOf(view), tree = treeOf(view, (memory.closed ||= new Set())), foot = footOf(view), key = keyOf(), status = statusOf(view);
  const grid = gridOf(view);
  const large = largeOf(view), input = inputOf(view), histogram = histogramOf(view), values = valuesOf(view);
  const wide = planeOf(view, "Enlarged channel");
  const back = h("button", { type: "button", "data-lm-suppress-shortcuts": "true", onclick: () => view.zoom() }, "Back to all channels");
  const stage = h("div", { class: "nbtv-stage" }, wide.el, back);
  const count = h("div", { class: "nbtv-count" });
  const scale = segmented("Scale", [["channel", "own scale"], ["layer", "one scale"]], (normalize) => choose({ normalize }));
  scale.el.title = "Colours: each channel on its own scale, or all on one";
  const overview = overviewOf(view, tree);
  const show = combobox("Show", (word) => word === BROKEN ? call() : choose(word === ALL ? { overview: overview.statistic() } : { show: word, ...(pick.overview ? { overview: "" } : {}) }));
  const broken = nonfiniteOf(view);
  const order = combobox("Order", (by) => choose({ order: by }));
  const map = combobox("Colour map", (colormap) => { mapped = true; choose({ colormap }); });
  const output = combobox("Output", (path) => choose({ path }));
  const picker = combobox("Layer", (layer) => choose({ layer }));
  const fold = h("button", { type: "button", class: "nbtv-fold", "aria-pressed": "false", title: "The enlarged channel, the input and the numbers in place of all channels", ...KEYS, onclick: () => { memory.unfolded = !memory.unfolded; ask(); } }, "Details");
  const narrowRow = h("div", { class: "nbtv-layer-row" }, h("span", { class: "nbtv-quiet" }, "Layer"), picker.el, fold);
  const tools = h("div", { class: "nbtv-tools" }, count, output.el, scale.el, order.el, map.el);
  const body = h("div", { class: "nbtv-body" }, grid.el, stage, values.el, status.board);
  const middle = h("div", { class: "nbtv-middle" }, narrowRow, tools, body, h("div", { class: "nbtv-below" }, status.line, key.el, status.banner));
  const right = h("div", { class: "nbtv-right" }, input.el, large.el, histogram.el, histogram.numbers);
  const root = h("div", { class: `nbtv-activation-browser nbtv-view${compact ? " nbtv-compact-map" : ""}` }, ...(compact ? [] : [head.el]), tree.el, middle, right, overview.el, broken.el, foot.el);
  el.append(root);
  if (compact) large.el.querySelector(".nbtv-large-body").append(histogram.canvas);
  map.set(COLORMAPS.map((name) => [name, name]), pick.colormap);
  order.set([["index", "by index"], ["mean", "by mean"], ["zero", "by zeros"]], pick.order);

  const link = connect({ model, el: root, onVisible: ask });
  link.onKernel(ask);
  followFocus(root, memory);
  root.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input[type=search], select") || narrow) return;
    event.preventDefault();
    tree.search.focus();
  });

  /** Take what the user chose: painted at once here, told to Python for what only it can do. */
  function choose(changes) {
    if (["layer", "show", "overview", "step"].some((name) => name in changes)) view.leave();
    if (changes.layer && changes.layer !== pick.layer) {
      cross = null; // a held step stays held
      pick = { ...pick, path: "", slice: 0 };
    }
    pick = { ...pick, ...changes };
    moved = true;
    for (const [name, value] of Object.entries(changes)) link.intent(name, value);
    ask();
  }

  /** The report on the first NaN that Python speaks of, if it has come. */
  function found() {
    const said = (model.get("state") || {}).nonfinite;
    return said && said.seq === broken.seq() ? said : null;
  }

  function call() {
    const said = found();
    memory.left = null;
    memory.called = said && said.seq;
    ask();
  }

  function remember() {
    Object.assign(memory, { pick, revision, moved, cross, zoomed, lock, counts, mapped });
  }

  function ask() {
    if (!asked) requestAnimationFrame(paint);
    asked = true;
  }

  function paint() {
    asked = false;
    if (!link.isVisible() || !root.isConnected) return; // becoming visible asks again
    const state = model.get("state") || {}, gone = link.kernelGone();
    const grey = Boolean(state.status && state.status.level === "gone");
    const mode = gone ? "kernel gone" : (state.chip || {}).mode || "";
    scene = kept.look({
      pick, rows: model.get("layers") || [], state, lock, counts, grey, compact, narrow, tight: narrow || compact || middling, mapped: mapped || pick.colormap !== FIRST.colormap, gone, cross, skew,
      pinned: (state.browser || {}).pinned, live: !gone && (mode === "live" || mode === "background"),
      side: compact && narrow ? Math.max(112, Math.min(196, root.clientWidth - 268)) : narrow && root.clientWidth < 412 ? 112 : compact || narrow ? 140 : middling ? 168 : 196,
    });
    const { header, frame } = scene;
    if (!compact) head.paint(scene);
    const said = found(), reports = Boolean(said) && memory.left !== said.seq && (broken.drawn() || memory.called === said.seq);
    root.classList.toggle("nbtv-reports", reports);
    root.classList.toggle("nbtv-unfolded", Boolean(memory.unfolded));
    fold.setAttribute("aria-pressed", String(Boolean(memory.unfolded)));
    const all = Boolean(pick.overview) && !reports;
    root.classList.toggle("nbtv-all-layers", all);
    if (!narrow || all) tree.paint(scene);
    broken.paint(scene, reports);
    const shown = overview.paint(all || !pick.overview ? scene : { ...scene, pick: { ...pick, overview: "" } }, tree.visible(), (memory.closed ||= new Set()));
    paintTools();
    status.paint(scene, hovered || noteOf(scene));
    key.paint(scene);
    paintBody();
    foot.paint(scene, narrow ? scene.rows : tree.visible());
    right.classList.toggle("nbtv-nothing", !frame);
    if (frame) {
      large.paint(scene, scene.side);
      histogram.paint(scene, compact ? 72 : middling ? 224 : 240);
    }
    input.paint(scene, compact ? 56 : middling ? 72 : 84);
    if (strips !== painted && (shown || !all)) link.ack("strips", (painted = strips));
    Object.assign(root.dataset, {
      overview: shown ? pick.overview : "", nonfinite: reports ? said.step : "", layer: header ? header.layer : "", channel: scene.pick.channel, step: frame ? header.step : "", seq: header && header.seq ? header.seq : "", mode,
    });
    remember();
    if (memory.leftAt && rebuilt) restoreFocus(root, memory);
    rebuilt = false;
    if (seq !== acked) {
      acked = seq;
      requestAnimationFrame(() => link.ack("frame", acked));
    }
  }

  function paintTools() {
    const { frame, header, row } = scene, browser = scene.state.browser || {};
    const n = frame ? header.total : 0;
    const nouns = { maps: ["channel", "channels"], matrix: [header && header.rows, `${header && header.rows}s`], strip: ["value", "values"], scalar: ["value", "values"] };
    const words = frame ? (nouns[header.view] || nouns.maps)[n === 1 ? 0 : 1] : "";
    count.hidden = !compact && (middling || (narrow && root.clientWidth < 450)) && Boolean(frame) && header.view === "maps"; // the header says it, the line below too
    const text = compact ? [header ? header.layer : pick.layer, frame ? `${header.type}, ${times(header.shape)}` : ""] : [frame ? `${n} ${words}` : "", ""];
    if (count.dataset.text !== text.join("|")) {
      count.dataset.text = text.join("|");
      count.replaceChildren(h("b", { title: text[0] }, h("bdi", {}, text[0])), ...(text[1] ? [h("span", { class: "nbtv-quiet" }, ` ${text[1]}`)] : []));
    }
    scale.set(pick.normalize);
    scale.el.hidden = Boolean(frame) && header.view !== "maps";
    ["own", "one"].forEach((word, i) => { scale.buttons[i].textContent = compact && middling || (scene.tight && i) ? word : `${word} scale`; });
    map.el.value = scene.colormap;
    order.el.value = pick.order;
    const gradient = browser.gradient || { enabled: true, reason: "" };
    const noGradient = !gradient.enabled && pick.show === "activation";
    const said = found(), reports = root.classList.contains("nbtv-reports");
    show.set([["activation", "activation"], ...(noGradient ? [] : [["gradient", "gradient"]]), [ALL, "all layers"], ...(said ? [[BROKEN, `first ${said.word}`]] : [])], reports ? BROKEN : pick.overview ? ALL : pick.show);
    show.el.title = gradient.reason || "Activation, gradient of the loss with respect to it, or a statistic of all layers over the steps";
    const paths = (row && row.paths) || [""];
    output.el.hidden = paths.length < 2;
    if (paths.length > 1) output.set(paths.map((path) => [path, path === "" ? "output" : `output ${path}`]), pick.path || (header && header.path) || paths[0]);
    order.el.hidden = narrow || compact || paths.length > 1 || (frame && header.view !== "maps");
    if (narrow) picker.set(scene.rows.map((r) => [r.key, r.key]), pick.layer);
  }

  const bannerHeight = () => (status.banner.hidden ? 0 : status.banner.offsetHeight);

  /** Width of the body, and its height without a banner. */
  function measure() {
    return (size = [body.clientWidth, body.clientHeight + bannerHeight()]);
  }

  /** [width, height, height without a banner]. Sizes are kept: asking in the middle of a paint lays the
   *  whole page out. A banner that comes or goes counts at once, before the observer has heard of it. */
  function bodySize() {
    const [across, whole] = size || measure();
    return [across, whole - bannerHeight(), whole];
  }

  function paintBody() {
    const { frame, header } = scene;
    const kind = !frame ? "none" : header.view === "scalar" || (header.view === "strip" && header.total <= LISTED) ? "values" : header.view === "maps" && !zoomed ? "maps" : "plane";
    grid.el.hidden = kind !== "maps";
    stage.hidden = kind !== "plane";
    values.el.hidden = kind !== "values";
    back.hidden = !(frame && header.view === "maps");
    middle.classList.toggle("nbtv-no-picture", kind === "none");
    if (kind === "maps") {
      grid.resize(...bodySize());
      grid.paint(scene);
    } else if (kind === "plane") {
      const room = back.hidden ? 0 : 32, most = header.view === "maps" ? 392 : Infinity;
      const [across, down] = bodySize();
      wide.paint(scene, [Math.min(most, across - 4), Math.min(most, down - 4 - room)]);
    } else if (kind === "values") values.paint(scene);
  }

  function save() {
    const { frame } = scene, plane = frame && planeIn(scene);
    if (!plane) return;
    const maps = !grid.el.hidden;
    const captions = maps ? grid.captions() : [];
    const canvas = pictureOf(scene, { canvas: maps ? grid.canvas : null, tall: maps ? grid.whole() : 0, captions, plane: large.plane.canvas, bar: large.bar, range: scene.scaleOf(plane.index), input }, root);
    download(canvas, `${frame.header.layer.replace(/[^\w.-]/g, "_")}-step${frame.header.step}.png`);
  }

  function onPicture() {
    const data = model.get("picture");
    if (data && data.byteLength) seq = kept.frame(data);
    ask();
  }

  function onStrips() {
    const data = model.get("strips");
    if (data && data.byteLength) strips = overview.take(data);
    ask();
  }

  function onNonfinite() {
    const data = model.get("nonfinite");
    if (data && data.byteLength) link.ack("nonfinite", broken.take(data));
    ask();
  }

  function onSelection() {
    const { rev = -1, heard = {}, pinned, call, ...said } = model.get("selection") || {};
    const late = (heard[link.view] || 0) < link.moves(); // a newer move of ours is on its way: it comes back with all
    if (!late && (rev > revision || (rev === revision && !moved))) {
      if (rev > revision) moved = false;
      if (rev > revision && revision >= 0 && said.colormap !== pick.colormap) mapped = true;
      if (said.layer !== pick.layer) cross = null;
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

  function onMessage(content, buffers) {
    if (!content || content.type !== "thumbs" || !buffers || !buffers.length) return;
    const taken = kept.thumbnails(buffers[0]);
    ask();
    requestAnimationFrame(() => link.ack("thumbs", taken));
  }

  const resizes = new ResizeObserver(([entry]) => {
    narrow = entry.contentRect.width < NARROW_PX - 2;
    middling = !narrow && entry.contentRect.width < MIDDLE_PX;
    root.classList.toggle("nbtv-middling-map", middling);
    root.classList.toggle("nbtv-narrow-map", narrow);
    root.classList.toggle("nbtv-tiny", entry.contentRect.width < TINY_PX);
    if (narrow) fold.before(foot.layer.el);
    else foot.row.prepend(foot.layer.el);
    if (narrow) count.after(show.el);
    else if (compact || middling) tree.top.append(show.el);
    else head.when.before(show.el);
    ask();
  });
  resizes.observe(root);
  const bodies = new ResizeObserver(() => {
    measure();
    ask();
  });
  bodies.observe(body);
  const listeners = [["change:picture", onPicture], ["change:strips", onStrips], ["change:nonfinite", onNonfinite], ["change:selection", onSelection], ["change:layers", ask], ["change:state", onState], ["msg:custom", onMessage]];
  for (const [event, listener] of listeners) model.on(event, listener);
  const stopTheme = watchTheme(root, (dark) => { root.classList.toggle("nbtv-dark", dark); kept.forget(); overview.forget(); broken.forget(); ask(); });
  const clock = setInterval(() => link.isVisible() && ask(), 1000);
  onState();
  onSelection();
  onPicture();
  onStrips();
  onNonfinite();
  return () => {
    remember(); // what was chosen since the last paint, too
    for (const [event, listener] of listeners) model.off(event, listener);
    clearInterval(clock);
    resizes.disconnect();
    bodies.disconnect();
    overview.dispose();
    broken.dispose();
    stopTheme();
    link.dispose();
  };
}
