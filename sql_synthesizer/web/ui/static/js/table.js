// The rows of an answer, page by page.

import * as api from "./api.js";
import { announce, el } from "./dom.js";
import { kinds, shown } from "./values.js";

const many = new Intl.NumberFormat("en");

function cellOf(value, kind) {
  if (value === null) return el("td", { class: kind === "number" ? "null number" : "null" }, "null");
  if (value === "") return el("td", { class: "null", title: "An empty text" }, "empty");
  return el("td", { class: kind === "number" ? "number" : null }, shown(value));
}

function grid(columns, rows, caption) {
  const found = kinds(columns, rows);
  const heads = columns.map((name, at) =>
    el("th", { scope: "col", class: found[at] === "number" ? "number" : null }, name),
  );
  const lines = rows.map((row) =>
    el(
      "tr",
      {},
      row.map((value, at) => cellOf(value, found[at])),
    ),
  );
  return el(
    "table",
    {},
    el("caption", { class: "visually-hidden" }, caption),
    el("thead", {}, el("tr", {}, heads)),
    el("tbody", {}, lines),
  );
}

/** A scrolling table with controls that page through `next`; `onProblem` is told when a page cannot be had. */
export function resultTable(answer, onProblem) {
  const pages = [answer];
  let at = 0;
  const frame = el("div", { class: "table-frame", tabindex: "0", role: "region", "aria-label": "Rows of the answer" });
  const place = el("span", { class: "help" });
  const back = el("button", { type: "button", class: "quiet", on: { click: () => show(at - 1) } }, "Previous");
  const forth = el("button", { type: "button", class: "quiet", on: { click: () => show(at + 1) } }, "Next");
  const controls = el("div", { class: "pager", role: "group", "aria-label": "Pages" }, back, place, forth);

  function draw() {
    const { rows, next } = pages[at];
    const before = pages.slice(0, at).reduce((sum, page) => sum + page.rows.length, 0);
    const range = `Rows ${many.format(before + 1)} to ${many.format(before + rows.length)}`;
    place.textContent = answer.row_count > rows.length ? `${range} of ${many.format(answer.row_count)}` : range;
    frame.replaceChildren(grid(answer.columns, rows, answer.explanation || "Result"));
    frame.scrollTop = 0;
    back.disabled = at === 0;
    forth.disabled = !next;
    controls.hidden = at === 0 && !next;
  }

  async function show(to) {
    try {
      if (to === pages.length) {
        forth.disabled = true;
        pages.push(await api.page(pages[at].next));
      }
      at = to;
      draw();
      announce(place.textContent);
    } catch (problem) {
      draw();
      onProblem(problem);
    }
  }

  draw();
  return el("div", {}, frame, controls);
}
