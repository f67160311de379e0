// Widgets made with private=True: their pixels come as messages and stay in the page, since Jupyter saves traits.

const WORDS = "private: no pixels are saved", WAIT_MS = 1500;

/**
 * Return a model of which `get` and `on` know what came as messages too.
 *
 * @param {object} model of the widget; returned as it is unless the widget is private
 * @param {Element} el where the view stands; given: what is missing there is said when nothing comes
 */
export function privately(model, el) {
  if (!(model.get("options") || {}).private) return model;
  const held = new Map(), listening = [];
  let note = null;
  const timer = el && setTimeout(() => {
    note = document.createElement("div");
    note.className = "nbtv-private";
    note.textContent = WORDS;
    el.append(note);
  }, WAIT_MS);

  function take(content, buffers) {
    if (!content || content.type !== "private") return;
    clearTimeout(timer);
    if (note) note.remove();
    held.set(content.name, buffers[0]);
    for (const [event, listener] of [...listening]) if (event === `change:${content.name}`) listener();
  }

  model.on("msg:custom", take);
  return Object.assign(Object.create(model), {
    get: (name) => held.get(name) ?? model.get(name),
    on(event, listener) {
      listening.push([event, listener]);
      model.on(event, listener);
    },
    off(event, listener) {
      const at = listening.findIndex((each) => each[0] === event && each[1] === listener);
      if (at >= 0) listening.splice(at, 1);
      model.off(event, listener);
      if (listening.length) return;
      clearTimeout(timer); // the view is gone
      model.off("msg:custom", take);
    },
  });
}
