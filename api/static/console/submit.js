// The form that submits a file: dropping one, and sending only its beginning for the preview when it is large.
"use strict";
(() => {
  const form = document.getElementById("draft");
  if (!form) return;
  const WHOLE = 16 << 20, PART = 1 << 20; // bytes: up to which size all of a file is read before it is submitted
  const input = document.getElementById("file"), drop = document.getElementById("drop");
  const chosen = document.getElementById("chosen"), sending = document.getElementById("sending");
  const units = ["bytes", "KiB", "MiB", "GiB"];

  const size = (bytes) => {
    const unit = Math.min(3, Math.floor(Math.log2(Math.max(1, bytes)) / 10)), value = bytes / 1024 ** unit;
    return `${value.toLocaleString("en", { maximumFractionDigits: unit && value < 10 ? 1 : 0 })} ${units[unit]}`;
  };
  const told = () => {
    const file = input.files[0];
    chosen.textContent = file ? file.name : "No file chosen";
    if (file) sending.textContent = `${size(file.size)}. Drop another here to replace it.`;
  };

  input.addEventListener("change", told);
  // A role that is given to another column leaves the one that had it.
  form.addEventListener("change", (event) => {
    if (event.target.name !== "column") return;
    const role = event.target.value.split(":")[0];
    for (const other of form.querySelectorAll("select[name=column]")) if (role && other !== event.target && other.value.startsWith(`${role}:`)) other.value = "";
  }, true);
  // Enter in a field is no submission: the button says how many documents it would be.
  form.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target.matches("input")) event.preventDefault(); });

  const over = (is) => (event) => { event.preventDefault(); drop.classList.toggle("over", is); };
  for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, over(true));
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, over(false));
  drop.addEventListener("drop", (event) => {
    if (!event.dataTransfer.files.length) return;
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });

  form.addEventListener("htmx:configRequest", (event) => {
    const { formData, path } = event.detail, file = input.files[0];
    if (!path.endsWith("/preview") || !file || file.size <= WHOLE) return;
    formData.set("file", file.slice(0, PART), file.name);
    formData.set("part", "1");
  });
  form.addEventListener("htmx:xhr:progress", ({ detail }) => {
    if (detail.lengthComputable && detail.total > PART) sending.textContent = `Sending, ${Math.floor(100 * detail.loaded / detail.total)} %`;
  });
  form.addEventListener("htmx:afterRequest", told);
  form.addEventListener("htmx:sendError", () => { sending.textContent = "The server does not answer. The file is still chosen: try again."; });
  told(); // a browser that goes back has kept the file
})();
