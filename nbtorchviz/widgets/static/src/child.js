// Another widget's view inside one of ours. Hosts whose manager makes no views leave the place empty.

const AGAIN_MS = 300, TRIES = 40; // a model that Python has just made is on its way

/**
 * Show widget `id` in `place`; {gone()} takes it out again.
 *
 * @param {object} model of the view that holds it
 * @param {Element} place is filled with the view; its `data-child` says "shown" or "none"
 * @param {function} shown called with the child's element, once it is there
 */
export function childOf(model, place, id, shown = () => {}) {
  const manager = model.widget_manager;
  let view = null, over = false, timer = 0;

  async function tryOnce(left) {
    try {
      const made = await manager.create_view(await manager.get_model(id));
      if (over) return made.remove();
      view = made;
      place.replaceChildren(view.el);
      place.dataset.child = "shown";
      shown(view.el);
    } catch {
      if (over) return;
      if (left > 0) timer = setTimeout(() => tryOnce(left - 1), AGAIN_MS);
      else place.dataset.child = "none";
    }
  }

  if (id && manager && manager.create_view && manager.get_model) tryOnce(TRIES);
  else place.dataset.child = "none";
  return {
    gone() {
      over = true;
      clearTimeout(timer);
      if (view) view.remove();
      place.replaceChildren();
      delete place.dataset.child;
    },
  };
}
