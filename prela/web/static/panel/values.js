// A recorded value as text: what JSON had no word for is told, long texts are cut until they are asked for.

import { bytes, count } from "../format.js";
import { html, useState } from "../ui.js";

const FIRST = 2_000; // characters that are shown at once
const MORE = 50_000; // and with each press of "more"
const DEEPEST = 100;
const TAGS = { $bytes: (text) => `${bytes(Math.floor((text.length * 3) / 4))} (base64): ${text}`, $float: String, $int: String };

/** What a value is, without the tags that stand for what JSON lacks (docs/record.md). */
export function untagged(value) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  const keys = Object.keys(value);
  if (keys.length !== 1) return value;
  const [tag] = keys;
  if (tag === "$dict") return value.$dict;
  return Object.hasOwn(TAGS, tag) && typeof value[tag] === "string" ? new Told(TAGS[tag](value[tag])) : value;
}

/** What is told in words, and is no JSON. */
class Told {
  constructor(words) {
    this.words = words;
  }
}

/** A value as text: strings as they are, all else as JSON on several lines. */
export function plain(value) {
  const known = untagged(value);
  return typeof known === "string" ? known : pretty(known);
}

function pretty(given, indent = "", depth = 0) {
  const value = untagged(given);
  if (value instanceof Told) return value.words;
  if (typeof value === "bigint") return String(value);
  if (value === null || typeof value !== "object") return JSON.stringify(value) ?? String(value);
  const isList = Array.isArray(value);
  if (depth >= DEEPEST) return isList ? "[…]" : "{…}";
  const inner = `${indent}  `;
  const items = isList
    ? value.map((item) => inner + pretty(item, inner, depth + 1))
    : Object.entries(value).map(([name, item]) => `${inner}${JSON.stringify(name)}: ${pretty(item, inner, depth + 1)}`);
  const [open, close] = isList ? "[]" : "{}";
  if (!items.length) return open + close;
  return `${open}\n${items.join(",\n")}\n${indent}${close}`;
}

/** A JSON text becomes what it says, where it says an object or a list; anything else stays as it is. */
export function parsed(value) {
  if (typeof value !== "string" || !/^\s*[[{]/.test(value)) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

/** A text of any length: its beginning, and more of it when it is asked for. */
export function LongText({ text, className = "" }) {
  const [room, setRoom] = useState(FIRST);
  const shown = text.length > room ? text.slice(0, room) : text;
  return html`<div class="long-text ${className}"><bdi class="text">${shown}</bdi>${text.length > room
    ? html`<button class="quiet more" onClick=${() => setRoom(room + MORE)}>… more (${count(text.length - room)} of ${count(text.length)} characters)</button>`
    : null}</div>`;
}

export function Value({ value }) {
  return html`<${LongText} text=${plain(value)} className=${typeof value === "string" ? "" : "is-code"} />`;
}

/** Puts a text on the clipboard, and says so. */
export function CopyButton({ text, label = "copy" }) {
  const [word, setWord] = useState(label);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text());
      setWord("copied");
    } catch {
      setWord("not allowed"); // outside loopback and HTTPS there is no clipboard
    }
    setTimeout(() => setWord(label), 1500);
  };
  return html`<button class="quiet copy" onClick=${copy} aria-live="polite">${word}</button>`;
}
