// Height kept while a view is rebuilt. Jupyter empties an output before it draws the widget in it again, which takes
// some turns of the event loop; without this the page below would jump up and down again.

const LEFT_MS = 5000; // an output without a view for so long shows something else now

/** Keep the output around `el` as high as the widget in it; the returned function ends it. */
export function reserveHeight(el) {
  let holder = null;
  const observer = new ResizeObserver(([{ target }]) => {
    holder = el.closest(".jp-OutputArea-output");
    const whole = el.closest(".nbtv-cockpit") || el;
    if (!holder || (whole !== el && whole.firstElementChild !== el && !whole.firstElementChild.contains(el))) return observer.disconnect(); // one part answers for all
    if (target !== whole) {
      observer.disconnect();
      observer.observe(whole);
    } else if (whole.offsetHeight) holder.style.minHeight = `${whole.offsetHeight}px`;
  });
  observer.observe(el);
  return () => {
    observer.disconnect();
    const left = holder;
    if (left) setTimeout(() => { if (!left.querySelector(".nbtv-view")) left.style.minHeight = ""; }, LEFT_MS);
  };
}
