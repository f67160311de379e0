// The view of TrainingControls. A bundle of its own: small, so that it is there at once.

import { addStyles } from "./controls_styles.js";
import { render } from "./controls_view.js";

export default {
  render(context) {
    addStyles();
    return render(context);
  },
};
