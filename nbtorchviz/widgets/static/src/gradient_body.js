// The picture of the chosen view: beside the names of the rows, or in the place to their right.

import { h } from "./dom.js";
import { layoutOf, paintAxis, paintRows, valuesOf } from "./gradient_flow.js";
import { paintHeat, paintHeatAxis, placeUnder, stepUnder } from "./gradient_heat.js";
import { countsOf } from "./gradient_histogram.js";
import { sceneOf, stretchOf } from "./gradient_lines.js";
import { decades, medianOf, reachOf, zoneAround } from "./gradient_math.js";
import { columnAt, measuredAt } from "./gradient_packet.js";
import { metricWords, normText, ofWords, rowWords } from "./gradient_words.js";
import { paintOverview } from "./loss_draw.js";
import { BRUSH_PX, brushOf, grabbed, zoomOf } from "./loss_zoom.js";
import { sized } from "./map_colours.js";

const RAIL_PX = 184, NARROW_RAIL_PX = 116, AXIS_PX = 40;
const SHOWS = {
  flow: { main: "gradient", ring: "activation", raw: "raw", number: "ratio", spark: "gradient" },
  ratio: { main: "ratio", number: "effective", spark: "ratio" },
};

/** Whether the over-time view shows strips instead of lines. */
export const isHeat = ({ view, drawn }) => view === "time" && drawn === "heat";
/** Whether a view is painted beside the names. */
export const isBeside = (pick) => pick.view === "flow" || pick.view === "ratio" || isHeat(pick);

function draw(canvas, width, height, palette, painter) {
  const dpr = window.devicePixelRatio || 1, ctx = sized(canvas, width, height);
  ctx.scale(dpr, dpr);
  ctx.family = palette.family;
  painter(ctx);
}

/**
 * Zoom of the steps for both pictures over time: {host, zoom, el, draw, set(scene)}. `view`: {range(), setRange(range)}.
 */
export function stepsZoom(view) {
  let scene = null;
  const host = { ...view, scene: () => scene }, zoom = zoomOf(host), brush = brushOf(host, zoom);
  return { host, zoom, el: h("div", { class: "g-brush", style: `--tall:${BRUSH_PX}px` }, brush.el), draw: brush.draw, set: (next) => { scene = next; } };
}

/** Make the body of the parts it paints on: {tree, axis (canvas), side, lines, histogram, maps, of (combobox), open, steps (stepsZoom)}. */
export function bodyOf({ tree, axis, side, lines, histogram, maps, of, open, steps }) {
  let reach = { key: "" }, heat = null;
  grabbed(tree.el, steps.host, steps.zoom, {
    x(event) {
      const x = heat && event.clientX - tree.canvas.getBoundingClientRect().left;
      return heat && x >= heat.plot[0] && x <= heat.plot[1] ? placeUnder(heat.shown, x, heat.plot) : null;
    },
    width: () => heat.plot[1] - heat.plot[0],
  }, { doubled: false });
  const room = ({ narrow }) => tree.el.clientWidth - (narrow ? NARROW_RAIL_PX : RAIL_PX);
  const strips = (scene) => [scene.narrow ? 10 : 20, room(scene) - (scene.narrow ? 16 : 28)];

  /** What rows show at the step: `valueOf(row)`, made once each; `shows` which metrics, `zone` their band. */
  function values({ packet, column, pick, leaves }) {
    const zones = packet.header.zones || {}, shows = SHOWS[pick.view] || SHOWS.flow, kept = new Map();
    const now = (row) => { const s = packet.series(row, "gradient"), c = measuredAt(s, column); return c < 0 ? NaN : s[c]; };
    const healthy = zones.ratio ? [zones.ratio.low, zones.ratio.high] : null;
    const zone = pick.view === "ratio" ? healthy : zones.gradient ? zoneAround(leaves.map(now), zones.gradient.factor) : null;
    return {
      shows, zone,
      valueOf(row) {
        if (!kept.has(row.id)) kept.set(row.id, valuesOf(packet, row, column, shows, { zone, healthy: shows.number === "ratio" ? healthy : null }));
        return kept.get(row.id);
      },
    };
  }

  function paint(scene, known) {
    const { pick } = scene;
    lines.el.hidden = pick.view !== "time" || isHeat(pick);
    histogram.el.hidden = pick.view !== "histograms";
    steps.el.hidden = pick.view !== "time" || scene.compact;
    heat = null;
    if (isHeat(pick)) paintStrips(scene);
    else if (isBeside(pick)) paintFlow(scene, known);
    else if (pick.view === "time") paintLines(scene);
    else if (pick.view === "maps") maps.paint(scene, { width: side.clientWidth, height: side.clientHeight });
    else paintHistogram(scene);
  }

  function paintFlow(scene, { shows, zone, valueOf }) {
    const { packet, rows, pick, chosen, narrow, palette } = scene, width = room(scene), height = tree.el.clientHeight, layout = layoutOf(width), ratio = pick.view === "ratio", tight = width < 230;
    const key = [packet.header.seq, pick.view, ...rows.map(({ id }) => id)].join("\n");
    if (reach.key !== key || reach.packet !== packet) {
      const norms = rows.flatMap((row) => [shows.main, shows.ring, shows.raw].filter(Boolean).flatMap((name) => Array.from(packet.series(row, name))));
      reach = { key, packet, ends: reachOf(Float64Array.from(norms)) };
    }
    const now = rows.flatMap((row) => { const v = valueOf(row); return [v.main, v.ring, v.raw].filter((x) => x !== undefined); });
    const flow = {
      rows, axis: decades(reach.ends, now), zone, aim: ratio ? ((packet.header.zones || {}).ratio || {}).aim : null, column: scene.column, columns: packet.columns, steps: packet.steps,
      chosen: chosen ? chosen.id : "", hovered: scene.hovered, open, of: valueOf,
      titles: ratio ? [narrow ? (tight ? "upd ÷ w, log" : "update ÷ weight, log") : "norm of update ÷ norm of weights, log", tight ? "eff. lr" : "effective lr", "ratio so far"] : [narrow ? (tight ? "norm, log" : "gradient norm, log") : "norm of the gradient, log", narrow ? "upd ÷ w" : "update ÷ weight", "norm so far"],
    };
    draw(axis, width, AXIS_PX, palette, (ctx) => paintAxis(ctx, flow, layout, palette));
    draw(tree.canvas, width, height, palette, (ctx) => paintRows(ctx, flow, layout, palette, { top: tree.el.scrollTop, height, width }));
  }

  function paintStrips(scene) {
    const { packet, rows, pick, chosen, narrow, palette } = scene, width = room(scene), height = tree.el.clientHeight, plot = strips(scene), { shown } = stretchOf(packet.steps, pick.range);
    heat = {
      plot, shown, rows, steps: packet.steps, chosen: chosen ? chosen.id : "", hovered: scene.hovered, open, title: `${metricWords(pick.metric)}${narrow ? "" : " ÷ own median"}`, step: scene.held ? packet.steps[scene.column] : null,
      series: (row) => packet.series(row, pick.metric), word: (row) => packet.wordAt(row, scene.column),
    };
    draw(axis, width, AXIS_PX, palette, (ctx) => paintHeatAxis(ctx, heat, plot, palette));
    draw(tree.canvas, width, height, palette, (ctx) => paintHeat(ctx, heat, plot, palette, { top: tree.el.scrollTop, height, width }));
    const picked = chosen ? [{ row: chosen, slot: 0 }] : [];
    paintBrush(scene, sceneOf(packet, { picked, others: [], metric: pick.metric, title: "", range: pick.range }), plot[0] + (narrow ? NARROW_RAIL_PX : RAIL_PX));
  }

  /** The whole run below, from `left` of the view on; a line of it stands for all. */
  function paintBrush({ packet, palette, narrow }, chart, left) {
    steps.set(chart);
    if (steps.el.hidden) return;
    steps.el.style.paddingLeft = `${left}px`;
    const words = narrow ? 76 : 116, width = Math.max(40, steps.el.clientWidth - left - words);
    steps.draw(width, (ctx, box) => paintOverview(ctx, chart, packet, box, palette), palette, packet.steps[packet.columns - 1], true);
  }

  /** Step under x of the strips; null beside them. */
  function stepAt(scene, x) {
    const plot = strips(scene);
    return x === null || x < plot[0] || x > plot[1] ? null : stepUnder(scene.packet.steps, x, plot, stretchOf(scene.packet.steps, scene.pick.range).shown);
  }

  /** What is pointed at, in words. */
  function wordsOf(scene, { valueOf }) {
    const { packet, pick, over, pointed, column } = scene;
    if (!over) return "";
    const step = isHeat(pick) ? stepAt(scene, pointed) : null;
    if (step === null) return `${over.id}: ${rowWords(packet, over, valueOf(over), column, pick.view)}`;
    const series = packet.series(over, pick.metric), c = measuredAt(series, columnAt(packet.steps, step));
    if (c < 0) return `${over.id}: not measured by step ${step}`;
    return `${over.id} at step ${packet.steps[c]}: ${normText(series[c])}; median of the run ${normText(medianOf(series))}`;
  }

  function paintLines(scene) {
    const { packet, allRows, pick, slots } = scene, { ratio } = packet.header.zones || {};
    const picked = slots.map((id, slot) => ({ row: allRows.find((row) => row.id === id), slot })).filter(({ row }) => row);
    const others = allRows.filter((row) => row.kind === "layer" && !slots.includes(row.id) && scene.wanted(row)), title = `${metricWords(pick.metric)}, log`;
    const chart = sceneOf(packet, { picked, others, metric: pick.metric, title, range: pick.range, zone: pick.metric === "ratio" && ratio ? [ratio.low, ratio.high] : null });
    const said = chart.lines.filter((l) => l.current && !l.rug && l.line.latest).map((l) => `${l.label} ${normText(l.line.latest[1])} at step ${l.line.latest[0]}`);
    lines.paint(chart, { packet, width: side.clientWidth, height: side.clientHeight, palette: scene.palette, description: `${title}, against step. ${said.join("; ")}.`, step: scene.held ? packet.steps[scene.column] : null, hovered: scene.hovered });
    paintBrush(scene, chart, (scene.narrow ? 0 : RAIL_PX) + 56);
  }

  function paintHistogram(scene) {
    const { packet, pick, narrow, column } = scene, name = pick.layer, plain = (n) => n.toLocaleString("en");
    const mine = packet.strips.filter((strip) => strip.layer === name || (strip.layer ? `${strip.layer}.${strip.of}` : strip.of) === name);
    const strip = mine.find((each) => each.of === pick.of) || mine[0] || null;
    of.el.hidden = !strip;
    if (strip) of.set(mine.map((each) => [each.of, ofWords(each.of)]), strip.of);
    const place = { width: side.clientWidth, height: side.clientHeight, palette: scene.palette, step: packet.steps[column], held: scene.held };
    if (!strip) {
      const word = scene.chosen ? packet.wordAt(scene.chosen, column) : "";
      const why = scene.gone ? "and the kernel is gone." : scene.mode === "one-way" ? "it comes when the cell ends." : "it comes with the next picture.";
      histogram.paint(null, { ...place, missing: word ? `${name} is ${word}: there is no gradient to count.` : `No histogram of ${name} is here yet; ${why}` });
      return;
    }
    const at = Math.max(0, columnAt(strip.steps, place.step)), found = countsOf(strip, at);
    const read = strip.elements > strip.read ? `${plain(strip.read)} of ${plain(strip.elements)} values read` : `${plain(strip.read)} values`;
    const title = `${narrow ? "" : `${name}, `}${ofWords(strip.of)}, step ${strip.steps[at]}: ${read}, log count`;
    histogram.paint(strip, { ...place, title, said: `${title}. ${found.zeros} zeros, ${found.nan} NaN, ${found.posinf + found.neginf} infinite.` });
  }

  return { values, paint, stepAt, wordsOf };
}
