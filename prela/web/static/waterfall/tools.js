// The buttons over the waterfall, the keys that do the same, and the page that tells the keys.

import { count } from "../format.js";
import { typeClass } from "../marks.js";
import { html, useLayoutEffect, useRef } from "../ui.js";

const KEYS = { "+": "zoomIn", "=": "zoomIn", "-": "zoomOut", _: "zoomOut", 0: "fit", "[": "left", "]": "right", e: "nextError", E: "previousError", c: "critical", n: "nextFound", N: "previousFound", "/": "find", "?": "help", Escape: "close" };

const HELP = [
  ["↑ ↓", "the span above, below"],
  ["← →", "collapse, expand; the parent, the first child"],
  ["Home End", "the first, the last span"],
  ["Enter", "open the panel of the span"],
  ["Esc", "close it"],
  ["+ −", "zoom in, out"],
  ["0", "all of the trace"],
  ["[ ]", "earlier, later"],
  ["Ctrl wheel", "zoom about the pointer; Shift wheel moves"],
  ["e E", "the next error, the one before"],
  ["c", "show the critical path, or not"],
  ["/", "find in the trace"],
  ["n N", "the next found, the one before"],
  ["?", "this help"],
];

const isTyping = (element) => element?.closest?.("input, textarea, select, [contenteditable]");

/** Single keys do what the buttons do, except while something is typed. */
export function useShortcuts(acts) {
  const latest = useRef(acts);
  latest.current = acts;
  useLayoutEffect(() => {
    const press = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (isTyping(event.target)) {
        if (event.key === "Escape") document.querySelector(".grid")?.focus();
        return;
      }
      const act = Object.hasOwn(KEYS, event.key) && latest.current[KEYS[event.key]];
      if (!act) return;
      event.preventDefault();
      act();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

export function Tools({ model, acts, text, found, active, isCritical, isWhole }) {
  const place = found.indexOf(active);
  const findKey = (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    if (event.shiftKey) acts.previousFound();
    else acts.nextFound();
  };
  return html`<div class="tools" role="toolbar" aria-label="Waterfall">
    <span class="find"><input type="search" name="find" placeholder="find in trace  /" aria-label="find in trace" value=${text} onInput=${(event) => acts.setFind(event.target.value)} onKeyDown=${findKey} />
      ${text ? html`<span class="found" role="status">${found.length ? `${place >= 0 ? `${count(place + 1)} of ` : ""}${count(found.length)}` : "none"}</span>
        <button class="quiet" onClick=${acts.previousFound} disabled=${!found.length} aria-label="previous found">↑</button><button class="quiet" onClick=${acts.nextFound} disabled=${!found.length} aria-label="next found">↓</button>` : null}</span>
    <span class="group"><button class="quiet" onClick=${acts.zoomOut} disabled=${isWhole} aria-label="zoom out" title="zoom out  −">−</button><button class="quiet" onClick=${acts.zoomIn} aria-label="zoom in" title="zoom in  +">+</button><button class="quiet" onClick=${acts.fit} disabled=${isWhole} title="all of the trace  0">fit</button></span>
    <button class="quiet toggle" aria-pressed=${String(isCritical)} onClick=${acts.critical} title="critical path  c"><i class="critical-sample" aria-hidden="true"></i> critical path</button>
    ${model.errors.length ? html`<button class="quiet" onClick=${acts.nextError} title="next error  e"><span class="status-error" aria-hidden="true">✗</span> next error</button>` : null}
    <span class="legend" aria-label="types">${model.trace.types.filter((type) => type !== "custom").slice(0, 6).map((type) => html`<span class="type-word ${typeClass(type)}">${type}</span>`)}</span>
    <button class="quiet help-button" onClick=${acts.help} aria-label="keys" title="keys  ?">?</button>
  </div>`;
}

export function Help({ onClose }) {
  const element = useRef(null);
  useLayoutEffect(() => {
    element.current.showModal();
  }, []);
  return html`<dialog class="help" ref=${element} onClose=${onClose} aria-label="Keys" onClick=${(event) => event.target === element.current && element.current.close()}>
    <header><h2>Keys</h2><button class="quiet" onClick=${() => element.current.close()} aria-label="close">✕</button></header>
    <dl>${HELP.map(([keys, meaning]) => html`<div><dt>${keys.split(" ").map((key) => html`<kbd>${key}</kbd> `)}</dt><dd>${meaning}</dd></div>`)}</dl>
  </dialog>`;
}
