import assert from "node:assert/strict";
import test from "node:test";

import { pointsAt, scalesOf } from "../../nbtorchviz/widgets/static/src/loss_draw.js";
import { describe, linesOf, noteOf, sceneOf, spanWords } from "../../nbtorchviz/widgets/static/src/loss_scene.js";

const LOOK = { x: "step", y: "linear", hidden: [], range: null, smoothing: 0 };

/** A packet of two runs: train at every step, val at every tenth, run 1 diverged at step 5. */
function packet() {
  const steps = Int32Array.from({ length: 100 }, (_, i) => i + 1);
  const arrays = {
    x0: steps, y0: Float32Array.from(steps, (s) => 2 / s),
    x1: Int32Array.from({ length: 10 }, (_, i) => 10 * i + 7), y1: Float32Array.from({ length: 10 }, (_, i) => 1 - i / 20),
    x2: Int32Array.from([1, 2, 3, 4, 5]), y2: Float32Array.from([2, 3, 900, 4, NaN]),
    c2s: Int32Array.from([1, 100]), c2e: Float32Array.from([0, 4]), c2t: Float32Array.from([10, 50]),
    c1s: Int32Array.from([1, 5]), c1e: Float32Array.from([NaN, NaN]), c1t: Float32Array.from([0, 2]),
  };
  const line = (run, name, role, x, y, more) => ({
    run, name, role, metric: "loss", x, y, count: arrays[x].length, complete: true, whole: true, spans: [], not_positive: 0,
    thinned: 1, latest: [arrays[x].at(-1), arrays[y].at(-1)], best: [1, 1], best_is: "smallest", ...more,
  });
  const header = {
    seq: 1, rev: 1, metric: "loss", metrics: ["loss"], smoothing: 0, log_y: false, range: null, bounds: [1, 100], current: 2,
    runs: [{ run: 1, name: "run 1", detail: "lr 5", clock: "c1", epochs: false }, { run: 2, name: "run 2", detail: "", clock: "c2", epochs: true }],
    lines: [
      line(2, "loss", "", "x0", "y0"), line(2, "val_loss", "val", "x1", "y1"),
      line(1, "loss", "", "x2", "y2", { spans: [[5, 5, "NaN"]], latest: [5, "NaN"] }),
    ],
    flags: [], gaps: [], epochs: [], overview: null, limits: { linear: [0, 2], log: [0.02, 2] },
  };
  return { header, arrays };
}

test("a read-out never interpolates: each series has its own real point and step", () => {
  const p = packet();
  const scene = sceneOf(p, LOOK);
  for (let x = 0; x <= 105; x += 0.37) {
    for (const point of pointsAt(scene, x)) {
      const line = point.item.line;
      const at = p.arrays[line.x].indexOf(point.step);
      assert.ok(at >= 0, `step ${point.step} was never logged`);
      assert.ok(Object.is(p.arrays[line.y][at], point.value));
    }
  }
  const [train, val] = pointsAt(scene, 42.4);
  assert.deepEqual([train.step, val.step], [42, 47]);
});

test("a smoothed value is shown only for the step it belongs to", () => {
  const p = packet();
  Object.assign(p.arrays, { sx: Int32Array.from([10, 20]), sy: Float32Array.from([0.5, 0.4]) });
  Object.assign(p.header.lines[0], { sx: "sx", sy: "sy", complete: false });
  const scene = sceneOf(p, { ...LOOK, smoothing: 0.9 });
  assert.equal(pointsAt(scene, 12)[0].soft, null);
  assert.equal(pointsAt(scene, 20)[0].soft, p.arrays.sy[1]);
});

test("a run that ended long before has no read-out, a hidden line neither", () => {
  const scene = sceneOf(packet(), LOOK);
  assert.deepEqual(pointsAt(scene, 4).map((p) => p.item.label), ["train", "val", "run 1 train"]);
  assert.deepEqual(pointsAt(scene, 50).map((p) => p.item.label), ["train", "val"]);
  const hidden = sceneOf(packet(), { ...LOOK, hidden: ["2/val_loss"] });
  assert.deepEqual(pointsAt(hidden, 50).map((p) => p.item.label), ["train"]);
});

test("colours and dashes stay when a line is hidden", () => {
  const style = (look) => sceneOf(packet(), look).lines.map((l) => [l.key, l.color, l.dash.join(" ")]);
  assert.deepEqual(style(LOOK), style({ ...LOOK, hidden: ["2/loss"] }));
});

test("lines are named by what they pair with", () => {
  assert.deepEqual(linesOf(packet().header).map((l) => [l.label, l.detail]), [["train", ""], ["val", ""], ["run 1 train", "lr 5"]]);
  const alone = packet().header;
  alone.lines = alone.lines.filter((l) => l.role !== "val");
  assert.equal(linesOf(alone)[0].label, "loss");
});

test("no two lines of a run look alike; the static picture has the same names and dashes", () => {
  const looks = (...names) => {
    const { header } = packet(), [train, val] = header.lines;
    header.lines = names.map((name) => ({ ...(/val|test|eval/.test(name) ? val : train), name }));
    return linesOf(header).map((l) => [l.label, l.color, l.dash.join(" ")]);
  };
  assert.deepEqual(looks("loss", "val_loss"), [["train", "train", ""], ["val", "val", "6 3"]]);
  assert.deepEqual(looks("loss", "train_loss", "val_loss"), [["loss", "train", ""], ["train_loss", "train", "12 3 2 3"], ["val", "val", "6 3"]]);
  assert.deepEqual(looks("train_loss", "val_loss", "test_loss", "loss/eval"),
    [["train", "train", ""], ["val_loss", "val", "6 3"], ["test_loss", "val", "6 3 2 3"], ["loss/eval", "val", "6 3 2 3 2 3"]]);
});

test("the x axis turns to epochs and seconds and back", () => {
  const epoch = sceneOf(packet(), { ...LOOK, x: "epoch" });
  assert.equal(epoch.axis.kind, "epoch");
  assert.ok(Math.abs(epoch.lines[0].xs[99] - 4) < 1e-6);
  assert.ok(Math.abs(epoch.axis.from(2, epoch.axis.to(2, 37)) - 37) < 1e-6);
  const time = sceneOf(packet(), { ...LOOK, x: "time" });
  assert.equal(time.axis.unit, "s");
  assert.ok(Math.abs(time.lines[0].xs[99] - 40) < 1e-6); // from the start of its own run
});

test("limits of a zoomed short run are those of what is in view, earlier runs left out", () => {
  const scene = sceneOf(packet(), { ...LOOK, range: [50, 100] });
  assert.ok(scene.limits[1] < 1);
  assert.deepEqual(scene.shown, [50, 100]);
  const open = sceneOf(packet(), { ...LOOK, range: [50, null] });
  assert.deepEqual(open.range, [50, 100]);
});

test("the note explains the marks it finds, and no others", () => {
  const scene = sceneOf(packet(), LOOK);
  assert.match(noteOf(scene, [0, 2.06], { smoothing: 0 }), /▲ above the axis: run 1 to 900.00\./);
  const later = sceneOf(packet(), { ...LOOK, range: [50, 100] });
  assert.equal(noteOf(later, [0, 2], { smoothing: 0 }), "");
  assert.match(noteOf(scene, [0, 1e4], { smoothing: 0.9 }), /^Thin: every logged value\. Thick: two-sided EMA/);
  const p = packet();
  p.header.lines[0].not_positive = 3;
  p.header.gaps = [[120, 180]];
  assert.match(noteOf(sceneOf(p, { ...LOOK, y: "log" }), [0.01, 1e4], {}), /log axis: 3 values ≤ 0 not drawn\. Not recorded, steps 120-180 \(hatched\)\./);
  Object.assign(p.header.lines[0], { whole: false, complete: false, count: 400 });
  assert.match(noteOf(sceneOf(p, LOOK), [0, 1e4], {}), /Thinned: 1 point in 4 drawn \(min and max kept\); history has all\./);
});

test("stretches without numbers are words", () => {
  const scene = sceneOf(packet(), LOOK);
  const [train, , old] = scene.lines;
  assert.equal(spanWords(old, [5, 5, "NaN"]), "run 1: NaN from step 5");
  assert.equal(spanWords(train, [43, 43, "NaN"]), "train: NaN at step 43");
  assert.equal(spanWords(train, [43, 60, "Inf"]), "train: Inf, steps 43-60");
});

test("a labelled tick closes a linear axis when it is near", () => {
  const p = packet();
  p.header.limits.linear = [0, 2.41];
  const scales = scalesOf(sceneOf(p, LOOK), { left: 48, right: 796, top: 28, bottom: 254 });
  assert.equal(scales.yTop, 2.5);
  assert.equal(scales.marks.at(-1), 2.5);
  assert.equal(Math.round(scales.y(2.5)), 28);
  assert.equal(Math.round(scales.y(0)), 254);
});

test("the twin of the picture says what it shows", () => {
  const words = describe(sceneOf(packet(), LOOK), packet().header);
  assert.match(words, /^loss against step, linear axis\. train: 0\.0200 at step 100/);
  assert.match(words, /run 1 train: NaN at step 5/);
});

test("an empty packet is empty", () => {
  const header = { ...packet().header, lines: [], runs: [], bounds: null, limits: { linear: null, log: null } };
  assert.ok(sceneOf({ header, arrays: {} }, LOOK).empty);
});
