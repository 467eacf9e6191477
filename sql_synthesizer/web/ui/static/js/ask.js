// The form: a question or a statement goes out, an answer or a problem comes back.

import { answerCard, summary } from "./answer.js";
import * as api from "./api.js";
import { announce, byId, el } from "./dom.js";
import { createExchange } from "./exchange.js";
import { problemCard } from "./problem.js";
import { tabs } from "./tabs.js";

const visibleBox = () => (byId("panel-sql").hidden ? byId("question") : byId("sql"));

/** Puts `text` where the cursor is in the box that shows, with spaces around it where they are missing. */
export function insert(text) {
  const box = visibleBox();
  const before = box.value.slice(0, box.selectionStart);
  const after = box.value.slice(box.selectionEnd);
  const lead = before && !/[\s(.,"]$/.test(before) ? " " : "";
  const trail = after && !/^[\s).,;"]/.test(after) ? " " : "";
  box.focus();
  box.setRangeText(lead + text + trail, box.selectionStart, box.selectionEnd, "end");
  fit(box);
}

function fill(box, text) {
  box.value = text;
  fit(box);
}

function fit(box) {
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight + 2, 360)}px`;
}

/**
 * Wires the form. `database()` names the database to ask, `settled()` is called after every reply;
 * `allowSql()` of the result opens what only analysts may do.
 */
export function createAsk({ database, settled }) {
  const selectTab = tabs(byId("ask-tabs"));
  const { send, cancel } = createExchange(settled);
  let analyst = false;

  function allowSql() {
    analyst = true;
    byId("ask-tabs").hidden = false;
  }

  function answered(answer) {
    announce(summary(answer));
    const anew = () => question(answer.question, { fresh: true });
    return answerCard(answer, { edit: analyst ? editSql : null, exports: analyst, anew });
  }

  function failed(error, again) {
    if (error instanceof api.Problem) return problemCard(error, { ask: question, again });
    if (error.name !== "AbortError") throw error;
    announce("Cancelled");
    return el("p", { class: "card waiting" }, "Cancelled.");
  }

  function question(text, { fresh = false } = {}) {
    selectTab("tab-question");
    fill(byId("question"), text);
    const asked = text.trim();
    if (!asked) return byId("question").focus();
    const again = (error) => failed(error, () => question(text, { fresh }));
    return send((signal) => api.query(asked, database(), signal, fresh), answered, again);
  }

  function statement(text) {
    const sql = text.trim();
    if (!sql) return byId("sql").focus();
    const again = (error) => failed(error, () => statement(text));
    return send((signal) => api.sql(sql, database(), signal), answered, again);
  }

  function editSql(sql) {
    selectTab("tab-sql");
    fill(byId("sql"), sql);
    byId("sql").focus();
  }

  listen(() => (byId("panel-sql").hidden ? question : statement)(visibleBox().value), cancel);
  return { question, editSql, allowSql };
}

function listen(submit, cancel) {
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  byId("question").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  byId("sql").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    submit();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") cancel();
  });
  for (const box of [byId("question"), byId("sql")]) box.addEventListener("input", () => fit(box));
}
