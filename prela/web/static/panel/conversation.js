// Messages as a conversation: who said what, which tools were called with what, and what they answered.

import { count } from "../format.js";
import { html, useState } from "../ui.js";
import { roleClass } from "./messages.js";
import { LongText, Value } from "./values.js";

const LATEST = 12; // messages that are shown at once: the question is what the last ones were

export function Conversation({ messages }) {
  const [isWhole, setWhole] = useState(false);
  const hidden = isWhole ? 0 : Math.max(0, messages.length - LATEST);
  return html`<div class="conversation">
    ${hidden ? html`<button class="quiet" onClick=${() => setWhole(true)}>${count(hidden)} earlier messages</button>` : null}
    ${messages.slice(hidden).map((message) => html`<${Message} message=${message} />`)}
  </div>`;
}

function Message({ message }) {
  const { role, name, side, parts, finish } = message;
  return html`<article class="message ${roleClass(role)} is-${side}">
    <header><b>${role}</b>${name ? html` <bdi>${name}</bdi>` : null}${finish && finish !== "stop" ? html` <span class="finish">${finish}</span>` : null}</header>
    ${parts.length ? parts.map((part) => html`<${Part} part=${part} />`) : html`<p class="is-nothing">(nothing)</p>`}
  </article>`;
}

function Part({ part }) {
  switch (part.kind) {
    case "text":
      return html`<${LongText} text=${part.text} />`;
    case "reasoning":
      return html`<details class="reasoning"><summary>reasoning, ${count(part.text.length)} characters</summary><${LongText} text=${part.text} /></details>`;
    case "call":
      return html`<div class="tool call"><header><span aria-hidden="true">→</span> calls <b><bdi>${part.name || "(no name)"}</bdi></b> <${Identity} id=${part.id} /></header><${Value} value=${part.value ?? null} /></div>`;
    case "result":
      return html`<div class="tool result"><header><span aria-hidden="true">←</span> ${part.name ? html`<b><bdi>${part.name}</bdi></b> answers` : "answer"} <${Identity} id=${part.id} /></header><${Value} value=${part.value ?? null} /></div>`;
    case "media":
      return html`<div class="media"><b>${part.what}</b>${part.type ? html` <span>${part.type}</span>` : null}<${LongText} text=${part.text} /></div>`;
    default:
      return html`<div class="tool other"><header>${part.type || "part"}</header><${Value} value=${part.value} /></div>`;
  }
}

function Identity({ id }) {
  return id === null || id === undefined ? null : html`<bdi class="identity">${String(id)}</bdi>`;
}

/** The tools that the model could call, folded. */
export function ToolDefinitions({ tools }) {
  return html`<details class="tools"><summary>${count(tools.length)} ${tools.length === 1 ? "tool" : "tools"} offered</summary>
    ${tools.map((tool) => html`<div class="tool"><header><b><bdi>${String(tool?.name ?? "(no name)")}</bdi></b></header>
      ${typeof tool?.description === "string" ? html`<${LongText} text=${tool.description} />` : null}<${Value} value=${tool?.parameters ?? tool} /></div>`)}
  </details>`;
}
