// The values of one tensor as maps: the gradient of a layer's output, a parameter or its gradient. Colours are
// centred on zero. Trait `maps`: a packet like an ActivationBrowser's frame; its header also has `asked` (the
// selected layer), `of` (what is shown), `noun`, `state`, `kept_steps` and, for kernels, `inputs` and `part`.

import { KEYS, combobox, h, segmented } from "./dom.js";
import { ofWords } from "./gradient_words.js";
import { scales, tableOf } from "./map_colours.js";
import { gridOf } from "./map_grid.js";
import { histogramOf } from "./map_histogram.js";
import { inputOf } from "./map_input.js";
import { largeOf } from "./map_large.js";
import { times } from "./map_math.js";
import { planeIn, planeOf } from "./map_plane.js";
import { LISTED, valuesOf } from "./map_values.js";
import { decode } from "./packet.js";

export const OUTPUT = "@gradient", GRADIENT = ".grad";
const MOST_INPUTS = 4096;

/** What a layer or parameter can show: [value, words]. */
export function shownOf(row) {
  const own = row ? (row.kind === "parameter" ? [row.name] : row.own) : [];
  const layer = row && row.kind === "parameter" && row.key === row.name ? [] : [[OUTPUT, ofWords(OUTPUT)]];
  return [...layer, ...own.flatMap((name) => [[`${name}${GRADIENT}`, ofWords(name)], [name, name]])];
}

/** What is wanted of a row: the choice, where the row has it. */
export const wantedOf = (row, shown) => { const known = shownOf(row).map(([value]) => value); return known.includes(shown) ? shown : known[0]; };

/** What a packet shows, in words: "weight of conv1". */
export function titleOf({ of, layer, asked, tied = [] }) {
  if (of === OUTPUT) return `d loss / d output of ${layer}`;
  const names = [layer, ...tied].join(" = ") + (tied.length ? " (tied)" : "");
  return of.endsWith(GRADIENT) ? `d loss / d ${names}` : layer === asked || tied.length ? names : `${of} of ${asked}`;
}

/** Make the view and its controls; `view.choose(changes)`, `view.say(words)` and `view.ask()` hear of them. */
export function mapsOf(view, memory) {
  const kept = (memory.maps ||= { cross: null, zoomed: false, lock: "auto", counts: "log", last: null }), scaling = scales();
  const map = {
    ask: view.ask, choose: view.choose, say: (words) => view.say(words || ""),
    point(row, col) {
      const at = shown && planeIn(shown);
      if (at && at.fold) return view.choose({ channel: shown.header.first + Math.min(at.count - 1, row * at.fold + col) });
      kept.cross = { row, col };
      view.ask();
    },
    release() { if (kept.zoomed) map.zoom(); else { kept.cross = null; view.ask(); } },
    zoom() { kept.zoomed = !kept.zoomed; view.ask(); requestAnimationFrame(() => (kept.zoomed ? wide.el : el.querySelector(".nbtv-cell[tabindex='0']:not([hidden])"))?.focus()); },
    set(changes) { Object.assign(kept, changes); if (changes.lock) scaling.forget(); view.ask(); },
  };
  const grid = gridOf(map), input = inputOf(map), large = largeOf(map), histogram = histogramOf(map), values = valuesOf(map), wide = planeOf(map, "Enlarged");
  const back = h("button", { type: "button", ...KEYS, onclick: () => map.zoom() }, "Back to all");
  const stage = h("div", { class: "nbtv-stage" }, wide.el, back), nothing = h("div", { class: "g-nothing" });
  const title = h("div", { class: "g-maps-title" }), body = h("div", { class: "nbtv-body" }, grid.el, stage, values.el, nothing);
  const side = h("div", { class: "g-maps-side" }, input.el, large.el, histogram.el, histogram.numbers);
  const el = h("div", { class: "g-maps" }, h("div", { class: "g-maps-main" }, title, body), side);
  const of = combobox("Tensor", (shown) => view.choose({ shown }));
  const part = combobox("Input channel", (value) => view.choose({ part: value === "" ? null : Number(value) }));
  const scale = segmented("Scale", [["channel", "own scale"], ["layer", "one scale"]], (normalize) => view.choose({ normalize }));
  let shown = null;

  /** Everything the parts need to paint; null where there is no picture. */
  function sceneOf({ pick, grey, compact, narrow }) {
    const frame = kept.last;
    if (!frame || frame.header.view === "none") return null;
    const { header, arrays } = frame, colormap = "diverging";
    return {
      frame, header, grey, compact: false, narrow, tight: narrow || compact, waiting: false, state: {}, colormap, centred: true, lock: kept.lock, counts: kept.counts, cross: kept.cross,
      pick: { ...pick, order: "index", channel: Math.min(pick.channel, Math.max(0, header.view === "matrix" ? 0 : header.total - 1)) },
      table: tableOf(grey ? "gray" : colormap), tile: arrays.planes.shape.slice(1),
      scaleOf: (plane) => scaling.of(frame, plane, { normalize: pick.normalize, colormap, lock: kept.lock }),
    };
  }

  /** Whether the packet that came last is of what is chosen now. */
  const fits = ({ pick, chosen }) => Boolean(kept.last) && kept.last.header.asked === pick.layer && kept.last.header.of === wantedOf(chosen, pick.shown);

  function paintTools({ pick, chosen, middling }) {
    of.set(shownOf(chosen), wantedOf(chosen, pick.shown));
    const header = kept.last && kept.last.header, inputs = header && header.inputs ? Math.min(MOST_INPUTS, header.inputs) : 0;
    part.el.hidden = !inputs;
    if (inputs) part.set([["", "mean over inputs"], ...Array.from({ length: inputs }, (_, i) => [String(i), `input ${i}`])], pick.part === null ? "" : String(pick.part));
    scale.set(pick.normalize);
    scale.el.hidden = !header || header.view !== "maps";
    ["own", "one"].forEach((word, i) => { scale.buttons[i].textContent = middling ? word : `${word} scale`; });
  }

  function paint(scene, { width, height }) {
    paintTools(scene);
    shown = sceneOf(scene);
    const header = kept.last && kept.last.header, late = header && !fits(scene);
    const kind = !shown ? "none" : header.view === "scalar" || (header.view === "strip" && header.total <= LISTED) ? "values" : header.view === "maps" && !kept.zoomed ? "maps" : "plane";
    grid.el.hidden = kind !== "maps";
    stage.hidden = kind !== "plane";
    values.el.hidden = kind !== "values";
    nothing.hidden = Boolean(shown);
    side.hidden = !shown;
    back.hidden = !(shown && header.view === "maps");
    el.classList.toggle("g-late", Boolean(late));
    const text = header ? [titleOf(header), shown ? about(header) : ""] : ["", ""];
    if (title.dataset.key !== text.join("|")) {
      title.dataset.key = text.join("|");
      title.replaceChildren(h("b", {}, text[0]), h("span", { class: "nbtv-quiet" }, text[1]));
    }
    if (!shown) nothing.textContent = (header && !late && header.message) || (scene.gone ? "No picture came before the kernel was gone." : scene.mode === "one-way" ? "It comes when the cell ends." : "It comes with the next step.");
    if (!shown) return;
    const big = scene.narrow || height < 300 ? 112 : header.input ? 136 : 168, down = height - 36 - (scene.narrow ? big + 34 : 0);
    const across = width - (scene.narrow ? 32 : 272 + 16 + 8);
    input.el.hidden = !header.input || scene.narrow;
    if (!input.el.hidden) input.paint(shown, 48);
    el.classList.toggle("g-matrix", header.view === "matrix");
    if (kind === "maps") { grid.resize(across, down, down); grid.paint(shown); }
    else if (kind === "plane") wide.paint(shown, [Math.min(header.view === "maps" ? 392 : Infinity, across), Math.min(392, down - (back.hidden ? 4 : 36))]);
    else if (kind === "values") values.paint(shown);
    large.paint(shown, big);
    histogram.paint(shown, 240);
    histogram.el.hidden = scene.narrow || height < 370;
  }

  /** What a picture is of, beside its title. */
  function about({ shape, step, of: what, sample, sample_word: word = "sample", input: given }) {
    const item = what === OUTPUT ? `, ${word} ${sample}${given && given.label != null ? ` (label ${given.label})` : ""}` : "";
    return `${times(shape)}, step ${step}${item}`;
  }

  /** How to read what is painted, and what is to be known about it. */
  function note(scene) {
    if (!shown) return ["", ""];
    const { header } = shown.frame, { view: how } = header;
    const own = how !== "maps" ? "" : scene.pick.normalize === "layer" ? " One scale: colours of all compare." : scene.narrow ? "" : " Beside each number: its own largest size, the end of its colours.";
    const late = fits(scene) ? [] : [`${titleOf(header)} of step ${header.step}; what was chosen comes with the next step`];
    const preview = header.preview ? [`kept picture of step ${header.step}`] : [];
    return [`Zero is white, blue below, red above.${own}`, [...late, ...preview, ...(header.notes || [])].join("; ")];
  }

  return {
    el, controls: [of.el, part.el, scale.el], paint, note,
    /** Take a packet; returns its sequence number. */
    take(data) {
      const before = kept.last && kept.last.header;
      kept.last = decode(data);
      const { header } = kept.last;
      if (before && (before.layer !== header.layer || before.of !== header.of)) kept.cross = null;
      return header.seq;
    },
    header: () => kept.last && kept.last.header,
    words: () => (shown ? `${titleOf(shown.frame.header)}, step ${shown.frame.header.step}` : nothing.textContent),
  };
}
