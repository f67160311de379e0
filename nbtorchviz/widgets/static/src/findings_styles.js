// The style sheet of the findings.

import findings from "./findings.css";
import { addSheet } from "./sheets.js";

export const addStyles = () => addSheet("findings", findings);
