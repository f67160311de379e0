// The lines below the tiles: how to read them, which channels are dead, which are only quiet now.

import { h } from "./dom.js";
import { listed } from "./map_math.js";

/** How to read what is painted, in one line. */
export function noteOf(scene) {
  const { frame, pick } = scene;
  if (!frame) return "";
  const { header, arrays } = frame;
  if (header.mini) return `preview: thumbnail of step ${header.step}; the full picture comes with the next step`;
  if (scene.waiting) return `${header.layer} of step ${header.step}; ${pick.layer} comes with the next step`;
  const parts = [...(header.notes || [])];
  if (header.preview) parts.unshift(`preview: kept picture of step ${header.step}`);
  if (header.source === "twin") parts.push("read from the eager twin");
  if (parts.length) return parts.join("; ");
  if (header.view === "maps" && arrays.planes.shape[0] > 1) {
    const own = scene.centred ? "its own largest size, the end of its colours" : "its own maximum, the brightest colour of its tile";
    if (pick.normalize === "layer") return "One scale: colours of all channels compare.";
    return scene.tight ? `${header.total} channels; beside each: ${own.split(",")[0]}.` : `Beside each number: ${own}.`;
  }
  return header.view === "strip" ? "Each value once; arrows or a click choose one." : "";
}

/** Make the key; `paint(scene)`. */
export function keyOf() {
  const dead = h("div", { class: "nbtv-key-line" }, h("i", { class: "nbtv-hatch" }), h("span"));
  const quiet = h("div", { class: "nbtv-key-line" }, h("i"), h("span"));
  const bad = h("div", { class: "nbtv-key-line nbtv-bad" }, h("span"));
  const el = h("div", { class: "nbtv-keys" }, dead, quiet, bad);
  let known = "";

  function paint(scene) {
    const header = scene.frame ? scene.frame.header : { dead: {}, quiet: [] };
    const stats = header.stats || {};
    const item = header.input && header.input.layout !== "none" ? "image" : header.sample_word;
    const key = JSON.stringify([header.dead, header.quiet, header.step >= header.dead_window, item, stats, header.view, scene.tight, scene.grey, scene.colormap, scene.centred]);
    if (key === known) return;
    known = key;
    const found = Object.entries(header.dead).map(([channel, since]) => [Number(channel), since]);
    const since = found.map(([, step]) => step);
    const most = scene.tight ? 3 : 6;
    dead.hidden = !found.length;
    dead.firstChild.hidden = header.view !== "maps"; // whose tiles are hatched
    if (found.length) {
      const when = Math.min(...since) === Math.max(...since) ? `since step ${since[0]}` : `since steps ${Math.min(...since)} to ${Math.max(...since)}`;
      dead.lastChild.replaceChildren(h("b", {}, listed(found.map(([channel]) => channel), most)), scene.tight ? ` dead ${when}` : ` dead: zero in every training batch ${when}`);
    }
    const zero = header.layer === "input" ? [] : header.quiet || [];
    quiet.hidden = !zero.length;
    if (zero.length) {
      const rgb = scene.table[scene.centred ? 126 : 0];
      quiet.firstChild.style.background = `rgb(${rgb & 255} ${(rgb >> 8) & 255} ${(rgb >> 16) & 255})`;
      quiet.lastChild.replaceChildren(h("b", {}, listed(zero, most)), ` zero for this ${item}${scene.tight ? " only" : header.step >= header.dead_window ? `, active in the last ${header.dead_window} batches` : ""}`);
    }
    for (const line of [dead, quiet]) line.title = line.textContent;
    const count = (stats.nan || 0) + (stats.posinf || 0) + (stats.neginf || 0);
    bad.hidden = !count;
    if (count) {
      const kinds = [stats.nan ? `${stats.nan} NaN` : "", stats.posinf ? `${stats.posinf} Inf` : "", stats.neginf ? `${stats.neginf} −Inf` : ""].filter(Boolean);
      const n = stats.sampled, read = `${n} values${n < stats.count ? " read" : ""}`;
      bad.lastChild.textContent = stats.nan === n ? `All ${read} are NaN.` : `Not finite: ${kinds.join(", ")} of ${read}.`;
    }
  }

  return { el, paint };
}
