// The style sheet of the controls.

import controls from "./controls.css";
import { addSheet } from "./sheets.js";

export const addStyles = () => addSheet("controls", controls);
