// Light or dark as the system has it, until somebody chooses; the choice stays with the browser.
(() => {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const show = () => {
    const chosen = localStorage.getItem("qnodeos-theme") || (system.matches ? "dark" : "light");
    document.documentElement.dataset.theme = chosen;
    if (window.Quasar) Quasar.Dark.set(chosen === "dark"); // the dialogs are Quasar's
  };
  show();
  system.addEventListener("change", show);
  window.addEventListener("load", () => setTimeout(show));
  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-theme-switch]")) return;
    const dark = document.documentElement.dataset.theme === "dark";
    localStorage.setItem("qnodeos-theme", dark ? "light" : "dark");
    show();
  });
})();
