// What changed from one trace to another of the same shape.

import { address, changed, go } from "../address.js";
import { question, useAnswer } from "../api.js";
import { ago, change as signed, cost, count, duration, moment, tokens } from "../format.js";
import { Name, Outcome, Problem } from "../marks.js";
import { html, useEffect, useState } from "../ui.js";

const KINDS = { slower: "▲ slower", faster: "▼ faster", new: "+ new", gone: "− gone", other: "= other" };
const PAGE = 100;

export function ComparePage({ query }) {
  const before = query.get("before");
  const after = query.get("after");
  const { value, error } = useAnswer(before && after ? question("/api/compare", { before, after }) : null);
  useEffect(() => {
    document.title = "Compare · Prela";
  }, []);
  return html`<main class="page" id="main"><h1>Compare</h1>
    <${Choice} before=${before} after=${after} />
    ${error ? html`<${Problem} error=${error} />` : null}
    ${before && after && !value && !error ? html`<p class="is-nothing" aria-busy="true">comparing …</p>` : null}
    ${value ? html`<${Sides} answer=${value} /><${Changes} answer=${value} only=${query.get("only")} />` : null}
  </main>`;
}

function Choice({ before, after }) {
  const { value } = useAnswer(question("/api/traces", { limit: 100 }));
  const traces = value?.traces ?? [];
  const select = (name, chosen) => html`<label>${name}<select name=${name} onChange=${(event) => go(changed({ [name]: event.target.value }), { replace: true })}>
    <option value="">choose a trace</option>
    ${chosen && !traces.some((trace) => trace.trace_id === chosen) ? html`<option value=${chosen} selected>${chosen.slice(0, 8)}</option>` : null}
    ${traces.map((trace) => html`<option key=${trace.trace_id} value=${trace.trace_id} selected=${trace.trace_id === chosen}>${trace.name || "(no name)"}, ${duration(trace.duration)}, ${ago(trace.start)} (${trace.trace_id.slice(0, 8)})</option>`)}
  </select></label>`;
  return html`<form class="choice" onSubmit=${(event) => event.preventDefault()}>${select("before", before)}
    <button type="button" class="quiet" aria-label="swap" title="swap" onClick=${() => go(changed({ before: after, after: before }), { replace: true })}>⇄</button>${select("after", after)}</form>`;
}

function Sides({ answer }) {
  const most = Math.max(answer.before_s, answer.after_s, 1e-12);
  const side = (word, trace, seconds) => html`<div class="side"><header><b>${word}</b> <a href=${`/traces/${encodeURIComponent(trace.trace_id)}`}><${Name} text=${trace.name} /></a> <${Outcome} trace=${trace} /></header>
    <div class="side-line"><i class="side-bar ${word}" style=${{ width: `${(100 * seconds) / most}%` }}></i></div>
    <p><b>${duration(seconds)}</b> · ${count(trace.spans)} spans${tokens(trace.input_tokens, trace.output_tokens) ? ` · ${tokens(trace.input_tokens, trace.output_tokens)} tokens` : ""}${cost(trace.cost) ? ` · ${cost(trace.cost)}` : ""} · ${moment(trace.start)}</p></div>`;
  return html`<section class="sides" aria-label="The two traces">${side("before", answer.before, answer.before_s)}${side("after", answer.after, answer.after_s)}
    <p class="verdict" role="status">The second took <b>${verdict(answer.after_s - answer.before_s)}</b>${answer.before_s > 0 ? `, ${(answer.after_s / answer.before_s).toPrecision(3)} × the first` : ""}.</p></section>`;
}

function verdict(seconds) {
  return seconds ? `${duration(Math.abs(seconds))} ${seconds > 0 ? "more" : "less"}` : "as long";
}

function Changes({ answer, only }) {
  const [room, setRoom] = useState(PAGE);
  const kinds = Object.keys(KINDS).filter((kind) => answer.changes.some((one) => one.kind === kind));
  const chosen = answer.changes.filter((one) => !only || one.kind === only);
  const most = Math.max(...chosen.flatMap((one) => [one.before ?? 0, one.after ?? 0]), 1e-12);
  if (!answer.changes.length) return html`<div class="empty"><h2>Nothing differs</h2></div>`;
  return html`<nav class="kinds" aria-label="Kinds of change"><a href=${changed({ only: null })} aria-current=${only ? null : "true"}>all ${count(answer.changes.length)}</a>
      ${kinds.map((kind) => html`<a href=${changed({ only: kind })} aria-current=${only === kind ? "true" : null}>${KINDS[kind]} ${count(answer.changes.filter((one) => one.kind === kind).length)}</a>`)}</nav>
    <table class="list changes">
      <thead><tr><th>where</th><th>what</th><th class="n">change</th><th class="n">of itself</th><th>before and after</th></tr></thead>
      <tbody>${chosen.slice(0, room).map((one) => html`<${Change} one=${one} most=${most} answer=${answer} />`)}</tbody>
    </table>
    ${answer.cut ? html`<p class="is-nothing">There are more changes; these are the largest.</p>` : null}
    ${chosen.length > room ? html`<p class="more-line"><button onClick=${() => setRoom(room + 5 * PAGE)}>More</button> <span class="is-nothing">${count(room)} of ${count(chosen.length)}</span></p>` : null}`;
}

function Change({ one, most, answer }) {
  const to = (trace, span) => address(`/traces/${encodeURIComponent(trace.trace_id)}`, { span });
  const line = (word, seconds, spans, span, trace) => html`<div class="pair">
    <span class="pair-track"><i class="side-bar ${word}" style=${{ width: `${(100 * (seconds ?? 0)) / most}%` }}></i></span>
    <span class="pair-text">${seconds === null ? "none" : span ? html`<a href=${to(trace, span)} aria-label="${word}: ${duration(seconds)}">${duration(seconds)}</a>` : duration(seconds)}${spans > 1 ? ` (${count(spans)} spans)` : ""}</span></div>`;
  const above = one.where.slice(0, -1);
  return html`<tr class="kind-${one.kind}">
    <td class="main-cell"><${Name} text=${one.where.at(-1) ?? ""} />${above.length ? html`<bdi class="above">${above.slice(-4).join(" › ")}</bdi>` : null}</td>
    <td data-label="what"><span class="kind">${KINDS[one.kind] ?? one.kind}</span></td>
    <td class="n" data-label="change">${signed(one.change)}</td>
    <td class="n" data-label="of itself">${signed(one.self_change)}</td>
    <td class="pairs-cell">${line("before", one.before, one.spans_before, one.span_before, answer.before)}${line("after", one.after, one.spans_after, one.span_after, answer.after)}</td>
  </tr>`;
}
