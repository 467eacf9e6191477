import { copyButton } from "./dom.js";

// Without scripts the command can still be selected.
for (const code of document.querySelectorAll("[data-copy]")) {
  code.after(copyButton("Copy the command", () => code.textContent));
}
