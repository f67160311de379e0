// The view of GradientInspector. A bundle of its own: nbtv.js need not carry it to other widgets.

import { render } from "./gradient_view.js";
import { addStyles } from "./gradient_styles.js";
import { privately } from "./private.js";

export default {
  render({ model, el }) {
    addStyles();
    return render({ model: privately(model), el });
  },
};
