// Attributes, events, exceptions and links of a span.

import { address } from "../address.js";
import { count, nanoseconds } from "../format.js";
import { html, useMemo, useState } from "../ui.js";
import { CopyButton, LongText, Value, plain } from "./values.js";

const MANY = 6; // attributes from which a box to search them is worth its room

export function Attributes({ attributes, title = "Attributes" }) {
  const [wanted, setWanted] = useState("");
  const all = useMemo(() => Object.entries(attributes).map(([name, value]) => ({ name, value, text: plain(value) })), [attributes]);
  const text = wanted.trim().toLowerCase();
  const shown = text ? all.filter((one) => one.name.toLowerCase().includes(text) || one.text.toLowerCase().includes(text)) : all;
  return html`<section class="attributes"><h3>${title} <span class="number">${count(all.length)}</span></h3>
    ${all.length > MANY ? html`<input type="search" placeholder="find in attributes" aria-label="find in attributes" value=${wanted} onInput=${(event) => setWanted(event.target.value)} />` : null}
    <dl>${shown.map(
      (one) => html`<div key=${one.name}><dt><bdi>${one.name}</bdi><${CopyButton} text=${() => one.text} /></dt><dd><${Value} value=${one.value} /></dd></div>`,
    )}</dl>
    ${shown.length ? null : html`<p class="is-nothing">${all.length ? "none has that" : "none"}</p>`}
  </section>`;
}

/** Nanoseconds from a point in time to another, both texts. */
export function since(start, at) {
  try {
    return Number(BigInt(at) - BigInt(start));
  } catch {
    return 0;
  }
}

const TOLD_ABOVE = new Set(["exception", "prela.stall"]); // with all that they say

export function Events({ events, start, length }) {
  if (!events.length) return null;
  const placed = events.map((event) => ({ event, at: since(start, event.time_unix_nano) }));
  return html`<section><h3>Events <span class="number">${count(events.length)}</span></h3>
    <div class="event-line" aria-hidden="true">${placed.slice(0, 500).map(
      ({ event, at }) => html`<i title="${event.name}, after ${nanoseconds(at)}" style=${{ left: `${length > 0 ? Math.max(0, Math.min(100, (100 * at) / length)) : 0}%` }}></i>`,
    )}</div>
    <ol class="events">${placed.slice(0, 200).map(
      ({ event, at }) => html`<li><header><b><bdi>${event.name}</bdi></b> <span>after ${nanoseconds(at)}</span></header>
        ${TOLD_ABOVE.has(event.name) ? null : html`<${Pairs} values=${event.attributes ?? {}} />`}</li>`,
    )}</ol>
    ${events.length > 200 ? html`<p class="is-nothing">and ${count(events.length - 200)} more</p>` : null}
  </section>`;
}

function Pairs({ values }) {
  const entries = Object.entries(values);
  return entries.length
    ? html`<dl class="pairs">${entries.map(([name, value]) => html`<div><dt><bdi>${name}</bdi></dt><dd><${Value} value=${value} /></dd></div>`)}</dl>`
    : null;
}

/** The exceptions among the events, with their stacks. */
export function Exceptions({ events }) {
  const found = events.filter((event) => event.name === "exception").slice(-20);
  return found.map(({ attributes = {} }) => {
    const stack = attributes["exception.stacktrace"];
    return html`<section class="exception"><h3><span aria-hidden="true">✗</span> <bdi>${plain(attributes["exception.type"] ?? "exception")}</bdi></h3>
      <${LongText} text=${plain(attributes["exception.message"] ?? "")} />
      ${stack ? html`<details open=${String(stack).length < 4_000}><summary>stack</summary><${LongText} className="is-code" text=${plain(stack)} /></details>` : null}
    </section>`;
  });
}

const LINK_WORDS = {
  join: ["waited for", "waited for by"],
  signal: ["waited for a signal of", "signalled to"],
  pull: ["took items from", "gave items to"],
  spawn: ["started by", "started"],
};

/** What a link, or one that leads here, says of this span. */
function wordOf(kind, isBack) {
  return (Object.hasOwn(LINK_WORDS, kind) ? LINK_WORDS[kind] : ["to", "from"])[isBack ? 1 : 0];
}

export function Links({ links, back, traceId, model }) {
  const all = [
    ...links.map((link) => ({ link, word: wordOf(link.attributes?.["prela.link.kind"], false) })),
    ...(back ?? []).map((link) => ({ link, word: wordOf(link.kind, true) })),
  ];
  if (!all.length) return null;
  return html`<section><h3>Links <span class="number">${count(all.length)}</span></h3><ul class="links">
    ${all.slice(0, 200).map(({ link, word }) => {
      const trace = link.trace_id ?? traceId;
      const path = address(`/traces/${encodeURIComponent(trace)}`, { span: link.span_id });
      return html`<li>${word} <a href=${path}><${LinkName} link=${link} isHere=${trace === traceId} model=${model} /></a>${trace === traceId ? "" : html` of trace <code>${trace.slice(0, 8)}</code>`}
        <${Pairs} values=${link.attributes ?? {}} /></li>`;
    })}
  </ul></section>`;
}

function LinkName({ link, isHere, model }) {
  const number = isHere ? model.numberOf(link.span_id) : -1;
  const name = link.name || (number < 0 ? "" : model.name(number));
  return name ? html`<bdi>${name}</bdi>` : html`<code>${link.span_id}</code>`;
}
