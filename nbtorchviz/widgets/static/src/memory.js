// What a view shows beside its traits. A notebook rebuilds views at will (an output that is updated,
// a cell moved): the next view of the same widget goes on where the last one was.
// anywidget loads this module once per widget, so `id` only matters in hosts that share it.

const kept = new Map();
const REBUILT_MS = 2000; // focus that left longer ago went elsewhere on purpose

/** The memory of widget `id`: an object to read when a view begins and to fill while it lives. */
export function memoryOf(id = "") {
  if (!kept.has(id)) kept.set(id, {});
  const memory = kept.get(id);
  memory.begunAt = performance.now();
  return memory;
}

/** Selector of a focused element that finds its like in a rebuilt view; null where none would. */
function placeOf(el) {
  if (el.matches("[role=option], [role=treeitem]")) return `[role=${el.getAttribute("role")}][tabindex="0"]`;
  const name = el.getAttribute("aria-label");
  return name && !el.matches("[role=img]") ? `${el.localName}[aria-label="${CSS.escape(name)}"]` : null;
}

/** Note in `memory` where the focus of `root` is. */
export function followFocus(root, memory) {
  root.addEventListener("focusin", ({ target }) => { memory.focus = placeOf(target); });
  root.addEventListener("focusout", ({ relatedTarget }) => {
    if (relatedTarget) memory.focus = null;
    memory.leftAt = performance.now();
  });
}

/** Give the focus back to a rebuilt `root`, if the rebuilding took it; however late it is painted. */
export function restoreFocus(root, memory) {
  const taken = document.activeElement === document.body && memory.begunAt - memory.leftAt < REBUILT_MS;
  if (taken && memory.focus) root.querySelector(`${memory.focus}:not([hidden])`)?.focus({ preventScroll: true });
}
