// Calls to the service. Everything that goes wrong becomes a Problem with the fields that the service documents.

export class Problem extends Error {
  constructor({ reason, message, hint = "", trace_id = "", suggestions = [], choices = [] }, status = 0, retryAfter = 0) {
    super(message);
    this.reason = reason;
    this.hint = hint;
    this.traceId = trace_id;
    this.suggestions = suggestions;
    this.choices = choices ?? [];
    this.status = status;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may succeed later. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

const UNREACHABLE = {
  reason: "unreachable",
  message: "The service cannot be reached.",
  hint: "Check the connection and try again.",
};

const token = () => document.querySelector('meta[name="csrf-token"]')?.content ?? "";

async function call(path, read, { method = "GET", body, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRFToken"] = token();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  try {
    const response = await fetch(path, {
      method,
      headers,
      body: JSON.stringify(body),
      signal,
      credentials: "same-origin",
    });
    if (!response.ok) throw await problemOf(response);
    return await read(response);
  } catch (error) {
    if (error instanceof Problem || error.name === "AbortError") throw error;
    throw new Problem(UNREACHABLE);
  }
}

async function problemOf(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  const text = await response.text();
  try {
    const fields = JSON.parse(text);
    if (fields.message) return new Problem(fields, response.status, retryAfter);
  } catch {
    // A proxy answered in place of the service.
  }
  const fields = {
    reason: "internal",
    message: `The service answered with status ${response.status}.`,
    hint: "Try again in a moment.",
    trace_id: response.headers.get("X-Trace-Id") ?? "",
  };
  return new Problem(fields, response.status, retryAfter);
}

/** JSON in which integers too large for a double keep their digits, as text. */
export function parse(text) {
  return JSON.parse(text, (_key, value, context) =>
    typeof value === "number" && Math.abs(value) > Number.MAX_SAFE_INTEGER && context?.source ? context.source : value,
  );
}

const json = async (response) => parse(await response.text());
const PAGE_SIZE = 100;

export const me = () => call("/api/me", json);
export const schema = (database) => call(`/api/schema?database=${encodeURIComponent(database)}`, json);
export const history = () => call("/api/history?limit=50", json);
export const page = (path) => call(path, json);
export const csv = (id) => call(`/api/results/${encodeURIComponent(id)}/csv`, (response) => response.blob());
export const feedback = (body) => call("/api/feedback", json, { method: "POST", body });

export const refreshSchema = (database) => call("/api/schema/refresh", json, { method: "POST", body: { database } });

export const query = (question, database, signal, fresh = false) =>
  call("/api/query", json, { method: "POST", body: { question, database, page_size: PAGE_SIZE, fresh }, signal });

export const sql = (statement, database, signal) =>
  call("/api/sql", json, { method: "POST", body: { sql: statement, database, page_size: PAGE_SIZE }, signal });
