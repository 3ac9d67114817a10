// One row of the waterfall: the span's name in the tree, and its bar in time.

import { count, nanoseconds } from "../format.js";
import { Name, StatusMark, TypeWord, statusClass, typeClass } from "../marks.js";
import { classes, html } from "../ui.js";
import { placed } from "./scale.js";

export const ROW_HEIGHT = 26; // pixels; the style sheet says the same
const MOST_LEVELS = 14; // deeper levels are not moved further to the right

/** Which element a span's row is, for `aria-activedescendant`. */
export function rowId(span) {
  return `row-${span}`;
}

export function Row({ model, span, row, view, isActive, isOpen, isCollapsed, isFound, isCritical }) {
  const status = model.status(span);
  const depth = model.depths[span];
  const isParent = model.ends[span] > span + 1;
  const note = model.notes[span];
  const onPath = isCritical && model.critical.has(span);
  return html`<div
    id=${rowId(span)}
    class=${classes("row", isActive && "is-active", isOpen && "is-open", isFound && "is-found", onPath && "is-critical", statusClass(status))}
    role="row"
    aria-level=${depth + 1}
    aria-rowindex=${row + 2}
    aria-expanded=${isParent ? String(!isCollapsed) : null}
    aria-selected=${String(isOpen)}
    data-span=${span}
    style=${{ transform: `translateY(${row * ROW_HEIGHT}px)` }}
  >
    <div class="cell-name" role="gridcell" style=${{ paddingLeft: `calc(${Math.min(depth, MOST_LEVELS)} * var(--indent))` }}>
      ${isParent ? html`<span class="twisty" data-twisty aria-hidden="true">${isCollapsed ? "▸" : "▾"}</span>` : html`<span class="twisty"></span>`}
      ${depth > MOST_LEVELS ? html`<span class="level" title="level ${depth + 1}">${depth + 1}</span>` : null}
      <${StatusMark} status=${status} />
      <${Name} text=${model.name(span)} />
      <${TypeWord} type=${model.type(span)} />
      ${isCollapsed ? html`<span class="hidden-count">+${count(model.ends[span] - span - 1)}</span>` : null}
      ${note ? html`<bdi class="note" title=${note}>${note}</bdi>` : null}
    </div>
    <div class="cell-duration" role="gridcell">${status === "pending" ? "open" : nanoseconds(model.finishes[span] - model.starts[span])}</div>
    <div class="cell-time" role="gridcell" aria-label=${`starts after ${nanoseconds(model.starts[span])}${onPath ? ", on the critical path" : ""}`}>
      <${Bar} model=${model} span=${span} view=${view} status=${status} isCritical=${onPath} />
    </div>
  </div>`;
}

function Bar({ model, span, view, status, isCritical }) {
  const start = model.starts[span];
  const end = model.finishes[span];
  const place = placed(view, start, end);
  if (!place) return html`<span class="outside">${end < view.from ? "◂" : "▸"}</span>`;
  const across = (at) => `${(100 * (at - view.from)) / (view.to - view.from)}%`;
  const isIn = (at) => at >= view.from && at <= view.to;
  return html`
    <div
      class=${classes("bar-of", typeClass(model.type(span)), statusClass(status), place.isCutLeft && "is-cut-left", place.isCutRight && "is-cut-right")}
      style=${{ left: `${place.left}%`, width: `${place.width}%` }}
    ><${Waits} waits=${model.waits(span)} length=${end - start} place=${place} /></div>
    ${isCritical ? model.critical.get(span).map(([from, to]) => html`<${Stretch} place=${placed(view, from, to)} />`) : null}
    ${(model.marks[span] ?? []).map(([at, name]) => (isIn(at) ? html`<span class="tick" title="${name}, after ${nanoseconds(at - start)}" style=${{ left: across(at) }}></span>` : null))}
    ${model.firstChunks[span] !== undefined && isIn(start + model.firstChunks[span])
      ? html`<span class="first-chunk" title="first chunk after ${nanoseconds(model.firstChunks[span])}" style=${{ left: across(start + model.firstChunks[span]) }}></span>`
      : null}
  `;
}

/** A stretch of the critical path. */
function Stretch({ place }) {
  return place && html`<span class="critical" style=${{ left: `${place.left}%`, width: `${place.width}%` }}></span>`;
}

/** How much of a bar its span ran, was ready, and waited; only on whole bars, since nobody recorded when. */
function Waits({ waits, length, place }) {
  if (!waits || !length || place.isCutLeft || place.isCutRight) return null;
  const part = (name, size) => html`<i class="part ${name}" title="${name} ${nanoseconds(size)}" style=${{ width: `${Math.min(100, (100 * size) / length)}%` }}></i>`;
  return html`${part("run", waits.run)}${part("ready", waits.ready)}${part("wait", waits.wait)}`;
}
