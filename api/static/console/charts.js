// Charts by uPlot: <figure class="chart" data-chart='{"kind", "xs", "unit", "series": [{"name", "color", "values"}]}'>.
// One quantity a chart, from zero; the value under the pointer stands in the <output> before it.
"use strict";
(() => {
  const charts = new Map(); // figure -> plot
  const probe = document.createElement("i");
  const color = (name, share = 1) => { // as the theme has it now; `light-dark()` is resolved by an element alone
    document.body.append(probe);
    probe.style.color = `var(${name})`;
    const found = getComputedStyle(probe).color;
    probe.remove();
    return share === 1 ? found : found.replace("rgb(", "rgba(").replace(")", `, ${share})`);
  };
  const short = (n) => {
    for (const [unit, name] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) if (n >= unit) return `${+(n / unit).toFixed(1)}${name}`;
    return `${+n.toFixed(n < 1 ? 2 : 1)}`;
  };
  const exact = (n) => n.toLocaleString("en", { maximumFractionDigits: n < 100 ? 1 : 0 });
  const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
  const second = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });

  function axes(spec) {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const common = { stroke: color("--muted"), font: `${Math.round(.72 * rem)}px ${getComputedStyle(document.body).fontFamily}`, ticks: { show: false }, gap: 6 };
    const when = spec.kind === "days" ? day : clock;
    return [
      { ...common, grid: { show: false }, size: 1.6 * rem, space: 72, values: (_, ticks) => ticks.map((at) => when.format(at * 1000)) },
      { ...common, grid: { stroke: color("--line"), width: 1 }, size: 3.2 * rem, space: 34, values: (_, ticks) => ticks.map(short) },
    ];
  }

  const stacked = (spec) => { // bars of a day stand on each other: the sum is drawn first, and covered
    let below = spec.xs.map(() => 0);
    return spec.series.map((one) => (below = below.map((value, i) => value + one.values[i]))).reverse();
  };
  const data = (spec) => [spec.xs, ...(spec.kind === "days" ? stacked(spec) : spec.series.map((one) => one.values))];

  function series(spec) {
    if (spec.kind === "days") return spec.series.toReversed().map((one) => ({ label: one.name, fill: color(one.color), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [.7, 36] }) }));
    return spec.series.map((one) => ({ label: one.name, stroke: color(one.color), fill: color(one.color, .13), width: 1.75, points: { show: false } }));
  }

  function said(spec, at) { // what stands above the chart: of the point, or of the last one
    const i = at ?? spec.xs.length - 1, days = spec.kind === "days";
    if (i < 0) return "";
    const values = spec.series.map((one) => `${spec.series.length > 1 ? `${one.name} ` : ""}${exact(one.values[i])}`).join(", ");
    return at == null && !days ? `${values} now` : `${(days ? day : second).format(spec.xs[i] * 1000)}: ${values}`;
  }

  function draw(figure) {
    const spec = figure.spec ??= JSON.parse(figure.dataset.chart), out = figure.parentElement.querySelector("output");
    charts.get(figure)?.destroy();
    charts.delete(figure);
    if (!spec.xs.length) return; // what its label says stands in its place
    if (out) out.textContent = said(spec, null);
    const step = 86400 * .6, last = spec.xs.at(-1);
    charts.set(figure, new uPlot({
      width: figure.clientWidth, height: figure.clientHeight, padding: [8, 18, 0, 0], tzDate: (at) => spec.kind === "days" ? uPlot.tzDate(new Date(at * 1000), "Etc/UTC") : new Date(at * 1000), legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: spec.sync ? { key: spec.sync } : undefined, points: { size: 7 } },
      scales: {
        x: { time: true, range: () => spec.kind === "days" ? [spec.xs[0] - step, last + step] : [Math.min(spec.xs[0], spec.xs.at(-1) - 300), spec.xs.at(-1)] },
        y: { range: (_, low, high) => [0, high > 0 ? high * 1.08 : 1] },
      },
      series: [{}, ...series(spec)], axes: axes(spec),
      hooks: { setCursor: [(plot) => { if (out) out.textContent = said(spec, plot.cursor.idx); }] },
    }, data(spec), figure));
  }

  const all = () => document.querySelectorAll(".chart[data-chart]");
  const redraw = () => { for (const figure of all()) draw(figure); };

  // A step of the stream: `values` has one for each chart that names its unit.
  document.addEventListener("textmill:moment", ({ detail }) => {
    for (const figure of all()) {
      const spec = figure.spec, value = detail[spec?.unit];
      if (value === undefined || (spec.xs.at(-1) ?? 0) >= detail.at) continue;
      spec.xs.push(detail.at);
      spec.series[0].values.push(value);
      while (spec.xs[0] < detail.at - 3600) { spec.xs.shift(); spec.series[0].values.shift(); }
      const plot = charts.get(figure), out = figure.parentElement.querySelector("output");
      if (plot) plot.setData(data(spec)); else draw(figure);
      if (out && plot?.cursor.idx == null) out.textContent = said(spec, null);
    }
  });
  document.addEventListener("click", (event) => { if (event.target.closest("[data-set-theme]")) redraw(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new ResizeObserver(() => { for (const [figure, plot] of charts) if (plot.width !== figure.clientWidth) plot.setSize({ width: figure.clientWidth, height: figure.clientHeight }); }).observe(document.body);
  redraw();
})();
