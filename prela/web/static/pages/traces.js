// The list of traces, newest first, as they come in.

import { address, changed, go } from "../address.js";
import { question, useAnswer } from "../api.js";
import { ago, bytes, cost, count, counted, duration, moment, tokens } from "../format.js";
import { Name, Outcome, Problem } from "../marks.js";
import { html, useEffect, useState } from "../ui.js";

const PAGE = 50;
const MOST = 1_000; // that the server tells at once
const EVERY = 2_000; // milliseconds

export function TracesPage({ query }) {
  const limit = Math.min(MOST, Math.max(PAGE, Number(query.get("limit")) || PAGE));
  const offset = Math.max(0, Number(query.get("offset")) || 0);
  const filter = { name: query.get("name"), service: query.get("service"), errors: query.get("errors") === "true" };
  const { value, error, isStale } = useAnswer(question("/api/traces", { limit, offset: offset || null, ...filter }), { every: EVERY });
  const status = useAnswer("/api/status", { every: 1_000 }).value;
  const [ticked, setTicked] = useState([]);
  useEffect(() => {
    document.title = "Traces · Prela";
  }, []);
  const tick = (id) => setTicked((before) => (before.includes(id) ? before.filter((one) => one !== id) : [...before, id].slice(-2)));
  const isFiltered = Boolean(filter.name || filter.service || filter.errors);
  return html`<main class="page" id="main">
    <div class="page-head"><h1>Traces ${value ? html`<span class="number">${count(value.total)}</span>` : null}</h1>
      <${Filter} filter=${filter} />
      <${CompareButton} ticked=${ticked} traces=${value?.traces ?? []} />
    </div>
    <${Indexing} status=${status} />
    ${error ? html`<${Problem} error=${error} />` : null}
    ${value && value.traces.length ? html`<${Table} traces=${value.traces} ticked=${ticked} onTick=${tick} />` : null}
    ${value && !isStale && !value.traces.length && status && !status.indexing ? html`<${Nothing} isFiltered=${isFiltered} />` : null}
    ${value && !isStale && value.total > value.traces.length ? html`<${Rest} limit=${limit} offset=${offset} shown=${value.traces.length} total=${value.total} />` : null}
  </main>`;
}

/** The way to the traces that are not shown: more of them, and then page by page. */
function Rest({ limit, offset, shown, total }) {
  const isMore = offset + shown < total;
  return html`<p class="more-line">
    ${offset ? html`<a class="button" href=${changed({ offset: Math.max(0, offset - MOST) || null, limit: MOST })}>Newer</a> ` : null}
    ${isMore && limit < MOST ? html`<button onClick=${() => go(changed({ limit: Math.min(MOST, limit + 2 * PAGE) }), { replace: true })}>More</button>` : null}
    ${isMore && limit >= MOST ? html`<a class="button" href=${changed({ offset: offset + MOST })}>Older</a>` : null}
    <span class="is-nothing"> ${count(offset + 1)} to ${count(offset + shown)} of ${count(total)}</span></p>`;
}

function Filter({ filter }) {
  const set = (changes) => go(changed({ ...changes, limit: null, offset: null }), { replace: true });
  return html`<form class="filter" role="search" onSubmit=${(event) => event.preventDefault()}>
    <input type="search" name="name" placeholder="name or id" aria-label="name or id" value=${filter.name ?? ""} onInput=${(event) => set({ name: event.target.value })} />
    <input type="search" name="service" placeholder="service" aria-label="service" value=${filter.service ?? ""} onInput=${(event) => set({ service: event.target.value })} />
    <label class="check"><input type="checkbox" name="errors" checked=${filter.errors} onChange=${(event) => set({ errors: event.target.checked })} /> with errors</label>
  </form>`;
}

function CompareButton({ ticked, traces }) {
  const starts = new Map(traces.map((trace) => [trace.trace_id, BigInt(trace.start)]));
  const [before, after] = [...ticked].sort((a, b) => ((starts.get(a) ?? 0n) < (starts.get(b) ?? 0n) ? -1 : 1));
  if (ticked.length < 2) return html`<span class="hint">${ticked.length ? "tick another to compare" : "tick two to compare"}</span>`;
  return html`<a class="button" href=${address("/compare", { before, after })}>Compare the two</a>`;
}

/** How far the first index is, while it is made. */
function Indexing({ status }) {
  if (!status?.indexing) return status?.notice ? html`<p class="notice" role="status">${status.notice}</p>` : null;
  const { read, total, spans } = status.indexing;
  return html`<div class="indexing" role="status"><progress max=${Math.max(1, total)} value=${read} aria-label="reading the folder"></progress>
    reading the folder: ${bytes(read)} of ${bytes(total)}, ${counted(spans, "span")}</div>`;
}

function Nothing({ isFiltered }) {
  if (isFiltered) return html`<div class="empty"><h2>No trace is like that</h2><p><a href="/">All traces</a></p></div>`;
  return html`<div class="empty"><h2>No traces yet</h2>
    <p>This page shows them as they come in. To see one now, run</p><pre>prela demo</pre>
    <p>or trace a program of yours:</p><pre>${'import prela\n\nprela.init(service_name="my-agent")\nwith prela.get_tracer().span("hello"):\n    ...'}</pre></div>`;
}

function Table({ traces, ticked, onTick }) {
  const longest = Math.max(...traces.map((trace) => trace.duration ?? 0), 1e-12);
  return html`<table class="list traces">
    <thead><tr><th><span class="unseen">compare</span></th><th>trace</th><th>outcome</th><th>started</th><th colspan="2">duration</th><th class="n">spans</th><th class="n">tokens</th><th class="n">cost</th></tr></thead>
    <tbody>${traces.map((trace) => html`<${Line} key=${trace.trace_id} trace=${trace} longest=${longest} isTicked=${ticked.includes(trace.trace_id)} onTick=${onTick} />`)}</tbody>
  </table>`;
}

function Line({ trace, longest, isTicked, onTick }) {
  const path = `/traces/${encodeURIComponent(trace.trace_id)}`;
  const open = (event) => {
    if (!event.target.closest("a, input, label") && !getSelection().toString()) go(path);
  };
  return html`<tr onClick=${open} class=${trace.errors ? "has-errors" : ""}>
    <td class="tick-cell"><label><input type="checkbox" aria-label="compare ${trace.name}" checked=${isTicked} onChange=${() => onTick(trace.trace_id)} /></label></td>
    <td class="main-cell"><a href=${path}><${Name} text=${trace.name} /></a> <bdi class="service">${trace.service}</bdi> <code class="id">${trace.trace_id.slice(0, 8)}</code></td>
    <td data-label="outcome"><${Outcome} trace=${trace} /></td>
    <td data-label="started"><time title=${moment(trace.start)}>${ago(trace.start)}</time></td>
    <td class="n" data-label="duration">${duration(trace.duration)}</td>
    <td class="length-cell"><i class="length" style=${{ width: `${(100 * (trace.duration ?? 0)) / longest}%` }}></i></td>
    <td class="n" data-label="spans">${count(trace.spans)}</td>
    <td class="n" data-label="tokens">${tokens(trace.input_tokens, trace.output_tokens)}</td>
    <td class="n" data-label="cost">${cost(trace.cost)}</td>
  </tr>`;
}
