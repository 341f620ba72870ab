// Light, dark, or as the system has it; figures are drawn anew in the colours of the theme.
const root = document.documentElement;
const systemDark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches;
}

function startTheme(changed) {
  const choice = document.getElementById("theme");
  choice.addEventListener("change", () => {
    if (choice.value) root.dataset.theme = choice.value;
    else delete root.dataset.theme;
    changed();
  });
  systemDark.addEventListener("change", changed);
}
