// The style sheet, put into the page once however many views there are.

import common from "./common.css";
import browser from "./browser.css";
import cockpit from "./cockpit.css";
import loss from "./loss.css";

const ID = "nbtv-styles";

export function addStyles() {
  if (document.getElementById(ID)) return;
  const style = document.createElement("style");
  style.id = ID;
  style.textContent = common + browser + cockpit + loss;
  document.head.append(style);
}
