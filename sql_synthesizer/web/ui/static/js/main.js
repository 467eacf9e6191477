import * as api from "./api.js";
import { createAsk, insert } from "./ask.js";
import { byId, el } from "./dom.js";
import { exampleQuestions } from "./examples.js";
import { showHistory } from "./history.js";
import { problemCard } from "./problem.js";
import { showSchema } from "./schema.js";
import { tabs } from "./tabs.js";

const ANALYSTS = new Set(["analyst", "operator"]);

const databasePicker = byId("database");

function offerDatabases(me) {
  databasePicker.replaceChildren(...me.databases.map((name) => el("option", { value: name }, name)));
  databasePicker.value = me.default_database;
  byId("picker").hidden = me.databases.length < 2;
}

function showExamples(schema, ask) {
  const chips = exampleQuestions(schema).map((question) =>
    el("button", { type: "button", class: "chip", on: { click: () => ask(question) } }, question),
  );
  byId("examples").replaceChildren(...chips);
  byId("examples").hidden = chips.length === 0;
  byId("question").placeholder = chips.length > 0 ? `For example: ${chips[0].textContent}` : "Ask in plain words";
}

async function loadSchema(ask, read = api.schema) {
  const database = databasePicker.value;
  try {
    const schema = await read(database);
    if (databasePicker.value !== database) return;
    showSchema(schema, insert);
    showExamples(schema, ask.question);
  } catch (problem) {
    byId("schema-note").textContent = "";
    byId("schema").replaceChildren(el("li", {}, problemCard(problem, { again: () => loadSchema(ask) })));
  }
}

// The form works before anything is known about the caller: an early question goes to the default database.
function wire() {
  const refresh = () => {
    if (!byId("panel-history").hidden) showHistory(reuse);
  };
  const ask = createAsk({ database: () => databasePicker.value || undefined, settled: refresh });
  const reuse = ({ question, sql, database }) => {
    const known = [...databasePicker.options].some((option) => option.value === database);
    if (known && databasePicker.value !== database) {
      databasePicker.value = database;
      loadSchema(ask);
    }
    if (question) ask.question(question);
    else ask.editSql(sql);
  };
  tabs(byId("aside-tabs"), refresh);
  databasePicker.addEventListener("change", () => loadSchema(ask));
  byId("schema-refresh").addEventListener("click", () => loadSchema(ask, api.refreshSchema));
  return ask;
}

async function start() {
  const ask = wire();
  const me = await api.me();
  offerDatabases(me);
  if (ANALYSTS.has(me.role)) ask.allowSql();
  byId("schema-refresh").hidden = !ANALYSTS.has(me.role);
  await loadSchema(ask);
}

start().catch((problem) => {
  if (!(problem instanceof api.Problem)) throw problem;
  byId("answer").replaceChildren(problemCard(problem, { again: () => location.reload() }));
});
