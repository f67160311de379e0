// The views by the widget's `kind`. One bundle serves them all.

import { addStyles } from "./styles.js";
import { privately } from "./private.js";
import { render as activationBrowser } from "./browser_view.js";
import { render as cockpitHeader } from "./cockpit_header.js";
import { render as cockpitTabs } from "./cockpit_tabs.js";
import { render as liveLossPlot } from "./loss_view.js";

const VIEWS = {
  "activation-browser": activationBrowser,
  "cockpit-header": cockpitHeader,
  "cockpit-tabs": cockpitTabs,
  "live-loss-plot": liveLossPlot,
};

export default {
  render({ model, el }) {
    addStyles();
    return VIEWS[model.get("kind")]({ model: privately(model, el), el });
  },
};
