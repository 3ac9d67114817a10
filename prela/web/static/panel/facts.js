// What a span says in a few numbers: model, tokens, money, its stream, and where the time of a call went.

import { cost, count, duration } from "../format.js";
import { html } from "../ui.js";

const TIMES = [
  ["prela.time.pool", "waiting for a connection"],
  ["prela.time.connect", "connecting"],
  ["prela.time.tls", "TLS handshake"],
  ["prela.time.send", "sending"],
  ["prela.time.server", "server"],
  ["prela.time.receive", "receiving"],
  ["prela.time.consumer", "consumer"],
  ["prela.time.retry", "between attempts"],
];

const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : typeof value === "bigint" ? Number(value) : null);

/** [name, text] of what a call of a model recorded. */
export function callFacts(attributes) {
  const of = (name) => number(attributes[`gen_ai.usage.${name}`]);
  const input = of("input_tokens");
  const output = of("output_tokens");
  const cached = of("cache_read.input_tokens");
  const reasoning = of("reasoning.output_tokens");
  const asked = attributes["gen_ai.request.model"];
  const answered = attributes["gen_ai.response.model"];
  const reasons = attributes["gen_ai.response.finish_reasons"];
  return [
    ["model", answered && asked && answered !== asked ? `${asked} (answered by ${answered})` : (asked ?? answered)],
    ["provider", attributes["gen_ai.provider.name"]],
    ["tokens in", input === null ? null : count(input) + (cached ? `, ${count(cached)} of them cached` : "")],
    ["tokens out", output === null ? null : count(output) + (reasoning ? `, ${count(reasoning)} of them reasoning` : "")],
    ["cost", number(attributes["prela.cost.usd"]) === null ? null : cost(number(attributes["prela.cost.usd"]))],
    ["finished by", Array.isArray(reasons) ? reasons.map(String).join(", ") : reasons],
  ].filter(([, text]) => text !== null && text !== undefined && text !== "").map(([name, text]) => [name, String(text)]);
}

/** [name, text] of how a stream came; empty for what is none. `seconds` is how long the span took. */
export function streamFacts(attributes, seconds) {
  const first = number(attributes["gen_ai.response.time_to_first_chunk"]);
  const chunks = number(attributes["prela.stream.chunks"]);
  const outcome = attributes["prela.stream.outcome"];
  const output = number(attributes["gen_ai.usage.output_tokens"]);
  if (first === null && chunks === null && outcome === undefined) return [];
  const flowing = first === null || seconds === null ? null : seconds - first;
  const rate = (things, noun) => (things && flowing > 0 ? `${(things / flowing).toPrecision(3)} ${noun}/s` : null);
  return [
    ["first chunk after", first === null ? null : duration(first)],
    ["chunks", chunks === null ? null : [count(chunks), rate(chunks, "chunks")].filter(Boolean).join(", ")],
    ["tokens", rate(output, "tokens")],
    ["ended", outcome === undefined ? null : String(outcome).replaceAll("_", " ")],
  ].filter(([, text]) => text !== null);
}

/** [name, text] of where the time of a span went, if somebody recorded it. */
export function timeFacts(attributes) {
  const run = number(attributes["prela.time.run"]);
  const wait = number(attributes["prela.time.wait"]);
  if (run === null || wait === null) return [];
  const about = attributes["prela.time.sampled"] === true ? "about " : "";
  return [
    ["ran", `${about}${duration(run)}`],
    ["ready to run", `${about}${duration(number(attributes["prela.time.ready"]) ?? 0)}`],
    ["waited", `${about}${duration(wait)}${about ? " (sampled)" : ""}`],
  ];
}

/** The same on a line, in the hatchings of the waterfall. */
export function TimeLine({ attributes }) {
  const parts = ["run", "ready", "wait"].map((name) => [name, number(attributes[`prela.time.${name}`]) ?? 0]);
  const whole = parts.reduce((sum, [, seconds]) => sum + seconds, 0);
  if (!(whole > 0)) return null;
  return html`<div class="time-line" aria-hidden="true">${parts.map(([name, seconds]) => html`<i class="part ${name}" style=${{ width: `${(100 * seconds) / whole}%` }}></i>`)}</div>`;
}

export function Facts({ facts }) {
  return html`<dl class="facts">${facts.map(([name, text]) => html`<div><dt>${name}</dt><dd><bdi>${text}</bdi></dd></div>`)}</dl>`;
}

/** Where the time of a call went, as bars beside each other's. */
export function CallTimes({ attributes }) {
  const found = TIMES.map(([name, word]) => [word, number(attributes[name])]).filter(([, seconds]) => seconds !== null);
  if (!found.length) return null;
  const most = Math.max(...found.map(([, seconds]) => seconds), 1e-12);
  return html`<section><h3>Where the call's time went</h3><table class="times"><tbody>
    ${found.map(([word, seconds]) => html`<tr><th scope="row">${word}</th><td>${duration(seconds)}</td>
      <td class="time-bar"><i style=${{ width: `${(100 * seconds) / most}%` }}></i></td></tr>`)}
  </tbody></table></section>`;
}

/** A stream on a line: until its first chunk, and from then on. */
export function StreamLine({ attributes, seconds }) {
  const first = number(attributes["gen_ai.response.time_to_first_chunk"]);
  if (first === null || !seconds) return null;
  const part = Math.min(100, (100 * first) / seconds);
  return html`<div class="stream-line" role="img" aria-label="first chunk after ${duration(first)} of ${duration(seconds)}">
    <i class="silent" style=${{ width: `${part}%` }}></i><i class="flowing" style=${{ width: `${100 - part}%` }}></i></div>`;
}
