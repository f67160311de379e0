// Sentences and numbers of the Grad-CAM view.

import { NONE, OWN } from "./cam_packet.js";
import { percent, short } from "./map_math.js";

export const METHODS = [["gradcam", "Grad-CAM"], ["hirescam", "HiResCAM"], ["layercam", "LayerCAM"], ["xgradcam", "XGrad-CAM"], ["gradcam++", "Grad-CAM++"]];
export const INPUT_METHODS = [["integrated_gradients", "Integrated Gradients"], ["smoothgrad", "SmoothGrad"], ["occlusion", "Occlusion"], ["deeplift", "DeepLift"]];
export const methodName = (method) => ([...METHODS, ...INPUT_METHODS].find(([key]) => key === method) || [0, method])[1];

/** Name of a class: the user's, else "class 3". */
export const className = (names, cls) => (cls === OWN ? (names && names.own) || "your target" : cls === NONE ? "–" : names && names[cls] !== undefined ? names[cls] : `class ${cls}`);
/** "cat" or "cat − dog". */
export const targetName = (names, { cls, against }) => (against === NONE ? className(names, cls) : `${className(names, cls)} − ${className(names, against)}`);

/** Whether a method maps the input: then there is no layer to choose. */
export const mapsInput = (method) => INPUT_METHODS.some(([key]) => key === method);
/** Options of the method picker: those of the input say what they cost, or what is to be installed first. */
export function methodOptions({ methods = null, absent = {}, costs = {} } = {}, chosen) {
  const known = methods ? METHODS.filter(([key]) => methods.includes(key)) : METHODS, dear = INPUT_METHODS.filter(([key]) => methods && methods.includes(key));
  const all = [...known, ...dear.map(([key, name]) => [key, absent[key] ? `${name} (${absent[key]})` : key === chosen ? name : `${name} of the input${costs[key] ? ` (${costs[key]})` : ""}`, Boolean(absent[key])])];
  return all.some(([key]) => key === chosen) ? all : [...all, [chosen, methodName(chosen)]];
}

/** Why no map is to be seen, and what to do: [sentence, what to do]. */
export function whyNothing(map, { names, layer, hint, waits }) {
  const name = targetName(names, map), size = map.h * map.w;
  switch (map.word) {
    case "same": return [`${name}: a class against itself is 0 everywhere.`, "Choose another class to hold it against."];
    case "absent": return [`No map of ${layer} is here.`, `Its output has no positions, or it was not computed.${hint ? ` Try ${hint}.` : ""}`];
    case "missing": return [`No map of ${name} for this image yet.`, waits];
    case "nan": return [`${map.span.nan === size ? `All ${size}` : `${map.span.nan} of ${size}`} values are not finite.`, "The model's output or gradient is NaN or infinite here."];
    case "zero": return [`Exactly 0: no gradient of ${name} reaches ${layer}.`, hint ? `Try ${hint}.` : "The score does not depend on it."];
    case "negative": return [`Nothing speaks for ${name} here: all ${size} values ≤ 0, down to ${short(map.span.lo)}.`, `“signed” shows them${hint ? `; or try ${hint}` : ""}.`];
    default: return ["", ""];
  }
}

/** "max 0.19, 40 % of the largest layer". */
export function sizeWords(map, most, signed) {
  const range = signed ? `${short(map.span.lo)} to ${short(map.span.hi)}` : `max ${short(map.span.hi)}`;
  return most > 0 && map.scale > 0 ? `${range}, ${percent(map.scale / most)} of the largest layer` : range;
}

/** What a cut-out picture has to say about itself. */
export function noteWords({ frame, pick, images, pooled, names }) {
  const parts = [], one = mapsInput(frame.header.method), { note } = frame.layer(pick.layer) || {};
  if (one) parts.push(`${methodName(frame.header.method)}: ${note}. Computed when chosen.`);
  const sign = pick.sign === "signed" ? "Orange for, blue against. " : "";
  parts.push(`${sign}Colour: value ÷ the map's ${pick.sign === "signed" ? "largest magnitude" : "maximum"}${pick.contour ? `; line at ${Math.round(100 * pick.contour)} %` : ""}.${one ? "" : ` Strip: every layer, own scale, hatched: nothing ${pick.sign === "signed" ? "≠" : ">"} 0.`}`);
  const notes = [...new Set(images.map(({ note }) => note).filter(Boolean))];
  if (notes.length) parts.push(`Image: ${notes.join("; ")}.`);
  if (pooled) parts.push(pooled);
  if (!names.length && frame.header.classes_known) parts.push("No class names given: class_names=[…].");
  if (note && !one) parts.push(`${note}.`);
  if (frame.header.notes) parts.push(...frame.header.notes);
  return parts.join(" ");
}
