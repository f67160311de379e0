import assert from "node:assert/strict";
import test from "node:test";

import { COLORMAPS, pixelsByCode, scales, tableOf } from "../../nbtorchviz/widgets/static/src/map_colours.js";

const rgb = (pixel) => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255];
const frame = (lo, hi, range = [Math.min(...lo), Math.max(...hi)]) =>
  ({ header: { layer: "a", show: "activation", first: 0, range }, arrays: { lo, hi } });
const AUTO = { normalize: "channel", colormap: "viridis", lock: "auto" };

test("viridis goes from dark violet to yellow; every pixel is opaque", () => {
  const table = tableOf("viridis");
  assert.deepEqual(rgb(table[0]), [68, 1, 84]);
  assert.deepEqual(rgb(table[252]), [253, 231, 37]);
  for (const name of COLORMAPS) for (const pixel of tableOf(name)) assert.equal(pixel >>> 24, 255);
  assert.equal(tableOf("<b>no such map</b>"), table);
});

test("NaN and the infinities have colours that no value has", () => {
  for (const name of COLORMAPS) {
    const table = tableOf(name), values = new Set(table.subarray(0, 253));
    const special = [...table.subarray(253)];
    assert.equal(new Set(special).size, 3, name);
    for (const pixel of special) assert.ok(!values.has(pixel), name);
  }
});

test("on its own scale a channel uses the table as it is", () => {
  const table = tableOf("gray");
  assert.equal(pixelsByCode(table, 0, 2, [0, 2], false), table);
});

test("on one scale a weak channel stays dark, and nothing wraps around", () => {
  const table = tableOf("gray"), pixels = pixelsByCode(table, 0, 1, [0, 4], false);
  assert.equal(pixels[252], table[63]);
  assert.equal(pixels[255], table[255]);
  const cut = pixelsByCode(table, -1, 5, [0, 4], false);
  assert.equal(cut[0], table[0]);
  assert.equal(cut[252], table[252]);
});

test("a constant channel is the middle of a zero-centred map, the low end of others", () => {
  const table = tableOf("diverging");
  assert.equal(pixelsByCode(table, 0, 0, [0, 0], true)[0], table[126]);
  assert.equal(pixelsByCode(table, 0, 0, [0, 0], false)[0], table[0]);
});

test("own scale, one scale, symmetric", () => {
  const shown = frame([-1, 0], [3, 8]);
  const { of } = scales();
  assert.deepEqual(of(shown, 0, AUTO), [-1, 3]);
  assert.deepEqual(of(shown, 0, { ...AUTO, normalize: "layer" }), [-1, 8]);
  assert.deepEqual(of(shown, 0, { ...AUTO, lock: "symmetric" }), [-3, 3]);
  assert.deepEqual(of(shown, 1, { ...AUTO, colormap: "diverging" }), [-8, 8]);
  assert.deepEqual(of(frame([NaN], [NaN], null), 0, AUTO), [0, 0]);
});

test("a held range stays while values move on, per layer and channel, until it is forgotten", () => {
  const { of, forget } = scales(), hold = { ...AUTO, lock: "hold" };
  assert.deepEqual(of(frame([0, 0], [1, 9]), 0, hold), [0, 1]);
  assert.deepEqual(of(frame([0, 0], [7, 7]), 0, hold), [0, 1]);
  assert.deepEqual(of(frame([0, 0], [7, 7]), 1, hold), [0, 7]);
  forget();
  assert.deepEqual(of(frame([0, 0], [7, 7]), 0, hold), [0, 7]);
});
