// Bars for a category and a number (plain elements, so that long names stay readable), a line for dates (uPlot).

import { el } from "./dom.js";
import { chartable, grouped, seconds } from "./values.js";

const HEIGHT = 260;

// A canvas needs a resolved colour, the style sheet holds light-dark() pairs.
function colour(name) {
  const probe = document.body.appendChild(el("span"));
  probe.style.color = `var(${name})`;
  const resolved = getComputedStyle(probe).color;
  probe.remove();
  return resolved;
}

function bars(rows, x, y) {
  const values = rows.map((row) => Number(row[y] ?? 0));
  const low = Math.min(0, ...values);
  const span = Math.max(0, ...values) - low || 1;
  const lines = rows.map((row, at) => {
    const bar = el("span", { class: "bar" });
    bar.style.width = `${(Math.abs(values[at]) / span) * 100}%`;
    bar.style.marginLeft = `${((Math.min(0, values[at]) - low) / span) * 100}%`;
    const name = row[x] === null ? "null" : String(row[x]);
    return el(
      "li",
      {},
      el("span", { class: "bar-name", title: name }, name),
      el("span", { class: "bar-track" }, bar),
      el("span", { class: "bar-value" }, row[y] === null ? "null" : grouped(row[y])),
    );
  });
  return el("ul", { class: "bars" }, lines);
}

function linePlot(holder, columns, rows, x, y) {
  const points = rows
    .map((row) => [seconds(row[x]), row[y] === null ? null : Number(row[y])])
    .sort((a, b) => a[0] - b[0]);
  const data = [points.map((point) => point[0]), points.map((point) => point[1])];
  const daily = data[0].every((time) => time % 86_400 === 0);
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  const options = {
    width: Math.max(holder.clientWidth, 200),
    height: HEIGHT,
    tzDate: (time) => uPlot.tzDate(new Date(time * 1000), "Etc/UTC"),
    scales: { y: { range: (_plot, low, high) => [Math.min(0, low), high > 0 ? high * 1.05 : 1] } },
    series: [
      { label: columns[x], value: daily ? "{YYYY}-{MM}-{DD}" : "{YYYY}-{MM}-{DD} {HH}:{mm}" },
      {
        label: columns[y],
        stroke: colour("--accent"),
        fill: colour("--accent-soft"),
        width: 2,
        points: { show: points.length <= 60 },
        value: (_plot, value) => (value === null ? "–" : grouped(value)),
      },
    ],
    axes: [axis, { ...axis, size: 64, values: (_plot, ticks) => ticks.map(grouped) }],
  };
  return new uPlot(options, data, holder);
}

function line(columns, rows, x, y) {
  const holder = el("div", { class: "line" });
  let plot = null;
  const draw = () => {
    plot?.destroy();
    plot = linePlot(holder, columns, rows, x, y);
  };
  const redraw = () => {
    if (holder.isConnected) draw();
  };
  const resized = new ResizeObserver(() => {
    if (!holder.isConnected) {
      resized.disconnect();
      document.removeEventListener("themechange", redraw);
      plot?.destroy();
    } else if (plot) plot.setSize({ width: Math.max(holder.clientWidth, 200), height: HEIGHT });
    else draw();
  });
  resized.observe(holder);
  document.addEventListener("themechange", redraw);
  return holder;
}

/** A chart of the first page of an answer, or null where the rows do not suit one. */
export function chart(answer) {
  const { columns, rows } = answer;
  const plan = chartable(columns, rows);
  if (!plan) return null;
  const holder = el("div");
  const title = el("figcaption");
  const draw = (y) => {
    const part = answer.next ? `, first ${rows.length} rows` : "";
    title.textContent = `${columns[y]} by ${columns[plan.x]}${part}`;
    holder.replaceChildren(plan.type === "bars" ? bars(rows, plan.x, y) : line(columns, rows, plan.x, y));
  };
  draw(plan.ys[0]);
  const head = el("div", { class: "chart-head" }, title);
  if (plan.ys.length > 1) {
    const choices = plan.ys.map((y) => el("option", { value: y }, columns[y]));
    const select = el(
      "select",
      { "aria-label": "Column to chart", on: { change: () => draw(Number(select.value)) } },
      choices,
    );
    head.append(select);
  }
  return el("figure", { class: `chart chart-${plan.type}` }, head, holder);
}
