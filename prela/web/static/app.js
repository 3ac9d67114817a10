// The application: the bar at the top, and the page that the address names.

import { changed, followLinks, useAddress } from "./address.js";
import { useAnswer } from "./api.js";
import { counted } from "./format.js";
import { ComparePage } from "./pages/compare.js";
import { SearchPage } from "./pages/search.js";
import { StatsPage } from "./pages/stats.js";
import { TracePage } from "./pages/trace.js";
import { TracesPage } from "./pages/traces.js";
import { html, render, useLayoutEffect, useState } from "./ui.js";

const TABS = [
  ["/", "Traces"],
  ["/search", "Search"],
  ["/stats", "Stats"],
  ["/compare", "Compare"],
];

/** The page for a path: its name, and what it shows. */
function pageFor({ path, query }) {
  const trace = /^\/traces\/([^/]+)\/?$/.exec(path);
  if (trace) return html`<${TracePage} key=${trace[1]} id=${decoded(trace[1])} query=${query} />`;
  if (path === "/" || path === "/traces" || path === "/traces/") return html`<${TracesPage} query=${query} />`;
  if (path === "/search") return html`<${SearchPage} query=${query} />`;
  if (path === "/stats") return html`<${StatsPage} query=${query} />`;
  if (path === "/compare") return html`<${ComparePage} query=${query} />`;
  return html`<main class="page"><h1>No such page</h1><p><a href="/">All traces</a></p></main>`;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function App() {
  const at = useAddress();
  return html`<div class="app" onClick=${followLinks}>
    <a class="skip" href=${`${changed({}, at)}#main`} target="_self">To the content</a>
    <${Bar} at=${at} />
    ${pageFor(at)}
  </div>`;
}

function Bar({ at }) {
  const isHere = (path) => (path === "/" ? at.path === "/" || at.path.startsWith("/traces") : at.path === path);
  return html`<header class="bar">
    <a class="brand" href="/">Prela</a>
    <nav aria-label="Pages">
      ${TABS.map(([path, name]) => html`<a href=${path} aria-current=${isHere(path) ? "page" : null}>${name}</a>`)}
    </nav>
    <${Status} />
    <${ThemeButton} />
  </header>`;
}

/** What the server says of itself, where there is something to say. */
function Status() {
  const { value, error } = useAnswer("/api/status", { every: 5000 });
  if (error) return html`<span class="status-line is-bad" role="status">✗ not connected</span>`;
  if (!value) return html`<span class="status-line"></span>`;
  const bad = value.bad_lines ? html` · <span class="is-bad">${counted(value.bad_lines, "bad line")}</span>` : null;
  return html`<span class="status-line" title=${value.notice ? `${value.folder}\n${value.notice}` : value.folder}>
    <bdi class="folder">${value.folder}</bdi> <span>${counted(value.spans, "span")}${bad}</span>
  </span>`;
}

const THEMES = { auto: ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };

function ThemeButton() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? "auto");
  useLayoutEffect(() => {
    // before anybody sees the button's new word: a reader of the page may act on it at once
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("prela.theme", theme);
    } catch {
      // storage may be switched off; then it lasts as long as the page
    }
    dispatchEvent(new Event("prela:theme"));
  }, [theme]);
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(theme) + 1) % names.length];
  const [sign, word] = THEMES[theme];
  return html`<button class="quiet theme" onClick=${() => setTheme(next)} title="Theme: ${word}; click for ${THEMES[next][1]}"
    aria-label="Theme: ${word}"><span aria-hidden="true">${sign}</span></button>`;
}

render(html`<${App} />`, document.getElementById("app"));
