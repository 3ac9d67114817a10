// The waterfall: a tree of rows over a time axis. It draws the rows that can be seen, and says what was done to them.

import { nanoseconds } from "../format.js";
import { classes, html, useLayoutEffect, useRef, useState } from "../ui.js";
import { Virtualizer, elementScroll, observeElementOffset, observeElementRect } from "../vendor/virtual-core/index.js";
import { ROW_HEIGHT, Row, rowId } from "./row.js";
import { moved, ticks, zoomed } from "./scale.js";

const KEPT = 2_000; // rows that are kept ready, and not made anew when they are scrolled back to
const PIXELS_A_TICK = 90;

/** Rows of one height, of which only those in sight are drawn. */
function useRows(scroller, count) {
  const [, setVersion] = useState(0);
  const rows = useRef(null);
  const options = {
    count,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_HEIGHT,
    overscan: 8,
    observeElementRect,
    observeElementOffset,
    scrollToFn: elementScroll,
    onChange: () => setVersion((version) => version + 1),
  };
  if (!rows.current) rows.current = new Virtualizer(options);
  rows.current.setOptions(options);
  useLayoutEffect(() => rows.current._didMount(), []);
  useLayoutEffect(() => rows.current._willUpdate());
  return rows.current;
}

/**
 * Props: `model`; `shown`, the spans that are rows, and `rows`, their places; `view`; `active`, `open` and `collapsed`
 * spans; `found`, a set; `isCritical`. `on` has what happens: `key(event, page)`, `pick(span)`, `toggle(span)`, `view(view)`.
 */
export function Grid({ model, shown, rows, view, active, open, collapsed, found, isCritical, on }) {
  const scroller = useRef(null);
  const virtual = useRows(scroller, shown.length);
  const items = virtual.getVirtualItems();
  const kept = useKept([model, shown, view, collapsed, found, isCritical]);

  useLayoutEffect(() => {
    if (rows[active] >= 0) reveal(scroller.current, rows[active]);
  }, [active, rows]);
  useScrollbar(scroller);
  useZoomingWheel(scroller, view, model.length, on.view);

  const made = (item) => {
    const span = shown[item.index];
    const isActive = span === active;
    const isOpen = span === open;
    const key = (span * 2 + isActive) * 2 + isOpen;
    if (!kept.has(key)) {
      kept.set(
        key,
        html`<${Row} key=${span} model=${model} span=${span} row=${item.index} view=${view} isActive=${isActive} isOpen=${isOpen}
          isCollapsed=${collapsed.has(span)} isFound=${found.has(span)} isCritical=${isCritical} />`,
      );
    }
    return kept.get(key);
  };
  const press = (event) => {
    const row = event.target.closest("[data-span]");
    if (!row) return;
    const span = Number(row.dataset.span);
    if (event.target.closest("[data-twisty]")) on.toggle(span);
    else on.pick(span);
  };
  const page = () => Math.max(1, Math.floor((scroller.current.clientHeight - 2 * ROW_HEIGHT) / ROW_HEIGHT));
  return html`<div
    class=${classes("grid", isCritical && "shows-critical")}
    ref=${scroller}
    role="treegrid"
    tabindex="0"
    aria-label="Spans"
    aria-rowcount=${shown.length + 1}
    aria-activedescendant=${rows[active] >= 0 ? rowId(active) : null}
    onClick=${press}
    onKeyDown=${(event) => on.key(event, page())}
  >
    <${Axis} view=${view} />
    <div class="rows" role="rowgroup" style=${{ height: `${virtual.getTotalSize()}px` }}>${items.map(made)}</div>
  </div>`;
}

/** Rows that were made, until what they were made of changes: unchanged ones cost nothing while scrolling. */
function useKept(reasons) {
  const state = useRef({ reasons: [], made: new Map() });
  const isSame = reasons.every((reason, i) => reason === state.current.reasons[i]);
  if (!isSame || state.current.made.size > KEPT) state.current = { reasons, made: new Map() };
  return state.current.made;
}

/** Scroll a row into sight, below the axis. */
function reveal(element, row) {
  const top = row * ROW_HEIGHT;
  const room = element.clientHeight - 2 * ROW_HEIGHT;
  if (top < element.scrollTop) element.scrollTop = top;
  else if (top > element.scrollTop + room) element.scrollTop = top - room;
}

/** The width of the scroll bar, for what stands under the grid and is to be in line with it. */
function useScrollbar(scroller) {
  useLayoutEffect(() => {
    const element = scroller.current;
    element.parentElement.style.setProperty("--scrollbar", `${element.offsetWidth - element.clientWidth}px`);
  }, []);
}

/** Ctrl and the wheel zoom, about the pointer; shift and the wheel move the view. */
function useZoomingWheel(scroller, view, length, onView) {
  const latest = useRef(null);
  latest.current = { view, length, onView };
  useLayoutEffect(() => {
    const element = scroller.current;
    const turn = (event) => {
      const sideways = event.shiftKey ? event.deltaY || event.deltaX : Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : 0;
      if (!event.ctrlKey && !event.metaKey && !sideways) return;
      event.preventDefault();
      const now = latest.current;
      const axis = element.querySelector(".axis-time").getBoundingClientRect();
      if (!event.ctrlKey && !event.metaKey) return now.onView(moved(now.view, sideways / axis.width, now.length));
      const place = Math.min(1, Math.max(0, (event.clientX - axis.left) / axis.width));
      const at = now.view.from + place * (now.view.to - now.view.from);
      now.onView(zoomed(now.view, Math.exp(Math.max(-1, Math.min(1, event.deltaY / 200))), at, now.length));
    };
    element.addEventListener("wheel", turn, { passive: false });
    return () => element.removeEventListener("wheel", turn);
  }, []);
}

function Axis({ view }) {
  const element = useRef(null);
  const [width, setWidth] = useState(600);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([entry]) => setWidth(entry.contentRect.width));
    observer.observe(element.current);
    return () => observer.disconnect();
  }, []);
  return html`<div class="axis" role="row" aria-rowindex="1">
    <div class="cell-name" role="columnheader">span</div>
    <div class="cell-duration" role="columnheader">time</div>
    <div class="cell-time axis-time" role="columnheader" aria-label="timeline" ref=${element}>
      ${ticks(view, width / PIXELS_A_TICK).map((at) => {
        const place = (100 * (at - view.from)) / (view.to - view.from);
        return html`<span class=${classes("axis-tick", place > 90 && "is-last")} style=${{ left: `${place}%` }}>${at ? nanoseconds(at) : "0"}</span>`;
      })}
    </div>
  </div>`;
}
