// One image: as it is, with the map over it, the map alone; classes to choose beside, all layers below.

import { KEYS, h, taken } from "./dom.js";
import { NONE } from "./cam_packet.js";
import { boxOf, paintBar, paintHatch, paintImage, paintOverlay, paintRaw, paintStrip } from "./cam_paint.js";
import { barsOf, largest, layerToTry, mapOf } from "./cam_scene.js";
import { className, methodName, sizeWords, targetName, whyNothing } from "./cam_words.js";
import { percent, short } from "./map_math.js";

const BAR_PX = 10;
const tell = (node, text) => { if (node.textContent !== text) node.textContent = text; };

/** Make the row of image `index`; `view` hears what is pressed. */
export function rowOf(view, index) {
  const input = h("canvas", { class: "c-input", "aria-hidden": "true" }), overlay = h("canvas", { role: "img" });
  const raw = h("canvas", { class: "c-rawmap", role: "img", tabindex: 0, ...KEYS });
  const bar = h("canvas", { "aria-hidden": "true" }), high = h("span"), low = h("span");
  const scale = h("div", { class: "c-scale" }, high, low), why = h("div", { class: "c-why", hidden: true });
  const rawBox = h("div", { class: "c-raw" }, raw, bar, scale, why);
  const title = h("b"), predicted = h("span"), label = h("span"), edit = h("button", { type: "button", class: "c-edit", "aria-label": `Edit image ${index}`, title: "Paint on this image: prediction and maps follow", ...KEYS, onclick: () => view.act(`edit ${index}`) }, "Edit"), said = h("div", { class: "c-said" }, title, predicted, label, edit);
  const bars = h("div", { class: "c-bars", role: "group", "aria-label": `Classes of image ${index}` }), size = h("div", { class: "c-size nbtv-quiet" });
  const side = h("div", { class: "c-side" }, said, bars, size);
  const beside = h("canvas", { class: "c-beside", role: "img", hidden: true }), besideWords = h("div", { class: "c-size nbtv-quiet", hidden: true });
  side.append(besideWords);
  const thumbs = h("canvas", { "aria-hidden": "true" }), frameMark = h("i", { class: "c-here" }), strip = h("div", { class: "c-strip" }, h("div", { class: "c-film" }, thumbs, frameMark));
  const el = h("section", { class: "c-row", "aria-label": `image ${index}` }, input, overlay, rawBox, beside, side, strip);
  const painted = {};
  let now = null, cross = null, pitch = 28, keys = [];

  strip.addEventListener("click", (event) => {
    const at = Math.floor((event.clientX - thumbs.getBoundingClientRect().left) / pitch);
    if (keys[at]) view.choose({ layer: keys[at] });
  });
  strip.addEventListener("pointermove", (event) => {
    const key = keys[Math.floor((event.clientX - thumbs.getBoundingClientRect().left) / pitch)];
    const map = key && now && mapOf(now.frame, index, key, now.pick);
    view.say(key ? `${key}: ${map.word === "" ? `max ${short(map.span.hi, 3)}` : whyNothing(map, { names: now.names, layer: key, hint: "", waits: "" })[0]}` : "");
  });
  strip.addEventListener("pointerleave", () => view.say(""));

  const move = (place) => { cross = place; view.ask(); };
  raw.addEventListener("pointermove", (event) => {
    if (!now || !now.map.shown) return;
    const box = raw.getBoundingClientRect(), at = (from, length, n) => Math.max(0, Math.min(n - 1, Math.floor((from * n) / length)));
    move([at(event.clientY - box.top, box.height, now.map.h), at(event.clientX - box.left, box.width, now.map.w)]);
  });
  raw.addEventListener("pointerleave", () => move(null));
  raw.addEventListener("blur", () => move(null));
  raw.addEventListener("keydown", (event) => {
    if (!now || !now.map.shown) return;
    const [dy, dx] = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key] || [];
    if (event.key === "Escape" && cross) { move(null); taken(event); }
    if (dy === undefined) return;
    const [y, x] = cross || peakOf(now.map);
    move(cross ? [Math.max(0, Math.min(now.map.h - 1, y + dy)), Math.max(0, Math.min(now.map.w - 1, x + dx))] : [y, x]);
    taken(event);
  });

  const peakOf = (map) => { const at = map.shown.reduce((best, value, i) => (value > map.shown[best] ? i : best), 0); return [Math.floor(at / map.w), at % map.w]; };

  /** Run `painter` if what it depends on changed since. */
  function once(name, key, painter) {
    const text = key.join(" ");
    if (painted[name] === text) return;
    painted[name] = text;
    painter();
  }

  function paint(scene) {
    const { frame, pick, image, names, side: px, dark, edge, width } = scene;
    const map = mapOf(frame, index, pick.layer, pick), signed = pick.sign === "signed", colormap = signed ? "diverging" : pick.colormap;
    now = { frame, pick, map, names };
    edit.hidden = scene.editing || !image.bitmap;
    edit.disabled = scene.gone;
    keys = frame.layers.map(({ key }) => key);
    if (cross && (!map.shown || cross[0] >= map.h || cross[1] >= map.w)) cross = null;
    const box = boxOf(image.h, image.w, px), name = targetName(names, map);
    const look = [scene.imagesSeq, px, scene.dpr, dark], what = [frame.header.seq, pick.layer, map.cls, map.against, signed, colormap];
    once("input", look, () => (image.bitmap ? paintImage(input, image, box) : paintHatch(input, box, edge)));
    once("overlay", [...look, ...what, pick.opacity, pick.contour], () => paintOverlay(overlay, image, map, box, { colormap, opacity: pick.opacity, level: pick.contour, signed }));
    once("raw", [...look, ...what, cross], () => (map.word ? paintHatch(raw, box, edge) : paintRaw(raw, map, box, { colormap, signed, cross })));
    once("bar", [...look, colormap], () => paintBar(bar, { height: box.height, width: BAR_PX }, colormap));
    paintBeside(scene, look, box);
    scale.style.height = `${box.height}px`;
    const told = map.word ? whyNothing(map, { names, layer: pick.layer, hint: ["zero", "negative", "absent"].includes(map.word) ? layerToTry(frame, index, pick.layer, pick) : "", waits: scene.waits }) : ["", ""];
    why.hidden = !map.word;
    bar.hidden = scale.hidden = Boolean(map.word);
    if (map.word && why.dataset.text !== told.join()) {
      why.dataset.text = told.join();
      why.replaceChildren(h("b", {}, told[0]), ` ${told[1]}`);
    }
    tell(high, map.word ? "" : short(map.scale, 3));
    tell(low, map.word ? "" : signed ? short(-map.scale, 3) : "0");
    paintWords(scene, map, name, told);
    paintBars(scene, map);
    paintFilm(scene, { signed, colormap, width, look, what });
    overlay.setAttribute("aria-label", `${scene.frame.rows[index].name}: ${pick.layer} for ${name}${map.word ? `. ${told[0]}` : `, ${sizeWords(map, 0, signed)}`}`);
    raw.setAttribute("aria-label", cross && !map.word ? `row ${cross[0]}, column ${cross[1]} of ${map.h}×${map.w}: ${short(map.raw[cross[0] * map.w + cross[1]], 3)}` : `Raw map of ${pick.layer}, ${map.h || 0}×${map.w || 0}; arrows read single values`);
    return cross && !map.word ? `${scene.frame.rows[index].name}, ${raw.getAttribute("aria-label")}` : "";
  }

  /** What was kept for comparison, with its own layer, class, method and step. */
  function paintBeside({ besides, image, names }, look, box) {
    beside.hidden = besideWords.hidden = !besides;
    if (!besides) return;
    const { frame, pick } = besides, map = mapOf(frame, index, pick.layer, pick), signed = pick.sign === "signed", name = targetName(names, map);
    const how = { colormap: signed ? "diverging" : pick.colormap, opacity: pick.opacity, level: pick.contour, signed };
    once("beside", [...look, frame.header.seq, pick.layer, map.cls, map.against, ...Object.values(how)], () => paintOverlay(beside, image, map, box, how));
    const words = `beside: ${[pick.layer, methodName(frame.header.method), `step ${frame.header.step}`].join(", ")}, ${name}: ${map.word ? "nothing to be seen" : sizeWords(map, 0, signed)}`;
    tell(besideWords, words);
    besideWords.title = words;
    beside.setAttribute("aria-label", words);
  }

  function paintWords({ frame, names, pick }, map, name, told) {
    const row = frame.rows[index], [top] = row.top;
    tell(title, row.name);
    tell(predicted, top ? `predicted ${className(names, top[0])}` : frame.header.classes_known ? "" : "no class scores");
    const known = row.label !== null && row.label !== undefined, wrong = known && top && row.label !== top[0];
    tell(label, known ? `label ${className(names, row.label)}` : "");
    label.className = wrong ? "c-wrong" : "nbtv-quiet";
    tell(size, map.word ? told[0] : `${name}: ${sizeWords(map, keys.length > 1 ? largest(frame, index, pick) : 0, pick.sign === "signed")}`);
    size.title = size.textContent;
  }

  /** Press: explain this class; with Shift: hold it against the one explained. */
  function paintBars({ frame, names, pick }, map) {
    const list = barsOf(frame, index, map), key = JSON.stringify([list, map.cls, map.against, pick.target, pick.contrast, frame.header.classes_known]);
    if (bars.dataset.key === key) return;
    bars.dataset.key = key;
    while (bars.children.length > list.length) bars.lastChild.remove();
    list.forEach(([cls, p], i) => { // in place: the focus may be on one of them
      const button = bars.children[i] || bars.appendChild(h("button", { type: "button", class: "c-bar", ...KEYS }, h("span", { class: "c-name" }), h("span", { class: "c-track" }, h("i")), h("span", { class: "c-p" })));
      const on = cls === map.cls, off = cls === map.against && map.against !== NONE, name = className(names, cls);
      button.setAttribute("aria-pressed", String(on));
      button.classList.toggle("c-against", off);
      tell(button.children[0], off ? `− ${name}` : name);
      button.children[1].firstChild.style.width = `${100 * (p || 0)}%`;
      tell(button.children[2], percent(p, 1));
      button.title = on ? `${name} is explained` : `Explain ${name}; with Shift: ${off ? "no longer " : ""}against ${name}`;
      button.onclick = ({ shiftKey }) => view.choose(shiftKey ? { contrast: off ? null : cls } : { target: cls, ...(off ? { contrast: null } : {}) });
    });
  }

  function paintFilm(scene, { signed, colormap, width, look, what }) {
    const { frame, pick, edge } = scene;
    pitch = Math.max(16, Math.min(28, Math.floor(width / Math.max(1, keys.length))));
    const thumb = pitch - 4;
    once("strip", [...look, ...what.filter((_, i) => i !== 1), pitch], () => paintStrip(thumbs, keys.map((key) => mapOf(frame, index, key, pick)), { side: thumb, pitch, colormap, signed, edge }));
    const at = keys.indexOf(pick.layer);
    frameMark.hidden = at < 0;
    if (at < 0 || painted.here === `${at} ${pitch}`) return;
    painted.here = `${at} ${pitch}`;
    Object.assign(frameMark.style, { left: `${at * pitch - 3}px`, width: `${thumb + 6}px`, height: `${thumb + 6}px` });
    if (strip.scrollWidth > strip.clientWidth) strip.scrollLeft = at * pitch - strip.clientWidth / 2;
  }

  return { el, paint, forget: () => { for (const name of Object.keys(painted)) delete painted[name]; } };
}
