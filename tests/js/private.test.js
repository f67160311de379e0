import assert from "node:assert/strict";
import { test } from "node:test";
import { privately } from "../../nbtorchviz/widgets/static/src/private.js";

function fake(options, traits = {}) {
  const listeners = new Map();
  return {
    get: (name) => ({ options, ...traits })[name],
    on: (event, listener) => listeners.set(event, [...(listeners.get(event) || []), listener]),
    off: (event, listener) => listeners.set(event, (listeners.get(event) || []).filter((each) => each !== listener)),
    send: () => "sent",
    say: (event, ...words) => (listeners.get(event) || []).forEach((each) => each(...words)),
    count: () => [...listeners.values()].flat().length,
  };
}

test("a widget that is not private has its own model", () => {
  const model = fake({});
  assert.equal(privately(model), model);
});

test("a packet that came as a message is read and heard of like a trait", () => {
  const model = fake({ private: true }, { picture: "empty", state: 7 }), view = privately(model), heard = [];
  const listener = () => heard.push(view.get("picture"));
  view.on("change:picture", listener);
  assert.equal(view.get("picture"), "empty");
  model.say("msg:custom", { type: "thumbs" }, ["no"]);
  model.say("msg:custom", { type: "private", name: "maps" }, ["no"]);
  model.say("msg:custom", { type: "private", name: "picture" }, ["pixels"]);
  assert.deepEqual(heard, ["pixels"]);
  assert.equal(view.get("state"), 7);
  assert.equal(view.send(), "sent");
  view.off("change:picture", listener);
  assert.equal(model.count(), 0);
});
