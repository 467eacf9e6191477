// Loaded before the page is drawn, so that a stored choice does not flash.
(() => {
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let choice = null;
  try {
    choice = localStorage.getItem("theme");
  } catch {
    // Storage may be switched off; the system's choice is followed then.
  }
  if (choice === "dark" || choice === "light") root.dataset.theme = choice;

  const announce = () => document.dispatchEvent(new Event("themechange"));
  const toggle = () => {
    const now = root.dataset.theme ?? (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
    try {
      localStorage.setItem("theme", root.dataset.theme);
    } catch {
      // The choice lasts as long as the page.
    }
    announce();
  };
  dark.addEventListener("change", announce);
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme")?.addEventListener("click", toggle);
  });
})();
