import assert from "node:assert/strict";
import test from "node:test";

import {
  emptiest, formatTicks, formatValue, interpolate, logTicks, lowerBound, nearest, smooth, spread, ticks, timeUnit, yLimits,
} from "../../nbtorchviz/widgets/static/src/loss_math.js";

const close = (a, b) => assert.ok(Math.abs(a - b) < 1e-9 * Math.max(1, Math.abs(b)), `${a} is not ${b}`);

test("three points smoothed by hand", () => {
  // s(0) = (4 + .5*2 + 0) / 1.75; s(1) = (2 + 2 + 0) / 2; s(2) = (1 + 1 + 0) / 1.75
  const s = smooth([0, 1, 2], [4, 2, 0], 0.5);
  close(s[0], 5 / 1.75);
  close(s[1], 2);
  close(s[2], 2 / 1.75);
});

test("smoothing equals its definition over uneven steps, NaN skipped", () => {
  const steps = [], values = [];
  for (let i = 0, step = 0; i < 300; i++, step += 1 + (i % 5)) {
    steps.push(step);
    values.push(i % 17 === 3 ? NaN : Math.sin(i) * 10 + (i === 40 ? Infinity : 0));
  }
  for (const w of [0.3, 0.9, 0.99]) {
    const s = smooth(steps, values, w);
    for (let k = 0; k < steps.length; k++) {
      let sum = 0, weight = 0;
      for (let i = 0; i < steps.length; i++) {
        if (!Number.isFinite(values[i])) continue;
        sum += w ** Math.abs(steps[k] - steps[i]) * values[i];
        weight += w ** Math.abs(steps[k] - steps[i]);
      }
      if (Number.isFinite(values[k])) close(s[k], sum / weight);
      else assert.ok(Number.isNaN(s[k]));
    }
  }
});

test("the nearest element is a real one, the earlier of equals", () => {
  assert.equal(lowerBound([1, 3, 3, 7], 3), 1);
  assert.equal(nearest([10, 20, 30], 24), 1);
  assert.equal(nearest([10, 20, 30], 25), 1);
  assert.equal(nearest([10, 20, 30], 99), 2);
  assert.equal(nearest([10, 20, 30], -5), 0);
  assert.equal(nearest([5, 5, 5], 5), 0);
  assert.equal(nearest([], 1), -1);
});

test("a clock is read between its knots and goes on beyond them", () => {
  close(interpolate([0, 10, 20], [0, 1, 5], 15), 3);
  close(interpolate([0, 10, 20], [0, 1, 5], 30), 9);
  close(interpolate([0, 10, 10, 20], [0, 1, 100, 101], 5), 0.5);
  close(interpolate([4], [2], 7), 5);
});

test("one spike does not scale the axis, a benign start does", () => {
  const values = Array.from({ length: 400 }, (_, i) => 2.3 - i * 0.005);
  assert.ok(yLimits([...values, 1e9], false)[1] < 2.4);
  assert.deepEqual(yLimits([2.3, 1, 0.5, 0.3], false), [0, 2.3]);
  assert.deepEqual(yLimits([5, 5.5, 6], false), [5, 6]);
  assert.deepEqual(yLimits([2, 2], false), [1.9, 2.1]);
  assert.equal(yLimits([NaN, Infinity], false), null);
  assert.equal(yLimits([-1, 0], true), null);
});

test("ticks are few, round, inside and in one format", () => {
  assert.deepEqual(formatTicks(ticks(0, 2.5)), ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5"]);
  for (const [low, high] of [[0, 0.0731], [5, 6], [-3, 8], [0, 1e12], [1e-9, 3e-9], [0.1, 2.7], [999000, 1e6]]) {
    const marks = ticks(low, high);
    assert.ok(marks.length >= 3 && marks.length <= 6, `${low} ${high}: ${marks}`);
    assert.ok(marks.every((t) => t >= low - 1e-12 && t <= high * (1 + 1e-9)));
    assert.equal(new Set(formatTicks(marks)).size, marks.length);
  }
});

test("log ticks are true values", () => {
  assert.deepEqual(logTicks(3e-4, 3), [0.001, 0.01, 0.1, 1]);
  assert.deepEqual(formatTicks(logTicks(3e-4, 3)), ["0.001", "0.010", "0.100", "1.000"]);
  for (const [low, high] of [[0.5, 0.9], [1e-30, 1e30], [0.9, 12]]) {
    const marks = logTicks(low, high);
    assert.ok(marks.length >= 2 && marks.length <= 8);
    assert.ok(marks.every((t) => t >= low && t <= high));
  }
});

test("read-outs keep words, four decimals and exponents", () => {
  assert.equal(formatValue(0.0026), "0.0026");
  assert.equal(formatValue(-1.5), "−1.5000");
  assert.equal(formatValue(2.8e32), "2.8e32");
  assert.equal(formatValue(0), "0.0000");
  assert.equal(formatValue(1.46e-6), "1.46e-6");
  assert.equal(formatValue(5.74e-4), "5.74e-4");
  assert.equal(formatValue(1.07e-6, 2), "1.1e-6");
  assert.equal(formatValue(0.0057, 2), "5.7e-3");
  assert.equal(formatValue(0.05, 2), "0.05");
  assert.equal(formatValue(1234.5, 0), "1235");
  assert.equal(formatValue(NaN), "NaN");
  assert.equal(formatValue("-Inf"), "-Inf");
  assert.equal(formatValue(null), "–");
});

test("names at line ends are moved apart and keep their order", () => {
  const y = spread([100, 102, 50], 16, 0, 110);
  assert.deepEqual([...y].sort((a, b) => a - b).map((v, i, all) => (i ? v - all[i - 1] >= 16 : true)), [true, true, true]);
  assert.ok(y[2] < y[0] && y[0] < y[1]);
  assert.ok(Math.max(...y) <= 110);
});

test("the read-out takes the box with the fewest points", () => {
  assert.equal(emptiest([[0, 0, 10, 10], [20, 0, 30, 10]], [[5, 5], [25, 5], [6, 6]]), 1);
  assert.equal(emptiest([[0, 0, 10, 10], [20, 0, 30, 10]], []), 0);
});

test("seconds, minutes, hours", () => {
  assert.deepEqual([20, 600, 20000].map((s) => timeUnit(s)[1]), ["s", "min", "h"]);
});
