// How the values of the enlarged plane are spread: counts, exact zeros apart, and six numbers.

import { sized } from "./map_colours.js";
import { KEYS, h, ratio, segmented } from "./dom.js";
import { axisText, histogram, percent, scaledText, short } from "./map_math.js";
import { planeIn } from "./map_plane.js";

const LOCKS = [["auto", "auto"], ["hold", "hold"], ["symmetric", "symm."]];

/** Make histogram and statistics; `choose({lock})`, `choose({counts})` stay in the browser. */
export function histogramOf(view) {
  const title = h("span", { class: "nbtv-hist-title" });
  const lock = h("select", { "aria-label": "Range", title: "Range of the colours: of each picture, held as it is now, or as far below zero as above", ...KEYS }, ...LOCKS.map(([value, text]) => h("option", { value }, text)));
  lock.addEventListener("change", () => view.set({ lock: lock.value }));
  const kind = segmented("Counts", [["lin", "lin"], ["log", "log"]], (counts) => view.set({ counts }));
  const canvas = h("canvas", { role: "img" });
  const el = h("div", { class: "nbtv-hist" }, h("div", { class: "nbtv-hist-head" }, title, lock, kind.el), canvas);
  const names = ["min", "mean", "zero", "max", "std", "NaN"];
  const values = names.map(() => h("dd"));
  const terms = names.map((name) => h("dt", {}, name));
  const numbers = h("dl", { class: "nbtv-numbers" }, ...names.map((_, i) => h("div", {}, terms[i], values[i])));

  function paint(scene, width) {
    lock.value = scene.lock;
    kind.set(scene.counts);
    const plane = planeIn(scene);
    title.hidden = !plane;
    if (!plane) {
      for (const value of values) value.textContent = "–";
      sized(canvas, width, scene.compact ? 1 : 106);
      return;
    }
    const { header, arrays } = scene.frame;
    const codes = plane.fold ? plane.codes.subarray(0, plane.count) : plane.codes;
    const i = plane.index, share = arrays.zero ? arrays.zero[i] : 0;
    const found = scene.compact
      ? histogram(codes, plane.lo, plane.hi, 0, ...scene.scaleOf(i))
      : histogram(codes, plane.lo, plane.hi, share);
    const unit = ["strip", "scalar", "matrix"].includes(header.view) || header.noun === "output" ? "values" : "pixels";
    title.replaceChildren(String(plane.count), h("span", { class: "nbtv-quiet" }, ` ${unit}`));
    const said = `${unit === "values" ? "Values" : "Pixels"} of ${plane.count}, ${scene.counts} count: ${found.zeros} exact zeros, ${found.nan} NaN, ${found.inf} infinite; values ${short(plane.lo)} to ${short(plane.hi)}`;
    if (canvas.getAttribute("aria-label") !== said) canvas.setAttribute("aria-label", said);
    if (scene.compact) lying(canvas, found, scene, width, unit);
    else standing(canvas, found, plane, scene, width);
    tell(plane, arrays, i, found);
  }

  function tell(plane, arrays, i, found) {
    const bad = arrays.nonfinite ? arrays.nonfinite[i] : found.nan + found.inf;
    const [low, high] = bad === plane.count ? ["–", "–"] : axisText([plane.lo, plane.hi]).map((text, k) => (text.includes("e") ? brief(k ? plane.hi : plane.lo) : text));
    const text = [low, arrays.mean ? brief(arrays.mean[i]) : "–", arrays.zero ? percent(arrays.zero[i]) : "–", high, arrays.std ? brief(arrays.std[i]) : "–", bad ? String(bad) : "none"];
    text.forEach((word, k) => { if (values[k].textContent !== word) values[k].textContent = word; });
    terms[5].textContent = found.inf ? (found.nan ? "NaN, Inf" : "Inf") : "NaN";
    values[5].classList.toggle("nbtv-bad", bad > 0);
  }

  return { el, numbers, canvas, paint };
}

/** A number that fits its column whatever it is. */
const brief = (value) => (short(value).length > 6 ? short(value, 2) : short(value));

const colours = (canvas) => {
  const style = getComputedStyle(canvas);
  return (name) => style.getPropertyValue(`--nbtv-${name}`);
};

/** Heights from counts: lin, or log10 so that one pixel is still seen. */
function heights(found, kind) {
  const most = Math.max(1, found.zeros, ...found.bins);
  if (kind === "lin") return { of: (n) => n / most, ticks: [0, Math.round(most / 2), most].filter((v, i, all) => all.indexOf(v) === i) };
  const top = Math.max(1, Math.ceil(Math.log10(most)));
  const every = Math.ceil((top + 1) / 4);
  const ticks = Array.from({ length: top + 1 }, (_, i) => i).filter((i) => i % every === 0).map((i) => 10 ** i);
  return { of: (n) => (n ? (Math.log10(n) + 0.3) / (top + 0.3) : 0), ticks };
}

function standing(canvas, found, plane, scene, width) {
  const dpr = ratio(), context = sized(canvas, width, 106), colour = colours(canvas);
  context.scale(dpr, dpr);
  context.font = `11px ${getComputedStyle(canvas).fontFamily}`;
  const left = 40, right = width - 10, top = 10, base = 70, height = base - top;
  const { of, ticks } = heights(found, scene.counts);
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const tick of ticks) {
    const y = Math.round(base - of(tick) * height) + 0.5;
    context.fillStyle = colour("rule");
    context.fillRect(left - 4, y - 0.5, right - left + 4, 1);
    context.fillStyle = colour("quiet");
    context.fillText(tick >= 1e4 ? short(tick) : String(tick), left - 8, y);
  }
  const zeroWidth = found.zeros ? 14 : 0, from = left + zeroWidth;
  const wide = (right - from) / found.bins.length;
  context.fillStyle = colour("bar");
  found.bins.forEach((n, i) => {
    const tall = of(n) * height;
    const x = Math.round((from + i * wide) * dpr) / dpr;
    if (n) context.fillRect(x, base - tall, Math.max(1, Math.round((from + (i + 1) * wide) * dpr) / dpr - x - 1), tall);
  });
  if (found.zeros) hatched(context, left, base - of(found.zeros) * height, 11, of(found.zeros) * height, colour);
  context.fillRect(left, base, right - left, 1);
  context.textBaseline = "alphabetic";
  context.fillStyle = colour("fg");
  context.textAlign = "left";
  if (found.zeros) words(context, `${found.zeros} zeros`, left + 15, 11, colour("bg"), colour("fg"));
  const { lo, hi } = plane;
  context.fillStyle = colour("quiet");
  context.textAlign = "center";
  if (found.zeros) context.fillText("=0", left + 5, base + 14);
  let power = "";
  if (hi > lo) {
    const parts = found.zeros ? [1, 2, 3, 4] : [0, 1, 2, 3, 4];
    const [texts, by] = scaledText([0, 1, 2, 3, 4].map((i) => lo + ((hi - lo) * i) / 4));
    power = by && ` ${by}`;
    for (const i of parts) {
      const x = from + ((right - from) * i) / 4;
      context.fillRect(x, base, 1, 4);
      context.textAlign = i === 4 ? "right" : "center";
      context.fillText(texts[i], i === 4 ? width : x, base + 14);
    }
  } else if (!found.zeros && found.nan + found.inf < found.count) context.fillText(short(lo), (left + right) / 2, base + 14);
  context.textAlign = "center";
  const special = [found.nan ? `${found.nan} NaN` : "", found.inf ? `${found.inf} Inf` : ""].filter(Boolean).join(", ");
  context.fillText(`${scene.frame.header.show}${power}, ${scene.counts} count${special ? `; not drawn: ${special}` : ""}`, (left + right) / 2, base + 30);
}

function words(context, text, x, y, back, fore) {
  context.strokeStyle = back;
  context.lineWidth = 3;
  context.strokeText(text, x, y);
  context.fillStyle = fore;
  context.fillText(text, x, y);
}

function hatched(context, x, y, w, tall, colour) {
  context.save();
  context.beginPath();
  context.rect(x + 0.5, y + 0.5, w, tall);
  context.strokeStyle = colour("bar");
  context.lineWidth = 1;
  context.stroke();
  context.clip();
  for (let at = y - w; at < y + tall + w; at += 4) {
    context.beginPath();
    context.moveTo(x, at + w);
    context.lineTo(x + w, at);
    context.stroke();
  }
  context.restore();
}

/** The cockpit's histogram: bars along the colour bar, whose axis they share. */
function lying(canvas, found, scene, width, unit) {
  const dpr = ratio(), side = scene.side;
  const context = sized(canvas, width, side + 16), colour = colours(canvas);
  context.scale(dpr, dpr);
  const { of } = heights(found, scene.counts), tall = side / found.bins.length, left = 30;
  context.fillStyle = colour("bar");
  found.bins.forEach((n, i) => n && context.fillRect(left, side - (i + 1) * tall, Math.max(1, of(n) * (width - left)), tall - 1));
  context.font = `11px ${getComputedStyle(canvas).fontFamily}`;
  context.fillStyle = colour("quiet");
  context.textAlign = "right";
  context.fillText(`${unit}, ${scene.counts}`, width, side + 13);
}
