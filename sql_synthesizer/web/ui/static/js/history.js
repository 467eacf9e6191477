import * as api from "./api.js";
import { byId, el } from "./dom.js";
import { problemCard } from "./problem.js";

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

function since(iso) {
  const seconds = (Date.parse(iso) - Date.now()) / 1000;
  if (Number.isNaN(seconds)) return iso;
  const [unit, size] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 0];
  return size ? relative.format(Math.round(seconds / size), unit) : "just now";
}

function item(entry, reuse) {
  const answered = entry.outcome === "answered";
  const rows = entry.row_count === 1 ? "1 row" : `${entry.row_count} rows`;
  return el(
    "li",
    {},
    el(
      "button",
      { type: "button", class: "past", on: { click: () => reuse(entry) } },
      el("span", { class: entry.question ? "past-question" : "past-question mono" }, entry.question || entry.sql),
      el(
        "span",
        { class: "past-facts" },
        el("span", { class: answered ? null : "badge warn" }, answered ? rows : entry.outcome),
        el("span", {}, entry.database),
        el("time", { datetime: entry.asked_at, title: entry.asked_at }, since(entry.asked_at)),
      ),
    ),
  );
}

/** Fetches and shows the caller's questions; `reuse(entry)` is called for the one clicked. */
export async function showHistory(reuse) {
  try {
    const { items } = await api.history();
    const list = el(
      "ul",
      { class: "history" },
      items.map((entry) => item(entry, reuse)),
    );
    byId("history").replaceChildren(items.length > 0 ? list : el("p", { class: "help" }, "Nothing asked yet."));
  } catch (problem) {
    byId("history").replaceChildren(problemCard(problem, { again: () => showHistory(reuse) }));
  }
}
