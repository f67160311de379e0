// A slow machine on purpose: pictures, sizes and visibility come late, keys and clicks do not.
// A test or a view that acts on what is not painted yet fails here each time, not once in a while.
(() => {
  const LATE_MS = 250;
  const frame = window.requestAnimationFrame.bind(window);
  const cancelFrame = window.cancelAnimationFrame.bind(window);
  const asked = new Map();
  let count = 0;

  window.requestAnimationFrame = (callback) => {
    const id = (count += 1);
    const wanted = () => {
      asked.set(id, [cancelFrame, frame((time) => {
        asked.delete(id);
        callback(time);
      })]);
    };
    asked.set(id, [clearTimeout, setTimeout(wanted, LATE_MS)]);
    return id;
  };
  window.cancelAnimationFrame = (id) => {
    const [cancel, handle] = asked.get(id) || [];
    if (cancel) cancel(handle);
    asked.delete(id);
  };

  for (const name of ["ResizeObserver", "IntersectionObserver"]) {
    window[name] = class extends window[name] {
      #ended = false;
      constructor(callback, ...options) {
        super((entries) => setTimeout(() => this.#ended || callback.call(this, entries, this), LATE_MS), ...options);
      }
      disconnect() {
        this.#ended = true;
        super.disconnect();
      }
      observe(...what) {
        this.#ended = false;
        super.observe(...what);
      }
    };
  }
})();
