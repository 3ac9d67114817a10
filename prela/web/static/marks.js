// How a status looks: a shape and a word, never a colour alone.

import { count } from "./format.js";
import { html } from "./ui.js";

export const MARKS = { success: "✓", error: "✗", cancelled: "⊘", pending: "…", interrupted: "†" };
const WORDS = { success: "success", error: "error", cancelled: "cancelled", pending: "open", interrupted: "interrupted" };
export const TYPES = ["agent", "llm", "tool", "retrieval", "embedding", "custom"];

/** The class that colours a type of span; one that we do not know looks like "custom". */
export function typeClass(type) {
  return `type-${TYPES.includes(type) ? type : "custom"}`;
}

/** A class for a status, from those we know. */
export function statusClass(status) {
  return `status-${Object.hasOwn(MARKS, status) ? status : "unknown"}`;
}

export function StatusMark({ status }) {
  const word = WORDS[status] ?? status;
  return html`<span class="mark ${statusClass(status)}" role="img" aria-label=${word} title=${word}>${MARKS[status] ?? "?"}</span>`;
}

/** The type of a span as a word with its colour beside it; of an ordinary one, nothing. */
export function TypeWord({ type }) {
  return type === "custom" ? null : html`<span class="type-word ${typeClass(type)}">${type}</span>`;
}

/** What is amiss with a trace, or that nothing is. */
export function Outcome({ trace }) {
  const found = [
    ["error", trace.errors, "failed"],
    ["cancelled", trace.cancelled, "cancelled"],
    ["pending", trace.open - (trace.interrupted ?? 0), "open"],
    ["interrupted", trace.interrupted, "interrupted"],
  ].filter(([, number]) => number);
  if (!found.length) return html`<span class="outcome status-success"><b aria-hidden="true">✓</b> ok</span>`;
  return html`<span class="outcomes">${found.map(
    ([status, number, word]) => html`<span class="outcome ${statusClass(status)}"><b aria-hidden="true">${MARKS[status]}</b> ${count(number)} ${word}</span>`,
  )}</span>`;
}

/** A name from a trace: whatever it holds, it stays in its own line and its own direction. */
export function Name({ text }) {
  return text ? html`<bdi class="name">${text}</bdi>` : html`<bdi class="name is-nothing">(no name)</bdi>`;
}

export function Problem({ error }) {
  return html`<div class="problem" role="alert"><b aria-hidden="true">✗</b> ${error.message}</div>`;
}
