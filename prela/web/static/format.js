// Numbers, times and money as texts for people, as the command line tells them.

const UNITS = [
  [1e-3, 1e6, "µs"],
  [1, 1e3, "ms"],
  [60, 1, "s"],
];

/** Seconds: three digits and a unit; "open" for what has not ended. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "open";
  const sign = seconds < 0 ? "−" : "";
  const size = Math.abs(seconds);
  for (const [limit, factor, unit] of UNITS) {
    if (size < limit) return `${sign}${digits(size * factor)} ${unit}`;
  }
  const whole = Math.round(size);
  if (whole < 3600) return `${sign}${Math.floor(whole / 60)} m ${pad(whole % 60)} s`;
  if (whole >= 172_800) return `${sign}${digits(whole / 86_400)} d`;
  return `${sign}${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} m`;
}

/** Nanoseconds, as `duration` says seconds. */
export function nanoseconds(value) {
  return value === null || value === undefined ? "open" : duration(value / 1e9);
}

/** A change in seconds, with its sign. */
export function change(seconds) {
  return seconds > 0 ? `+${duration(seconds)}` : duration(seconds);
}

function digits(value) {
  if (value >= 99.95) return value.toFixed(0);
  return String(Number(value.toPrecision(3)));
}

function pad(value) {
  return String(value).padStart(2, "0");
}

/** A count, with its thousands apart. */
export function count(value) {
  // not by toLocaleString, whose first call takes 20 ms of a page's first drawing
  return String(value ?? 0).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

/** A count and what is counted: "1 span", "2 spans". */
export function counted(value, noun, plural = `${noun}s`) {
  return `${count(value)} ${value === 1 ? noun : plural}`;
}

/** A large count, short: "12.3k". */
export function short(value) {
  if (value < 10_000) return count(value);
  return value < 1e6 ? `${digits(value / 1e3)}k` : `${digits(value / 1e6)}M`;
}

/** Tokens in and out; nothing where there are none. */
export function tokens(incoming, outgoing) {
  return incoming || outgoing ? `${short(incoming)} › ${short(outgoing)}` : "";
}

/** US dollars, to three digits; nothing where none are known. */
export function cost(dollars) {
  if (dollars === null || dollars === undefined) return "";
  return `$${dollars && Math.abs(dollars) < 1e-6 ? dollars.toExponential(2) : trimmed(dollars)}`;
}

function trimmed(dollars) {
  const value = Number(dollars.toPrecision(3));
  return value >= 1 ? value.toFixed(2) : value.toFixed(8).replace(/0+$/, "").replace(/\.$/, "");
}

/** A part of a whole: "26 %". */
export function share(part, whole) {
  if (!whole) return "";
  const percent = (100 * part) / whole;
  return percent > 0 && percent < 1 ? "< 1 %" : `${Math.round(percent)} %`;
}

/** Bytes: "12.3 MB". */
export function bytes(value) {
  if (value < 1000) return `${value} bytes`;
  return value < 1e6 ? `${digits(value / 1e3)} kB` : `${digits(value / 1e6)} MB`;
}

/** A point in time, from nanoseconds since the Unix epoch as a text, in the local zone. */
export function moment(text) {
  const at = date(text);
  if (!at) return String(text);
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return `${day} ${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

/** How long ago a point in time was, in one unit. */
export function ago(text, now = Date.now()) {
  const at = date(text);
  if (!at) return "";
  const seconds = Math.round((now - at.getTime()) / 1000);
  if (seconds < 0) return moment(text).slice(0, 16);
  if (seconds < 5) return "just now";
  for (const [limit, size, unit] of [[60, 1, "s"], [3600, 60, "min"], [86_400, 3600, "h"], [864_000, 86_400, "d"]]) {
    if (seconds < limit) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return moment(text).slice(0, 10);
}

function date(text) {
  try {
    const at = new Date(Number(BigInt(text) / 1_000_000n));
    return Number.isNaN(at.getTime()) ? null : at;
  } catch {
    return null; // what a damaged line holds
  }
}
