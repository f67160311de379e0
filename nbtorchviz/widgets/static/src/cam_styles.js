// The style sheet of the Grad-CAM view.

import cam from "./cam.css";
import { addSheet } from "./sheets.js";

export const addStyles = () => addSheet("gradcam", cam);
