// Elements are built here and nowhere from markup: text can only become text.

const SVG = "http://www.w3.org/2000/svg";

/** An element. `props` are attributes, except `on` (listeners by event name); null, false and undefined are left out. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") {
      for (const [type, listener] of Object.entries(value)) node.addEventListener(type, listener);
    } else if (value !== null && value !== undefined && value !== false) {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export const byId = (id) => document.getElementById(id);

/** Says a sentence to screen readers. */
export function announce(text) {
  byId("status").textContent = text;
}

/** A button that copies what `text()` returns and shows that it did. */
export function copyButton(label, text) {
  const word = el("span", {}, "Copy");
  const button = el("button", { type: "button", class: "quiet", "aria-label": label }, icon("copy"), word);
  button.addEventListener("click", async () => {
    const copied = await copy(text());
    button.replaceChildren(icon(copied ? "check" : "alert"), copied ? "Copied" : "Not copied");
    announce(copied ? "Copied" : "The browser did not allow copying");
    setTimeout(() => button.replaceChildren(icon("copy"), word), 2000);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

// The clipboard interface exists only on https and localhost.
function copyBySelection(text) {
  const area = el("textarea", { class: "visually-hidden", "aria-hidden": "true", tabindex: "-1" });
  const focused = document.activeElement;
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return copied;
}
