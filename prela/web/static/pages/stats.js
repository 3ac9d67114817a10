// What all spans come to: by name, model, status, type or service, and over time.

import { address, changed, go } from "../address.js";
import { question, useAnswer } from "../api.js";
import { LineChart } from "../charts.js";
import { cost, count, duration, moment, short, tokens } from "../format.js";
import { Name, Problem, TYPES } from "../marks.js";
import { html, useEffect, useMemo, useState } from "../ui.js";

const GROUPS = ["name", "model", "status", "type", "service"];
const SINCE = [["", "all time"], ["1h ago", "the last hour"], ["1d ago", "the last day"], ["7d ago", "the last week"]];
/** The choices, and the one that the address holds, if it is another. */
function sinces(chosen) {
  return !chosen || SINCE.some(([value]) => value === chosen) ? SINCE : [...SINCE, [chosen, `since ${chosen.slice(0, 16).replace("T", " ")}`]];
}

const COLUMNS = [
  ["spans", (total) => count(total.spans)],
  ["errors", (total) => (total.errors ? count(total.errors) : "")],
  ["cancelled", (total) => (total.cancelled ? count(total.cancelled) : "")],
  ["p50", (total) => duration(total.p50)],
  ["p95", (total) => duration(total.p95)],
  ["p99", (total) => duration(total.p99)],
  ["tokens", (total) => tokens(total.input_tokens, total.output_tokens), (total) => total.input_tokens + total.output_tokens],
  ["cost", (total) => cost(total.cost), (total) => total.cost ?? 0],
];
const MOST = 200;

export function StatsPage({ query }) {
  const by = GROUPS.includes(query.get("by")) ? query.get("by") : "name";
  const filter = { since: query.get("since"), type: query.get("type") };
  const chosen = query.get("group");
  const totals = useAnswer(question("/api/stats", { by, ...filter }), { about: by });
  const isNarrowed = chosen !== null && ["name", "model", "type"].includes(by);
  const series = useAnswer(question("/api/series", { ...filter, ...(isNarrowed ? { [by]: chosen } : {}), buckets: 60 }), { about: isNarrowed ? chosen : null });
  useEffect(() => {
    document.title = "Stats · Prela";
  }, []);
  const put = (changes) => go(changed(changes), { replace: true });
  return html`<main class="page" id="main">
    <div class="page-head"><h1>Stats</h1>
      <form class="filter" onSubmit=${(event) => event.preventDefault()}>
        <label>by <select name="by" aria-label="by" onChange=${(event) => put({ by: event.target.value, group: null, sort: null })}>${GROUPS.map((group) => html`<option value=${group} selected=${group === by}>${group}</option>`)}</select></label>
        <label>of type <select name="type" aria-label="of type" onChange=${(event) => put({ type: event.target.value })}><option value="">any</option>${TYPES.map((type) => html`<option value=${type} selected=${type === filter.type}>${type}</option>`)}</select></label>
        <label>in <select name="since" aria-label="in" onChange=${(event) => put({ since: event.target.value })}>${sinces(filter.since).map(([value, word]) => html`<option value=${value} selected=${value === (filter.since ?? "")}>${word}</option>`)}</select></label>
      </form></div>
    ${totals.error ? html`<${Problem} error=${totals.error} />` : null}
    ${series.value ? html`<${Charts} series=${series.value} of=${series.about} onAll=${() => put({ group: null })} onSince=${(since) => put({ since })} />` : null}
    ${totals.value ? html`<${Totals} by=${totals.about} totals=${totals.value.totals} query=${query} chosen=${isNarrowed ? chosen : null} />` : null}
  </main>`;
}

/** Where nothing ran for most of the time, that, and the way to what came after: else it all lies at the edges. */
function Quiet({ series, onSince }) {
  const gap = longestGap(series.spans);
  if (gap.length * 2 < series.times.length || gap.length < 5 || !series.first[gap.start + gap.length]) return null;
  const [from, to] = [gap.start, gap.start + gap.length].map((place) => moment(String(BigInt(Math.round(series.times[place] * 1e3)) * 1_000_000n)).slice(0, 16));
  return html`<p class="quiet-stretch">Nothing ran from ${from} to ${to}. <button class="linkish" onClick=${() => onSince(iso(series.first[gap.start + gap.length]))}>What came after</button></p>`;
}

/** Nanoseconds since the epoch, to the millisecond before. */
function iso(text) {
  return new Date(Number(BigInt(text) / 1_000_000n)).toISOString();
}

/** The longest run of zeros. */
export function longestGap(values) {
  let best = { start: 0, length: 0 };
  let start = 0;
  values.forEach((value, place) => {
    if (value) start = place + 1;
    else if (place + 1 - start > best.length) best = { start, length: place + 1 - start };
  });
  return best;
}

function Charts({ series, of, onAll, onSince }) {
  const lines = useMemo(
    () => ({
      latency: [["p50", series.p50], ["p95", series.p95], ["p99", series.p99]],
      spans: [["spans", series.spans], ["errors", series.errors]],
      cost: [["cost", series.cost]],
      tokens: [["tokens", series.tokens]],
    }),
    [series],
  );
  if (!series.times.length) return null;
  const hasCost = series.cost.some(Boolean);
  const hasTokens = series.tokens.some(Boolean);
  return html`<p class="is-nothing">${of === null ? "All spans" : html`<b><bdi>${of}</bdi></b> <button class="linkish" onClick=${onAll}>all</button>`}, in steps of ${duration(series.bucket_seconds)}</p>
    <${Quiet} series=${series} onSince=${onSince} />
    <div class="charts">
      <${LineChart} title="Latency" times=${series.times} step=${series.bucket_seconds} lines=${lines.latency} format=${duration} />
      <${LineChart} title="Spans" times=${series.times} step=${series.bucket_seconds} lines=${lines.spans} format=${short} isBars=${true} />
      ${hasCost ? html`<${LineChart} title="Cost" times=${series.times} step=${series.bucket_seconds} lines=${lines.cost} format=${dollars} isBars=${true} />` : null}
      ${hasTokens ? html`<${LineChart} title="Tokens" times=${series.times} step=${series.bucket_seconds} lines=${lines.tokens} format=${short} isBars=${true} />` : null}
    </div>`;
}

const dollars = (value) => cost(value) || "$0";

function Totals({ by, totals, query, chosen }) {
  const [isWhole, setWhole] = useState(false);
  const sort = COLUMNS.find(([name]) => name === query.get("sort")) ?? COLUMNS[0];
  const [name, , sized] = sort;
  const size = sized ?? ((total) => total[name]);
  const sorted = useMemo(() => [...totals].sort((a, b) => size(b) - size(a)), [totals, name]);
  const most = Math.max(...sorted.map(size), 1e-12);
  const shown = isWhole ? sorted : sorted.slice(0, MOST);
  if (!totals.length) return html`<div class="empty"><h2>No spans to sum up</h2><p><a href="/stats">All of them</a></p></div>`;
  return html`<table class="list totals">
      <thead><tr><th>${by}</th>${COLUMNS.map(([column]) => html`<th class="n" aria-sort=${column === name ? "descending" : null}><button class="linkish" onClick=${() => go(changed({ sort: column }), { replace: true })}>${column}${column === name ? " ▾" : ""}</button></th>`)}</tr></thead>
      <tbody>${shown.map((total) => html`<tr key=${total.group} class=${total.group === chosen ? "is-open" : ""}>
        <td class="main-cell"><i class="length" style=${{ width: `${(100 * size(total)) / most}%` }}></i><a href=${by === "name" || by === "model" || by === "type" ? changed({ group: total.group }) : spansOf(by, total.group)}><${Name} text=${total.group} /></a>
          <a class="aside" href=${spansOf(by, total.group)}>spans</a></td>
        ${COLUMNS.map(([column, text]) => html`<td class="n" data-label=${column}>${text(total)}</td>`)}
      </tr>`)}</tbody>
    </table>
    ${sorted.length > shown.length ? html`<p class="more-line"><button onClick=${() => setWhole(true)}>All ${count(sorted.length)}</button></p>` : null}`;
}

/** The search that finds the spans of a group. */
function spansOf(by, group) {
  return address("/search", by === "model" ? { attribute: `gen_ai.request.model=${group}` } : { [by]: group });
}
