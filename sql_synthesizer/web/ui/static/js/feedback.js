import * as api from "./api.js";
import { announce, el, icon } from "./dom.js";

const WORDS = { up: "Right answer", down: "Wrong answer" };

function commentForm(send) {
  const input = el("input", {
    type: "text",
    maxlength: "500",
    "aria-label": "What was wrong? (optional)",
    placeholder: "What was wrong? (optional)",
  });
  const form = el("form", { class: "comment" }, input, el("button", { type: "submit", class: "quiet" }, "Send"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (await send("down", input.value.trim())) form.remove();
  });
  return form;
}

/** Thumbs up and down for an answer; a thumb down asks what was wrong. */
export function feedback(questionId) {
  const state = el("span", { class: "help", role: "status" });
  const row = el("div", { class: "feedback", role: "group", "aria-label": "Was this right?" });
  const buttons = Object.keys(WORDS).map((rating) =>
    el(
      "button",
      {
        type: "button",
        class: "quiet square",
        "aria-pressed": "false",
        "aria-label": WORDS[rating],
        title: WORDS[rating],
        "data-rating": rating,
        on: { click: () => rate(rating) },
      },
      icon(rating),
    ),
  );

  async function send(rating, comment) {
    try {
      await api.feedback({ question_id: questionId, rating, ...(comment ? { comment } : {}) });
    } catch (problem) {
      state.textContent = problem.message;
      return false;
    }
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.rating === rating));
    state.textContent = "Thank you, noted.";
    return true;
  }

  async function rate(rating) {
    if (buttons.some((button) => button.dataset.rating === rating && button.getAttribute("aria-pressed") === "true")) return;
    if (!(await send(rating, ""))) return;
    row.querySelector(".comment")?.remove();
    if (rating === "down") {
      const form = commentForm(send);
      row.append(form);
      form.querySelector("input").focus();
    }
    announce(WORDS[rating]);
  }

  row.append(...buttons, state);
  return row;
}
