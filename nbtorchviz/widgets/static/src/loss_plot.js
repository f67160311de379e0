// The plot with its flag lane, read-out and overview: painting and everything the pointer and
// the keyboard do there.

import { KEYS, h, oneStop, ratio, taken } from "./dom.js";
import { lineSample } from "./loss_dom.js";
import { lineEnds, paint, paintOverview, paletteOf, pointsAt, scalesOf } from "./loss_draw.js";
import { emptiest, formatValue, lowerBound } from "./loss_math.js";

const LANE = 28, BELOW = 34;

/** `host`: {range(), setRange(range), step(step, target), redraw(), family()}. */
export function plotArea(host, { compact = false } = {}) {
  const canvas = h("canvas");
  const focus = h("div", { class: "l-canvas", role: "img", tabindex: 0, "aria-label": "No values yet.", ...KEYS }, canvas);
  const lane = h("div", { class: "l-lane", role: "group", "aria-label": "Flags" }), settle = oneStop(lane);
  const readout = h("div", { class: "l-readout", hidden: true, "aria-hidden": "true" });
  const twin = h("div", { class: "nbtv-sr", "aria-live": "polite" });
  const chart = h("div", { class: "l-chart" }, focus, lane, readout, twin);
  const brushCanvas = h("canvas");
  const brush = h("div", { class: "l-brush", role: "slider", tabindex: 0, "aria-label": "Shown range", ...KEYS }, brushCanvas);
  const live = h("button", { type: "button", class: "l-live", hidden: true, ...KEYS, onclick: () => host.setRange(null) }, "live ▸");
  const extent = h("span", { class: "nbtv-quiet" });
  const overview = h("div", { class: "l-overview", hidden: compact }, brush, h("div", { class: "l-extent" }, extent, live));

  let scene = null, scales = null, packet = null, brushBox = null;
  let cursor = null; // step of the main line, or null

  const main = () => scene && (scene.lines.find((l) => l.current && !l.hidden && l.xs.length) || scene.lines.find((l) => !l.hidden && l.xs.length));

  function fit(element, width, height) {
    const dpr = ratio();
    if (element.width !== Math.round(width * dpr) || element.height !== Math.round(height * dpr)) {
      element.width = Math.round(width * dpr);
      element.height = Math.round(height * dpr);
      element.style.width = `${width}px`;
      element.style.height = `${height}px`;
    }
    const ctx = element.getContext("2d");
    ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
    ctx.clearRect(0, 0, width, height);
    ctx.family = host.family();
    ctx.total = width;
    return ctx;
  }

  function draw(newScene, newPacket, description) {
    scene = newScene;
    packet = newPacket;
    const width = chart.clientWidth;
    if (!width) return null;
    const palette = paletteOf(chart);
    const height = compact ? 152 : 288;
    const narrow = width < 560;
    const box = { left: 48, right: width - (narrow ? 76 : 104), top: compact ? 20 : LANE, bottom: height - BELOW };
    const ctx = fit(canvas, width, height);
    scales = scalesOf(scene, box, compact ? 4 : 6);
    const points = cursor == null ? null : pointsAt(scene, cursor.x);
    paint(ctx, scene, scales, palette, { cursor: points && { x: cursor.x, points }, compact });
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
    if (!compact) drawOverview(palette, width, narrow);
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
      el.onclick = () => { setCursor(flag.step, header.current); host.step(flag.step, flag.target); };
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
    readout.replaceChildren(...points.flatMap((p) => {
      const rows = [h("span", {}, lineSample(p.item, 20)), h("span", { class: "l-name" }, p.item.label), h("b", {}, formatValue(p.value)), h("span", { class: "nbtv-quiet" }, `step ${p.step}`)];
      if (p.soft != null && p.item.current && !p.item.val) rows.push(h("span"), h("span", { class: "nbtv-quiet" }, "smoothed"), h("span", { class: "nbtv-quiet l-num" }, formatValue(p.soft)), h("span"));
      return rows;
    }));
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

  function drawOverview(palette, width, narrow) {
    const ctx = fit(brushCanvas, width - (narrow ? 76 : 104) - 48, 28);
    brushBox = { left: 0, right: ctx.total, top: 0, bottom: 28 };
    paintOverview(ctx, scene, packet, brushBox, palette);
    const [a, b] = brushEdges();
    ctx.fillStyle = palette.background;
    ctx.globalAlpha = 0.72;
    ctx.fillRect(0, 0, a, 28);
    ctx.fillRect(b, 0, brushBox.right - b, 28);
    ctx.globalAlpha = 1;
    ctx.fillStyle = palette.accent;
    ctx.fillRect(a, 0, 4, 28);
    ctx.fillRect(b - 4, 0, 4, 28);
    const bounds = scene.header.bounds || [0, 0];
    const range = scene.range;
    const current = scene.lines.find((l) => l.current);
    const total = current ? current.line.latest[0] : bounds[1];
    const plain = (v) => Math.round(v).toLocaleString("en");
    extent.textContent = range ? `${narrow ? "" : "steps "}${plain(range[0])}–${plain(range[1])}` : `all ${plain(total)} steps`;
    live.hidden = !(range && host.range()[1] != null);
    brush.setAttribute("aria-valuemin", bounds[0]);
    brush.setAttribute("aria-valuemax", bounds[1]);
    brush.setAttribute("aria-valuenow", Math.round(range ? range[0] : bounds[0]));
    brush.setAttribute("aria-valuetext", extent.textContent);
  }

  const brushX = (v) => ((v - scene.whole[0]) / (scene.whole[1] - scene.whole[0])) * brushBox.right;
  const brushEdges = () => [Math.max(0, brushX(scene.shown[0])), Math.min(brushBox.right, brushX(scene.shown[1]))];
  const stepOf = (x) => scene.axis.from(scene.header.current, x);

  function zoomTo(x0, x1) {
    const [w0, w1] = scene.whole;
    const least = (w1 - w0) * 1e-6;
    if (x1 - x0 < least || !(x1 > x0)) return;
    if (x0 <= w0 && x1 >= w1) { host.setRange(null); return; }
    const bounds = scene.header.bounds;
    const a = Math.max(stepOf(Math.max(x0, w0)), Math.min(0, bounds[0]));
    const b = stepOf(Math.min(x1, w1));
    if (b - a < 2) return;
    host.setRange([a, b >= bounds[1] - 1e-6 * (bounds[1] - bounds[0]) ? null : b]);
  }

  function pan(share) {
    const [x0, x1] = scene.shown, [w0, w1] = scene.whole;
    const by = Math.min(Math.max(share * (x1 - x0), w0 - x0), w1 - x1);
    if (by) zoomTo(x0 + by, x1 + by);
  }

  function zoom(factor, x) {
    const [x0, x1] = scene.shown;
    zoomTo(x - (x - x0) * factor, x + (x1 - x) * factor);
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

  let drag = null;
  focus.addEventListener("pointerdown", (event) => {
    if (event.button || !scales) return;
    drag = { x: event.clientX, shown: scene.shown, moved: false };
    focus.setPointerCapture(event.pointerId);
  });
  focus.addEventListener("pointermove", (event) => {
    if (!drag) { pointed(event); return; }
    const by = event.clientX - drag.x;
    if (Math.abs(by) > 3) drag.moved = true;
    if (!drag.moved || !scene.range) return;
    const [x0, x1] = drag.shown, [w0, w1] = scene.whole;
    const shift = Math.min(Math.max((-by / (scales.box.right - scales.box.left)) * (x1 - x0), w0 - x0), w1 - x1);
    zoomTo(x0 + shift, x1 + shift);
  });
  focus.addEventListener("pointerup", (event) => {
    if (drag && !drag.moved) {
      pointed(event);
      if (cursor) host.step(cursor.step, "");
    }
    drag = null;
  });
  focus.addEventListener("pointercancel", () => { drag = null; });
  focus.addEventListener("pointerleave", () => { if (!drag && document.activeElement !== focus) setCursor(null); });
  focus.addEventListener("dblclick", () => host.setRange(null));
  focus.addEventListener("wheel", (event) => {
    if (!event.ctrlKey || !scales) return; // a plain wheel scrolls the notebook
    event.preventDefault();
    zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 200))), scales.fromX(event.clientX - canvas.getBoundingClientRect().left));
  }, { passive: false });
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
      const x = line.xs[at], [x0, x1] = scene.shown;
      if (x < x0 || x > x1) pan(x < x0 ? (x - x0) / (x1 - x0) - 0.1 : (x - x1) / (x1 - x0) + 0.1);
    } else if (event.key === "Enter" && cursor) host.step(cursor.step, "");
    else if (event.key === "Escape") setCursor(null);
    else if (event.key === "+" || event.key === "=") zoom(0.7, cursor ? cursor.x : scene.shown[1]);
    else if (event.key === "-") zoom(1 / 0.7, cursor ? cursor.x : scene.shown[1]);
    else if (event.key === "0") host.setRange(null);
    else return;
    taken(event);
  });
  focus.addEventListener("blur", () => setCursor(null));

  let grip = null;
  const brushed = (event) => event.clientX - brushCanvas.getBoundingClientRect().left;
  brush.addEventListener("pointerdown", (event) => {
    if (event.button || !brushBox || !scene) return;
    const px = brushed(event);
    const [a, b] = brushEdges();
    const kind = Math.abs(px - a) < 8 ? "left" : Math.abs(px - b) < 8 ? "right" : px > a && px < b && scene.range ? "move" : "new";
    grip = { kind, px, a, b };
    brush.setPointerCapture(event.pointerId);
  });
  brush.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const px = Math.min(brushBox.right, Math.max(0, brushed(event))), by = px - grip.px;
    let { a, b } = grip;
    if (grip.kind === "left") a = Math.min(px, b - 6);
    else if (grip.kind === "right") b = Math.max(px, a + 6);
    else if (grip.kind === "move") { const d = Math.min(Math.max(by, -a), brushBox.right - b); a += d; b += d; }
    else { a = Math.min(px, grip.px); b = Math.max(px, grip.px); if (b - a < 4) return; }
    const back = (p) => scene.whole[0] + (p / brushBox.right) * (scene.whole[1] - scene.whole[0]);
    zoomTo(back(a), back(b));
  });
  for (const name of ["pointerup", "pointercancel"]) brush.addEventListener(name, () => { grip = null; });
  brush.addEventListener("dblclick", () => host.setRange(null));
  brush.addEventListener("keydown", (event) => {
    if (!scene) return;
    const done = { ArrowLeft: () => pan(-0.1), ArrowRight: () => pan(0.1), ArrowUp: () => zoom(0.7, scene.shown[1]), ArrowDown: () => zoom(1 / 0.7, scene.shown[1]), Home: () => pan(-1e9), End: () => pan(1e9), Escape: () => host.setRange(null) }[event.key];
    if (!done) return;
    done();
    taken(event);
  });

  return { chart, overview, draw, cursorStep: () => (cursor ? cursor.step : null), setCursor, busy: () => Boolean(drag || grip) };
}
