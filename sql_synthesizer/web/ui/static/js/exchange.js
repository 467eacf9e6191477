// One request at a time: a card with a clock while it runs, a way to cancel it, then the card of its reply.

import { announce, byId, el } from "./dom.js";

function waitingCard(cancel) {
  const clock = el("span", { class: "clock", "aria-hidden": "true" }, "0.0 s");
  const begun = performance.now();
  const timer = setInterval(() => (clock.textContent = `${((performance.now() - begun) / 1000).toFixed(1)} s`), 100);
  const spinner = el("span", { class: "spinner", "aria-hidden": "true" });
  const button = el("button", { type: "button", class: "quiet", on: { click: cancel } }, "Cancel");
  return {
    card: el("div", { class: "card waiting" }, spinner, "Asking ", clock, button),
    stop: () => clearInterval(timer),
  };
}

// On a small screen the reply may begin below what is seen.
function reveal(card) {
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (card.getBoundingClientRect().top > window.innerHeight * 0.6) {
    card.scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
  }
}

/**
 * Returns `send` and `cancel`. `send(request, answered, failed)` runs `request(signal)` and shows the card that
 * `answered(answer)` or `failed(error)` makes; a newer request takes its place.
 */
export function createExchange(settled) {
  const place = byId("answer");
  let running = null;

  async function send(request, answered, failed) {
    running?.abort();
    const abort = new AbortController();
    running = abort;
    const waiting = waitingCard(() => abort.abort());
    place.setAttribute("aria-busy", "true");
    place.replaceChildren(waiting.card);
    announce("Asking");
    const make = await request(abort.signal).then(
      (answer) => () => answered(answer),
      (error) => () => failed(error),
    );
    waiting.stop();
    if (running !== abort) return;
    running = null;
    place.removeAttribute("aria-busy");
    const card = make();
    place.replaceChildren(card);
    reveal(card);
    settled();
  }

  return { send, cancel: () => running?.abort() };
}
