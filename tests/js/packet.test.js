import assert from "node:assert/strict";
import test from "node:test";

import { decode } from "../../nbtorchviz/widgets/static/src/packet.js";

/** Pack as analysis/packets.py does: header padded, each array on a multiple of 8 bytes. */
export function pack(header, arrays) {
  const entries = [], parts = [];
  let offset = 0;
  for (const [name, dtype, shape, values] of arrays) {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    entries.push({ name, dtype, shape, offset, size: bytes.length });
    const padded = new Uint8Array(Math.ceil(bytes.length / 8) * 8);
    padded.set(bytes);
    parts.push(padded);
    offset += padded.length;
  }
  let text = JSON.stringify({ ...header, arrays: entries });
  while ((4 + new TextEncoder().encode(text).length) % 8) text += " ";
  const head = new TextEncoder().encode(text);
  const whole = new Uint8Array(4 + head.length + offset);
  new DataView(whole.buffer).setUint32(0, head.length, true);
  whole.set(head, 4);
  parts.reduce((at, part) => { whole.set(part, at); return at + part.length; }, 4 + head.length);
  return whole;
}

const packet = pack({ layer: "块.relu", seq: 7 }, [
  ["planes", "u1", [1, 2, 3], Uint8Array.of(0, 1, 252, 253, 254, 255)],
  ["lo", "f4", [1], Float32Array.of(-1.5)],
  ["x", "f8", [2], Float64Array.of(0.1, NaN)],
  ["n", "i4", [0], new Int32Array(0)],
]);

function same({ header, arrays }) {
  assert.equal(header.layer, "块.relu");
  assert.deepEqual([...arrays.planes], [0, 1, 252, 253, 254, 255]);
  assert.deepEqual(arrays.planes.shape, [1, 2, 3]);
  assert.ok(arrays.lo instanceof Float32Array);
  assert.deepEqual([...arrays.lo], [-1.5]);
  assert.equal(arrays.x[0], 0.1);
  assert.ok(Number.isNaN(arrays.x[1]));
  assert.equal(arrays.n.length, 0);
}

test("a packet comes back as it was packed", () => same(decode(new DataView(packet.buffer))));

test("a packet anywhere in a larger buffer, aligned or not", () => {
  for (const shift of [0, 3, 8]) {
    const larger = new Uint8Array(packet.length + shift + 5);
    larger.set(packet, shift);
    same(decode(new DataView(larger.buffer, shift, packet.length)));
  }
});

test("planes are not copied where their place allows a view", () => {
  const { arrays } = decode(new DataView(packet.buffer));
  assert.equal(arrays.planes.buffer, packet.buffer);
});
