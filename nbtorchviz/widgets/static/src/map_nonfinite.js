// The first NaN: the tensors before it, what came out, and where, in place of the maps.
//
// Trait `nonfinite`: one packet (packet.js) of analysis/nonfinite_parts.py. Header: seq, step, title, code, lines,
// pieces [{role, name, shape, dtype, place, start, range, bad, mark, lo, hi}]. Arrays of piece i: c{i} codes u1
// (rows, columns), v{i} exact values f4; either may be left out.

import { KEYS, h, ratio } from "./dom.js";
import { drawPlanes, pixelsByCode, sized, tableOf } from "./map_colours.js";
import { LEVELS, short, valueOf } from "./map_math.js";
import { decode } from "./packet.js";

const NAN = 255, GAP_PX = 28, MOST_CELL_PX = 40, WRITTEN_PX = 34;

/** Value at a row and column of piece `i`. */
export function valueIn({ header, arrays }, i, row, col) {
  const codes = arrays[`c${i}`], at = row * codes.shape[1] + col, { lo, hi } = header.pieces[i];
  return arrays[`v${i}`] ? arrays[`v${i}`][at] : valueOf(codes[at], lo, hi);
}

/** A cell in words; where other pieces hold the same place, theirs too: "[0, 1]: input 0 of log −4, result of log NaN". */
export function cellWords(report, i, row, col) {
  const { pieces } = report.header, piece = pieces[i], place = [piece.start[0] + row, piece.start[1] + col];
  const same = pieces.map((_, at) => at).filter((at) => at === i || (piece.mark && pieces[at].mark && report.arrays[`c${at}`] && String(pieces[at].start) === String(piece.start)));
  return `row ${place[0]}, col ${place[1]}: ${same.map((at) => `${pieces[at].name} ${short(valueIn(report, at, row, col), 4)}`).join(", ")}`;
}

/** Make the report; `view.leave()` hears its button. */
export function nonfiniteOf(view) {
  const title = h("b"), code = h("code"), read = h("div", { class: "nbtv-quiet nbtv-report-read" });
  const back = h("button", { type: "button", ...KEYS, onclick: () => view.leave() }, "Maps");
  const top = h("div", { class: "nbtv-banner nbtv-error", role: "status" }, h("div", {}, title, code), back);
  const row = h("div", { class: "nbtv-pieces" }), lines = h("div", { class: "nbtv-report-lines" });
  const el = h("div", { class: "nbtv-report", hidden: true }, top, row, read, lines);
  let report = null, known = "", width = 0;
  const observer = new ResizeObserver(([entry]) => { width = entry.contentRect.width; view.ask(); });
  observer.observe(el);

  function figure(piece, i, side, palette) {
    const canvas = report.arrays[`c${i}`] ? h("canvas", { role: "img", "aria-label": [piece.name, piece.shape, piece.place, piece.range, piece.bad].filter(Boolean).join(", ") }) : h("div", { class: "nbtv-quiet" }, "The picture did not fit.");
    if (canvas.getContext) {
      const cell = draw(canvas, i, side, palette);
      canvas.addEventListener("pointermove", ({ offsetX, offsetY }) => {
        const [rows, columns] = report.arrays[`c${i}`].shape;
        read.textContent = cellWords(report, i, Math.min(rows - 1, Math.floor(offsetY / cell)), Math.min(columns - 1, Math.floor(offsetX / cell)));
      });
      canvas.addEventListener("pointerleave", () => { read.textContent = ""; });
    }
    const bad = h("div", { class: "nbtv-report-bad" }, piece.bad || "\u00a0");
    return h("figure", { class: `nbtv-piece nbtv-${piece.role}` }, h("b", { title: piece.name }, piece.name), h("div", { class: "nbtv-quiet", title: `${piece.dtype} ${piece.shape} ${piece.place}` }, `${piece.shape} ${piece.place}`), h("div", { class: "nbtv-piece-map" }, canvas), h("div", {}, piece.range), bad);
  }

  /** Paint piece `i`; returns CSS pixels of a cell. */
  function draw(canvas, i, side, palette) {
    const codes = report.arrays[`c${i}`], [rows, columns] = codes.shape, { lo, hi, mark } = report.header.pieces[i], dpr = ratio();
    const px = Math.max(1, Math.floor(Math.min(MOST_CELL_PX, side / Math.max(rows, columns)) * dpr)), cell = px / dpr;
    const ctx = sized(canvas, columns * cell, rows * cell), signed = lo < 0, most = Math.max(-lo, hi);
    const pixels = pixelsByCode(tableOf(signed ? "diverging" : "viridis"), lo, hi, signed ? [-most, most] : [lo, hi], signed);
    drawPlanes(ctx, [{ codes, pixels, x: 0, y: 0 }], rows, columns, { scale: px, shrink: 1 });
    const written = cell >= WRITTEN_PX, nan = new Path2D(), cross = new Path2D();
    for (let at = 0; at < codes.length; at += 1) {
      if (codes[at] <= LEVELS) continue;
      const x = (at % columns) * px, y = Math.floor(at / columns) * px;
      ctx.fillStyle = palette.ground;
      ctx.fillRect(x, y, px, px);
      if (codes[at] === NAN) nan.rect(x, y, px, px);
      else for (const [a, b] of [[0, px], [px, 0]]) { cross.moveTo(x, y + a); cross.lineTo(x + px, y + b); }
    }
    ctx.strokeStyle = palette.error;
    ctx.lineWidth = dpr;
    if (!written) {
      ctx.stroke(cross);
      ctx.save();
      ctx.clip(nan);
      ctx.beginPath();
      for (let x = -canvas.height; x < canvas.width; x += 4 * dpr) { ctx.moveTo(x, canvas.height); ctx.lineTo(x + canvas.height, 0); }
      ctx.stroke();
      ctx.restore();
    } else {
      ctx.font = `${10 * dpr}px ${palette.family}`;
      ctx.textAlign = "center";
      ctx.textBaseline = "middle";
      codes.forEach((code, at) => {
        const rgb = pixels[code], light = 0.299 * (rgb & 255) + 0.587 * ((rgb >> 8) & 255) + 0.114 * ((rgb >> 16) & 255) > 140;
        ctx.fillStyle = code > LEVELS ? palette.error : light ? "#000" : "#fff";
        const row = Math.floor(at / columns), col = at % columns;
        ctx.fillText(short(valueIn(report, i, row, col), 2), (col + 0.5) * px, (row + 0.5) * px);
      });
    }
    if (mark) {
      ctx.strokeStyle = palette.accent;
      ctx.lineWidth = 2 * dpr;
      ctx.strokeRect(mark[1] * px + dpr, mark[0] * px + dpr, Math.max(px - 2 * dpr, 2 * dpr), Math.max(px - 2 * dpr, 2 * dpr));
    }
    return cell;
  }

  function paint({ compact, narrow }, open) {
    if (el.hidden === open) { el.hidden = !open; known = ""; }
    if (!open || !width) return;
    const { pieces, seq } = report.header, shown = Math.max(narrow ? 2 : 3, narrow ? Math.min(2, pieces.length) : pieces.length);
    const side = Math.max(64, Math.min(compact && !narrow ? 112 : 184, Math.floor((width - (shown - 1) * GAP_PX) / shown)));
    const key = [seq, side, ratio()].join();
    if (key === known) return;
    known = key;
    const style = getComputedStyle(el), of = (name) => style.getPropertyValue(`--nbtv-${name}`).trim();
    title.textContent = report.header.title;
    code.textContent = report.header.code;
    row.style.setProperty("--side", `${side}px`);
    row.replaceChildren(...pieces.map((piece, i) => figure(piece, i, side, { error: of("error"), ground: of("error-bg"), accent: of("accent"), family: style.fontFamily })));
    lines.replaceChildren(...report.header.lines.map((text) => h("div", {}, text)));
  }

  return {
    el, paint,
    /** Take a packet; returns its sequence number. */
    take(data) { report = decode(data); known = ""; return report.header.seq; },
    seq: () => (report ? report.header.seq : -1),
    drawn: () => Boolean(report && report.header.pieces.length),
    forget() { known = ""; },
    dispose: () => observer.disconnect(),
  };
}
