// The view of GradientInspector. A bundle of its own: nbtv.js need not carry it to other widgets.

import { render } from "./gradient_view.js";
import { addStyles } from "./gradient_styles.js";

export default {
  render(context) {
    addStyles();
    return render(context);
  },
};
