// A SharedWorker: one stream of events for all pages of a browser, which has six connections to a server.
// Each page says which parts of jobs it shows; what changes goes to all, and each takes what is its own.
"use strict";
const MOST = 300; // as the server has it (`MOST_FOLLOWED`)
const RETRY_MS = 3000;
const ports = new Map(); // port -> { row: {id: version}, page: {...}, run: {...} }
let source = null, opened = "", retry = 0, newest = "";

function wanted() {
  const query = new URLSearchParams();
  let room = MOST;
  for (const kind of ["page", "run", "row"]) {
    const seen = new Map();
    for (const parts of ports.values()) for (const [id, version] of Object.entries(parts[kind] ?? {})) {
      if (seen.has(id)) seen.set(id, Math.min(seen.get(id), version)); // the page that is furthest behind is told
      else if (room > 0) { seen.set(id, version); room -= 1; }
    }
    if (seen.size) query.set(kind, [...seen].map(([id, version]) => `${id}.${version}`).join(","));
  }
  if (newest) query.set("newest", newest);
  return query.toString();
}

const tell = (message) => { for (const port of ports.keys()) port.postMessage(message); };
const ids = () => [...ports.values()].flatMap((parts) => Object.values(parts).flatMap((of) => Object.keys(of))).sort().join();

function open() {
  clearTimeout(retry);
  source?.close();
  source = null;
  opened = ids();
  if (!ports.size) return;
  source = new EventSource(`/console/events?${wanted()}`);
  source.onopen = () => tell({ state: "live" });
  source.onerror = () => {
    tell({ state: "lost" });
    // The server is away, or refused: begin anew, with the versions that the pages have by now.
    source?.close();
    clearTimeout(retry);
    retry = setTimeout(open, RETRY_MS);
  };
  source.addEventListener("job", (event) => {
    const job = JSON.parse(event.data);
    for (const parts of ports.values()) for (const of of Object.values(parts)) if (job.id in of) of[job.id] = job.version;
    tell({ job });
  });
  source.addEventListener("moment", (event) => tell({ moment: JSON.parse(event.data) }));
  source.addEventListener("newer", () => { newest = ""; tell({ newer: true }); });
}

onconnect = (event) => {
  const port = event.ports[0];
  port.onmessage = ({ data }) => {
    if (data.parts) ports.set(port, data.parts); else ports.delete(port);
    if (ids() !== opened || (!source && ports.size)) { clearTimeout(retry); retry = setTimeout(open, 50); } // pages that open together share a change
    else if (data.parts) { if (source?.readyState === 1) port.postMessage({ state: "live" }); }
  };
  port.start();
};
