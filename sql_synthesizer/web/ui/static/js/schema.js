// The panel of tables and columns: searchable, and a click puts a name into the question.

import { byId, el, icon } from "./dom.js";

const MOST_TABLES = 200;
const MOST_LEFT_OUT = 20;
const CAUSES = { unreadable: "cannot be read", forbidden: "no permission", too_many: "too many" };
const PLAIN = /^[a-z_][a-z0-9_]*$/;

function columnLine(column, target, insert) {
  const sensitive =
    column.sensitive &&
    el(
      "span",
      { class: "mark", title: "Sensitive: hidden from language models, reading it is recorded" },
      icon("lock"),
      "sensitive",
    );
  const key =
    column.primary_key &&
    el(
      "span",
      { class: "mark", title: "Primary key" },
      icon("key"),
      el("span", { class: "visually-hidden" }, "primary key"),
    );
  return el(
    "li",
    { class: "column" },
    el(
      "button",
      {
        type: "button",
        class: "name",
        title: column.comment || `Insert ${column.name}`,
        on: { click: () => insert(column.name) },
      },
      column.name,
    ),
    el("span", { class: "type", title: column.type }, column.kind),
    key,
    target && el("span", { class: "target", title: "Foreign key" }, `→ ${target}`),
    sensitive,
  );
}

function tableItem(table, columns, open, insert) {
  const targets = new Map(table.foreign_keys.flatMap((key) => key.columns.map((name) => [name, key.target])));
  const list = el("ul", { class: "table-columns", hidden: true });
  const toggle = el(
    "button",
    { type: "button", class: "toggle", "aria-label": `Columns of ${table.name}`, "aria-expanded": "false" },
    icon("chevron"),
  );
  const name = el(
    "button",
    {
      type: "button",
      class: "name",
      title: table.comment || `Insert ${table.name}`,
      on: { click: () => insert(table.name) },
    },
    table.name,
  );
  const flip = () => {
    if (!list.hasChildNodes())
      list.append(...columns.map((column) => columnLine(column, targets.get(column.name), insert)));
    list.hidden = !list.hidden;
    toggle.setAttribute("aria-expanded", String(!list.hidden));
  };
  toggle.addEventListener("click", flip);
  if (open) flip();
  return el(
    "li",
    { class: "table" },
    el("div", { class: "table-line" }, toggle, name, el("span", { class: "type" }, String(table.columns.length))),
    list,
  );
}

// [table, its matching columns, whether a column matched]; a table whose own name matches keeps all its columns.
function matches(tables, wanted) {
  if (!wanted) return tables.map((table) => [table, table.columns, false]);
  const holds = (text) => text.toLowerCase().includes(wanted);
  return tables.flatMap((table) => {
    const columns = table.columns.filter((column) => holds(column.name) || holds(column.comment ?? ""));
    if (columns.length > 0) return [[table, holds(table.name) ? table.columns : columns, true]];
    return holds(table.name) || holds(table.comment ?? "") ? [[table, table.columns, false]] : [];
  });
}

/** The name as a statement must write it; `quote` is the dialect's. */
export function identifier(name, quote) {
  if (PLAIN.test(name)) return name;
  return quote + name.replaceAll(quote, quote + quote) + quote;
}

/** Shows a schema and keeps it filtered by the search box; `insert(name)` is called for a name clicked. */
export function showSchema(schema, insert) {
  const search = byId("schema-search");
  const put = (name) => insert(byId("panel-sql").hidden ? name : identifier(name, schema.quote));
  const draw = () => {
    const found = matches(schema.tables, search.value.trim().toLowerCase());
    const few = found.length <= 8;
    byId("schema").replaceChildren(
      ...found.slice(0, MOST_TABLES).map(([table, columns, matched]) => tableItem(table, columns, matched && few, put)),
    );
    byId("schema-note").textContent = note(schema.tables.length, found.length);
  };
  search.oninput = draw;
  draw();
  byId("schema-left-out").textContent = leftOut(schema);
}

function leftOut({ left_out: some, left_out_count: all }) {
  if (all === 0) return "";
  const named = some
    .slice(0, MOST_LEFT_OUT)
    .map(({ name, cause, columns }) => `${name} (${columns ? `${columns} columns: ` : ""}${CAUSES[cause]})`);
  const more = all > named.length ? ` and ${all - named.length} more` : "";
  return `Left out: ${named.join(", ")}${more}.`;
}

function note(all, found) {
  if (all === 0) return "This database has no tables that may be read.";
  if (found === 0) return "Nothing has that name.";
  return found > MOST_TABLES ? `The first ${MOST_TABLES} of ${found} tables; search for more.` : "";
}
