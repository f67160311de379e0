// The line to Python: who looks, what was painted, what the user moved. Never waits for an answer.

import { reserveHeight } from "./reserve.js";

const WORD_MS = 5000; // a visible view says so this often; its lease lasts three words
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
  let count = 0, onScreen = false, visible = null, gone = false, disposed = false;

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
    intent: (name, value) => say({ type: "intent", name, value, n: (count += 1) }),
    action: (id) => say({ type: "action", id }),
    moves: () => count,
    ack: (stream, seq) => say({ type: "ack", stream, seq }),
    kernelGone: () => gone,
    isVisible: () => Boolean(visible),
    onKernel: (listener) => kernelListeners.add(listener),
    dispose() {
      disposed = true;
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
