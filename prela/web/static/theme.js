// The theme that was chosen last, set before anything is drawn: "light", "dark", or nothing for the system's.
// A classic script, since modules run after the first paint.
(() => {
  try {
    const chosen = localStorage.getItem("prela.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // storage may be switched off; then the system's theme it is
  }
})();
