// Save what is shown as a PNG that says by itself what it shows.

import { ratio } from "./dom.js";
import { axisText, short, times } from "./map_math.js";

const LINE = 18;

/** Compose `parts` = {canvas, tall, captions, plane, bar, range, input} of a scene into one canvas. */
export function pictureOf(scene, parts, root) {
  const dpr = ratio(), style = getComputedStyle(root);
  const { header } = scene.frame;
  const colour = (name) => style.getPropertyValue(`--nbtv-${name}`);
  const left = parts.canvas ? parts.canvas.width / dpr : 0, right = 340;
  const shown = parts.input.canvas, side = Math.max(shown.height / dpr, 4 * LINE) + 8;
  const height = 3 * LINE + 24 + Math.max(parts.canvas ? parts.tall : 0, side + parts.plane.height / dpr + LINE);
  const out = document.createElement("canvas");
  out.width = Math.round((left + right + 48) * dpr);
  out.height = Math.round(height * dpr);
  const context = out.getContext("2d");
  context.scale(dpr, dpr);
  context.fillStyle = colour("bg");
  context.fillRect(0, 0, out.width, out.height);
  const write = (text, x, y, name = "fg", font = "13px") => {
    context.fillStyle = colour(name);
    context.font = `${font} ${style.fontFamily}`;
    context.fillText(text, x, y, left + right + 32 - x);
  };
  const place = (canvas, x, y) => context.drawImage(canvas, Math.round(x * dpr) / dpr, Math.round(y * dpr) / dpr, canvas.width / dpr, canvas.height / dpr);
  write(`${scene.state.model || ""} ${header.layer} (${header.type}, ${times(header.shape)}), ${header.show}`, 16, 24, "fg", "600 13px");
  const of = scene.pick.normalize === "layer" ? "one scale" : "own scale";
  write(`step ${header.step}, ${header.phase}, ${header.sample_word || "sample"} ${header.sample}; ${scene.colormap}, ${of}${scene.grey ? `; ${scene.state.chip.mode}` : ""}`, 16, 24 + LINE, "quiet");
  let top = 24 + 2 * LINE;
  if (parts.canvas) {
    const cut = Math.round(Math.min(parts.tall * dpr, parts.canvas.height));
    context.drawImage(parts.canvas, 0, 0, parts.canvas.width, cut, 16, Math.round(top * dpr) / dpr, left, cut / dpr);
    for (const { x, y, w, h, index, word, kind } of parts.captions) {
      context.strokeStyle = colour("edge");
      if (kind) context.strokeRect(16.5 + x, top + y + 14.5, w - 1, h - 1);
      write(index, 16 + x, top + y + 11, "fg", "600 11px");
      write(word, 16 + x + context.measureText(index).width + 5, top + y + 11, "quiet", "11px");
    }
  }
  const x = 32 + left;
  if (header.input) place(shown, x, top);
  const beside = header.input ? x + shown.width / dpr + 12 : x;
  parts.input.words().forEach((words, i) =>
    i ? write(words, beside, top + 11 + i * LINE, "quiet", "11px") : write(`Input${header.input ? ":" : ""} ${words}`, beside, top + 11));
  top += side;
  write(header.view === "maps" ? `Channel ${scene.pick.channel}` : header.view, x, top + 11, "fg", "600 12px");
  place(parts.plane, x, top + LINE);
  place(parts.bar, x + parts.plane.width / dpr + 8, top + LINE);
  const [from, to] = parts.range, tall = parts.bar.height / dpr;
  axisText([to, (from + to) / 2, from]).forEach((text, i) =>
    write(to > from ? text : i === 2 ? short(from) : "", x + parts.plane.width / dpr + 22, top + LINE + 8 + (i * (tall - 8)) / 2, "fg", "11px"));
  return out;
}

/** Hand a canvas to the browser as a download. */
export function download(canvas, name) {
  canvas.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }, "image/png");
}
