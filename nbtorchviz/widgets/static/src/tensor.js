// The view of nbv.show(tensor). A bundle of its own: it needs neither curves nor trees.

import browser from "./browser.css";
import maps from "./maps.css";
import tensor from "./tensor.css";
import { addSheet } from "./sheets.js";
import { render } from "./tensor_view.js";
import { privately } from "./private.js";

export default {
  render({ model, el }) {
    addSheet("tensor", maps + browser + tensor);
    return render({ model: privately(model, el), el });
  },
};
