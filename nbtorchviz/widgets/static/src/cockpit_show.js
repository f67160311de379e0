// "Show me": what one part of a cockpit asks the others to show. It stays in the browser, so that it works
// with the kernel blocked or gone.

const EVENT = "nbtv-show";

/** Ask the other parts around `root` to show `finding`, in the tab of this `kind`. */
export function askToShow(root, kind, finding) {
  root.dispatchEvent(new CustomEvent(EVENT, { bubbles: true, detail: { kind, finding } }));
}

/** Call `show({kind, finding})` when another part of the cockpit around `root` asks; the result stops that. */
export function hearAsked(root, show) {
  const heard = ({ target, detail }) => {
    const cockpit = root.closest(".nbtv-cockpit");
    if (cockpit && cockpit.contains(target) && !root.contains(target)) show(detail);
  };
  document.addEventListener(EVENT, heard);
  return () => document.removeEventListener(EVENT, heard);
}
