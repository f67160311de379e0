// Style sheets, each put into the page once however many views and bundles there are.

import common from "./common.css";

/** Add what all views share, and then a sheet of this name. */
export function addSheet(name, text) {
  for (const [id, content] of [["nbtv-common", common], [`nbtv-${name}`, text]]) {
    if (document.getElementById(id)) continue;
    const style = document.createElement("style");
    style.id = id;
    style.textContent = content;
    document.head.append(style);
  }
}
