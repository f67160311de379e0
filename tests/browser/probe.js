// Records when a control was moved and when the answer was painted, by one clock.
// A mutation inside an animation frame is painted by that very frame, any other by the next one.
(() => {
  const now = () => performance.timeOrigin + performance.now();
  const probe = (window.nbtvProbe = { moves: [], paints: [] });
  const PAINTED = ["data-layer", "data-channel", "data-step", "data-seq", "data-mode"];
  let inFrame = 0;
  let touched = 0;

  const request = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (callback) =>
    request((time) => {
      inFrame += 1;
      try {
        callback(time);
      } finally {
        queueMicrotask(() => (inFrame -= 1)); // after the mutations of this callback were reported
      }
    });

  const whenPainted = (record) => {
    if (inFrame > 0) probe.paints.push({ ...record, at: now() });
    else request(() => probe.paints.push({ ...record, at: now() }));
  };

  for (const kind of ["keydown", "pointerdown", "pointermove", "wheel"]) {
    addEventListener(kind, (event) => (touched = performance.timeOrigin + event.timeStamp), true);
  }
  addEventListener(
    "input",
    (event) => {
      const control = event.composedPath()[0];
      const at = touched || now();
      setTimeout(() => {
        probe.moves.push({
          at,
          control: control.getAttribute("aria-label") || control.name || "",
          value: control.value,
          text: control.getAttribute("aria-valuetext") || "",
        });
      });
    },
    true,
  );

  const readouts = new WeakMap();
  const textOf = (element, record) => {
    const text = element.textContent;
    const before = readouts.get(element);
    readouts.set(element, text);
    if (before !== undefined && before !== text) record(text);
  };
  new MutationObserver((mutations) => {
    const views = new Set();
    for (const mutation of mutations) {
      if (mutation.type === "attributes") views.add(mutation.target);
    }
    for (const view of views) {
      const painted = Object.fromEntries(
        PAINTED.map((name) => [name.slice(5), view.getAttribute(name)]),
      );
      whenPainted({ target: view.className.match(/nbtv-[\w-]+/)?.[0] ?? "", ...painted });
    }
    for (const readout of document.querySelectorAll(".nbtv-floor .widget-readout")) {
      textOf(readout, (text) =>
        probe.moves.push({ at: touched, control: "floor", value: text, text }),
      );
    }
    for (const label of document.querySelectorAll(".nbtv-floor .widget-label:not(:empty)")) {
      textOf(label, (text) => whenPainted({ target: "floor", text }));
    }
  }).observe(document, {
    subtree: true,
    childList: true,
    characterData: true,
    attributes: true,
    attributeFilter: PAINTED,
  });
})();
