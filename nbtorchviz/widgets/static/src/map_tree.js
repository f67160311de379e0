// The layers as a searchable tree of blocks, each with a small picture, its shape and its zeros.

import { drawPlanes, sized } from "./map_colours.js";
import { KEYS, h, ratio, taken } from "./dom.js";
import { fit, namesApart, percent, times } from "./map_math.js";

/** Rows in sight: those found, or all that lie in no closed block. */
export function visibleRows(rows, closed, query) {
  const wanted = query.trim().toLowerCase();
  if (wanted) return rows.filter(({ key, type }) => `${key} ${type}`.toLowerCase().includes(wanted));
  let hiddenBelow = Infinity;
  return rows.filter(({ key, depth, block }) => {
    if (depth > hiddenBelow) return false;
    hiddenBelow = block && closed.has(key) ? depth : Infinity;
    return true;
  });
}

/** Make the tree, with the blocks in `closed` shut; `view.choose({layer})` hears the choice, `view.ask()` that the list changed. */
export function treeOf(view, closed) {
  const search = h("input", { type: "search", "aria-label": "Search layers", ...KEYS });
  const list = h("div", { class: "nbtv-tree", role: "tree", "aria-label": "Layers" });
  const titles = h("div", { class: "nbtv-tree-titles", "aria-hidden": "true" }, h("span", {}, "layer"), h("span", {}, "shape"), h("span", {}, "zeros"));
  const top = h("div", { class: "nbtv-rail-top" }, search);
  const el = h("div", { class: "nbtv-rail" }, top, titles, list);
  const items = new Map();
  let rows = [], seen = [], at = null, scene = null, listKey = "", lastLayer = "";

  search.addEventListener("input", listed);
  search.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape") { search.value = ""; listed(); }
    else if (event.key === "ArrowDown" && seen.length) focus(seen[0].key);
    else if (event.key === "Enter" && seen.length && search.value) view.choose({ layer: seen[0].key });
    else return;
    event.preventDefault();
  });
  list.addEventListener("click", (event) => {
    const item = event.target.closest(".nbtv-row");
    if (!item) return;
    const { key } = item.dataset;
    if (event.target.closest(".nbtv-mark")) toggle(key);
    else view.choose({ layer: key });
    focus(key);
  });
  list.addEventListener("keydown", (event) => {
    const i = seen.findIndex(({ key }) => key === at), row = seen[i];
    if (!row) return;
    const open = row.block && !closed.has(row.key);
    const move = { ArrowDown: i + 1, ArrowUp: i - 1, Home: 0, End: seen.length - 1 }[event.key];
    if (move !== undefined) focus((seen[move] || row).key);
    else if (event.key === "ArrowRight") row.block && !open ? toggle(row.key) : open && focus((seen[i + 1] || row).key);
    else if (event.key === "ArrowLeft") open ? toggle(row.key) : focus((seen.slice(0, i).reverse().find(({ depth }) => depth < row.depth) || row).key);
    else if (event.key === "Enter" || event.key === " ") view.choose({ layer: row.key });
    else return;
    taken(event);
  });

  function toggle(key) {
    if (!closed.delete(key)) closed.add(key);
    listed();
  }

  /** Show the changed list at once: the next key goes by the rows that are there now. */
  function listed() {
    if (scene) paint(scene);
    view.ask();
  }

  function focus(key) {
    at = key;
    for (const [other, { el: item }] of items) item.tabIndex = other === key ? 0 : -1;
    items.get(key)?.el.focus();
  }

  function added(row) {
    const mark = h("span", { class: "nbtv-mark", "aria-hidden": "true" });
    const canvas = h("canvas", { "aria-hidden": "true" });
    const bar = h("i");
    const item = h("div", { class: "nbtv-row", role: "treeitem", tabindex: "-1", "data-key": row.key, ...KEYS },
      mark, h("span", { class: "nbtv-thumb" }, canvas), h("span", { class: "nbtv-row-name" }, h("bdi")), " ", h("span", { class: "nbtv-row-shape" }), h("span", { class: "nbtv-zeros" }, bar));
    const made = { el: item, mark, canvas, bar, key: "", thumb: null, table: null, dpr: 0 };
    items.set(row.key, made);
    return made;
  }

  function paint(next) {
    scene = next;
    rows = scene.rows;
    if (lastLayer !== scene.pick.layer) open(scene.pick.layer);
    search.placeholder = top.children.length > 1 ? "Search" : `Search ${rows.length} layers`;
    seen = visibleRows(rows, closed, search.value);
    const keys = seen.map(({ key }) => key).join("\n");
    if (keys !== listKey) {
      listKey = keys;
      const focused = list.contains(document.activeElement);
      list.replaceChildren(...seen.map((row) => (items.get(row.key) || added(row)).el));
      if (focused) items.get(at)?.el.focus({ preventScroll: true }); // moving a node takes its focus
    }
    if (!seen.some(({ key }) => key === at)) at = seen.some(({ key }) => key === scene.pick.layer) ? scene.pick.layer : seen.length ? seen[0].key : null;
    const names = search.value.trim() ? namesApart(seen.map(({ key }) => key), 16) : seen.map(({ name }) => name);
    seen.forEach((row, k) => update(row, items.get(row.key), names[k]));
    if (lastLayer !== scene.pick.layer) {
      lastLayer = scene.pick.layer;
      if (!list.contains(document.activeElement)) { at = lastLayer; for (const row of seen) items.get(row.key).el.tabIndex = row.key === at ? 0 : -1; }
      const item = items.get(lastLayer);
      // After this paint: places are asked for when the page is laid out anyway.
      if (item) requestAnimationFrame(() => inSight(item.el));
    }
  }

  /** Open the blocks around a layer that was selected elsewhere. */
  function open(key) {
    for (const block of [...closed]) if (key.startsWith(`${block}.`)) closed.delete(block);
  }

  function inSight(item) {
    const top = item.offsetTop;
    if (top < list.scrollTop) list.scrollTop = top;
    else if (top + 26 > list.scrollTop + list.clientHeight) list.scrollTop = top + 26 - list.clientHeight;
  }

  function update(row, made, label) {
    const chosen = row.key === scene.pick.layer, found = search.value.trim() !== "";
    const thumb = scene.thumbs.get(row.key);
    const share = thumb && thumb.zero_share;
    const key = [chosen, label, found, closed.has(row.key), share, at === row.key].join();
    if (key !== made.key || row !== made.row) {
      made.key = key;
      made.row = row;
      const [, , name, shape, zeros] = made.el.children;
      made.el.style.paddingLeft = `${8 + (found ? 0 : 12 * row.depth)}px`;
      made.el.className = `nbtv-row${row.block && !found ? " nbtv-block" : ""}${row.called === false ? " nbtv-uncalled" : ""}`;
      made.mark.textContent = closed.has(row.key) ? "▸" : "▾";
      name.firstChild.textContent = label;
      shape.textContent = row.shape ? times(row.shape) || "scalar" : row.called === false ? "–" : "";
      zeros.hidden = Boolean(row.block && !found);
      made.bar.style.width = `${Math.round(22 * (share || 0))}px`;
      made.el.title = [`${row.key}: ${row.type}${row.detail ? ` ${row.detail}` : ""}`, row.shape ? times(row.shape) : "", row.called === false ? "not called in the last forward" : "", share != null ? `${percent(share)} zeros in this sample` : ""].filter(Boolean).join(", ");
      made.el.setAttribute("aria-selected", String(chosen));
      made.el.setAttribute("aria-level", (found ? 0 : row.depth) + 1);
      made.el.setAttribute("aria-label", `${name.textContent} ${zeros.hidden ? "" : shape.textContent}, ${made.el.title}`); // begins with what is seen
      if (row.block && !found) made.el.setAttribute("aria-expanded", String(!closed.has(row.key)));
      else made.el.removeAttribute("aria-expanded");
      made.el.tabIndex = row.key === at ? 0 : -1;
    }
    const dpr = ratio(), table = scene.strengthTable;
    if (thumb && (made.thumb !== thumb || made.table !== table || made.dpr !== dpr) && !(row.block && !found)) {
      Object.assign(made, { thumb, table, dpr });
      const [tall, wide] = thumb.row.shape;
      const size = fit(Math.max(tall, wide), 20 * dpr, 22 * dpr);
      const context = sized(made.canvas, (Math.ceil(wide / size.shrink) * size.scale) / dpr, (Math.ceil(tall / size.shrink) * size.scale) / dpr);
      drawPlanes(context, [{ codes: thumb.row, pixels: table, x: 0, y: 0 }], tall, wide, size);
    }
  }

  return { el, list, paint, search, top, visible: () => seen };
}
