// Example questions made from whatever schema there is.

const GROUPING = /status|state|type|kind|category|country|region|city|gender|role|level|method|channel|segment/i;
const KEY = /(?:^|_)id$|[a-z]Id$/;
const AMOUNT = /price|amount|total|cost|salary|revenue|value|rating|score|quantity|size|weight|age|stock|budget/i;
const OPERATION = /^(?:average|avg|total|sum|count|number|minimum|min|maximum|max)$/i;

const words = (name) =>
  name
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replaceAll("_", " ")
    .trim()
    .toLowerCase();

function useful(table) {
  const foreign = new Set(table.foreign_keys.flatMap((key) => key.columns));
  return table.columns.filter(
    (column) => !column.primary_key && !foreign.has(column.name) && !column.sensitive && !KEY.test(column.name),
  );
}

function first(columns, kinds, preferred) {
  const fitting = columns.filter((column) => kinds.includes(column.kind));
  return fitting.find(({ name }) => preferred.test(name) && !OPERATION.test(name)) ?? null;
}

// Tables that others refer to are what a database is about.
function byImportance(tables) {
  const referred = new Map();
  for (const key of tables.flatMap((table) => table.foreign_keys))
    referred.set(key.target, (referred.get(key.target) ?? 0) + 1);
  const weight = (table) => (referred.get(table.name) ?? 0) + Math.min(useful(table).length, 6) / 4;
  return [...tables].sort((a, b) => weight(b) - weight(a));
}

/** At most `most` questions, each of another sort and as far as possible about another table. */
export function exampleQuestions(schema, most = 4) {
  const tables = byImportance(schema.tables.filter((table) => table.columns.length > 1));
  const sorts = [
    (table) => `How many ${words(table.name)} are there?`,
    (table, columns) => {
      const amount = first(columns, ["integer", "number"], AMOUNT);
      return amount && `Top 5 ${words(table.name)} by ${words(amount.name)}`;
    },
    (table, columns) => {
      const group = first(columns, ["text"], GROUPING);
      return group && `Number of ${words(table.name)} by ${words(group.name)}`;
    },
    (table, columns) => {
      const amount = first(columns, ["integer", "number"], AMOUNT);
      return amount && `What is the average ${words(amount.name)} of ${words(table.name)}?`;
    },
  ];
  const used = new Set();
  const questions = [];
  for (const sort of sorts) {
    const offers = tables.map((table) => [table, sort(table, useful(table))]).filter(([, question]) => question);
    const [table, question] = offers.find(([candidate]) => !used.has(candidate)) ?? offers[0] ?? [];
    if (!question) continue;
    used.add(table);
    questions.push(question);
  }
  return questions.slice(0, most);
}
