// Light or dark: asked of the page, watched while the view lives.

/** Whether the page around `el` is dark: JupyterLab says so, elsewhere its background tells. */
export function isDark(el) {
  const said = document.body.dataset.jpThemeLight;
  if (said === "true" || said === "false") return said === "false";
  for (let at = el.parentElement; at; at = at.parentElement) {
    const [r, g, b, a = 1] = (getComputedStyle(at).backgroundColor.match(/[\d.]+/g) || []).map(Number);
    if (r !== undefined && a > 0.5) return 0.299 * r + 0.587 * g + 0.114 * b < 128;
  }
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Call `changed(dark)` now and at every change of theme; the returned function stops that. */
export function watchTheme(el, changed) {
  let dark = null;
  const look = () => {
    const now = isDark(el);
    if (now !== dark) changed((dark = now));
  };
  const observer = new MutationObserver(look);
  const attributes = ["data-jp-theme-light", "data-jp-theme-name", "class", "style"];
  observer.observe(document.body, { attributes: true, attributeFilter: attributes });
  observer.observe(document.documentElement, { attributes: true, attributeFilter: attributes });
  const query = matchMedia("(prefers-color-scheme: dark)");
  query.addEventListener("change", look);
  look();
  return () => {
    observer.disconnect();
    query.removeEventListener("change", look);
  };
}
