// Buttons that copy what an element says.
"use strict";
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).textContent;
  const told = document.getElementById("told");
  try {
    await navigator.clipboard.writeText(text);
    told.textContent = "Copied";
    button.classList.add("done");
    setTimeout(() => { button.classList.remove("done"); told.textContent = ""; }, 2000);
  } catch { // not over TLS, nor on this host: the text is selected, for the keyboard
    getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    told.textContent = "Selected: copy it with the keyboard";
  }
});
