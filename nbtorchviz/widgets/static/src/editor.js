// The view of an InputEditor. A bundle of its own: only who paints loads it.

import { addStyles } from "./editor_styles.js";
import { render } from "./editor_view.js";
import { privately } from "./private.js";

export default {
  render({ model, el }) {
    addStyles();
    return render({ model: privately(model, el), el });
  },
};
