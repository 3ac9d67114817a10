// What there is to say of a span, in sentences that lead to other spans: the server makes them, as for the terminal.

import { address } from "../address.js";
import { count } from "../format.js";
import { Name } from "../marks.js";
import { html } from "../ui.js";
import { LongText } from "./values.js";

const SIGNS = { stall: "▮", victim: "▯", waiting: "◷", cancelled: "⊘", group: "✗", leaked: "!", interrupted: "†", open: "…", pending: "…" };

/** `model` has the trace's spans; `onPick(number)` shows another. */
export function Remarks({ remarks, model, onPick }) {
  if (!remarks.length) return null;
  return html`<section class="remarks" aria-label="What happened"><ul>${remarks.map(
    (remark) => html`<li class="remark remark-${Object.hasOwn(SIGNS, remark.kind) ? remark.kind : "other"}">
      <span class="remark-sign" aria-hidden="true">${SIGNS[remark.kind] ?? "·"}</span>
      <div><bdi class="remark-text">${remark.text}</bdi>${remark.spans.map((id, i) => html`${i ? ", " : " "}<${SpanLink} id=${id} model=${model} onPick=${onPick} />`)}${remark.more ? html` <span class="is-nothing">and ${count(remark.more)} more</span>` : null}
      ${remark.detail ? html`<details open=${remark.detail.length < 4_000}><summary>stack</summary><${LongText} className="is-code" text=${remark.detail} /></details>` : null}</div>
    </li>`,
  )}</ul></section>`;
}

/** A span of this trace by its name; of another, whose id is all that is known, a search for it. */
export function SpanLink({ id, model, onPick }) {
  const number = model.numberOf(id);
  if (number < 0) return html`<a href=${address("/search", { text: id })}><code>${id}</code></a>`;
  return html`<button class="linkish" onClick=${() => onPick(number)}><${Name} text=${model.name(number)} /></button>`;
}
