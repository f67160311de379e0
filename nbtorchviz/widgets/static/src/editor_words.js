// Sentences of the input editor.

import { percent, short } from "./map_math.js";

/** Rows of the table: [{name, before, after, explained}]. */
export const fieldsOf = ({ classes, explained }) => classes.map(([cls, name, before, after]) => ({ name, before, after, explained: cls === explained }));

/** What is said about a result: {changed, when, waits, difference, spoken}. */
export function wordsOf(header, { state, gone }) {
  const { changed, pixels, most, channels, computed, step } = header, fields = fieldsOf(header);
  const share = percent(changed / pixels, 1), own = fields.find((field) => field.explained);
  const count = changed ? `${changed.toLocaleString("en")} of ${pixels.toLocaleString("en")} pixels changed (${share})` : "No pixel changed.";
  const effect = own && own.before !== null ? `${own.name} ${percent(own.before, 1)} → ${percent(own.after, 1)}` : "";
  const flip = changed && header.flip ? `now predicted ${header.flip[1]}, before ${header.flip[0]}` : "";
  const { refusal } = state.editor || {}, oneWay = (state.chip || {}).mode === "one-way";
  const when = gone ? "The kernel is gone: nothing can be painted."
    : refusal && !computed ? refusal
    : computed ? [`step ${step}`, changed ? "before → after by the same weights" : "", oneWay ? "strokes arrive between cells in this host" : ""].filter(Boolean).join(", ")
      : oneWay ? "Strokes arrive between cells in this host; they are explained then." : "being computed: at the next step, if the model trains";
  return {
    changed: [count, flip].filter(Boolean).join(", "),
    when,
    waits: !gone && !computed,
    difference: changed ? `Difference: ${count}, at most ${short(most)}${channels > 1 ? " in any channel" : ""}` : "Difference: none",
    spoken: computed ? [count, effect, flip].filter(Boolean).join(", ") : "",
  };
}
