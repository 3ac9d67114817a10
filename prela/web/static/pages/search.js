// Spans of all traces, looked for by the same fields as `prela search`.

import { address, go } from "../address.js";
import { question, useAnswer } from "../api.js";
import { ago, counted, duration, moment } from "../format.js";
import { Name, Problem, StatusMark, TYPES, TypeWord } from "../marks.js";
import { html, useEffect, useState } from "../ui.js";

const TEXTS = [
  ["name", "name", "a part of it"],
  ["text", "text", "anywhere in the record"],
  ["service", "service", ""],
  ["min_duration", "lasts at least", "200ms"],
  ["since", "since", "2h ago"],
  ["until", "until", ""],
];
const STATUSES = ["success", "error", "cancelled", "pending"];
const FIELDS = ["name", "text", "service", "min_duration", "since", "until", "type", "status"];
const PAGE = 100;
const MOST = 1_000; // that the server tells at once

export function SearchPage({ query }) {
  const wanted = Object.fromEntries(FIELDS.map((field) => [field, query.get(field)]));
  const attributes = query.getAll("attribute");
  const limit = Number(query.get("limit")) || PAGE;
  const isAsked = attributes.length > 0 || Object.values(wanted).some(Boolean);
  const { value, error, isStale } = useAnswer(isAsked ? question("/api/search", { ...wanted, attribute: attributes, limit }) : null);
  useEffect(() => {
    document.title = "Search · Prela";
  }, []);
  return html`<main class="page" id="main"><h1>Search</h1>
    <${Form} key=${query.toString()} wanted=${wanted} attributes=${attributes} />
    ${error ? html`<${Problem} error=${error} />` : null}
    ${isAsked && !value && !error ? html`<p class="is-nothing" aria-busy="true">searching …</p>` : null}
    ${value ? html`<div aria-busy=${String(isStale)}><p role="status" class="is-nothing">${counted(value.spans.length, "span")}${value.cut ? ", and there are more" : ""}</p>
      ${value.spans.length ? html`<${Results} spans=${value.spans} />` : null}
      ${value.cut && limit < MOST ? html`<p class="more-line"><button onClick=${() => go(address("/search", { ...wanted, attribute: attributes, limit: Math.min(MOST, limit + 2 * PAGE) }), { replace: true })}>More</button></p>` : null}</div>` : null}
    ${isAsked ? null : html`<div class="empty"><h2>Find spans</h2><p>What is given must all be so. An attribute is written <code>gen_ai.request.model=gpt-4o</code>.</p>
      <p><a href=${address("/search", { status: "error" })}>What failed</a> · <a href=${address("/search", { type: "llm", min_duration: "1s" })}>slow calls of models</a> · <a href=${address("/search", { status: "cancelled" })}>what was cancelled</a></p></div>`}
  </main>`;
}

/** What is typed is the form's own until it is sent: `value` would be set back whenever the form is drawn again. */
function Form({ wanted, attributes }) {
  const [rows, setRows] = useState(attributes.length ? attributes : [""]);
  const submit = (event) => {
    event.preventDefault();
    const data = new FormData(event.target);
    const given = Object.fromEntries(FIELDS.map((field) => [field, data.get(field)?.trim()]));
    go(address("/search", { ...given, attribute: data.getAll("attribute").map((one) => one.trim()) }));
  };
  const choice = (name, words) => html`<label>${name}<select name=${name}><option value="">any</option>
    ${words.map((word) => html`<option value=${word} selected=${wanted[name] === word}>${word === "pending" ? "open" : word}</option>`)}</select></label>`;
  return html`<form class="search" role="search" onSubmit=${submit}>
    ${TEXTS.map(([name, word, hint]) => html`<label>${word}<input name=${name} placeholder=${hint} defaultValue=${wanted[name] ?? ""} autocomplete="off" /></label>`)}
    ${choice("type", TYPES)}${choice("status", STATUSES)}
    ${rows.map((row, i) => html`<label class="wide">attribute<input name="attribute" placeholder="name=value" value=${row} autocomplete="off"
      onInput=${(event) => setRows(rows.map((one, place) => (place === i ? event.target.value : one)))} /></label>`)}
    <div class="search-buttons"><button type="button" class="quiet" onClick=${() => setRows([...rows, ""])}>+ attribute</button><button type="submit">Search</button></div>
  </form>`;
}

function Results({ spans }) {
  return html`<table class="list results">
    <thead><tr><th>span</th><th>trace</th><th>service</th><th>started</th><th class="n">duration</th><th>message</th></tr></thead>
    <tbody>${spans.map((span) => {
      const path = address(`/traces/${encodeURIComponent(span.trace_id)}`, { span: span.span_id });
      return html`<tr key=${span.trace_id + span.span_id} onClick=${(event) => event.target.closest("a") || getSelection().toString() || go(path)}>
        <td class="main-cell"><${StatusMark} status=${span.status} /> <a href=${path}><${Name} text=${span.name} /></a> <${TypeWord} type=${span.span_type} /></td>
        <td data-label="trace"><code>${span.trace_id.slice(0, 8)}</code></td>
        <td data-label="service"><bdi>${span.service}</bdi></td>
        <td data-label="started"><time title=${moment(span.start)}>${ago(span.start)}</time></td>
        <td class="n" data-label="duration">${duration(span.duration)}</td>
        <td class="message-cell" data-label="message"><bdi>${span.status_message ?? ""}</bdi></td>
      </tr>`;
    })}</tbody>
  </table>`;
}
