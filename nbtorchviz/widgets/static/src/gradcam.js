// The view of GradCAMViewer. A bundle of its own: nbtv.js need not carry it to other widgets.

import { addStyles } from "./cam_styles.js";
import { render } from "./cam_view.js";
import { privately } from "./private.js";

export default {
  render({ model, el }) {
    addStyles();
    return render({ model: privately(model, el), el });
  },
};
