// The channels of a layer as tiles: one canvas for what is in sight, one focusable cell a channel.

import { drawPlanes, pixelsByCode, sized } from "./map_colours.js";
import { KEYS, h, ratio, taken } from "./dom.js";
import { fit, orderOf, short, tiling, valueOf } from "./map_math.js";

const CAPTION = 14; // CSS pixels above the square of a tile
const TARGETS = [112, 84, 56, 42];

/** Make the grid; `view.choose({channel})` and `view.zoom()` hear the user, `view.say(text)` what is pointed at. */
export function gridOf(view) {
  const canvas = h("canvas", { class: "nbtv-grid-canvas", "aria-hidden": "true" });
  const cells = h("div", { class: "nbtv-cells", role: "listbox", "aria-label": "Channels", "aria-orientation": "horizontal" });
  const el = h("div", { class: "nbtv-grid" }, h("div", { class: "nbtv-sheet" }, canvas), cells);
  const pool = [], said = new WeakMap(); // what each cell of the pool shows
  let scene = null, plan = null, order = [], firstSeen = 0, width = 0, height = 0, room = 0, lastShown = "";
  let paintedFrame = null, paintedLooks = "";

  // Kept, because asking the element in the middle of a paint lays the whole page out.
  let scrolled = 0;
  el.addEventListener("scroll", () => {
    scrolled = el.scrollTop;
    if (scene) draw();
  });
  el.addEventListener("click", (event) => {
    const cell = event.target.closest(".nbtv-cell");
    if (cell) pick(Number(cell.dataset.channel), false);
  });
  el.addEventListener("dblclick", (event) => event.target.closest(".nbtv-cell") && view.zoom());
  el.addEventListener("pointermove", (event) => view.say(under(event)));
  el.addEventListener("pointerleave", () => view.say(null));
  cells.addEventListener("keydown", (event) => {
    const at = order.indexOf(scene.pick.channel), last = order.length - 1;
    const page = plan.columns * Math.max(1, Math.floor(height / plan.step));
    const to = {
      ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + plan.columns, ArrowUp: at - plan.columns,
      Home: 0, End: last, PageDown: Math.min(last, at + page), PageUp: Math.max(0, at - page),
    }[event.key];
    if (to !== undefined && to >= 0 && to <= last) pick(order[to], true);
    else if (event.key === "Enter") view.zoom();
    if (to !== undefined || event.key === "Enter") {
      taken(event);
    }
  });

  function pick(channel, focus) {
    if (channel !== scene.pick.channel) view.choose({ channel });
    scene = { ...scene, pick: { ...scene.pick, channel } }; // the next key may come before the next paint
    if (focus) reveal(channel);
    for (const cell of pool) if (Number(cell.dataset.channel) === channel && !cell.hidden) cell.focus({ preventScroll: true });
  }

  /** Scroll so that a channel is in sight, and show it as selected at once. */
  function reveal(channel) {
    scrollTo(channel);
    draw();
  }

  function scrollTo(channel) {
    const row = Math.floor(order.indexOf(channel) / plan.columns);
    const under = (row + 1) * plan.step - height;
    const target = under > Math.min(scrolled, row * plan.step) ? under : Math.min(scrolled, row * plan.step);
    if (target !== scrolled) {
      el.scrollTop = target;
      scrolled = el.scrollTop;
    }
  }

  /** Sizes of the tiles: from the layer's true shape, so that a preview does not move them. */
  function planned(header) {
    const dpr = ratio(), total = header.total || 0;
    const [tall, wide] = scene.tile;
    const offer = (target) => {
      const { side, scale, shrink } = fit(Math.max(tall, wide), target * dpr, 196 * dpr);
      const gap = target > 80 ? 8 : 5, below = target > 50 ? 6 : 4;
      const px = { w: (Math.ceil(wide / shrink) * scale) / dpr, h: (Math.ceil(tall / shrink) * scale) / dpr };
      const boxW = Math.max(px.w, total > 100 ? 50 : 42); // room for index and number
      return { ...px, box: boxW, gap, side, below, step: CAPTION + Math.ceil(px.h) + below, ...tiling(total, boxW, width, gap) };
    };
    const offers = TARGETS.slice(scene.narrow || scene.compact ? (total > 6 ? 3 : 0) : 0).map(offer);
    return offers.find((o) => o.rows * o.step <= room + o.below - 2) || (total > 99 && offers.length > 1 ? offers[offers.length - 2] : offers[offers.length - 1]);
  }

  function paint(next) {
    scene = next;
    const { header, arrays } = scene.frame;
    const by = scene.pick.order;
    order = orderOf(by, header.total, header.first, by === "mean" ? arrays.mean : by === "zero" ? arrays.zero : null);
    plan = planned(header);
    cells.style.height = `${plan.rows * plan.step}px`;
    scrolled = Math.min(scrolled, Math.max(0, plan.rows * plan.step - height)); // as the browser will
    cells.setAttribute("aria-label", `Channels of ${header.layer}`);
    const shown = `${header.layer} ${scene.pick.channel}`;
    if (shown !== lastShown && !el.contains(document.activeElement)) scrollTo(scene.pick.channel);
    lastShown = shown;
    draw();
  }

  function draw() {
    const { header, arrays } = scene.frame;
    const dpr = ratio();
    const count = arrays.planes.shape[0], [, tall, wide] = arrays.planes.shape;
    const within = fit(Math.max(tall, wide), plan.side, plan.side);
    firstSeen = Math.floor(scrolled / plan.step);
    const lastSeen = Math.min(plan.rows - 1, Math.floor((scrolled + height) / plan.step));
    const jobs = [];
    let used = 0;
    for (let at = firstSeen * plan.columns; at < Math.min(order.length, (lastSeen + 1) * plan.columns); at += 1) {
      const channel = order[at], plane = channel - header.first;
      const known = plane >= 0 && plane < count;
      const x = (at % plan.columns) * (plan.box + plan.gap), y = Math.floor(at / plan.columns) * plan.step;
      label(pool[used] || added(), channel, plane, known, x, y, at);
      used += 1;
      if (!known || (header.dead && header.dead[channel] !== undefined)) continue;
      const scale = scene.scaleOf(plane);
      jobs.push({
        codes: arrays.planes.subarray(plane * tall * wide, (plane + 1) * tall * wide),
        pixels: pixelsByCode(scene.table, arrays.lo[plane], arrays.hi[plane], scale, scene.centred),
        x: Math.round(x * dpr), y: Math.round((y + CAPTION - scrolled) * dpr),
      });
    }
    for (let i = used; i < pool.length; i += 1) pool[i].hidden = true;
    const { pick, lock, colormap, grey } = scene;
    const looks = [pick.order, pick.normalize, lock, colormap, grey, plan.columns, plan.step, plan.side, width, height, scrolled, dpr].join();
    if (scene.frame === paintedFrame && looks === paintedLooks) return; // only the chosen tile changed
    [paintedFrame, paintedLooks] = [scene.frame, looks];
    drawPlanes(sized(canvas, width, height), jobs, tall, wide, within);
  }

  function added() {
    const cell = h("div", { class: "nbtv-cell", role: "option", ...KEYS }, h("b"), " ", h("span"), h("i"));
    pool.push(cell);
    cells.append(cell);
    return cell;
  }

  function label(cell, channel, plane, known, x, y, at) {
    const { header, arrays } = scene.frame;
    const chosen = channel === scene.pick.channel;
    const since = header.dead && header.dead[channel];
    const digits = plan.box < 50 ? 2 : 3;
    const bad = known && arrays.nonfinite && arrays.nonfinite[plane] > 0;
    const both = scene.centred && arrays.lo[plane] < 0;
    const size = both ? Math.max(-arrays.lo[plane], arrays.hi[plane]) : arrays.hi[plane];
    const sign = both && plan.box > 50 ? "±" : "", room = plan.box - 7 * String(channel).length; // pixels
    const texts = [`${sign}${short(size, digits)}`, `${sign}${short(size, 2)}`, short(size, 2)];
    const widthOf = (each) => 6.4 * each.length + (each.includes("e") ? 6 : 0);
    const roomy = texts.find((each) => widthOf(each) <= room), tight = !roomy && 0.85 * widthOf(texts[2]) <= room;
    const fitting = roomy || (tight ? texts[2] : "");
    const word = since !== undefined ? "dead" : !known ? "…" : bad ? "NaN" : fitting;
    const kind = since !== undefined ? "dead" : !known ? "unknown" : bad ? "bad" : "";
    const was = said.get(cell) || {}, place = [x, y, plan.w, plan.h, plan.box].join(), key = [channel, word, chosen, at, kind, header.total].join();
    said.set(cell, { place, key });
    cell.hidden = false;
    const [index, text, square] = cell.children;
    if (was.place !== place) { // apart: values come often, and a place makes the page lay out the tiles
      cell.style.cssText = `left:${x}px;top:${y}px;width:${plan.box}px;height:${CAPTION + plan.h}px`;
      square.style.cssText = `width:${plan.w}px;height:${plan.h}px`;
    }
    if (was.key === key) return;
    Object.assign(cell.dataset, { channel, kind });
    if (index.textContent !== String(channel)) index.textContent = channel;
    text.textContent = word;
    text.className = tight ? "nbtv-tight" : "";
    cell.tabIndex = chosen ? 0 : -1;
    cell.setAttribute("aria-selected", String(chosen));
    cell.setAttribute("aria-posinset", at + 1);
    cell.setAttribute("aria-setsize", header.total);
    const more = since !== undefined ? ` since step ${since}` : !known ? " not read yet" : bad ? "" : scene.centred ? ", its largest size" : ", its largest value";
    cell.setAttribute("aria-label", `${header.noun || "channel"} ${channel} ${word}${more}`); // names begin with what is seen
  }

  /** What lies under the pointer, in words. */
  function under(event) {
    const cell = event.target.closest && event.target.closest(".nbtv-cell");
    if (!cell || !scene) return null;
    const { header, arrays } = scene.frame;
    const plane = cell.dataset.channel - header.first, [count, tall, wide] = arrays.planes.shape;
    const box = cell.lastChild.getBoundingClientRect();
    const row = Math.floor(((event.clientY - box.top) / box.height) * tall);
    const col = Math.floor(((event.clientX - box.left) / box.width) * wide);
    if (plane < 0 || plane >= count || row < 0 || col < 0 || row >= tall || col >= wide) return null;
    const value = valueOf(arrays.planes[(plane * tall + row) * wide + col], arrays.lo[plane], arrays.hi[plane]);
    return `${header.noun || "channel"} ${cell.dataset.channel}, ${header.rows} ${row}, ${header.cols} ${col} = ${short(value)}${header.step === undefined ? "" : `, step ${header.step}`}`;
  }

  return {
    el, paint, canvas,
    /** `whole` is the height without a banner: tiles keep their size when one comes. */
    resize(w, tall, whole) { width = w; height = tall; room = whole; },
    /** Height of the rows that are seen whole, in CSS pixels. */
    whole: () => Math.min(height, plan.rows * plan.step, (Math.floor((el.scrollTop + height + plan.below) / plan.step) || 1) * plan.step - el.scrollTop),
    /** Index, word and place of each tile in sight, for a saved picture. */
    captions: () => pool.filter((cell) => !cell.hidden && parseFloat(cell.style.top) - el.scrollTop + CAPTION + plan.h <= height).map((cell) => ({
      index: cell.children[0].textContent, word: cell.children[1].textContent, kind: cell.dataset.kind, w: plan.w, h: plan.h,
      x: parseFloat(cell.style.left), y: parseFloat(cell.style.top) - el.scrollTop,
    })),
  };
}
