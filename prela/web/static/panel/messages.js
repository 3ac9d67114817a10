// The conversation that a span recorded, in one shape. Pure. The names are those of OpenTelemetry's GenAI conventions;
// what others write (a JSON text, "content" instead of "parts") is understood too.

import { parsed } from "./values.js";

const ROLES = ["system", "developer", "user", "assistant", "tool"];

/** All messages of a span, in order: [{role, name, side, parts, finish}]; the names of called tools are on their results. */
export function conversation(attributes) {
  const found = [
    ...instructions(attributes["gen_ai.system_instructions"]),
    ...messages(attributes["gen_ai.input.messages"], "input"),
    ...messages(attributes["gen_ai.output.messages"], "output"),
  ];
  const called = new Map();
  for (const { parts } of found) {
    for (const part of parts) {
      if (part.kind === "call" && part.id !== null) called.set(part.id, part);
      if (part.kind === "result" && called.has(part.id)) part.name ||= called.get(part.id).name;
    }
  }
  return found;
}

function instructions(value) {
  const known = parsed(value);
  if (known === undefined || known === null) return [];
  return [{ role: "system", name: "", side: "input", parts: partsOf(known), finish: "" }];
}

function messages(value, side) {
  const known = parsed(value);
  if (known === undefined || known === null) return [];
  const list = Array.isArray(known) ? known : [known];
  return list.map((message) => {
    if (message === null || typeof message !== "object") return { role: roleOf(null, side), name: "", side, parts: partsOf(message), finish: "" };
    return {
      role: roleOf(message.role, side),
      name: text(message.name),
      side,
      parts: partsOf(message.parts ?? message.content),
      finish: text(message.finish_reason),
    };
  });
}

function roleOf(role, side) {
  return typeof role === "string" && role ? role : side === "input" ? "user" : "assistant";
}

/** The class of a role, from those we know. */
export function roleClass(role) {
  return `role-${ROLES.includes(role) ? role : "other"}`;
}

function partsOf(value) {
  if (value === undefined || value === null) return [];
  return (Array.isArray(value) ? value : [value]).map(partOf);
}

function partOf(part) {
  if (part === null || typeof part !== "object") return { kind: "text", text: text(part) };
  switch (part.type) {
    case "text":
      return { kind: "text", text: text(part.content ?? part.text) };
    case "reasoning":
      return { kind: "reasoning", text: text(part.content) };
    case "tool_call":
      return { kind: "call", id: part.id ?? null, name: text(part.name), value: parsed(part.arguments) };
    case "tool_call_response":
      return { kind: "result", id: part.id ?? null, name: text(part.name), value: parsed(part.response ?? part.result) };
    case "server_tool_call":
      return { kind: "call", id: part.id ?? null, name: text(part.name), value: part.server_tool_call };
    case "server_tool_call_response":
      return { kind: "result", id: part.id ?? null, name: text(part.name), value: part.server_tool_call_response };
    case "blob":
      return { kind: "media", what: text(part.modality) || "data", type: text(part.mime_type), text: text(part.content) };
    case "uri":
      return { kind: "media", what: text(part.modality) || "link", type: text(part.mime_type), text: text(part.uri) };
    case "file":
      return { kind: "media", what: text(part.modality) || "file", type: text(part.mime_type), text: text(part.file_id) };
    default:
      return { kind: "other", type: text(part.type), value: part };
  }
}

function text(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value, (_name, inner) => (typeof inner === "bigint" ? String(inner) : inner));
}
