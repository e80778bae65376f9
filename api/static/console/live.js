// Keeps the jobs on the page fresh. All pages of a browser share one stream (stream.js); where a browser has
// no SharedWorker, the page reads the stream by itself. A page that nobody looks at hears of nothing.
"use strict";
(() => {
  const address = document.documentElement.dataset.stream, mark = document.getElementById("live");
  if (!address || !mark) return;
  const KINDS = ["row", "page", "run"];
  const state = { port: null, source: null, refreshed: 0, timer: 0 };

  function shown() {
    const parts = Object.fromEntries(KINDS.map((kind) => [kind, {}]));
    for (const e of document.querySelectorAll("[data-job]")) parts[e.dataset.kind][e.dataset.job] = Number(e.dataset.version);
    return parts;
  }

  function said(now) {
    mark.hidden = false;
    mark.classList.toggle("lost", now === "lost");
    mark.textContent = now === "lost" ? "Reconnecting; figures may be old" : "Live";
  }

  const replace = (old, html) => Idiomorph.morph(old, html.trim(), {
    morphStyle: "outerHTML",
    callbacks: { beforeAttributeUpdated: (name, node) => !(node.matches?.(".check") && name === "checked") },
  });

  function changed(job) {
    for (const kind of KINDS) {
      const old = document.getElementById(`${kind}-${job.id}`), html = job.parts[kind];
      if (!old || !html || Number(old.dataset.version) >= job.version) continue;
      const before = { ...old.dataset };
      replace(old, html);
      const now = document.getElementById(`${kind}-${job.id}`);
      if (kind === "page" && (before.status !== now.dataset.status || before.failed !== now.dataset.failed)) refresh(before.status !== now.dataset.status);
      if (before.status !== now.dataset.status) document.getElementById("told").textContent = `${now.querySelector("a, h1")?.textContent ?? "The job"}: ${now.dataset.status}`;
    }
    document.dispatchEvent(new Event("textmill:changed"));
  }

  // What the stream does not carry, such as failures by reason and what may be done now: the page is read again,
  // at once when the status is another one, else every five seconds at most.
  function refresh(isAtOnce) {
    clearTimeout(state.timer);
    state.timer = setTimeout(async () => {
      state.refreshed = Date.now();
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
      if (!answer?.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const old of document.querySelectorAll("[data-refresh]")) {
        const id = old.id, fresh = page.getElementById(id);
        if (old && fresh && !old.querySelector("details[open]")) { replace(old, fresh.outerHTML); htmx.process(document.getElementById(id)); }
      }
      for (const dialog of page.querySelectorAll("dialog")) if (!document.getElementById(dialog.id)) document.getElementById("main").append(document.importNode(dialog, true));
      document.dispatchEvent(new Event("textmill:changed"));
    }, isAtOnce ? 0 : Math.max(0, state.refreshed + 5000 - Date.now()));
  }

  // Something was computed, or not: charts go on, and so do the figures of the overview.
  function moment(detail) {
    document.dispatchEvent(new CustomEvent("textmill:moment", { detail }));
    if (document.querySelector(".chart[data-chart]")) refresh(true);
  }

  function hear(message) {
    if (message.state) said(message.state);
    if (message.job) changed(message.job);
    if (message.moment) moment(message.moment);
    if (message.newer) { const newer = document.getElementById("newer"); if (newer) newer.hidden = false; }
  }

  function alone() { // one stream of this page
    state.source?.close();
    const query = new URLSearchParams();
    for (const [kind, of] of Object.entries(shown())) query.set(kind, Object.entries(of).map(([id, version]) => `${id}.${version}`).join(","));
    state.source = new EventSource(`/console/events?${query}`);
    state.source.onopen = () => said("live");
    state.source.onerror = () => { said("lost"); if (state.source.readyState === 2) setTimeout(follow, 3000); };
    state.source.addEventListener("job", (event) => changed(JSON.parse(event.data)));
    state.source.addEventListener("moment", (event) => moment(JSON.parse(event.data)));
    state.source.addEventListener("newer", () => hear({ newer: true }));
  }

  function leave() {
    state.source?.close();
    state.port?.postMessage({ parts: null });
  }

  function follow() {
    if (document.hidden) { leave(); return; }
    if (!window.SharedWorker) { alone(); return; }
    if (!state.port) {
      state.port = new SharedWorker(address, { name: "textmill" }).port;
      state.port.onmessage = ({ data }) => hear(data);
    }
    state.port.postMessage({ parts: shown() });
  }

  document.addEventListener("visibilitychange", follow);
  document.addEventListener("htmx:afterSettle", follow); // another page of the list
  addEventListener("pagehide", leave);
  addEventListener("pageshow", follow);
})();
