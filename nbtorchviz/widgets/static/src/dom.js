// Small pieces of a page. Names come from users: text nodes only, never HTML.

/** Make an element; `on…` are listeners, false and null attributes are left out. */
export function h(tag, attributes = {}, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) el.setAttribute(name, value === true ? "" : value);
  }
  el.append(...children);
  return el;
}

/** JupyterLab takes keys by matching the focused element itself, so each control needs this. */
export const KEYS = { "data-lm-suppress-shortcuts": "true" };

/** Device pixels of one CSS pixel. */
export const ratio = () => window.devicePixelRatio || 1;

/** A key that was answered goes no further: neither the page nor Jupyter acts on it too. */
export function taken(event) {
  event.preventDefault();
  event.stopPropagation();
}

/** Narrower than this a view leaves out what it can: class nbtv-tiny. */
export const TINY_PX = 360;

/** Keep `value` out of `input` while the user's pointer holds it. */
export function setUnlessHeld(input, value) {
  if (input.dataset.held !== "true" && input.value !== String(value)) input.value = value;
}

/** Act when `el` is pressed: it may move as a run goes on, and a click ends where it began. */
export function onPress(el, act) {
  el.onpointerdown = ({ button }) => { if (!button && !el.disabled) act(); };
  el.onclick = ({ detail }) => { if (!detail) act(); }; // by keys or by a screen reader
}

/** A labelled native slider: {el, input, out}; `moved(value)` on every move. */
export function slider(name, moved) {
  const input = h("input", { type: "range", min: 0, max: 0, step: 1, value: 0, "aria-label": name, ...KEYS });
  const out = h("span", { class: "nbtv-out" });
  const fill = () => {
    const span = input.max - input.min;
    input.style.setProperty("--fill", `${span > 0 ? (100 * (input.value - input.min)) / span : 0}%`);
  };
  input.addEventListener("pointerdown", () => { input.dataset.held = "true"; });
  for (const end of ["pointerup", "pointercancel", "blur"]) {
    input.addEventListener(end, () => { input.dataset.held = "false"; });
  }
  input.addEventListener("input", () => { fill(); moved(Number(input.value)); });
  const el = h("label", { class: "nbtv-slider" }, h("span", { class: "nbtv-name" }, name), input, out);
  return {
    el, input, out,
    set(value, max, text) {
      if (Number(input.max) !== max) input.max = max;
      setUnlessHeld(input, value);
      fill();
      if (out.textContent !== text) out.textContent = text;
      const disabled = max <= 0;
      if (input.disabled !== disabled) input.disabled = disabled;
      input.setAttribute("aria-valuetext", text);
    },
  };
}

/** One tab stop for the buttons of `lane`; arrows, Home and End go along those in sight.
 *  Call what it returns after the buttons changed. */
export function oneStop(lane) {
  const seen = () => [...lane.children].filter(({ hidden }) => !hidden);
  const settle = () => {
    const all = seen(), at = all.find((el) => el === document.activeElement) || all.find((el) => !el.tabIndex) || all[0];
    for (const el of lane.children) el.tabIndex = el === at ? 0 : -1;
  };
  lane.addEventListener("focusin", settle);
  lane.addEventListener("keydown", (event) => {
    const all = seen(), i = all.indexOf(event.target), last = all.length - 1;
    const to = { ArrowRight: Math.min(last, i + 1), ArrowLeft: Math.max(0, i - 1), Home: 0, End: last }[event.key];
    if (to === undefined) return;
    all[to].focus();
    taken(event);
  });
  return settle;
}

/** A native combobox: {el, set(options, value)} with options as [value, text, disabled]. */
export function combobox(name, chosen) {
  const el = h("select", { "aria-label": name, ...KEYS });
  el.addEventListener("change", () => chosen(el.value));
  let known = "";
  return {
    el,
    set(options, value) {
      const key = JSON.stringify(options);
      if (key !== known) {
        known = key;
        el.replaceChildren(...options.map(([v, text, disabled]) => h("option", { value: v, disabled }, text)));
      }
      if (document.activeElement !== el || el.value === "") el.value = value;
    },
  };
}

/** Two or three buttons of which one is pressed: {el, set(value)}. */
export function segmented(label, options, chosen) {
  const buttons = options.map(([value, text]) =>
    h("button", { type: "button", "aria-pressed": "false", onclick: () => chosen(value), ...KEYS }, text));
  const el = h("span", { class: "nbtv-switch", role: "group", "aria-label": label }, ...buttons);
  return {
    el, buttons,
    set: (value) => buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(options[i][0] === value))),
  };
}
