// Few numbers as numbers: a list with names and bars for a vector, one large number for a scalar.

import { KEYS, h, taken } from "./dom.js";
import { short } from "./map_math.js";

export const LISTED = 64; // longer vectors are folded into a picture

/** Make the list; `view.choose({channel})` hears which value was chosen. */
export function valuesOf(view) {
  const el = h("div", { class: "nbtv-values", role: "listbox", "aria-label": "Values" });
  const rows = [];
  let scene = null;

  el.addEventListener("click", (event) => {
    const row = event.target.closest(".nbtv-value");
    if (row) pick(rows.indexOf(row));
  });
  el.addEventListener("keydown", (event) => {
    const at = scene.pick.channel, last = scene.frame.header.total - 1;
    const to = { ArrowDown: at + 1, ArrowRight: at + 1, ArrowUp: at - 1, ArrowLeft: at - 1, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    if (to >= 0 && to <= last) pick(to);
    taken(event);
  });

  function pick(channel) {
    view.choose({ channel });
    scene = { ...scene, pick: { ...scene.pick, channel } }; // the next key may come before the next paint
    rows[channel].focus({ preventScroll: false });
  }

  function paint(next) {
    scene = next;
    const { header, arrays } = scene.frame, values = arrays.values;
    el.classList.toggle("nbtv-scalar", header.view === "scalar");
    const finite = Array.from(values).filter(Number.isFinite);
    const least = Math.min(0, ...finite), most = Math.max(0, ...finite), span = most - least || 1;
    const best = Math.max(...finite);
    while (rows.length < values.length) {
      rows.push(h("div", { class: "nbtv-value", role: "option", ...KEYS }, h("span"), h("i"), " ", h("b")));
      el.append(rows[rows.length - 1]);
    }
    rows.forEach((row, i) => {
      row.hidden = i >= values.length;
      if (row.hidden) return;
      const value = values[i], chosen = i === scene.pick.channel || header.view === "scalar";
      const name = header.names ? header.names[i] : "", text = short(value, header.view === "scalar" ? 6 : values.length > 32 ? 2 : 3);
      const from = (Math.min(0, value || 0) - least) / span, size = Math.abs(value || 0) / span;
      const key = [value, chosen, name, from, size, value === best].join();
      if (row.dataset.key === key) return;
      row.dataset.key = key;
      row.setAttribute("aria-selected", String(chosen));
      row.tabIndex = chosen ? 0 : -1;
      row.classList.toggle("nbtv-most", value === best && values.length > 1);
      row.firstChild.textContent = header.view === "scalar" ? header.layer : name ? `${i} ${name}` : String(i);
      row.children[1].style.cssText = Number.isFinite(value) ? `--from:${100 * from}%;--size:${100 * size}%;--zero:${(-100 * least) / span}%` : "";
      row.lastChild.textContent = text;
      row.setAttribute("aria-label", `${row.firstChild.textContent} ${text}, ${header.cols}`); // names begin with what is seen
    });
    const { clientWidth: width = 0, clientHeight: height = 0 } = el.parentElement || {};
    const fewest = values.length > 32 ? 3 : values.length > 16 ? 2 : 1, fitting = Math.ceil(values.length / Math.max(1, Math.floor((height - 4) / 20)));
    const columns = Math.max(fewest, height ? Math.min(fitting, Math.floor(width / 88)) : 1);
    el.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    el.style.gridTemplateRows = `repeat(${Math.ceil(values.length / columns)}, 20px)`;
    el.style.rowGap = values.length > 16 ? 0 : "4px";
  }

  return { el, paint };
}
