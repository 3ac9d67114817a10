// One trace: its totals, the waterfall with everything that moves in it, and the panel beside it.

import { changed, go } from "../address.js";
import { useAnswer } from "../api.js";
import { cost, counted, count, duration, moment, share, tokens } from "../format.js";
import { Name, Outcome, Problem } from "../marks.js";
import { CriticalPanel, SpanPanel } from "../panel/span.js";
import { classes, html, useEffect, useLayoutEffect, useMemo, useState } from "../ui.js";
import { Grid } from "../waterfall/grid.js";
import { Help, Tools, useShortcuts } from "../waterfall/tools.js";
import { found as findIn, modelOf } from "../waterfall/model.js";
import { Profile } from "../waterfall/profile.js";
import { moved, read, whole, written, zoomed } from "../waterfall/scale.js";
import { afterKey, nextOf, revealing, rowsOf, visible, without } from "../waterfall/tree.js";

const EVERY = 3_000; // milliseconds, while spans are open
const MOST_CLOSED = 500; // collapsed spans, as far as an address has room for them

export function TracePage({ id, query }) {
  const [isLive, setLive] = useState(false);
  const { value, error } = useAnswer(`/api/traces/${encodeURIComponent(id)}`, { every: isLive ? EVERY : 0 });
  const model = useMemo(() => value && modelOf(value), [value]);
  useEffect(() => {
    if (!value) return;
    setLive(value.open > (value.interrupted ?? 0));
    document.title = `${value.name || "(no name)"} · Prela`;
  }, [value]);
  if (error && !model) return html`<main class="page" id="main"><${Problem} error=${error} /><p><a href="/">All traces</a></p></main>`;
  if (!model) return html`<main class="page" id="main"><p class="is-nothing" aria-busy="true">reading the trace …</p></main>`;
  return html`<${Trace} model=${model} query=${query} />`;
}

/** What is shown of a trace: most of it in the address, so that it can be reloaded and sent. */
function Trace({ model, query }) {
  const open = model.numberOf(query.get("span") ?? "");
  const [active, setActive] = useState(Math.max(0, open));
  const [isHelp, setHelp] = useState(false);
  const [list, setList] = useState(false);
  const isCritical = query.get("path") !== "off";
  const text = query.get("find") ?? "";
  const view = useMemo(() => read(query.get("view"), model.length), [query.get("view"), model]);
  const closed = query.get("closed") ?? ""; // ids of spans, which outlive a trace that grows
  const collapsed = useMemo(() => new Set(closed.split(".").map(model.numberOf).filter((span) => span >= 0)), [closed, model]);
  const shown = useMemo(() => visible(model.ends, collapsed), [model, collapsed]);
  const rows = useMemo(() => rowsOf(shown, model.size), [shown, model]);
  const found = useMemo(() => findIn(model, text), [model, text]);
  const marked = useMemo(() => new Set(found), [found]);

  const put = (changes) => go(changed(changes), { replace: true });
  const setView = (next) => put({ view: written(next, model.length) });
  const setCollapsed = (next) => put({ closed: [...next].slice(-MOST_CLOSED).map((span) => model.ids[span]).join(".") });
  const activate = (span) => {
    setActive(span);
    const revealed = revealing(collapsed, model.parents, span);
    if (revealed !== collapsed) setCollapsed(revealed);
    if (open >= 0 && span !== open) put({ span: model.ids[span] });
  };
  const pick = (span) => {
    activate(span);
    setList(false);
    put({ span: model.ids[span] });
  };
  const close = () => {
    setList(false);
    put({ span: null });
    document.querySelector(".grid")?.focus();
  };
  useLayoutEffect(() => {
    if (open >= 0 && open !== active) activate(open);
  }, [query.get("span"), model]);

  const middle = () => (model.starts[active] >= view.from && model.starts[active] <= view.to ? model.starts[active] : (view.from + view.to) / 2);
  const jump = (spans, step) => {
    const next = nextOf(spans, active, step);
    if (next !== null) activate(next);
  };
  const acts = {
    zoomIn: () => setView(zoomed(view, 0.5, middle(), model.length)),
    zoomOut: () => setView(zoomed(view, 2, middle(), model.length)),
    fit: () => setView(whole(model.length)),
    left: () => setView(moved(view, -0.2, model.length)),
    right: () => setView(moved(view, 0.2, model.length)),
    nextError: () => jump(model.errors, 1),
    previousError: () => jump(model.errors, -1),
    nextFound: () => jump(found, 1),
    previousFound: () => jump(found, -1),
    critical: () => put({ path: isCritical ? "off" : null }),
    help: () => setHelp(!isHelp),
    find: () => document.querySelector("input[name=find]").focus(),
    close: () => (isHelp ? setHelp(false) : close()),
    setFind: (wanted) => put({ find: wanted }),
    list: () => setList(!list),
  };
  useShortcuts(acts);
  const key = (event, page) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter") {
      event.preventDefault();
      return pick(active);
    }
    const next = afterKey(event.key, { active, collapsed, ends: model.ends, parents: model.parents, shown, rows, page });
    if (!next) return;
    event.preventDefault();
    if (next.collapsed) setCollapsed(next.collapsed);
    if (next.active !== undefined) activate(next.active);
  };
  const on = {
    key,
    pick,
    view: setView,
    toggle: (span) => setCollapsed(collapsed.has(span) ? without(collapsed, span) : new Set(collapsed).add(span)),
  };
  const beside = list || open >= 0;
  return html`<main class=${classes("trace", beside && "has-panel")} id="main">
    <${Head} model=${model} onPick=${pick} onList=${acts.list} />
    <${Tools} model=${model} acts=${acts} text=${text} found=${found} active=${active} isCritical=${isCritical} isWhole=${!written(view, model.length)} />
    <div class="trace-body">
      <div class="trace-main">
        <${Grid} model=${model} shown=${shown} rows=${rows} view=${view} active=${active} open=${open} collapsed=${collapsed} found=${marked} isCritical=${isCritical} on=${on} />
        <${Profile} model=${model} view=${view} onView=${setView} />
      </div>
      ${list ? html`<${CriticalPanel} model=${model} onPick=${pick} onClose=${close} />` : open >= 0 ? html`<${SpanPanel} model=${model} span=${open} onPick=${pick} onClose=${close} />` : null}
    </div>
    ${isHelp ? html`<${Help} onClose=${acts.help} />` : null}
  </main>`;
}

const TOP = 3; // of what the end waited for

function Head({ model, onPick, onList }) {
  const { trace, ranked } = model;
  const facts = [
    duration(trace.duration_ns / 1e9),
    counted(trace.spans, "span"),
    tokens(trace.input_tokens, trace.output_tokens) && `${tokens(trace.input_tokens, trace.output_tokens)} tokens`,
    cost(trace.cost),
    moment(trace.begin),
  ].filter(Boolean);
  return html`<header class="trace-head">
    <div class="trace-title"><h1><${Name} text=${trace.name} /></h1> <bdi class="service">${trace.service}</bdi> <code class="id" title=${trace.trace_id}>${trace.trace_id.slice(0, 8)}</code>
      <${Outcome} trace=${trace} /> <span class="trace-facts">${facts.map((fact) => html`<span>${fact}</span>`)}</span></div>
    ${ranked.length
      ? html`<div class="waited"><span>The end waited for</span>
          ${ranked.slice(0, TOP).map(({ span, total }) => html`<button class="chip" onClick=${() => onPick(span)}><${Name} text=${label(model, span)} /> <b>${duration(total / 1e9)}</b> <span class="is-nothing">${share(total, model.length)}</span></button>`)}
          <button class="linkish" onClick=${onList}>${ranked.length > TOP ? `all ${count(ranked.length)}` : "list"}</button></div>`
      : null}
  </header>`;
}

/** A span with its parent, since ten of them may be called "chat". */
function label(model, span) {
  const parent = model.parents[span];
  return parent > 0 ? `${model.name(parent)} › ${model.name(span)}` : model.name(span);
}
