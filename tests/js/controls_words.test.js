import assert from "node:assert/strict";
import test from "node:test";

import { hitsText, layerText, placeOf, questionsOf, split, timesTen, valueOf, whenText, wholeOf } from "../../nbtorchviz/widgets/static/src/controls_words.js";

test("an error says what is wrong first, and apart what is accepted", () => {
  assert.deepEqual(split("'loss >' is no condition (invalid syntax). Accepted: comparisons, and, or."), ["'loss >' is no condition (invalid syntax).", "Accepted: comparisons, and, or."]);
  assert.deepEqual(split("No layer 'convv'. Nearest: 'conv' (7 layers; see session.layers)."), ["No layer 'convv'. Nearest: 'conv'", "(7 layers; see session.layers)."]);
  assert.deepEqual(split("Momentum must be from 0 to 1."), ["Momentum must be from 0 to 1.", ""]);
});

test("what waits says its value alone beside the field that names the knob", () => {
  assert.deepEqual(
    ["lr 0.005", "lr 0.005 (0)", "weight decay 1e-05", "betas (0.8, 0.99)", "betas (0.8, 0.99) (1)", "dropout p 0.4 (layer1.drop)"].map(valueOf),
    ["0.005", "0.005", "1e-05", "(0.8, 0.99)", "(0.8, 0.99)", "0.4"],
  );
  assert.equal(whenText("running"), "after this step");
  assert.equal(whenText("paused"), "when training goes on");
  assert.equal(whenText("idle"), "after the next step");
});

test("small words", () => {
  assert.deepEqual([0, 1, 3].map(hitsText), ["", "1 hit", "3 hits"]);
  assert.deepEqual([["layer1", 0, 0], ["layer1.conv", 1, 2], ["layer1.bn", 1, 1]].map(layerText), ["layer1", "\u2003conv · frozen", "\u2003bn · partly frozen"]);
  assert.equal(placeOf({ knob: "lr", target: 0 }), "lr:0");
  assert.deepEqual(["12", " 12 ", "1.5", "", "-3", "ten"].map(wholeOf), [12, 12, "1.5", "", "-3", "ten"]);
});

test("times ten and a tenth leave no digits of binary fractions", () => {
  assert.deepEqual([timesTen("0.001", false), timesTen("0.0003", true), timesTen("1e-06", false), timesTen("0.07", false)], ["0.0001", "0.003", "1e-7", "0.007"]);
  assert.deepEqual([timesTen("fast", true), timesTen("", true)], ["fast", ""]);
});

test("an answer goes to where the question was asked, once, and to nobody else", () => {
  const memory = {}, questions = questionsOf(memory);
  questions.asked("me", 1, "break");
  questions.asked("me", 2, "lr:all");
  const answers = [{ view: "me", n: 1, error: "no" }, { view: "other", n: 2, error: "theirs" }];
  assert.deepEqual(questions.heard(answers), [["break", "no"]]);
  assert.deepEqual(questions.heard(answers), []);
  assert.deepEqual(questions.heard(undefined), []);
  // A view that was rebuilt meanwhile hears the rest.
  assert.deepEqual(questionsOf(memory).heard([...answers, { view: "me", n: 2, error: "" }]), [["lr:all", ""]]);
  assert.deepEqual(memory.open, {});
});

test("of two answers for one place the newest counts", () => {
  const questions = questionsOf({});
  questions.asked("me", 1, "bar");
  questions.asked("me", 2, "bar");
  assert.deepEqual(questions.heard([{ view: "me", n: 1, error: "no" }, { view: "me", n: 2, error: "" }]), [["bar", ""]]);
});
