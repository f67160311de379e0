// A small packet for tests: a block of two layers and a head, four steps, in codes as Python writes them.

import { packet } from "./packets.js";

export const [NAN, INF, NONE] = [65533, 65534, 65535];
export const code = (v) => (v === 0 ? 0 : v === Infinity ? INF : Number.isNaN(v) ? NONE : 1 + Math.round((Math.log2(v) + 120) * 264));
const codes = (rows) => rows.flat().map(code);

export const LAYERS = [["body", "Sequential", 1, ""], ["body.fc", "Linear", 0, "4→3"], ["body.relu", "ReLU", 0, ""], ["head", "Linear", 0, ""]];
export const PARAMETERS = [[1, "weight", 12], [1, "bias", 3], [3, "weight", 6], [-1, "token", 4]];
export const WORDS = ["", "frozen", "unused", "no optimizer", "skipped (inf)", "sparse", "shard"];

/** Norms by name are rows of four numbers, one per parameter (activation: per layer); others replace them. */
export function sample(changes = {}, header = {}) {
  const ones = PARAMETERS.map(() => [1, 1, 1, 1]);
  const norms = {
    gradient: [[3, 3, 3, 3], [4, 4, 4, 4], [0.1, 1, 10, 100], [0, NaN, 1e-9, Infinity]],
    weight: ones, update: ones.map((row) => row.map((v) => v / 1000)), activation: LAYERS.map((_, i) => [1, 2, 3, 10 ** -i]), ...changes,
  };
  const { state = PARAMETERS.map(() => [0, 0, 0, 0]), steps = [10, 20, 30, 40], ...rest } = norms;
  const arrays = { steps: ["u4", [4], steps], state: ["u1", [4, 4], state.flat()], learning_rate: ["f4", [4], [0.1, 0.1, 0.01, NaN]] };
  for (const [name, rows] of Object.entries(rest)) arrays[name] = ["u2", [rows.length, 4], codes(rows)];
  // -4 ... -2 and so on: two bins a side, zeros, two bins, NaN, +Inf, -Inf
  arrays.strip0 = ["u1", [2, 8], [0, 16, 32, 0, 16, 0, 0, 0, 16, 0, 0, 48, 0, 16, 0, 0]];
  arrays.strip0_steps = ["u4", [2], [20, 40]];
  return packet({ version: 1, seq: 5, samples: 4, layers: LAYERS, parameters: PARAMETERS, words: WORDS, strips: [{ layer: "body.fc", of: "weight", lowest: -3, bins: 2, read: 5, elements: 12 }], ...header }, arrays);
}
