// The style sheet of the gradient views.

import gradient from "./gradient.css";
import maps from "./maps.css";
import { addSheet } from "./sheets.js";

export const addStyles = () => addSheet("gradients", maps + gradient);
