// The style sheet of the input editor.

import editor from "./editor.css";
import { addSheet } from "./sheets.js";

export const addStyles = () => addSheet("editor", editor);
