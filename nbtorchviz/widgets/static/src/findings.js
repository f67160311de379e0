// The view of FindingsPanel. A bundle of its own: small, and no other widget carries it.

import { addStyles } from "./findings_styles.js";
import { render } from "./findings_view.js";

export default {
  render(context) {
    addStyles();
    return render(context);
  },
};
