"""A view in a page without Jupyter: a fake model in place of the kernel, real packets."""

from pathlib import Path
from typing import Any

from nbtorchviz.widgets.base import BUNDLE

# What anywidget does: one module per widget from a blob, one `render` per view; Jupyter puts what
# was rendered into the page afterwards.
SHOW = """
async ({code, traits, packets, width}) => {
  const listeners = {}, sent = [];
  const bytes = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  window.sent = sent;
  window.model = {
    get: (name) => traits[name],
    set(name, value) {
      traits[name] = value;
      (listeners[`change:${name}`] || []).forEach((listener) => listener());
    },
    paint: (text) => window.model.set("picture", bytes(text)),
    say: (content, text) =>
      (listeners["msg:custom"] || []).forEach((listener) => listener(content, [bytes(text)])),
    save_changes() {},
    send(content) {
      if (window.gone) throw new Error("closed");
      sent.push(content);
    },
    on: (event, listener) => (listeners[event] ||= []).push(listener),
    off: (event, listener) => {
      listeners[event] = (listeners[event] || []).filter((other) => other !== listener);
    },
  };
  for (const [name, text] of Object.entries(packets)) traits[name] = bytes(text);
  document.body.innerHTML = `<div id="here" style="width:${width}px"></div>`;
  const url = URL.createObjectURL(new Blob([code], {type: "text/javascript"}));
  const views = (await import(url)).default, here = document.getElementById("here");
  window.draw = () => {
    const el = document.createElement("div");
    window.dispose = views.render({model: window.model, el});
    here.append(el);
  };
  window.rebuild = () => { window.dispose(); here.replaceChildren(); window.draw(); };
  window.draw();
}
"""


def show_alone(
    context: Any,
    traits: dict[str, Any],
    packets: dict[str, str],
    *,
    width: int = 900,
    bundle: Path = BUNDLE,
) -> Any:
    """Return a page that shows one view; ``window.sent`` is what the view said.

    Args:
        context: a browser profile.
        traits: JSON values by name of the trait.
        packets: binary traits in base64.
        width: of the view's place, in CSS pixels.
        bundle: the code that draws the view.
    """
    page = context.new_page()
    page.goto("about:blank")
    code = bundle.read_text(encoding="utf-8")
    page.evaluate(SHOW, {"code": code, "traits": traits, "packets": packets, "width": width})
    return page


def press_at_once(page: Any, *keys: str) -> None:
    """Press keys on what has the focus, faster than frames are painted."""
    page.evaluate(
        """(keys) => {
          const press = (key) => new KeyboardEvent("keydown", {key, bubbles: true});
          for (const key of keys) document.activeElement.dispatchEvent(press(key));
        }""",
        keys,
    )


def frames(page: Any, count: int = 4) -> None:
    """Let some animation frames pass: what was asked for is painted then."""
    page.evaluate(
        """(count) => new Promise((done) => {
          const next = (left) => (left ? requestAnimationFrame(() => next(left - 1)) : done());
          next(count);
        })""",
        count,
    )


def wait_count(page: Any, selector: str, count: int) -> None:
    """Return when so many elements are on the page."""
    page.wait_for_function(
        "([selector, count]) => document.querySelectorAll(selector).length === count",
        arg=[selector, count],
    )


def said_of_nothing(page: Any, tree: str) -> str:
    """Return what an empty list says; ``"none"`` where it says nothing."""
    return page.evaluate(
        "(tree) => getComputedStyle(document.querySelector(tree), '::before').content", tree
    )


def sent(page: Any, kind: str) -> list[dict[str, Any]]:
    """Return what the view said, of one type of message."""
    said: list[dict[str, Any]] = page.evaluate(
        "(kind) => window.sent.filter(({type}) => type === kind)", kind
    )
    return said


def darken(page: Any, root: str, *, dark: bool) -> None:
    """Give the page a dark or a light theme and return when the view ``root`` follows."""
    page.evaluate(
        """(dark) => {
          document.body.dataset.jpThemeLight = String(!dark);
          document.body.style.background = dark ? "#111" : "#fff";
        }""",
        dark,
    )
    page.wait_for_selector(f"{root}{'.nbtv-dark' if dark else ':not(.nbtv-dark)'}")


def serious(page: Any) -> list[tuple[str, list[str]]]:
    """Return what axe finds serious or critical in our views: its name, and where."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context={"include": [[".nbtv-view"]]})
    return [
        (violation["id"], [node["html"][:200] for node in violation["nodes"]])
        for violation in found.response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]


def crowded(page, root):
    """List controls that reach out of ``root`` to a side or lie upon each other."""
    return page.evaluate(
        """(root) => {
          const top = document.querySelector(root), place = top.getBoundingClientRect(), found = [];
          const inSight = (el) => { // what a scrolled list shows of it
            let { left, right, top: high, bottom } = el.getBoundingClientRect();
            for (let up = el.parentElement; up !== top; up = up.parentElement) {
              if (getComputedStyle(up).overflowY === "visible") continue;
              const box = up.getBoundingClientRect();
              [high, bottom] = [Math.max(high, box.top), Math.min(bottom, box.bottom)];
            }
            return { left, right, top: high, bottom };
          };
          const all = [...document.querySelectorAll(`${root} :is(button, select, input, output)`)]
            .filter((el) => el.checkVisibility({ checkVisibilityCSS: true }))
            .filter((el) => !el.closest(".nbtv-flags, .l-flag"))
            .map((el) => [el.ariaLabel || el.textContent, inSight(el)])
            .filter(([, box]) => box.right > box.left && box.bottom > box.top);
          all.forEach(([name, a], i) => {
            if (a.left < place.left || a.right > place.right) found.push(`${name} reaches out`);
            for (const [other, b] of all.slice(i + 1)) {
              const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
              const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
              if (wide > 1 && high > 1) found.push(`${name} upon ${other}`);
            }
          });
          return found;
        }""",
        root,
    )
