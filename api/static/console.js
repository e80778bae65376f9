// Keeps the jobs on the page fresh by one stream of Server-Sent Events, while the page is looked at:
// a browser has six connections to a server for all its tabs together.
"use strict";
const rows = new Map(Array.from(document.querySelectorAll("[data-job]"), (row) => [row.dataset.job, row]));
const single = document.querySelector("[data-reload]");
let stream = null;

function show(job) {
  const row = rows.get(job.id);
  if (!row) { location.reload(); return; }  // a job that is new to this page
  const set = (field, text) => { const e = row.querySelector(`[data-field="${field}"]`); if (e) e.textContent = text; };
  row.dataset.status = job.status;
  set("status", job.status);
  set("documents", `${job.counts.succeeded + job.counts.failed} / ${job.counts.total}`);
  set("failed", job.counts.failed);
  set("rate", job.rate.documents_per_second ? `${job.rate.documents_per_second.toFixed(1)}/s` : "");
  row.querySelector("progress").value = job.progress;
}

function open() {
  if (single) {
    stream = new EventSource(`/v1/jobs/${single.dataset.job}/events`);
    stream.addEventListener("progress", (event) => show(JSON.parse(event.data)));
    stream.addEventListener("done", () => location.reload());
  } else {
    stream = new EventSource("/console/events");
    stream.addEventListener("jobs", (event) => JSON.parse(event.data).forEach(show));
  }
}

function follow() {
  if (stream) stream.close();
  stream = null;
  if (!document.hidden && !(single && single.dataset.final === "1")) open();
}

document.addEventListener("visibilitychange", follow);
window.addEventListener("pagehide", () => { if (stream) stream.close(); });
follow();
