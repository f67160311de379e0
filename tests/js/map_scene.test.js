import assert from "node:assert/strict";
import test from "node:test";

import { store } from "../../nbtorchviz/widgets/static/src/map_scene.js";
import { crossOf, planeIn, readOut } from "../../nbtorchviz/widgets/static/src/map_plane.js";
import { noteOf } from "../../nbtorchviz/widgets/static/src/map_key.js";
import { worded } from "../../nbtorchviz/widgets/static/src/map_status.js";
import { packet } from "./packets.js";

const ROWS = [{ key: "a.relu", type: "ReLU", shape: [20, 2, 2] }, { key: "b.relu", type: "ReLU", shape: [2, 2, 2] }];
const PICK = { layer: "a.relu", channel: 1, show: "activation", colormap: "viridis", normalize: "channel", order: "index", step: null };

function frame(changes = {}, planes = [[0, 252, 126, 255], [252, 0, 0, 0]]) {
  const header = {
    seq: 7, layer: "a.relu", show: "activation", view: "maps", type: "ReLU", step: 12, total: 2, first: 0, shape: [2, 2, 2],
    rows: "row", cols: "col", pooled: 1, range: [0, 4], notes: [], dead: {}, quiet: [], input: null, names: null, ...changes,
  };
  return packet(header, {
    planes: ["u1", [planes.length, 2, planes[0].length / 2], planes.flat()], lo: ["f4", [2], [0, 0]], hi: ["f4", [2], [2, 4]],
    values: ["f4", [4], [0.5, 1, 2, 3]],
  });
}

const thumbs = packet({ seq: 3, items: [{ key: "b.relu", zero_share: 0.5, step: 9, lo: [0], hi: [1] }] }, {
  t0: ["u1", [2, 2], [1, 2, 3, 4]], m0: ["u1", [1, 2, 2], [0, 252, 0, 0]],
});

function looked(changes = {}, packets = [frame()]) {
  const kept = store();
  kept.thumbnails(thumbs);
  for (const data of packets) kept.frame(data);
  return kept.look({ pick: { ...PICK, ...changes }, rows: ROWS, state: {}, lock: "auto", grey: false, cross: null });
}

test("the frame of the selected layer is shown, with its own channels", () => {
  const scene = looked();
  assert.equal(scene.frame.header.seq, 7);
  assert.equal(scene.waiting, false);
  assert.deepEqual(scene.scaleOf(1), [0, 4]);
});

test("until a layer's frame comes, its thumbnail stands in, and says so", () => {
  const scene = looked({ layer: "b.relu" });
  assert.equal(scene.frame.header.layer, "b.relu");
  assert.equal(scene.frame.header.step, 9);
  assert.match(noteOf(scene), /^preview: thumbnail of step 9/);
});

test("a frame of another layer never passes for the selected one", () => {
  const scene = looked({ layer: "c" });
  assert.equal(scene.waiting, true);
  assert.equal(scene.header.layer, "a.relu");
  assert.match(noteOf(scene), /^a\.relu of step 12; c comes/);
});

test("a gradient is not shown as an activation's thumbnail", () => {
  assert.equal(looked({ layer: "b.relu", show: "gradient" }).frame.header.layer, "a.relu");
});

test("a channel beyond the layer's last is the last", () => {
  assert.equal(looked({ channel: 40 }).pick.channel, 1);
});

test("one scale spans the whole sample; diverging centres zero; a held range stays", () => {
  assert.deepEqual(looked({ normalize: "layer" }).scaleOf(0), [0, 4]);
  assert.deepEqual(looked({ colormap: "diverging" }).scaleOf(0), [-2, 2]);
  const kept = store();
  const held = (data) => {
    kept.frame(data);
    return kept.look({ pick: PICK, rows: ROWS, state: {}, lock: "hold", grey: false }).scaleOf(1);
  };
  assert.deepEqual(held(frame()), [0, 4]);
  const later = frame();
  new Float32Array(later, later.byteLength - 24, 2)[1] = 9;
  assert.deepEqual(held(later), [0, 4]);
});

test("values with a sign are centred on zero unless the user chose a colour map; gradients always", () => {
  const signed = frame({ signed: true, range: [-1, 4] });
  const kept = store();
  kept.frame(signed);
  const look = (mapped) => kept.look({ pick: PICK, rows: ROWS, state: {}, lock: "auto", grey: false, mapped });
  assert.deepEqual([look(false).colormap, look(false).centred, look(true).colormap], ["diverging", true, "viridis"]);
  kept.frame(frame({ show: "gradient", layer: "a.relu" }));
  const gradient = kept.look({ pick: { ...PICK, show: "gradient" }, rows: ROWS, state: {}, lock: "auto", grey: false, mapped: true });
  assert.equal(gradient.colormap, "diverging");
  assert.equal(looked().colormap, "viridis");
});

test("a coarse picture keeps the place of the full one", () => {
  const scene = looked({}, [frame({ pooled: 4, axes: ["C", "H", "W"], shape: [2, 8, 8] })]);
  assert.deepEqual(scene.tile, [8, 8]);
});

test("a constant channel is coloured on the scale of its layer", () => {
  const kept = store(), data = frame();
  new Float32Array(data, data.byteLength - 24, 2)[1] = 0; // channel 1 from 0 to 0
  kept.frame(data);
  const scene = kept.look({ pick: PICK, rows: ROWS, state: {}, lock: "auto", grey: false });
  assert.deepEqual(scene.scaleOf(1), [0, 4]);
});

test("the crosshair lies on the largest value until it is moved", () => {
  const scene = looked({ channel: 0 }), plane = planeIn(scene);
  assert.deepEqual(crossOf(scene, plane), { row: 0, col: 1 });
  assert.deepEqual(readOut(scene, plane, { row: 0, col: 1 }), { where: "row 0, col 1", value: "2.00" });
  assert.deepEqual(readOut(scene, plane, { row: 1, col: 1 }), { where: "row 1, col 1", value: "NaN" });
  assert.deepEqual(crossOf({ ...scene, cross: { row: 9, col: 0 } }, plane), { row: 1, col: 0 });
});

test("zero-centred, the crosshair lies on what is farthest from zero", () => {
  const scene = looked({ channel: 0, colormap: "diverging" }), codes = new Uint8Array([100, 252, 0, 255]);
  assert.deepEqual(crossOf(scene, { codes, w: 2, h: 2, lo: -9, hi: 2 }), { row: 1, col: 0 });
  assert.deepEqual(crossOf(scene, { codes, w: 2, h: 2, lo: -1, hi: 2 }), { row: 0, col: 1 });
});

test("a pooled value names the rows it stands for", () => {
  const scene = looked({}, [frame({ pooled: 3 })]);
  assert.equal(readOut(scene, planeIn(scene), { row: 1, col: 0 }).where, "row 3–5, col 0–2");
});

test("a strip reads its exact numbers and its names", () => {
  const data = packet(
    { seq: 1, layer: "a.relu", show: "activation", view: "strip", total: 4, first: 0, cols: "feature", names: ["w", "x", "y", "z"], step: 1 },
    { planes: ["u1", [1, 1, 4], [0, 50, 126, 252]], lo: ["f4", [1], [0.5]], hi: ["f4", [1], [3]], values: ["f4", [4], [0.5, 1.125, 2, 3]] },
  );
  const scene = looked({ channel: 1 }, [data]), plane = planeIn(scene), cross = crossOf(scene, plane);
  assert.deepEqual(cross, { row: 0, col: 1 });
  assert.deepEqual(readOut(scene, plane, cross), { where: "feature 1 (x)", value: "1.13" });
});

test("a page without the selected channel has no plane to enlarge", () => {
  assert.equal(planeIn(looked({ channel: 30 }, [frame({ total: 64, first: 40 })])), null);
});

test("a layer without a picture keeps its sentence", () => {
  const data = packet({ seq: 1, layer: "a.relu", show: "activation", view: "none", step: 0, message: "a.relu was not called." }, {});
  const scene = looked({}, [data]);
  assert.equal(scene.frame, null);
  assert.equal(scene.header.message, "a.relu was not called.");
});

test("words without code stay text", () => {
  assert.deepEqual(worded("<b>no markup</b>"), ["<b>no markup</b>"]);
});
