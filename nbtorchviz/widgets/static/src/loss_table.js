// The legend table and the controls of the loss view.

import { KEYS, combobox, h, segmented, slider } from "./dom.js";
import { lineSample } from "./loss_dom.js";
import { formatValue } from "./loss_math.js";

const EYE = "M1 8c3-5 11-5 14 0-3 5-11 5-14 0z";

/** Legend: sample, name, latest, best, eye. `toggle(key, solo)` is called for the eyes. */
export function legend(toggle) {
  const body = h("tbody");
  const table = h("table", {},
    h("thead", {}, h("tr", {}, ...["line", "latest", "best", "show"].map((word, i) => h("th", { scope: "col", class: i ? "" : "nbtv-sr", colspan: i === 1 || i === 2 ? 2 : i ? 1 : 2 }, word)))),
    body);
  let rows = new Map();
  const make = (key) => {
    const cells = { sample: h("td", { class: "l-swatch" }), name: h("th", { scope: "row" }), latest: h("td", { class: "l-num" }), at: h("td", { class: "l-at" }), best: h("td", { class: "l-num" }), bestAt: h("td", { class: "l-at" }) };
    const eye = h("button", { type: "button", class: "l-eye", ...KEYS, onclick: (e) => toggle(key, e.altKey) },
      svg("0 0 16 16", ["path", { d: EYE }], ["circle", { cx: 8, cy: 8, r: 2.2 }]));
    const row = h("tr", {}, cells.sample, cells.name, cells.latest, cells.at, cells.best, cells.bestAt, h("td", {}, eye));
    return { ...cells, row, eye, painted: "" };
  };
  const update = (lines) => {
    const wanted = lines.map((l) => l.key).join("\n");
    if (wanted !== [...rows.keys()].join("\n")) {
      rows = new Map(lines.map((l) => [l.key, rows.get(l.key) || make(l.key)]));
      body.replaceChildren(...[...rows.values()].map((r) => r.row));
    }
    for (const l of lines) {
      const r = rows.get(l.key);
      const state = JSON.stringify([l.label, l.detail, l.line.latest, l.line.best, l.hidden]);
      if (r.painted === state) continue;
      r.painted = state;
      r.sample.replaceChildren(lineSample(l));
      r.name.replaceChildren(h("span", { class: "l-name", title: l.line.name }, l.label), l.detail ? h("span", { class: "nbtv-quiet" }, ` ${l.detail}`) : "");
      const [step, value] = l.line.latest;
      r.latest.textContent = formatValue(value);
      r.latest.classList.toggle("l-broken", typeof value === "string");
      r.at.textContent = `step ${step}`;
      r.best.textContent = l.line.best ? formatValue(l.line.best[1]) : "–";
      r.best.title = `${l.line.best_is} value`;
      r.bestAt.textContent = l.line.best ? `step ${l.line.best[0]}` : "";
      r.eye.setAttribute("aria-pressed", String(!l.hidden));
      r.eye.setAttribute("aria-label", `Show ${l.label}`);
      r.eye.title = "Show or hide; Alt-click shows only this one";
      r.row.classList.toggle("l-off", l.hidden);
    }
  };
  return { el: table, update };
}

function svg(viewBox, ...shapes) {
  const space = "http://www.w3.org/2000/svg";
  const el = document.createElementNS(space, "svg");
  el.setAttribute("viewBox", viewBox);
  el.setAttribute("aria-hidden", "true");
  for (const [tag, attributes] of shapes) {
    const shape = document.createElementNS(space, tag);
    for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
    el.append(shape);
  }
  return el;
}

/** x and y switches, Smoothing, and Metric where several were logged. */
export function controls({ setX, setY, smoothing, setMetric }) {
  const named = (list) => list.map((word) => [word, word]);
  const row = (name, ...rest) => h("div", { class: "l-row" }, h("span", { class: "nbtv-quiet" }, name), ...rest);
  const x = segmented("x axis", named(["step", "epoch", "time"]), setX);
  const y = segmented("y axis", named(["linear", "log"]), setY);
  const metric = combobox("Metric", setMetric);
  const soft = slider("Smoothing", smoothing);
  soft.input.step = 0.01;
  const metricRow = row("metric", metric.el);
  const el = h("div", { class: "l-controls" }, metricRow, row("x axis", x.el), row("y axis", y.el), soft.el);
  const update = ({ look, header, epochs, reason, waiting }) => {
    x.set(look.x);
    x.buttons[1].disabled = !epochs;
    x.buttons[1].title = epochs ? "" : "no epoch was logged: log(epoch=…)";
    y.set(look.y);
    const fine = look.smoothing > 0.99;
    const words = look.smoothing ? `EMA ${look.smoothing.toFixed(fine ? 3 : 2)}, de-biased` : "off, raw values";
    if (fine) soft.input.step = "any";
    soft.set(look.smoothing, Math.max(0.99, look.smoothing), reason || (waiting ? `${words} …` : words));
    soft.input.disabled = Boolean(reason);
    soft.input.title = reason;
    metricRow.hidden = header.metrics.length < 2;
    const more = header.metrics_left_out;
    const rest = more ? [["", `and ${more} more: choose them with metrics=[…]`, true]] : [];
    metric.set([...named(header.metrics), ...rest], header.metric);
  };
  return { el, update };
}
