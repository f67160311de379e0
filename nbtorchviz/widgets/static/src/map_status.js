// What the widget says about itself: one quiet line, a banner, or a board where there is no picture.

import { KEYS, h } from "./dom.js";

const QUIET = new Set(["paused", "evaluating", "stale"]); // one line; the picture stays as it is

/** Text with `code` between backticks set as code; never as HTML. */
export function worded(text) {
  return text.split("`").map((part, i) => (i % 2 ? h("code", {}, part) : part));
}

/** Whether a cockpit's first line says it, and no part of it need say it again. */
export const isAbove = ({ code }) => /^(closed|fault|model|run)/.test(code);

/** Make line, banner and board; `view.act(id)` hears the buttons. */
export function statusOf(view) {
  const line = h("div", { class: "nbtv-line" });
  const banner = h("div", { class: "nbtv-banner", role: "status", hidden: true });
  const board = h("div", { class: "nbtv-board", hidden: true });
  let bannerKey = "", boardKey = "", dismissed = "";

  /** Status to show: the kernel's end outranks what Python said before it. */
  function present(scene) {
    if (!scene.gone) return scene.state.status || null;
    const at = scene.frame ? ` on this picture of step ${scene.frame.header.step}` : "";
    return { code: "kernel_gone", level: "gone", title: "Kernel gone.", lines: [`Channel, colour map and hover still work${at}.`], actions: [], table: null };
  }

  function blockOf(status, withTable) {
    const parts = [h("b", {}, status.title)];
    for (const text of status.lines || []) if (text) parts.push(h("div", {}, ...worded(text)));
    if (status.code_line) parts.push(h("div", {}, h("code", { class: "nbtv-code" }, status.code_line)));
    if (withTable && status.table && status.table.length) parts.push(trail(status.table));
    if (status.actions && status.actions.length) {
      parts.push(h("div", { class: "nbtv-actions" }, ...status.actions.map(({ id, label }, i) =>
        h("button", { type: "button", class: i === 0 ? "nbtv-primary" : null, ...KEYS, onclick: () => act(id, status) }, label))));
    }
    return parts;
  }

  function act(id, status) {
    if (id === "keep") { dismissed = status.title; view.ask(); }
    view.act(id);
  }

  /** Layers the batch went through; the last row is where it failed. */
  function trail(rows) {
    return h("table", { class: "nbtv-trail" }, h("tbody", {}, ...rows.map((row, i) =>
      h("tr", { class: i === rows.length - 1 ? "nbtv-last" : null }, ...row.map((text) => h("td", {}, String(text)))))));
  }

  function paint(scene, note) {
    const status = present(scene), empty = !scene.frame;
    const quiet = status && QUIET.has(status.code);
    const text = quiet ? status.title : note;
    if (line.textContent !== text) line.textContent = line.title = text;
    line.classList.toggle("nbtv-said", Boolean(quiet));
    const shown = status && !empty && !quiet && status.code !== "waiting" && dismissed !== status.title;
    const key = shown ? JSON.stringify(status) : "";
    if (key !== bannerKey) {
      bannerKey = key;
      banner.hidden = !shown;
      banner.className = `nbtv-banner nbtv-${shown ? status.level : ""}`;
      banner.replaceChildren(...(shown ? blockOf(status, true) : []));
    }
    paintBoard(scene, empty ? status : null, empty);
  }

  function paintBoard(scene, status, empty) {
    board.hidden = !empty;
    const message = scene.header && scene.header.message;
    const key = empty ? JSON.stringify([status, message, scene.rows.map((row) => row.key), scene.pick.layer]) : "";
    if (key === boardKey) return;
    boardKey = key;
    if (!empty) return board.replaceChildren();
    const waiting = !status || status.code === "waiting";
    const said = message ? { title: message, lines: [] } : status || { title: "Waiting for the first picture.", lines: [] };
    const parts = [h("div", { class: waiting ? "nbtv-plain" : `nbtv-banner nbtv-${status.level}` }, ...blockOf(message && !waiting ? status : said, false))];
    if (message && !waiting) parts.push(h("p", {}, message));
    if (status && status.table && status.table.length) parts.push(h("p", { class: "nbtv-quiet" }, "The batch on its way through the model"), trail(status.table));
    else if (waiting && !message) {
      const layers = scene.rows.filter(({ block }) => !block).slice(0, 24);
      parts.push(h("div", { class: "nbtv-empty" }, ...layers.map((row) => h("span", { class: row.key === scene.pick.layer ? "nbtv-chosen" : null }, h("i"), row.key))));
      parts.push(h("p", { class: "nbtv-quiet" }, "Shapes appear with the first forward. Pick a layer now; it is the first one shown."));
    }
    return board.replaceChildren(...parts);
  }

  return { line, banner, board, paint, dismissed: () => dismissed };
}
