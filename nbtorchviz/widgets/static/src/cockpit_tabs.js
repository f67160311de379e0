// The cockpit's tabs: which of the parts below is shown, and how much is wrong.

import { hearAsked } from "./cockpit_show.js";
import { KEYS, h } from "./dom.js";
import { connect } from "./link.js";
import { memoryOf } from "./memory.js";
import { addSheet } from "./sheets.js";
import { watchTheme } from "./theme.js";

/** Rules that hide the parts of a cockpit whose tab is not chosen. */
const hiding = (kinds) => kinds.map((kind) => `.nbtv-cockpit[data-tab]:not([data-tab="${kind}"]) > :has(.nbtv-${kind}) { display: none; }`).join("\n");

export function render({ model, el }) {
  const { tabs = [], id } = model.get("options") || {}, memory = memoryOf(id);
  const count = h("span", { class: "nbtv-badge", hidden: true });
  const buttons = tabs.map(([name, kind, counts]) =>
    h("button", { type: "button", role: "tab", "data-kind": kind, ...KEYS, onclick: () => choose(kind), onkeydown: move }, name, ...(counts ? [count] : [])));
  const root = h("div", { class: "nbtv-cockpit-tabs nbtv-view" }, h("div", { class: "nbtv-tabs", role: "tablist" }, ...buttons));
  el.append(root);
  addSheet("cockpit-tabs", hiding(tabs.map(([, kind]) => kind)));
  const stopHearing = hearAsked(root, ({ kind }) => {
    choose(kind);
    buttons.find(({ dataset }) => dataset.kind === kind)?.focus(); // what was pressed is hidden now
  });
  const link = connect({ model, el: root, onVisible: update });
  const stopTheme = watchTheme(root, (dark) => root.classList.toggle("nbtv-dark", dark));

  /** Show one of the parts below; cockpit.css hides the others. */
  function choose(kind) {
    memory.tab = kind;
    for (const tab of buttons) {
      const chosen = tab.dataset.kind === kind;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
    }
    const cockpit = root.closest(".nbtv-cockpit");
    if (cockpit) cockpit.dataset.tab = kind;
  }

  function move(event) {
    const turn = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = turn && buttons[(buttons.indexOf(event.currentTarget) + turn + buttons.length) % buttons.length];
    if (!next) return;
    event.preventDefault();
    choose(next.dataset.kind);
    next.focus();
  }

  function update() {
    const found = (((model.get("state") || {}).gradients || {}).findings || []).length;
    count.hidden = !found;
    count.textContent = found;
    count.title = found === 1 ? "1 finding" : `${found} findings`;
    if (tabs.length) choose(memory.tab || tabs[0][1]);
  }

  model.on("change:state", update);
  update();
  return () => {
    model.off("change:state", update);
    stopHearing();
    stopTheme();
    link.dispose();
  };
}
