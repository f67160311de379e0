// The style sheet of the views that share one bundle.

import browser from "./browser.css";
import cockpit from "./cockpit.css";
import loss from "./loss.css";
import maps from "./maps.css";
import { addSheet } from "./sheets.js";

export const addStyles = () => addSheet("views", maps + browser + cockpit + loss);
