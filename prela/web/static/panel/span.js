// Everything about one span, beside the waterfall; on a phone a sheet over it.

import { useAnswer } from "../api.js";
import { duration, moment, nanoseconds, share } from "../format.js";
import { Name, Problem, StatusMark, TypeWord } from "../marks.js";
import { html, useEffect, useRef } from "../ui.js";
import { Conversation, ToolDefinitions } from "./conversation.js";
import { CallTimes, Facts, StreamLine, TimeLine, callFacts, streamFacts, timeFacts } from "./facts.js";
import { Attributes, Events, Exceptions, Links, since } from "./lists.js";
import { conversation } from "./messages.js";
import { Remarks } from "./remarks.js";
import { CopyButton, LongText, parsed } from "./values.js";

/** `span` is a number of the model; `onPick(number)` shows another, `onClose()` none. */
export function SpanPanel({ model, span, onPick, onClose }) {
  const id = model.ids[span];
  const path = `/api/traces/${encodeURIComponent(model.trace.trace_id)}/spans/${encodeURIComponent(id)}`;
  const { value, error, isStale } = useAnswer(path, { isExact: true });
  const scroller = useRef(null);
  useEffect(() => scroller.current?.scrollTo(0, 0), [id]);
  const sibling = (step) => {
    const number = value && !isStale ? model.numberOf(value.siblings[step < 0 ? 0 : 1]) : -1;
    return html`<button class="quiet" disabled=${number < 0} onClick=${() => onPick(number)} aria-label=${step < 0 ? "previous sibling" : "next sibling"}>${step < 0 ? "↑" : "↓"}</button>`;
  };
  return html`<aside class="panel" aria-label="Span" ref=${scroller}>
    <header class="panel-head">
      <h2><${StatusMark} status=${model.status(span)} /> <${Name} text=${model.name(span)} /> <${TypeWord} type=${model.type(span)} /></h2>
      <div class="panel-buttons">${sibling(-1)}${sibling(1)}<button class="quiet close" onClick=${onClose} aria-label="close">✕</button></div>
    </header>
    ${model.notes[span] ? html`<p class="panel-note status-${model.status(span)}"><bdi>${model.notes[span]}</bdi></p>` : null}
    <${Times} model=${model} span=${span} onPick=${onPick} />
    ${error ? html`<${Problem} error=${error} />` : null}
    ${value && !isStale ? html`<${Record} key=${id} answer=${value} model=${model} onPick=${onPick} />` : error ? null : html`<p class="is-nothing" aria-busy="true">…</p>`}
  </aside>`;
}

const ENDLESS = { pending: (age) => `open for ${age}`, interrupted: (age) => `interrupted; began ${age} ago` };

function Times({ model, span, onPick }) {
  const parent = model.parents[span];
  const length = model.finishes[span] - model.starts[span];
  const status = model.status(span);
  const onPath = (model.critical.get(span) ?? []).reduce((sum, [from, to]) => sum + to - from, 0);
  const of = (part, whole, word) => (whole > 0 && part <= whole ? `${share(part, whole)} of ${word}` : "");
  const facts = [
    ["duration", ENDLESS[status]?.(duration(model.age(span))) ?? [nanoseconds(length), of(length, model.length, "the trace")].filter(Boolean).join(", ")],
    ["self time", nanoseconds(model.selves[span])],
    ["starts after", nanoseconds(model.starts[span])],
    onPath ? ["decided the end for", `${nanoseconds(onPath)}, ${of(onPath, model.length, "the trace")}`] : null,
    model.trace.services.length > 1 ? ["service", model.service(span)] : null,
  ].filter(Boolean);
  return html`<${Facts} facts=${facts} />
    ${parent >= 0
      ? html`<p class="parent">${of(length, model.finishes[parent] - model.starts[parent], "its parent") || "below"} <button class="linkish" onClick=${() => onPick(parent)}><${Name} text=${model.name(parent)} /></button></p>`
      : null}`;
}

function Record({ answer, model, onPick }) {
  const { record } = answer;
  const { attributes = {}, events = [], links = [] } = record;
  const length = record.end_time_unix_nano === null ? null : since(record.start_time_unix_nano, record.end_time_unix_nano);
  const seconds = length === null ? null : length / 1e9;
  const messages = conversation(attributes);
  const tools = parsed(attributes["gen_ai.tool.definitions"]);
  const call = callFacts(attributes);
  const stream = streamFacts(attributes, seconds);
  const time = timeFacts(attributes);
  return html`
    ${time.length ? html`<${TimeLine} attributes=${attributes} /><${Facts} facts=${time} />` : null}
    <${Remarks} remarks=${answer.remarks} model=${model} onPick=${onPick} />
    <${Exceptions} events=${events} />
    ${record.status_message && record.status === "error" ? html`<section class="exception"><h3>Status message</h3><${LongText} text=${record.status_message} /></section>` : null}
    ${call.length ? html`<section><h3>Call</h3><${Facts} facts=${call} /></section>` : null}
    ${stream.length ? html`<section><h3>Stream</h3><${StreamLine} attributes=${attributes} seconds=${seconds} /><${Facts} facts=${stream} /></section>` : null}
    ${messages.length ? html`<section><h3>Conversation</h3><${Conversation} messages=${messages} /></section>` : null}
    ${Array.isArray(tools) && tools.length ? html`<${ToolDefinitions} tools=${tools} />` : null}
    <${CallTimes} attributes=${attributes} />
    <${Events} events=${events} start=${record.start_time_unix_nano} length=${length ?? 0} />
    <${Links} links=${links} back=${answer.links_from} traceId=${record.trace_id} model=${model} />
    <${Attributes} attributes=${attributes} />
    <${Identity} record=${record} />
    ${Object.keys(record.resource ?? {}).length ? html`<details><summary>Resource</summary><${Attributes} attributes=${record.resource} title="Resource" /></details>` : null}
  `;
}

function Identity({ record }) {
  const facts = [
    ["started", moment(record.start_time_unix_nano)],
    ["ended", record.end_time_unix_nano === null ? "not yet" : moment(record.end_time_unix_nano)],
    ["service", record.service_name],
    ["kind", record.kind],
    ["span id", record.span_id],
    ["parent", record.parent_span_id],
  ].filter(([, text]) => text);
  const dropped = Object.entries(record.dropped ?? {}).filter(([, number]) => number);
  return html`<section><h3>Record <${CopyButton} label="copy JSON" text=${() => JSON.stringify(record, (_name, value) => (typeof value === "bigint" ? String(value) : value), 2)} /></h3>
    <${Facts} facts=${facts} />
    ${dropped.length ? html`<p class="panel-note">cut by a limit: ${dropped.map(([what, number]) => `${number} ${what}`).join(", ")}</p>` : null}
  </section>`;
}

/** The spans that decided when the trace could end, by how much. */
export function CriticalPanel({ model, onPick, onClose }) {
  const { trace, ranked, length } = model;
  return html`<aside class="panel" aria-label="Critical path">
    <header class="panel-head"><h2>What the end waited for</h2><div class="panel-buttons"><button class="quiet close" onClick=${onClose} aria-label="close">✕</button></div></header>
    <p class="panel-note">The critical path: at each moment, the work that the end of the trace waited for, ${trace.critical.is_exact ? "from recorded waits" : "from timing: no waits were recorded"}.</p>
    <ol class="ranked">${ranked.slice(0, 500).map(
      ({ span, total }) => html`<li><button class="linkish" onClick=${() => onPick(span)}><${StatusMark} status=${model.status(span)} /> <${Name} text=${model.name(span)} /></button>
        <span class="ranked-time">${duration(total / 1e9)} <span class="is-nothing">${share(total, length)}</span></span>
        <i class="ranked-bar" style=${{ width: `${(100 * total) / Math.max(1, ranked[0].total)}%` }}></i></li>`,
    )}</ol>
  </aside>`;
}
