// The plot with its flag lane, read-out and overview: painting and everything the pointer and
// the keyboard do there.

import { KEYS, h, onPress, oneStop, taken } from "./dom.js";
import { lineSample } from "./loss_dom.js";
import { lineEnds, paint, paintOverview, paletteOf, pointsAt, scalesOf } from "./loss_draw.js";
import { emptiest, formatValue, lowerBound } from "./loss_math.js";
import { brushOf, grabbed, sizedTo, zoomOf } from "./loss_zoom.js";

const LANE = 28, BELOW = 34;

/** `host`: {range(), setRange(range), step(step, target), redraw(), family(), pointed() -> step or null}. */
export function plotArea(host, { compact = false } = {}) {
  const canvas = h("canvas");
  const focus = h("div", { class: "l-canvas", role: "img", tabindex: 0, "aria-label": "No values yet.", ...KEYS }, canvas);
  const lane = h("div", { class: "l-lane", role: "group", "aria-label": "Flags" }), settle = oneStop(lane);
  const readout = h("div", { class: "l-readout", hidden: true, "aria-hidden": "true" });
  const twin = h("div", { class: "nbtv-sr", "aria-live": "polite" });
  const chart = h("div", { class: "l-chart" }, focus, lane, readout, twin);
  const hears = { scene: () => scene, range: host.range, setRange: host.setRange };
  const zoom = zoomOf(hears), overview = brushOf(hears, zoom);
  overview.el.hidden = compact;

  let scene = null, scales = null, packet = null;
  let cursor = null; // step of the main line, or null

  const main = () => scene && (scene.lines.find((l) => l.current && !l.hidden && l.xs.length) || scene.lines.find((l) => !l.hidden && l.xs.length));

  function draw(newScene, newPacket, description) {
    scene = newScene;
    packet = newPacket;
    const width = chart.clientWidth;
    if (!width) return null;
    const palette = paletteOf(chart);
    const height = compact ? 152 : 288;
    const narrow = width < 560;
    const box = { left: 48, right: width - (narrow ? 76 : 104), top: compact ? 20 : LANE, bottom: height - BELOW };
    const ctx = sizedTo(canvas, width, height);
    ctx.family = host.family();
    ctx.total = width;
    scales = scalesOf(scene, box, compact ? 4 : 6);
    const pointed = host.pointed();
    const points = cursor == null ? null : pointsAt(scene, cursor.x);
    paint(ctx, scene, scales, palette, { cursor: points && { x: cursor.x, points }, compact, mark: pointed == null ? null : scene.axis.to(scene.header.current, pointed) });
    ctx.font = `11px ${ctx.family}`;
    ctx.fillStyle = palette.text;
    ctx.textBaseline = "middle";
    ctx.textAlign = "left";
    const metric = scene.header.metric;
    if (compact) {
      const title = scene.log ? `${metric} (log)` : metric;
      ctx.fillText(title, 8, 8);
      ctx.fillStyle = palette.second;
      ctx.textAlign = "right";
      if (scene.soft) ctx.fillText(`EMA ${scene.soft.toFixed(2)}, thin: raw`, box.right, 8);
      ctx.textAlign = "left";
    } else {
      const words = scene.log ? `${metric} (log)` : metric;
      ctx.fillText(words, 8, 12, 200);
      lane.dataset.from = 8 + ctx.measureText(words).width + 8;
    }
    placeFlags(palette, narrow);
    showReadout(points);
    focus.setAttribute("aria-label", description);
    if (!compact) {
      const current = scene.lines.find((l) => l.current);
      const last = current ? current.line.latest[0] : (scene.header.bounds || [0, 0])[1];
      overview.draw(width - (narrow ? 76 : 104) - 48, (c, whole) => paintOverview(c, scene, packet, whole, palette), palette, last, narrow);
    }
    return scales;
  }

  function placeFlags(palette, narrow) {
    const { header, axis } = scene;
    const flags = compact ? [] : [...header.flags].sort((a, b) => a.step - b.step);
    while (lane.children.length > flags.length) lane.lastChild.remove();
    while (lane.children.length < flags.length) {
      lane.append(h("button", { type: "button", ...KEYS }, h("i"), h("span")));
    }
    const boxes = flags.map((flag) => scales.x(axis.to(header.current, flag.step)));
    let free = Number(lane.dataset.from || 0);
    flags.forEach((flag, i) => {
      const el = lane.children[i], x = boxes[i];
      const inside = x >= scales.box.left && x <= scales.box.right;
      el.hidden = !inside;
      if (!inside) return;
      const next = boxes.slice(i + 1).find((b) => b <= scales.box.right) ?? scales.box.right + 96;
      const room = Math.min(next - 12, scales.box.right + 100) - x - 14;
      const words = x >= free && !(narrow && flag.kind === "finding") && room > 30;
      el.className = `l-flag${flag.kind === "finding" ? " l-finding" : ""}${2 * x > chart.clientWidth ? " l-late" : ""}`;
      el.style.left = `${x}px`;
      el.lastChild.textContent = flag.text; // without room it shows while the flag has the focus
      el.lastChild.style.maxWidth = `${words ? Math.max(room, 60) : 0}px`;
      el.title = `${flag.text} (step ${flag.step})`;
      el.setAttribute("aria-label", `${flag.text}, step ${flag.step}`);
      onPress(el, () => { setCursor(flag.step, header.current); host.step(flag.step, flag.target); });
      free = x + 14;
      if (words) free = Math.max(free, x + Math.min(el.offsetWidth, room + 14));
    });
    settle();
  }

  function showReadout(points) {
    if (!points || !points.length) {
      readout.hidden = true;
      return;
    }
    readout.hidden = false;
    const here = scene.header.flags.filter((f) => Math.abs(scales.x(scene.axis.to(scene.header.current, f.step)) - scales.x(cursor.x)) < 4);
    readout.replaceChildren(...points.flatMap((p) => {
      const rows = [h("span", {}, lineSample(p.item, 20)), h("span", { class: "l-name" }, p.item.label), h("b", {}, formatValue(p.value)), h("span", { class: "nbtv-quiet" }, `step ${p.step}`)];
      if (p.soft != null && p.item.current && !p.item.val) rows.push(h("span"), h("span", { class: "nbtv-quiet" }, "smoothed"), h("span", { class: "nbtv-quiet l-num" }, formatValue(p.soft)), h("span"));
      return rows;
    }), ...here.slice(0, 3).map((f) => h("span", { class: `l-mark-words${f.kind === "finding" ? " l-finding" : ""}` }, f.text)));
    const { box } = scales;
    const w = readout.offsetWidth, tall = readout.offsetHeight;
    const left = box.left + 8, right = box.right - w - 8, top = box.top + 8, bottom = box.bottom - tall - 8, middle = (top + bottom) / 2;
    const rights = lineEnds(scene, scales, scene.lines.filter((l) => !l.hidden)).map((e) => [e.x, e.y]);
    const at = scales.x(cursor.x);
    const places = [[right, top], [left, top], [right, bottom], [left, bottom], [(left + right) / 2, top], [(left + right) / 2, middle], [(left * 2 + right) / 3, top], [(left + right * 2) / 3, middle], [right, middle]];
    const obstacles = [...occupied(), ...rights];
    for (let y = box.top; y < box.bottom; y += 12) obstacles.push([at, y]);
    const broken = scene.lines.filter((l) => !l.hidden && l.line.spans.length);
    broken.forEach((l, row) => { // the words beside a red rug
      const from = scales.x(scene.axis.to(l.line.run, l.line.spans[0][0]));
      for (let k = 0; k < 60; k++) obstacles.push([from + 4 * k, box.top + 8 + 14 * row]);
    });
    const best = emptiest(places.map(([x, y]) => [x - 6, y - 6, x + w + 6, y + tall + 6]), obstacles);
    readout.style.left = `${places[best][0]}px`;
    readout.style.top = `${places[best][1]}px`;
  }

  /** Points of the drawn lines in pixels, dense enough that no card slips between two. */
  function occupied() {
    const out = [];
    for (const l of scene.lines) {
      if (l.hidden) continue;
      for (const [xs, ys] of l.soft ? [[l.xs, l.values], [l.softXs, l.soft]] : [[l.xs, l.values]]) {
        const stride = Math.max(1, Math.floor(xs.length / 800));
        let before = null;
        for (let i = 0; i < xs.length; i += stride) {
          const p = [scales.x(xs[i]), scales.y(ys[i])];
          if (!Number.isFinite(p[1])) { before = null; continue; }
          if (before) {
            const n = Math.min(60, Math.ceil(Math.hypot(p[0] - before[0], p[1] - before[1]) / 16));
            for (let k = 1; k < n; k++) out.push([before[0] + ((p[0] - before[0]) * k) / n, before[1] + ((p[1] - before[1]) * k) / n]);
          }
          out.push(p);
          before = p;
        }
      }
    }
    return out;
  }

  function setCursor(step, run, spoken = false) {
    const line = main();
    if (step == null || !line) cursor = null;
    else cursor = { step, x: scene.axis.to(run ?? line.line.run, step) };
    host.redraw();
    if (spoken && cursor) twin.textContent = pointsAt(scene, cursor.x).map((p) => `${p.item.label} ${formatValue(p.value)} at step ${p.step}`).join(", ");
  }

  function pointed(event) {
    const line = main();
    if (!line || !scales) return;
    const px = event.clientX - canvas.getBoundingClientRect().left;
    if (px < scales.box.left - 6 || px > scales.box.right + 6) { setCursor(null); return; }
    const x = scales.fromX(px);
    const at = lowerBound(line.xs, x);
    const below = at > 0 && (at === line.xs.length || x - line.xs[at - 1] <= line.xs[at] - x) ? at - 1 : at;
    setCursor(line.steps[below], line.line.run);
  }

  grabbed(focus, hears, zoom, {
    x: (event) => (scales ? scales.fromX(event.clientX - canvas.getBoundingClientRect().left) : null),
    width: () => scales.box.right - scales.box.left,
    moved: pointed,
    pressed(event) {
      pointed(event);
      const { step = null } = cursor || {};
      return () => step !== null && host.step(step, "");
    },
  });
  focus.addEventListener("pointerleave", () => { if (document.activeElement !== focus) setCursor(null); });
  focus.addEventListener("keydown", (event) => {
    const line = main();
    if (!line || event.metaKey || event.altKey) return;
    const steps = line.steps;
    const first = Math.min(steps.length - 1, lowerBound(line.xs, scene.shown[0]));
    const last = Math.max(0, lowerBound(line.xs, scene.shown[1] + 1e-9) - 1);
    const here = cursor == null ? last : lowerBound(steps, cursor.step);
    const jump = event.shiftKey ? 10 : 1;
    const to = { ArrowLeft: cursor == null ? here : here - jump, ArrowRight: here + jump, Home: first, End: last }[event.key];
    if (to !== undefined) {
      const at = Math.min(steps.length - 1, Math.max(0, to));
      setCursor(steps[at], line.line.run, true);
      zoom.show(line.xs[at]);
    } else if (event.key === "Enter" && cursor) host.step(cursor.step, "");
    else if (event.key === "Escape") setCursor(null);
    else if (!zoom.key(event.key, cursor ? cursor.x : scene.shown[1])) return;
    taken(event);
  });
  focus.addEventListener("blur", () => setCursor(null));

  return { chart, overview: overview.el, draw, cursorStep: () => (cursor ? cursor.step : null), setCursor };
}
