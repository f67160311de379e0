// The view of nbv.show(tensor). A bundle of its own: it needs neither curves nor trees.

import browser from "./browser.css";
import tensor from "./tensor.css";
import { addSheet } from "./sheets.js";
import { render } from "./tensor_view.js";

export default {
  render(context) {
    addSheet("tensor", browser + tensor);
    return render(context);
  },
};
