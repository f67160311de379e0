// The style sheet of the gradient views.

import gradient from "./gradient.css";
import { addSheet } from "./sheets.js";

export const addStyles = () => addSheet("gradients", gradient);
