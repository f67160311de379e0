// The line to Python: who looks, what was painted, what the user moved. Never waits for an answer.

import { reserveHeight } from "./reserve.js";

const WORD_MS = 5000; // a visible view says so this often; its lease lasts three words
const NUDGES = 2, NUDGE_MS = 14, DRAG_MS = 50;
const DEAD = new Set(["dead", "restarting", "autorestarting", "terminating"]);
let views = 0;

/**
 * Connect one view with its widget in Python.
 *
 * @param {object} options model; el, the view's outermost element; onVisible(visible), optional
 */
export function connect({ model, el, onVisible = () => {} }) {
  const view = `${Date.now().toString(36)}-${(views += 1)}-${Math.random().toString(36).slice(2, 8)}`;
  const kernelListeners = new Set();
  let count = 0, movedAt = 0, nudging = 0, onScreen = false, visible = null, gone = false, disposed = false;

  function say(content) {
    if (gone) return;
    try {
      model.send({ ...content, view });
    } catch {
      lost(); // the comm is closed: the kernel went away, or the widget was closed
    }
  }

  function lost() {
    if (gone) return;
    gone = true;
    for (const listener of kernelListeners) listener(true);
  }

  /**
   * Say a word or two of nothing after a move, until its picture was painted. A notebook server leaves Nagle's
   * algorithm on: it holds a picture back until the status message before it was acknowledged, and the browser's
   * system puts that off by up to 40 ms unless the page itself has something to send.
   */
  function nudge() {
    const { mode } = (model.get("state") || {}).chip || {};
    if (mode === "one-way") return; // words would pile up until the cell ends
    const now = performance.now(), dragged = now - movedAt < DRAG_MS;
    movedAt = now;
    clearTimeout(nudging);
    let left = NUDGES;
    const word = (own) => () => {
      if (own !== movedAt || disposed) return; // a newer move has its own
      say({ type: "nudge" });
      if ((left -= 1)) nudging = setTimeout(word(own), NUDGE_MS);
    };
    if (dragged) nudging = setTimeout(word(now), DRAG_MS); // the moves of a drag are words enough
    else requestAnimationFrame(word(now));
  }

  function look() {
    const now = onScreen && !document.hidden;
    if (now === visible || disposed) return;
    const first = visible === null;
    visible = now;
    say({ type: first ? "ready" : "here", visible, busy: busy() });
    onVisible(visible);
  }

  /** Whether the user's pointer or focus is in the view, so that nothing may rebuild it. */
  function busy() {
    return el.matches(":hover") || el.contains(document.activeElement);
  }

  const observer = new IntersectionObserver((entries) => {
    onScreen = entries[entries.length - 1].isIntersecting;
    look();
  });
  observer.observe(el);
  const release = reserveHeight(el);
  document.addEventListener("visibilitychange", look);
  const timer = setInterval(() => visible && say({ type: "here", visible, busy: busy() }), WORD_MS);

  const kernel = model.widget_manager && model.widget_manager.kernel;
  const heard = (_, status) => DEAD.has(status) && lost();
  if (kernel && kernel.statusChanged) kernel.statusChanged.connect(heard);
  if (kernel && kernel.disposed) kernel.disposed.connect(lost);

  return {
    view,
    intent(name, value) {
      say({ type: "intent", name, value, n: (count += 1) });
      nudge();
    },
    action: (id) => say({ type: "action", id }),
    moves: () => count,
    ack(stream, seq) {
      clearTimeout(nudging);
      say({ type: "ack", stream, seq });
    },
    kernelGone: () => gone,
    isVisible: () => Boolean(visible),
    onKernel: (listener) => kernelListeners.add(listener),
    dispose() {
      disposed = true;
      clearTimeout(nudging);
      say({ type: "gone" });
      observer.disconnect();
      release();
      document.removeEventListener("visibilitychange", look);
      clearInterval(timer);
      if (kernel && kernel.statusChanged) kernel.statusChanged.disconnect(heard);
      if (kernel && kernel.disposed) kernel.disposed.disconnect(lost);
      kernelListeners.clear();
    },
  };
}
