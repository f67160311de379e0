// Small pieces of the loss view's page.

/** A short piece of a line as it is drawn: colour, dash and marker. */
export function lineSample(item, width = 28) {
  const space = "http://www.w3.org/2000/svg";
  const el = document.createElementNS(space, "svg");
  const add = (tag, attributes) => {
    const shape = document.createElementNS(space, tag);
    for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
    el.append(shape);
  };
  el.setAttribute("width", width);
  el.setAttribute("height", 10);
  el.setAttribute("class", `l-sample l-${item.color}`);
  el.setAttribute("aria-hidden", "true");
  add("line", { x1: 0, y1: 5, x2: width, y2: 5, "stroke-width": item.current ? 2 : 1, "stroke-dasharray": item.dash.join(" ") });
  if (item.val) add("circle", { cx: width / 2, cy: 5, r: 3.25 });
  return el;
}

/** "11.6 s", "3 min", "2 h 5 min". */
export function duration(s) {
  if (s < 100) return `${s.toFixed(1)} s`;
  const minutes = Math.round(s / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
