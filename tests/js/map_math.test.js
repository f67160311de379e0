import assert from "node:assert/strict";
import test from "node:test";

import {
  BINS, LEVELS, ago, axisText, boxOf, fit, histogram, listed, namesApart, orderOf, peakOf, percent, short, scaledText, shrinkCodes, tiling,
  valueOf,
} from "../../nbtorchviz/widgets/static/src/map_math.js";

test("codes are values on the channel's own scale; the last three are words", () => {
  assert.equal(valueOf(0, -1, 3), -1);
  assert.equal(valueOf(LEVELS, -1, 3), 3);
  assert.equal(valueOf(63, -1, 3), 0);
  assert.equal(valueOf(0, 5, 5), 5);
  assert.deepEqual([253, 254, 255].map((code) => valueOf(code, 0, 1)), [-Infinity, Infinity, NaN]);
});

test("a value read out is off by at most half a level", () => {
  for (let i = 0; i <= 1000; i += 1) {
    const value = -2 + (5 * i) / 1000, code = Math.round(((value + 2) / 5) * LEVELS);
    assert.ok(Math.abs(valueOf(code, -2, 3) - value) <= 5 / 504 + 1e-12);
  }
});

test("tiles have whole device pixels per value, or whole values per pixel", () => {
  assert.deepEqual(fit(28, 112), { scale: 4, shrink: 1, side: 112, off: 0 });
  for (const n of [1, 3, 7, 14, 28, 56, 112, 224, 500]) {
    for (const target of [42, 56, 84, 112, 196, 392]) {
      const { scale, shrink, side } = fit(n, target, target);
      assert.ok(Number.isInteger(scale) && Number.isInteger(shrink) && (scale === 1 || shrink === 1), `${n} on ${target}`);
      assert.equal(side, Math.ceil(n / shrink) * scale);
      assert.ok(side <= target, `${n} on ${target} takes ${side}`);
    }
  }
});

test("shrinking averages codes, and keeps a block without a finite value special", () => {
  const codes = Uint8Array.of(10, 20, 255, 255, 30, 40, 255, 254, 7, 255, 1, 2);
  assert.deepEqual([...shrinkCodes(codes, 3, 4, 2)], [25, 255, 7, 2]);
  assert.equal(shrinkCodes(codes, 3, 4, 1), codes);
});

test("tiles fill the width and never overflow it", () => {
  assert.deepEqual(tiling(32, 56, 422, 5), { columns: 7, rows: 5 });
  assert.deepEqual(tiling(3, 56, 422, 5), { columns: 3, rows: 1 });
  assert.deepEqual(tiling(9, 56, 20, 5), { columns: 1, rows: 9 });
});

test("order by index, by mean, by zeros; channels that were not read come last, in order", () => {
  assert.deepEqual(orderOf("index", 3, 0, [9, 8, 7]), [0, 1, 2]);
  assert.deepEqual(orderOf("mean", 4, 0, [1, 3, NaN, 3]), [1, 3, 0, 2]);
  assert.deepEqual(orderOf("zero", 5, 2, [0.1, 0.9]), [3, 2, 0, 1, 4]);
});

test("the peak is the largest finite value", () => {
  assert.equal(peakOf(Uint8Array.of(1, 255, 9, 254, 9)), 2);
  assert.equal(peakOf(Uint8Array.of(255, 255)), 0);
});

test("a histogram counts every value once, exact zeros apart", () => {
  const codes = Uint8Array.of(0, 0, 0, 1, 126, 252, 253, 254, 255, 255);
  const { bins, zeros, nan, inf, count } = histogram(codes, 0, 2, 0.2);
  assert.equal(bins.length, BINS);
  assert.deepEqual([zeros, nan, inf, count], [2, 2, 2, 10]);
  assert.equal(zeros + nan + inf + bins.reduce((sum, n) => sum + n, 0), count);
  assert.equal(bins[0], 2, "a small value rounded to zero's code is not an exact zero");
  assert.equal(bins[BINS - 1], 1);
  assert.equal(histogram(codes, 1, 2, 0.2).zeros, 0, "zero lies outside 1 to 2");
  assert.equal(histogram(Uint8Array.of(0, 0), 0, 0, 1).zeros, 2, "a silent channel");
  assert.equal(histogram(Uint8Array.of(0, 0), 3, 3, 0).bins.reduce((sum, n) => sum + n, 0), 2, "a constant channel");
});

test("numbers take little room and never become a false zero", () => {
  assert.deepEqual(
    [0, 2.218, 12.34, 123.4, 0.4321, 0.04321, 0.000012, 123456, -3.456, NaN, Infinity, -Infinity, null].map((v) => short(v)),
    ["0", "2.22", "12.3", "123", "0.43", "0.043", "1.2e−5", "1.2e5", "−3.46", "NaN", "Inf", "−Inf", "–"],
  );
  for (const value of [1e-9, 0.004, 0.0999, 0.9999, 9.999, 99999, 1e30]) {
    for (const digits of [2, 3]) {
      const back = Number(short(value, digits).replace("−", "-"));
      assert.ok(Math.abs(back - value) <= 0.3 * value, `${value} became ${short(value, digits)}`);
    }
  }
});

test("numbers of one axis have the same decimals", () => {
  assert.deepEqual(axisText([0, 0.555, 1.11, 1.665, 2.22]), ["0.00", "0.56", "1.11", "1.67", "2.22"].map((t, i) => (i === 1 ? (0.555).toFixed(2) : i === 3 ? (1.665).toFixed(2) : t)));
  assert.deepEqual(axisText([-300, 0, 300]), ["−300", "0", "300"]);
  assert.deepEqual(axisText([0, 2.5e-5, 5e-5, 7.5e-5, 1e-4]), ["0", "2.5e−5", "5.0e−5", "7.5e−5", "1.0e−4"]);
  assert.deepEqual(axisText([NaN, 1]), ["–", "–"]);
});

test("a share never rounds to all or nothing", () => {
  assert.equal(percent(0.8546), "85 %");
  assert.equal(percent(1), "100 %");
  assert.equal(percent(0), "0 %");
  assert.match(percent(0.99999), /^>/);
  assert.equal(percent(782 / 784), "99.7 %");
  assert.equal(percent(0.996), "99.6 %");
  assert.equal(percent(0.9996), "> 99.9 %");
  assert.equal(percent(0.004), "0.4 %");
  assert.equal(percent(0.0004), "< 0.1 %");
  assert.equal(percent(0.00001, 2), "< 0.01 %");
  assert.match(percent(0.00001), /^</);
  assert.match(percent(0.99999, 1), /^> 99\.9 %$/);
  assert.equal(percent(null), "–");
});

test("ages and lists in words", () => {
  assert.deepEqual([0.42, 14.2, 130, 9000, -3].map(ago), ["0.4 s ago", "14 s ago", "2 min ago", "3 h ago", "0.0 s ago"]);
  assert.equal(listed([18, 21]), "18, 21");
  assert.equal(listed([4, 5, 6, 7]), "4 to 7");
  assert.equal(listed([1, 3, 5, 7, 9, 11, 13, 15]), "1, 3, 5, 7, 9, 11 and 2 more");
});

test("the input box of an activation, cut to the picture", () => {
  const field = { size: [5, 5], stride: [2, 2], start: [-2, -2] };
  assert.deepEqual(boxOf(field, 0, 0, 28, 28), [0, 0, 3, 3]);
  assert.deepEqual(boxOf(field, 3, 5, 28, 28), [4, 8, 5, 5]);
  assert.deepEqual(boxOf(field, 13, 13, 28, 28), [24, 24, 4, 4]);
  assert.equal(boxOf(field, 20, 0, 28, 28), null);
  assert.equal(boxOf(null, 0, 0, 28, 28), null);
});

test("an axis with little room says once what its numbers are to be multiplied with", () => {
  assert.deepEqual(scaledText([-1.9e-8, 0, 1.9e-8]), [["−1.90", "0.00", "1.90"], "×1e−8"]);
  assert.deepEqual(scaledText([0, 2.5e6, 5e6]), [["0.00", "2.50", "5.00"], "×1e6"]);
  assert.deepEqual(scaledText([0, 0.5, 1]), [axisText([0, 0.5, 1]), ""]);
  assert.deepEqual(scaledText([0, 0]), [["0", "0"], ""]);
  assert.deepEqual(scaledText([0, Infinity]), [["–", "–"], ""]);
  assert.deepEqual(scaledText([0, 5e-324])[1], "×1e−324");
});

test("names that are cut stay apart", () => {
  const names = [0, 1].flatMap((i) => [`encoder.layers.encoder_layer_${i}.self_attention`, `encoder.layers.encoder_layer_${i}.self_attention.out_proj`]);
  const cut = namesApart(names, 20);
  assert.deepEqual(cut, ["…0.self_attention", "…0.sel…tion.out_proj", "…1.self_attention", "…1.sel…tion.out_proj"]);
  assert.deepEqual(namesApart(["conv1", ...names], 20), ["conv1", ...cut]);
  assert.equal(namesApart([names[1]], 20)[0].length, 20);
  assert.deepEqual(namesApart(["fc", "relu"], 16), ["fc", "relu"]);
});
