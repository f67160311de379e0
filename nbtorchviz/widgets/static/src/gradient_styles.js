// The style sheet of the gradient views, put into the page once however many views there are.

import common from "./common.css";
import gradient from "./gradient.css";

const ID = "nbtv-gradient-styles";

export function addStyles() {
  if (document.getElementById(ID)) return;
  const style = document.createElement("style");
  style.id = ID;
  style.textContent = common + gradient;
  document.head.append(style);
}
