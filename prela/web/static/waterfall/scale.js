// What part of a trace's time is shown, and where things stand in it. Pure; times are nanoseconds since its begin.

const NARROWEST = 100; // nanoseconds

/** All of a trace. */
export function whole(length) {
  return { from: 0, to: Math.max(1, length) };
}

/** A view between two times, within the trace, and not too narrow to see anything. */
export function between(a, b, length) {
  const all = whole(length);
  const width = Math.min(all.to, Math.max(Math.min(NARROWEST, all.to), Math.abs(b - a)));
  const from = Math.max(0, Math.min(all.to - width, Math.min(a, b)));
  return { from, to: from + width };
}

/** A view `factor` times as wide (below 1: zoomed in), in which `at` keeps its place. */
export function zoomed(view, factor, at, length) {
  const width = (view.to - view.from) * factor;
  if (width >= whole(length).to) return whole(length);
  const place = (at - view.from) / (view.to - view.from);
  const from = at - place * width;
  return between(from, from + width, length);
}

/** A view moved by a part of its width. */
export function moved(view, part, length) {
  const by = (view.to - view.from) * part;
  return between(view.from + by, view.to + by, length);
}

/** Where a stretch of time lies in a view, in percent, cut at its borders; null where it lies outside. */
export function placed(view, start, end) {
  const width = view.to - view.from;
  if (end < view.from || start > view.to) return null;
  const left = Math.max(start, view.from);
  const right = Math.min(end, view.to);
  return {
    left: (100 * (left - view.from)) / width,
    width: (100 * Math.max(0, right - left)) / width,
    isCutLeft: start < view.from,
    isCutRight: end > view.to,
  };
}

const FINEST = 2_000; // parts of a view that can be told from each other, about a pixel each

/** Stretches, in the order of time, as far as they are in a view; those that nobody could tell apart are one. */
export function joined(stretches, view) {
  const found = [];
  for (const [from, to] of stretches) {
    if (to < view.from || from > view.to) continue;
    const last = found.at(-1);
    if (last && from - last[1] <= (view.to - view.from) / FINEST) last[1] = Math.max(last[1], to);
    else found.push([from, to]);
  }
  return found;
}

/** Round times within a view, at most so many: 1, 2 or 5 and zeros. */
export function ticks(view, most) {
  const least = (view.to - view.from) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((size) => size >= least);
  const found = [];
  for (let n = Math.ceil(view.from / step); n * step <= view.to; n++) found.push(n * step);
  return found;
}

/** A view as the address holds it, in whole nanoseconds; nothing for all of the trace. */
export function written(view, length) {
  if (view.from <= 0 && view.to >= whole(length).to) return null;
  return `${Math.floor(view.from)}-${Math.ceil(view.to)}`;
}

/** And read from it again. */
export function read(text, length) {
  const found = /^(\d+)-(\d+)$/.exec(text ?? "");
  return found ? between(Number(found[1]), Number(found[2]), length) : whole(length);
}
