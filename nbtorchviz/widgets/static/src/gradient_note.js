// The lines below the picture: what its marks mean, where the bands come from; under the pointer the numbers.

import { h } from "./dom.js";
import { BAND } from "./gradient_math.js";

const mark = (kind, words) => h("span", { class: "g-legend" }, h("i", { class: `g-i-${kind}` }), words);

function legendOf({ legend, zones = {}, smoothed, narrow, maps }) {
  if (maps) return maps.map((line) => [line]);
  const gradient = zones.gradient, ratio = zones.ratio;
  if (legend === "early") return [[""], ["Pick a layer now; it is the one that histograms begin with."]];
  if (narrow && legend === "flow") {
    return [[mark("dot", "parameters"), mark("ring", "output"), mark("band", `last ${BAND}`), ...(gradient ? [mark("zone", `×${gradient.factor} of the last`)] : [])], ["Norms of d loss/d …, from the input down to the loss."]];
  }
  if (narrow && legend === "ratio") return [[mark("dot", "‖update‖ ÷ ‖weights‖"), mark("band", `last ${BAND}`), ...(ratio ? [mark("zone", "about 1e\u22123")] : [])], [ratio ? `${ratio.source}.` : ""]];
  if (narrow && legend === "time") return [["Thin: every sample. Thick: two-sided mean of logs."], ["Layer adds a line. Grey: the other layers."]];
  if (narrow && legend === "histograms") return [["Bins are powers of two; zero in the middle."], ["Strip: one line per kept step, the newest on top."]];
  if (legend === "flow") {
    return [[mark("dot", "d loss/d parameters"), mark("ring", "d loss/d output"), mark("band", `last ${BAND} samples`), ...(gradient ? [mark("zone", `within ×${gradient.factor} of the layer next to the loss`)] : [])],
      [`Input at the top, loss below.${gradient ? ` Zone: ${gradient.source}.` : ""}`]];
  }
  if (legend === "ratio") return [[mark("dot", "‖update‖ ÷ ‖weights‖"), mark("band", `last ${BAND} samples`), ...(ratio ? [mark("zone", `${ratio.low} to ${ratio.high}`)] : [])], [ratio ? `${ratio.source}.` : "", " Effective lr: ‖update‖ ÷ ‖gradient‖. Over 2,048 values: estimates."]];
  if (legend === "time") return [["Press a layer to draw its line or to take it away. Grey: the other layers."], [`Thin: every sample. Thick: two-sided mean of the logarithm, weight ${smoothed} per sample.`]];
  if (legend === "heat") return [["Each row in proportion to its own median over the run: white is the median."], ["Red hatching: NaN or Inf. Blank: not measured."]];
  if (legend === "histograms") return [["Bins are powers of two, from large negative over zero to large positive values; bars and strip share the axis."], ["Strip: one line per kept step, the newest at the top. Counts above 20 are right to 2 %."]];
  return [[""], [""]];
}

/** Make the note; `paint({words, status, legend})` shows what is pointed at, or a state, in the place of its second line. */
export function noteOf() {
  const first = h("div"), second = h("div"), el = h("div", { class: "g-note" }, first, second);
  let key = "";
  function paint(said) {
    const now = JSON.stringify(said);
    if (now === key) return;
    key = now;
    const [marks, words] = legendOf(said);
    first.replaceChildren(...marks);
    const over = said.words || said.status;
    second.replaceChildren(...(over ? [over] : words));
    second.className = said.words ? "g-said" : over ? "g-said g-status" : "";
    second.title = second.textContent;
  }
  return { el, paint };
}
