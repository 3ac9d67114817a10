// A trace as the waterfall wants it: the server's columns, what follows from them, and words to find. Pure.

import { ends } from "./tree.js";

/** The columns of an answer, and what follows from them; spans are numbers, depth first. */
export function modelOf(trace) {
  const { columns } = trace;
  const numbers = new Map(columns.span_id.map((id, i) => [id, i]));
  const { byspan, ranked } = criticalOf(trace.critical?.segments ?? []);
  return {
    trace,
    size: columns.span_id.length,
    length: Math.max(trace.duration_ns, ...bound(columns.end)),
    ids: columns.span_id,
    parents: Int32Array.from(columns.parent),
    depths: Int32Array.from(columns.depth),
    starts: Float64Array.from(columns.start),
    finishes: Float64Array.from(columns.end),
    selves: Float64Array.from(columns.self),
    ends: ends(columns.depth),
    notes: trace.notes ?? {},
    marks: trace.marks ?? {},
    firstChunks: trace.first_chunk ?? {},
    stalls: trace.stalls ?? {},
    culprits: trace.victims ?? {},
    isWait: has(trace.waiting ?? []),
    age: ageOf(trace.begin, columns.start),
    critical: byspan,
    ranked,
    numberOf: (id) => numbers.get(id) ?? -1,
    name: (i) => trace.names[columns.name[i]],
    type: (i) => trace.types[columns.type[i]],
    status: (i) => trace.statuses[columns.status[i]],
    service: (i) => trace.services[columns.service[i]],
    errors: indexes(columns.status, (status) => trace.statuses[status] === "error"),
    waits: columns.run && columns.wait ? (i) => waitsOf(columns, i) : () => null,
  };
}

function has(numbers) {
  const set = new Set(numbers);
  return (i) => set.has(i);
}

/** How long ago a span started, in seconds. */
function ageOf(begin, starts) {
  const origin = Number(BigInt(begin) / 1_000_000n);
  return (i, now = Date.now()) => Math.max(0, (now - origin) / 1e3 - starts[i] / 1e9);
}

function bound(values) {
  let most = 0;
  for (const value of values) if (value > most) most = value;
  return [most];
}

function indexes(values, isWanted) {
  const found = [];
  for (let i = 0; i < values.length; i++) if (isWanted(values[i])) found.push(i);
  return found;
}

/** The stretches of the critical path by span, and the spans by how much of it is theirs. */
function criticalOf(segments) {
  const byspan = new Map();
  const sums = new Map();
  for (const [span, start, end] of segments) {
    if (span === null || span < 0) continue;
    if (!byspan.has(span)) byspan.set(span, []);
    byspan.get(span).push([start, end]);
    sums.set(span, (sums.get(span) ?? 0) + end - start);
  }
  const ranked = [...sums].map(([span, total]) => ({ span, total })).sort((a, b) => b.total - a.total || a.span - b.span);
  return { byspan, ranked };
}

/** Nanoseconds that a span ran, was ready to run, and waited; null where nobody recorded them. */
function waitsOf(columns, i) {
  const run = columns.run[i];
  if (run === null) return null;
  return { run, ready: columns.ready?.[i] ?? 0, wait: columns.wait[i] ?? 0 };
}

/** The spans in whose name, type, service or note a text stands, in any case. */
export function found(model, text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return [];
  const { trace } = model;
  const { columns } = trace;
  const has = (word) => String(word).toLowerCase().includes(wanted);
  const names = trace.names.map(has);
  const types = trace.types.map(has);
  const services = trace.services.map(has);
  const result = [];
  for (let i = 0; i < model.size; i++) {
    const isFound = names[columns.name[i]] || types[columns.type[i]] || services[columns.service[i]];
    if (isFound || (model.notes[i] && has(model.notes[i])) || columns.span_id[i] === wanted) result.push(i);
  }
  return result;
}
