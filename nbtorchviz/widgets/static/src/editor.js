// The view of an InputEditor. A bundle of its own: only who paints loads it.

import { addStyles } from "./editor_styles.js";
import { render } from "./editor_view.js";

export default {
  render(context) {
    addStyles();
    return render(context);
  },
};
