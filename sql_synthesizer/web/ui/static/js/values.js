// What the columns of a result hold, judged by their cells: decimals and dates arrive as text.

const DECIMAL = /^-?(?:0|[1-9]\d{0,14})(?:\.\d+)?$/;
const DATE = /^(\d{4})-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?.*)?)?$/;
const ORDINAL = /(?:^|_)(?:year|quarter|month|week|day|weekday|hour)s?$/i;
const KEY = /(?:^|_)id$|[a-z]Id$/;

const isNumber = (cell) => typeof cell === "number" || (typeof cell === "string" && DECIMAL.test(cell));

/** Seconds since 1970 (UTC) of an ISO date, month or time; NaN for anything else. */
export function seconds(cell) {
  const parts = typeof cell === "string" ? DATE.exec(cell) : null;
  if (!parts) return NaN;
  const [year, month, day, hour, minute, second] = parts.slice(1).map((part) => Number(part ?? 0));
  return Date.UTC(year, month - 1, day || 1, hour, minute, second) / 1000;
}

/** `number`, `date`, `text` or `empty` (nulls only) for each column. */
export function kinds(columns, rows) {
  return columns.map((_name, at) => {
    const cells = rows.map((row) => row[at]).filter((cell) => cell !== null);
    if (cells.length === 0) return "empty";
    if (cells.every(isNumber)) return "number";
    return cells.every((cell) => !Number.isNaN(seconds(cell))) ? "date" : "text";
  });
}

/** How a cell is shown; the noise of binary fractions is cut off. */
export function shown(cell) {
  if (typeof cell === "number" && !Number.isInteger(cell)) return String(Number(cell.toPrecision(12)));
  return String(cell);
}

/** As `shown`, with groups of thousands where they help; years and small numbers stay as they are. */
export function grouped(cell) {
  const text = shown(cell);
  const number = Number(text);
  if (!isNumber(cell) || Math.abs(number) < 10_000) return text;
  const digits = (text.split(".")[1] ?? "").length;
  return number.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

const MOST_COLUMNS = 4;
const MOST_BARS = 30;
const LONGEST_LABEL = 80;

/** `{type: "bars" | "line", x, ys}` (column positions) where the rows suit a chart, else null. */
export function chartable(columns, rows) {
  if (columns.length < 2 || columns.length > MOST_COLUMNS || rows.length < 2) return null;
  const found = kinds(columns, rows);
  const ordinal = (at) => found[at] === "number" && ORDINAL.test(columns[at]);
  const ys = found.flatMap((kind, at) => (kind === "number" && !KEY.test(columns[at]) && !ordinal(at) ? [at] : []));
  const date = found.indexOf("date");
  const x = [date, found.indexOf("text"), columns.findIndex((_name, at) => ordinal(at))].find((at) => at >= 0);
  if (x === undefined || ys.length === 0) return null;
  const labels = rows.map((row) => row[x]);
  if (new Set(labels).size < labels.length) return null;
  if (x === date && labels.length > 2 && !labels.includes(null)) return { type: "line", x, ys };
  const named = labels.every((label) => String(label).length <= LONGEST_LABEL);
  return named && labels.length <= MOST_BARS ? { type: "bars", x, ys } : null;
}
