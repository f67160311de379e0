// The rows as a list of blocks, layers and parameters: names, keyboard, search. What lies beside the names
// is painted on one canvas behind the list (gradient_flow.js), so that a row is one line of both.

import { KEYS, h } from "./dom.js";
import { namesApart } from "./map_math.js";

export const ROW_PX = 24;

/** Make the list; `view.press(row)`, `view.hover(row)`, `view.opened()`, `view.searched()` hear of it. `open` holds ids. */
export function treeOf(view, open) {
  const search = h("input", { type: "search", "aria-label": "Search layers", ...KEYS });
  const canvas = h("canvas", { "aria-hidden": "true" });
  const sheet = h("div", { class: "g-sheet" }, canvas);
  const list = h("div", { class: "g-tree", role: "tree", "aria-label": "Layers" });
  const el = h("div", { class: "g-list" }, sheet, list);
  const items = new Map();
  let seen = [], at = null, listKey = "", lastRow = "", all = [];

  search.addEventListener("input", () => view.searched());
  search.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape") { search.value = ""; view.searched(); }
    else if (event.key === "ArrowDown" && seen.length) focus(seen[0].id);
    else if (event.key === "Enter" && seen.length && search.value) view.press(seen[0]);
    else return;
    event.preventDefault();
  });
  list.addEventListener("click", (event) => {
    const row = rowOf(event.target);
    if (!row) return;
    if (event.target.closest(".g-mark") && row.opens) toggle(row);
    else view.press(row, false, event.clientX - canvas.getBoundingClientRect().left);
    focus(row.id);
  });
  list.addEventListener("dblclick", (event) => {
    const row = rowOf(event.target);
    if (row && row.opens && !event.target.closest(".g-mark")) toggle(row);
  });
  list.addEventListener("pointermove", (event) => view.hover(rowOf(event.target), event.clientX - canvas.getBoundingClientRect().left));
  list.addEventListener("pointerleave", () => view.hover(null));
  list.addEventListener("focusin", (event) => view.hover(rowOf(event.target)));
  list.addEventListener("focusout", () => view.hover(null));
  list.addEventListener("keydown", (event) => {
    const i = seen.findIndex(({ id }) => id === at), row = seen[i];
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const isOpen = row.opens && open.has(row.id);
    const move = { ArrowDown: i + 1, ArrowUp: i - 1, Home: 0, End: seen.length - 1, PageDown: Math.min(i + 10, seen.length - 1), PageUp: Math.max(i - 10, 0) }[event.key];
    if (move !== undefined) focus((seen[move] || row).id);
    else if (event.key === "ArrowRight") row.opens && !isOpen ? toggle(row) : isOpen && focus((seen[i + 1] || row).id);
    else if (event.key === "ArrowLeft") isOpen ? toggle(row) : focus((seen.slice(0, i).reverse().find(({ depth }) => depth < row.depth) || row).id);
    else if (event.key === "Enter" || event.key === " ") view.press(row);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  function rowOf(target) {
    const item = target.closest && target.closest(".g-row");
    return item ? seen.find(({ id }) => id === item.dataset.id) || null : null;
  }

  function toggle(row) {
    if (!open.delete(row.id)) open.add(row.id);
    view.opened();
  }

  function focus(id) {
    at = id;
    for (const [other, item] of items) item.el.tabIndex = other === id ? 0 : -1;
    items.get(id)?.el.focus();
  }

  function added(row) {
    const mark = h("span", { class: "g-mark", "aria-hidden": "true" }), name = h("bdi"), swatch = h("span", { class: "g-swatch", "aria-hidden": "true" }), flag = h("span", { class: "g-row-flag", "aria-hidden": "true" }, "!");
    const item = h("div", { class: "g-row", role: "treeitem", tabindex: "-1", "data-id": row.id, ...KEYS }, h("span", { class: "g-name-cell" }, mark, h("span", { class: "g-row-name" }, name), flag, swatch));
    const made = { el: item, mark, name, flag, swatch, key: "" };
    items.set(row.id, made);
    return made;
  }

  /** `rows` in sight; `said(row)` the words of a row, `chosen` the id of the selected one, `swatchOf(row)` its line, `marked` who has findings. */
  function paint({ rows, total, chosen, said, swatchOf, searching, marked }) {
    seen = rows;
    all = rows.map(({ id }) => id);
    search.placeholder = `Search ${total} layers`;
    const key = all.join("\n");
    if (key !== listKey) {
      listKey = key;
      const focused = list.contains(document.activeElement);
      list.replaceChildren(...rows.map((row) => (items.get(row.id) || added(row)).el));
      if (focused) items.get(at)?.el.focus({ preventScroll: true }); // moving a node takes its focus
    }
    if (!all.includes(at)) at = all.includes(chosen) ? chosen : all[0] ?? null;
    const names = searching ? namesApart(rows.map((row) => row.key), 20) : rows.map((row) => row.name);
    rows.forEach((row, k) => update(row, items.get(row.id), names[k], chosen, said(row), swatchOf(row), searching, marked.get(row.id) || ""));
    if (lastRow !== chosen) {
      lastRow = chosen;
      if (!list.contains(document.activeElement) && all.includes(chosen)) {
        at = chosen;
        for (const id of all) items.get(id).el.tabIndex = id === at ? 0 : -1;
      }
      const item = items.get(chosen);
      if (item && all.includes(chosen)) inSight(item.el);
    }
  }

  function inSight(item) {
    const top = item.offsetTop;
    if (top < el.scrollTop) el.scrollTop = top;
    else if (top + ROW_PX > el.scrollTop + el.clientHeight) el.scrollTop = top + ROW_PX - el.clientHeight;
  }

  function update(row, made, label, chosen, words, swatch, searching, severity) {
    const key = [label, chosen === row.id, open.has(row.id), at === row.id, words, swatch, searching, severity].join("\n");
    if (key === made.key && made.row === row) return;
    made.key = key;
    made.row = row;
    made.el.style.setProperty("--depth", searching ? 0 : row.depth);
    made.el.className = `g-row g-${row.kind}${row.parameters.length ? "" : " g-weightless"}`;
    made.mark.textContent = row.opens && !searching ? (open.has(row.id) ? "▾" : "▸") : "";
    made.name.textContent = label;
    made.swatch.style.background = swatch || "";
    made.swatch.hidden = !swatch;
    made.flag.hidden = !severity;
    made.flag.classList.toggle("g-bad", severity === "problem");
    made.el.title = row.kind === "parameter" ? row.id : `${row.id}: ${row.type}${row.detail ? ` ${row.detail}` : ""}`;
    made.el.setAttribute("aria-selected", String(chosen === row.id));
    made.el.setAttribute("aria-level", searching ? 1 : row.depth + 1);
    made.el.setAttribute("aria-label", `${label}, ${made.el.title}: ${severity ? `${severity}, ` : ""}${words}`); // begins with what is seen
    if (row.opens && !searching) made.el.setAttribute("aria-expanded", String(open.has(row.id)));
    else made.el.removeAttribute("aria-expanded");
    made.el.tabIndex = row.id === at ? 0 : -1;
  }

  return { el, list, canvas, search, paint, seen: () => seen };
}
