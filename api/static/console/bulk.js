// Selected jobs of the list: the bar appears with the first one.
"use strict";
(() => {
  const bar = document.getElementById("bulk");
  if (!bar) return;
  const boxes = () => [...document.querySelectorAll("tbody .check")];
  const show = () => {
    const all = boxes(), on = all.filter((box) => box.checked), every = document.querySelector("thead .check");
    for (const box of all) box.closest("tr").classList.toggle("sel", box.checked);
    bar.hidden = !on.length;
    bar.querySelector("b").textContent = `${on.length} selected`;
    if (every) { every.checked = on.length > 0 && on.length === all.length; every.indeterminate = on.length > 0 && on.length < all.length; }
  };
  document.addEventListener("change", (event) => {
    if (!event.target.matches(".check")) return;
    if (event.target.closest("thead")) for (const box of boxes()) box.checked = event.target.checked;
    show();
  });
  bar.querySelector("[data-clear]").addEventListener("click", () => { for (const box of boxes()) box.checked = false; show(); });
  document.addEventListener("htmx:afterSettle", show);
  document.addEventListener("textmill:changed", show);
  show(); // a browser that goes back has kept the ticks
})();
