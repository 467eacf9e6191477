import * as api from "./api.js";
import { chart } from "./chart.js";
import { copyButton, el, icon } from "./dom.js";
import { feedback } from "./feedback.js";
import { problemCard, traceLine } from "./problem.js";
import { highlighted } from "./sql.js";
import { resultTable } from "./table.js";
import { grouped } from "./values.js";

const SOURCES = {
  llm: ["Language model", "A language model wrote this SQL"],
  rules: ["Rules", "The built-in rules wrote this SQL"],
  cache: ["Cache", "The same question was answered a moment ago"],
  analyst: ["Your SQL", "You wrote this SQL"],
};

function milliseconds(ms) {
  if (ms < 0.1) return "< 0.1 ms";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

const total = (timings) =>
  Object.entries(timings).reduce((sum, [stage, ms]) => (stage === "total" ? sum : sum + ms), 0);

/** One sentence about an answer, for screen readers. */
export function summary(answer) {
  const rows = answer.row_count === 1 ? "1 row" : `${answer.row_count} rows`;
  return `${answer.explanation || "Answered."} ${rows}.`;
}

function age(seconds) {
  if (seconds < 60) return `${seconds} s old`;
  return seconds < 3600 ? `${Math.round(seconds / 60)} min old` : `${Math.round(seconds / 3600)} h old`;
}

function badges(answer) {
  const [word, why] = SOURCES[answer.source] ?? [answer.source, ""];
  const rows = answer.row_count === 1 ? "1 row" : `${grouped(answer.row_count)} rows`;
  return el(
    "p",
    { class: "badges" },
    el("span", { class: `badge source source-${answer.source}`, title: why }, word),
    answer.source === "cache" && el("span", { class: "badge age" }, age(answer.age_seconds)),
    el("span", { class: "badge" }, answer.database),
    el("span", { class: "badge" }, rows),
    answer.sure === false &&
      el(
        "span",
        { class: "badge warn", title: "Read what the words were taken for before you rely on it" },
        `not sure: ${Math.round(answer.confidence * 100)} % likely right`,
      ),
    answer.truncated &&
      el("span", { class: "badge warn", title: "There are more rows than may be returned" }, "cut at the row limit"),
  );
}

function sqlBlock(answer, edit) {
  const tools = el(
    "div",
    { class: "tools" },
    copyButton("Copy the SQL", () => answer.sql),
  );
  if (edit)
    tools.prepend(el("button", { type: "button", class: "quiet", on: { click: () => edit(answer.sql) } }, "Edit"));
  return el(
    "figure",
    { class: "sql" },
    el("figcaption", {}, "SQL", tools),
    el("pre", { tabindex: "0", "aria-label": "SQL of the answer" }, highlighted(answer.sql)),
  );
}

function timings(stages) {
  const parts = Object.entries(stages).filter(([stage]) => stage !== "total");
  const sum = total(stages);
  if (parts.length === 0 || sum <= 0) return null;
  const bar = el("div", { class: "timing-bar", "aria-hidden": "true" });
  const list = el("ul", { class: "timing-list" });
  parts.forEach(([stage, ms], at) => {
    const slice = el("span", { class: `stage stage-${at % 6}` });
    slice.style.flexGrow = String(ms / sum);
    bar.append(slice);
    list.append(
      el("li", {}, el("span", { class: `dot stage-${at % 6}` }), `${stage.replaceAll("_", " ")} ${milliseconds(ms)}`),
    );
  });
  return el(
    "details",
    { class: "timings" },
    el("summary", {}, `Answered in ${milliseconds(stages.total ?? sum)}`, bar),
    list,
  );
}

function exportButton(answer, onProblem) {
  const button = el("button", { type: "button", class: "quiet" }, icon("download"), "CSV");
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const address = URL.createObjectURL(await api.csv(answer.question_id));
      const link = el("a", { href: address, download: `${answer.database}-${answer.question_id}.csv` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(address), 60_000);
    } catch (problem) {
      onProblem(problem);
    }
    button.disabled = false;
  });
  return button;
}

function result(answer, onProblem) {
  if (answer.rows.length === 0) return el("p", { class: "nothing" }, "No rows match.");
  if (answer.rows.length === 1 && answer.columns.length === 1) {
    const [value] = answer.rows[0];
    const shown = value === null ? "null" : grouped(value);
    return el(
      "p",
      { class: "single" },
      el("span", { class: "single-value" }, shown),
      el("span", { class: "help" }, answer.columns[0]),
    );
  }
  return [chart(answer), resultTable(answer, onProblem)];
}

/**
 * The card of an answer. `edit(sql)` opens its SQL for editing; it and `exports` are given to analysts only. `anew()`
 * asks again without the cache.
 */
export function answerCard(answer, { edit = null, exports = false, anew = null } = {}) {
  const faults = el("div");
  const cached = answer.source === "cache" && anew;
  const again = cached && el("button", { type: "button", class: "quiet", on: { click: anew } }, "Ask the database again");
  const onProblem = (problem) => faults.replaceChildren(problemCard(problem));
  return el(
    "article",
    { class: "card answer", "data-source": answer.source },
    el(
      "header",
      {},
      el("h2", {}, answer.question || "Your statement"),
      answer.explanation && el("p", { class: "explanation" }, answer.explanation),
      el("div", { class: "answer-head" }, badges(answer), again, exports && exportButton(answer, onProblem)),
    ),
    faults,
    result(answer, onProblem),
    sqlBlock(answer, edit),
    el("footer", {}, timings(answer.timings_ms ?? {}), answer.question_id && feedback(answer.question_id)),
    answer.trace_id && traceLine(answer.trace_id),
  );
}
