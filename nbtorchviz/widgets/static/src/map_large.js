// The enlarged channel with its heading, read-out and colour bar.

import { sized } from "./map_colours.js";
import { h } from "./dom.js";
import { axisText, scaledText, short } from "./map_math.js";
import { crossOf, planeIn, planeOf, readOut } from "./map_plane.js";

/** Make the enlarged map within `side` CSS pixels; `paint(scene)`. */
export function largeOf(view) {
  const title = h("b"), where = h("span", { class: "nbtv-quiet" }), value = h("span");
  const head = h("div", { class: "nbtv-large-head" }, title, h("span", { class: "nbtv-read" }, where, value));
  const plane = planeOf(view, "Enlarged channel");
  const bar = h("canvas", { class: "nbtv-bar", "aria-hidden": "true" });
  const ticks = h("div", { class: "nbtv-ticks" }, ...Array.from({ length: 5 }, () => h("span")));
  const body = h("div", { class: "nbtv-large-body" }, plane.el, bar, ticks);
  const el = h("div", { class: "nbtv-large" }, head, body);
  const twin = h("div", { class: "nbtv-sr", "aria-live": "polite" });
  el.append(twin);
  let saidAt = 0, barKey = "";

  function heading(scene) {
    const { header } = scene.frame, { channel } = scene.pick;
    if (header.view === "maps") return `${header.noun === "output" ? "Output" : "Channel"} ${channel}`;
    if (header.view === "strip") return "Values";
    return header.view === "scalar" ? "Value" : "Matrix";
  }

  /** Why the enlarged channel is one plain colour, in words; "" where it is not. */
  function flatness({ frame: { header }, pick }, { lo, hi }) {
    const since = header.view === "maps" && header.dead ? header.dead[pick.channel] : undefined;
    if (since !== undefined) return `dead since step ${since}`;
    if (header.view === "strip" || lo !== hi) return "";
    return lo === 0 ? `zero for this ${header.input && header.input.layout !== "none" ? "image" : header.sample_word || "sample"}` : `${short(lo)} everywhere`;
  }

  function paint(scene, side) {
    body.style.height = `${side}px`;
    el.style.width = scene.narrow ? `${side + 50}px` : "";
    el.style.visibility = scene.frame && scene.frame.header.view === "scalar" ? "hidden" : "";
    plane.el.style.width = `${side}px`;
    const shown = planeIn(scene);
    bar.hidden = ticks.hidden = !shown;
    if (!shown) {
      title.textContent = scene.frame ? heading(scene) : "";
      where.textContent = scene.frame ? "not read yet" : "";
      value.textContent = "";
      plane.paint(scene, [side, side]);
      return;
    }
    const painted = plane.paint(scene, [side, side]);
    title.textContent = heading(scene);
    const said = readOut(scene, shown, crossOf(scene, shown)), flat = scene.cross ? "" : flatness(scene, shown);
    where.textContent = flat || `${said.where} =`;
    value.textContent = flat ? "" : said.value;
    where.className = flat.startsWith("dead") ? "nbtv-bad" : "nbtv-quiet";
    const { step } = scene.frame.header, when = step === undefined ? "" : `, step ${step}`;
    head.title = `${said.where} = ${said.value}${when}`;
    const height = Math.max(painted, Math.min(side, 120));
    const range = scene.scaleOf(shown.index);
    paintBar(scene, range, height);
    const [from, to] = range;
    const steps = [4, 3, 2, 1, 0].map((i) => from + ((to - from) * i) / 4);
    const bad = scene.frame.arrays.nonfinite;
    const [texts, power] = bad && bad[shown.index] === shown.count ? [["", "", "", "", ""], ""] : to > from ? scaledText(steps) : [["", "", axisText([from])[0], "", ""], ""];
    if (shown.hi > to && to > from) texts[0] = `≥${texts[0]}`;
    if (shown.lo < from && to > from) texts[4] = `≤${texts[4]}`;
    ticks.style.height = `${height}px`;
    ticks.dataset.power = power;
    texts.forEach((text, i) => { if (ticks.children[i].textContent !== text) ticks.children[i].textContent = text; });
    const now = performance.now();
    if (now - saidAt > 1000 && el.contains(document.activeElement)) {
      saidAt = now;
      twin.textContent = `${title.textContent}, ${said.where} = ${said.value}${when}`;
    }
  }

  function paintBar(scene, [from, to], height) {
    const key = [scene.colormap, scene.grey, scene.centred, to > from, height, window.devicePixelRatio].join();
    if (key === barKey) return;
    barKey = key;
    const context = sized(bar, 10, height), { width, height: tall } = bar;
    const image = new ImageData(width, tall), out = new Uint32Array(image.data.buffer);
    for (let y = 0; y < tall; y += 1) {
      const at = to > from ? 1 - y / Math.max(1, tall - 1) : scene.centred ? 0.5 : 0;
      out.fill(scene.table[Math.round(252 * at)], y * width, (y + 1) * width);
    }
    context.putImageData(image, 0, 0);
  }

  return { el, paint, plane, bar };
}
