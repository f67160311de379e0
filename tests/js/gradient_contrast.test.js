import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const source = (name) => readFileSync(new URL(`../../nbtorchviz/widgets/static/src/${name}`, import.meta.url), "utf8");

/** Colours by variable of a theme: the dark ones are in rules that name it. */
function colours(dark) {
  const found = {};
  for (const sheet of [source("common.css"), source("gradient.css")]) {
    const [, rest = ""] = sheet.split(/nbtv-dark[^{]*\{/), dim = rest.split("}")[0];
    const parts = dark ? [sheet, dim] : [sheet.replace(dim, "")];
    for (const part of parts) for (const [, name, value] of part.matchAll(/--([\w-]+):\s*(#[\da-f]{3,8})\b/gi)) if (part !== sheet || !(name in found)) found[name] = value;
  }
  return found;
}

const channels = (hex) => (hex.length < 6 ? [...hex.slice(1)].map((c) => c + c) : hex.slice(1).match(/../g)).map((pair) => parseInt(pair, 16) / 255);
const luminance = ([r, g, b]) => [r, g, b].map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);

/** Colour of a tint with alpha on a background. */
function over(tint, back) {
  const [r, g, b, a = 1] = channels(tint), under = channels(back);
  return [r, g, b].map((c, i) => a * c + (1 - a) * under[i]);
}

function ratio(a, b) {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

for (const dark of [false, true]) {
  const c = colours(dark), theme = dark ? "dark" : "light", back = c["nbtv-bg"];
  const grounds = { page: channels(back), zone: over(c["g-zone"], back), row: channels(c["nbtv-on"]) };

  test(`marks stand out on every ground they lie on, ${theme}`, () => {
    for (const name of ["g-band", "nbtv-accent", "nbtv-warn", "nbtv-error", "nbtv-bar", "l-earlier"]) {
      for (const [ground, colour] of Object.entries(grounds)) {
        if (name === "l-earlier" && ground !== "page") continue;
        assert.ok(ratio(channels(c[name]), colour) >= 3, `${name} on ${ground}: ${ratio(channels(c[name]), colour).toFixed(2)}`);
      }
    }
  });

  test(`words can be read, those in the colour of a line too, ${theme}`, () => {
    for (const name of ["nbtv-fg", "nbtv-quiet", "nbtv-live", "nbtv-warn", "nbtv-error", ...[0, 1, 2, 3, 4, 5].map((i) => `l-line${i}`)]) {
      assert.ok(ratio(channels(c[name]), grounds.page) >= 4.5, `${name}: ${ratio(channels(c[name]), grounds.page).toFixed(2)}`);
    }
    for (const banner of ["nbtv-error-bg", "nbtv-warn-bg"]) assert.ok(ratio(channels(c["nbtv-fg"]), channels(c[banner])) >= 4.5, banner);
  });
}
