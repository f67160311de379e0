// Frames that came, by step: the Step slider answers from them when no kernel can. Bounded in bytes; when it
// is full every other step is forgotten, so that the whole run stays covered.

const MOST_BYTES = 24e6;

export function tapeOf(most = MOST_BYTES) {
  const kept = new Map(); // step → frame
  const steps = () => [...kept.keys()].sort((a, b) => a - b);
  const bytes = () => [...kept.values()].reduce((sum, frame) => sum + frame.bytes, 0);

  function halve() {
    const all = steps();
    all.forEach((step, i) => { if (i % 2 && i < all.length - 1) kept.delete(step); });
  }

  return {
    steps,
    get: (step) => kept.get(step) || null,
    clear: () => kept.clear(),
    add(frame) {
      kept.set(frame.header.step, frame);
      while (bytes() > most && kept.size > 2) halve();
    },
  };
}
