import { copyButton, el, icon } from "./dom.js";

/** The trace id with a button that copies it. */
export function traceLine(traceId) {
  return el(
    "p",
    { class: "trace" },
    "Trace id ",
    el("code", {}, traceId),
    copyButton("Copy the trace id", () => traceId),
  );
}

/** A card that says what went wrong and what to do. `ask(question)` is called for a suggestion, `again()` to retry. */
export function problemCard(problem, { ask, again } = {}) {
  const suggestions = problem.suggestions.map((question) =>
    el("button", { type: "button", class: "chip", on: { click: () => ask(question) } }, question),
  );
  const choices = problem.choices.map((choice) => el("li", {}, choice));
  const hint = problem.retryAfter > 0 ? `Try again in ${problem.retryAfter} s.` : problem.hint;
  const signIn = problem.status === 401 && el("a", { class: "button", href: "/login" }, "Sign in");
  const retry =
    problem.passing && again && el("button", { type: "button", class: "quiet", on: { click: again } }, "Try again");
  return el(
    "article",
    { class: "card problem", role: "alert", "data-reason": problem.reason },
    el("h2", {}, icon("alert"), problem.message),
    el("p", { class: "hint" }, hint),
    choices.length > 0 && el("p", { class: "help" }, "It could have meant:"),
    choices.length > 0 && el("ul", { class: "choices" }, choices),
    suggestions.length > 0 && ask && el("p", { class: "help" }, "You could ask:"),
    suggestions.length > 0 && ask && el("div", { class: "examples" }, suggestions),
    (signIn || retry) && el("p", { class: "actions" }, signIn, retry),
    problem.traceId && traceLine(problem.traceId),
  );
}
