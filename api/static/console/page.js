// Menus, dialogs, the search key, and times in the reader's zone.
"use strict";
(() => {
  const menus = () => document.querySelectorAll("details.menu[open]");
  document.addEventListener("click", (event) => {
    for (const menu of menus()) if (!menu.contains(event.target)) menu.open = false;
    const asks = event.target.closest("[data-dialog]");
    if (asks) { for (const menu of menus()) menu.open = false; document.getElementById(asks.dataset.dialog).showModal(); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") for (const menu of menus()) { menu.open = false; menu.querySelector("summary").focus(); }
    if (event.key === "/" && !/INPUT|TEXTAREA|SELECT/.test(document.activeElement.tagName)) {
      const search = document.querySelector(".search .in");
      if (search) { event.preventDefault(); search.focus(); }
    }
  });

  // As `words.about` has it on the server: one unit.
  const about = (seconds) => {
    for (const [unit, name] of [[86400, "d"], [3600, "h"], [60, "min"]]) if (seconds >= unit) return `${Math.floor(seconds / unit)} ${name}`;
    return `${Math.max(0, Math.floor(seconds))} s`;
  };
  const zoned = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short" });
  const times = () => {
    for (const time of document.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime), words = about((Date.now() - at) / 1000) + (time.dataset.behind ?? "");
      if (time.textContent !== words) time.textContent = words;
      time.title = zoned.format(at);
    }
  };
  times();
  setInterval(times, 10_000);
  document.addEventListener("htmx:afterSettle", times);
  document.addEventListener("textmill:changed", times);
})();
