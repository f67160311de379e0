// What is shown of a frame: for each image which class, which map, and in words why there is none.

import { difference, positive, spanOf } from "./cam_math.js";
import { NONE } from "./cam_packet.js";

export const SECOND = "second"; // against the next probable class of each image

/** Class explained in `row`, and the one it is held against (NONE: nothing). */
export function explained(frame, row, { target, contrast }) {
  const { top, cls: own } = frame.rows[row], cls = target === null || target === undefined ? own : target;
  if (contrast === null || contrast === undefined) return { cls, against: NONE };
  if (contrast !== SECOND) return { cls, against: contrast };
  const other = top.find(([each]) => each !== cls);
  return { cls, against: other ? other[0] : NONE };
}

/** Raw map of what is explained: {values, h, w}; null when it was not computed; `same`: a class against itself. */
function rawOf(frame, row, layer, { cls, against }) {
  if (against === NONE) return frame.mapOf(row, layer, frame.slotOf(row, cls));
  const ready = frame.mapOf(row, layer, frame.slotOf(row, cls, against));
  if (ready || !frame.header.linear) return ready;
  const a = frame.mapOf(row, layer, frame.slotOf(row, cls)), b = frame.mapOf(row, layer, frame.slotOf(row, against));
  return a && b ? { values: difference(a.values, b.values), h: a.h, w: a.w } : null;
}

const made = new WeakMap(); // frame → what mapOf has found of it

/** What `found` returned for this frame and pick before, else now. */
function remembered(frame, key, found) {
  if (!made.has(frame)) made.set(frame, new Map());
  const known = made.get(frame);
  if (!known.has(key)) known.set(key, found());
  return known.get(key);
}

/** Forget it: another frame is shown. */
export const forget = (frame) => { made.delete(frame); frame.forget(); };

/**
 * {cls, against, h, w, raw, shown, span, scale, word}: `shown` has no negative values unless signed, `scale` is
 * the largest absolute value shown, `word` says why nothing is to be seen ("", "absent", "missing", "same", "nan", "zero",
 * "negative", "constant").
 */
export function mapOf(frame, row, layer, pick) {
  const what = explained(frame, row, pick), signed = pick.sign === "signed";
  return remembered(frame, [row, layer, what.cls, what.against, signed].join("\n"), () => mapFor(frame, row, layer, what, signed));
}

function mapFor(frame, row, layer, what, signed) {
  if (what.cls === what.against) return { ...what, word: "same" };
  if (!frame.layer(layer)) return { ...what, word: "absent" };
  const raw = rawOf(frame, row, layer, what);
  if (!raw) return { ...what, word: "missing" };
  const span = spanOf(raw.values), shown = signed ? raw.values : positive(raw.values);
  const scale = signed ? Math.max(Math.abs(span.lo), Math.abs(span.hi)) : Math.max(0, span.hi);
  const word = Number.isNaN(span.hi) || span.nan ? "nan" : span.zero ? "zero" : !signed && span.hi <= 0 ? "negative" : "";
  return { ...what, h: raw.h, w: raw.w, raw: raw.values, shown, span, scale: Number.isFinite(scale) ? scale : 0, word };
}

/** Layer nearest to `layer` whose map has positive values; "" when none has. */
export function layerToTry(frame, row, layer, pick) {
  const keys = frame.layers.map(({ key }) => key), at = keys.indexOf(layer);
  const near = keys.map((key, i) => [Math.abs(i - at) + (i > at ? 0.5 : 0), key]).sort((a, b) => a[0] - b[0]);
  return (near.find(([, key]) => key !== layer && mapOf(frame, row, key, pick).word === "") || [0, ""])[1];
}

/** Largest value that is shown over all layers, for "12 % of the largest layer". */
export function largest(frame, row, pick) {
  return Math.max(0, ...frame.layers.map(({ key }) => mapOf(frame, row, key, pick).scale || 0));
}

/** The classes to list beside an image: the most probable, and in the last place the one explained if it is none of them. */
export function barsOf(frame, row, { cls, against }) {
  const bars = frame.rows[row].top.map(([c, p]) => [c, p]), sent = new Map(frame.sent(row));
  for (const each of bars.length ? [against, cls] : []) { // pixels have classes, and images no probability of one
    if (each < 0 || bars.some(([c]) => c === each)) continue;
    const taken = bars.findLastIndex(([c]) => c !== cls && c !== against);
    if (bars.length >= 5 && taken >= 0) bars.splice(taken, 1);
    bars.push([each, sent.has(each) ? sent.get(each) : NaN]);
  }
  return bars;
}
