// Words of the controls, and which answer belongs to which question. Nothing here touches the page.

/** What an error says first, and what it lists as accepted. */
export function split(message) {
  const at = message.search(/\s(?=Accepted: |\(\d+ layers; see )/);
  return at < 0 ? [message, ""] : [message.slice(0, at), message.slice(at + 1)];
}

/** "3 hits", "1 hit"; nothing before the first. */
export const hitsText = (hits) => (hits ? `${hits} ${hits === 1 ? "hit" : "hits"}` : "");

/** When an edit that waits takes effect. */
export function whenText(phase) {
  if (phase === "paused" || phase === "pausing") return "when training goes on";
  return phase === "running" || phase === "stopping" ? "after this step" : "after the next step";
}

/** The value in "lr 0.005 (0)": beside the field the knob's name and group are known. */
export const valueOf = (text) => text.replace(/^(lr|weight decay|momentum|betas|dropout p) /, "").replace(/(.) \([^()]*\)$/, "$1");

/** Name of the row of one knob, the same in questions, drafts and what waits. */
export const placeOf = ({ knob, target }) => `${knob}:${target}`;

/** One row of the layer list: indented, with what is frozen in words. */
export function layerText([key, depth, frozen]) {
  const words = ["", " · partly frozen", " · frozen"][frozen] || "";
  return `${"\u2003".repeat(depth)}${depth ? key.slice(key.lastIndexOf(".") + 1) : key}${words}`;
}

/** A whole number where the text is one; else the text, for Python to refuse in words. */
export const wholeOf = (text) => (/^\d{1,15}$/.test(text.trim()) ? Number(text) : text.trim());

/** "0.05" times or divided by ten without digits that only binary fractions have. */
export function timesTen(text, up) {
  const value = Number(text);
  return text.trim() && Number.isFinite(value) ? String(Number((up ? value * 10 : value / 10).toPrecision(6))) : text;
}

/**
 * Remembers what was asked from where, until the answer comes.
 *
 * @param {object} memory kept across rebuilt views: their questions are answered to this one
 */
export function questionsOf(memory) {
  const open = (memory.open ||= {});
  return {
    asked(view, n, place) { open[`${view}/${n}`] = place; },
    /** [place, error] of each answer that is new; the last one of each place. */
    heard(answers) {
      const found = new Map();
      for (const { view, n, error } of answers || []) {
        const id = `${view}/${n}`;
        if (!(id in open)) continue;
        found.set(open[id], error);
        delete open[id];
      }
      return [...found];
    },
  };
}
