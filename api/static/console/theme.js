// Light, dark, or as the system has it: a choice is set before the page is painted.
"use strict";
(() => {
  const root = document.documentElement, name = "textmill-theme";
  const read = () => { try { return localStorage.getItem(name); } catch { return null; } }; // a private window may refuse
  const keep = (choice) => { try { choice === "auto" ? localStorage.removeItem(name) : localStorage.setItem(name, choice); } catch { /* for this page only */ } };
  const show = (choice) => {
    if (choice === "light" || choice === "dark") root.dataset.theme = choice; else delete root.dataset.theme;
    for (const b of document.querySelectorAll("[data-set-theme]")) b.setAttribute("aria-pressed", String(b.dataset.setTheme === (root.dataset.theme ?? "auto")));
  };
  show(read());
  document.addEventListener("DOMContentLoaded", () => show(read()));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-set-theme]");
    if (button) { keep(button.dataset.setTheme); show(button.dataset.setTheme); }
  });
})();
