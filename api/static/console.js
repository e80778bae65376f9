// Keeps every running job on the page fresh by its Server-Sent Events.
"use strict";
for (const row of document.querySelectorAll('[data-job][data-final="0"]')) {
  const events = new EventSource(`/v1/jobs/${row.dataset.job}/events`);
  const show = (event) => {
    const job = JSON.parse(event.data);
    const set = (field, text) => { const e = row.querySelector(`[data-field="${field}"]`); if (e) e.textContent = text; };
    row.dataset.status = job.status;
    set("status", job.status);
    set("documents", `${job.counts.succeeded + job.counts.failed} / ${job.counts.total}`);
    set("failed", job.counts.failed);
    set("rate", job.rate.documents_per_second ? `${job.rate.documents_per_second.toFixed(1)}/s` : "");
    row.querySelector("progress").value = job.progress;
  };
  events.addEventListener("progress", show);
  events.addEventListener("done", (event) => { show(event); events.close(); if (row.dataset.reload) location.reload(); });
}
