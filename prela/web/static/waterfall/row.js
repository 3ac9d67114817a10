// One row of the waterfall: the span's name in the tree, and its bar in time.

import { count, duration, nanoseconds } from "../format.js";
import { Name, StatusMark, TypeWord, statusClass, typeClass } from "../marks.js";
import { classes, html } from "../ui.js";
import { joined, placed } from "./scale.js";

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
  const note = noteOf(model, span, status);
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
    <div class="cell-duration" role="gridcell">${ENDLESS[status] ?? nanoseconds(model.finishes[span] - model.starts[span])}</div>
    <div class="cell-time" role="gridcell" aria-label=${`starts after ${nanoseconds(model.starts[span])}${onPath ? ", on the critical path" : ""}`}>
      <${Bar} model=${model} span=${span} view=${view} status=${status} isCritical=${onPath} />
    </div>
  </div>`;
}

const ENDLESS = { pending: "open", interrupted: "cut off" };

/** Why a span is no plain success; of one that has no end, since when. */
function noteOf(model, span, status) {
  if (model.notes[span]) return model.notes[span];
  if (status === "pending") return `open for ${duration(model.age(span))}`;
  return status === "interrupted" ? `interrupted; began ${duration(model.age(span))} ago` : "";
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
      class=${classes("bar-of", typeClass(model.type(span)), statusClass(status), model.isWait(span) && "is-wait", place.isCutLeft && "is-cut-left", place.isCutRight && "is-cut-right")}
      style=${{ left: `${place.left}%`, width: `${place.width}%` }}
    ><${Waits} waits=${model.waits(span)} length=${end - start} place=${place} /></div>
    ${isCritical ? joined(model.critical.get(span), view).map(([from, to]) => html`<${Stretch} place=${placed(view, from, to)} />`) : null}
    ${(model.stalls[span] ?? []).map(([from, to]) => html`<${Stall} name="stall" place=${placed(view, from, to)} title="held its event loop for ${nanoseconds(to - from)}, after ${nanoseconds(from - start)}" />`)}
    ${heldUp(model, span).map(([from, to, culprit]) => html`<${Stall} name="held-up" place=${placed(view, from, to)} title="held up by ${model.name(culprit)}, ${nanoseconds(to - from)} at most" />`)}
    ${(model.marks[span] ?? []).map(([at, name]) => (isIn(at) ? html`<span class="tick" title="${name}, after ${nanoseconds(at - start)}" style=${{ left: across(at) }}></span>` : null))}
    ${model.firstChunks[span] !== undefined && isIn(start + model.firstChunks[span])
      ? html`<span class="first-chunk" title="first chunk after ${nanoseconds(model.firstChunks[span])}" style=${{ left: across(start + model.firstChunks[span]) }}></span>`
      : null}
  `;
}

/** A stretch in which an event loop was held, on the span that held it or on one that was held up. */
function Stall({ name, place, title }) {
  return place && html`<span class=${name} title=${title} style=${{ left: `${place.left}%`, width: `${place.width}%` }}></span>`;
}

const MOST_HOLDS = 50; // of one row

/** What others held up of a span: from, to, and by whom. */
function heldUp(model, span) {
  const found = [];
  for (const culprit of model.culprits[span] ?? []) {
    for (const [from, to] of model.stalls[culprit] ?? []) {
      const [begin, end] = [Math.max(from, model.starts[span]), Math.min(to, model.finishes[span])];
      if (begin < end) found.push([begin, end, culprit]);
    }
  }
  return found.slice(0, MOST_HOLDS);
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
