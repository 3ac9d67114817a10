// Which spans of a trace are rows at the moment. Pure: spans are numbers, depth first, as the server sent them.

/** For each span, the number after the last below it. */
export function ends(depths) {
  const found = new Int32Array(depths.length);
  const open = [];
  for (let i = 0; i < depths.length; i++) {
    while (open.length && depths[open.at(-1)] >= depths[i]) found[open.pop()] = i;
    open.push(i);
  }
  while (open.length) found[open.pop()] = depths.length;
  return found;
}

/** The spans that are shown, top to bottom, where those below the collapsed are not. */
export function visible(ends, collapsed) {
  const found = new Int32Array(ends.length);
  let length = 0;
  for (let i = 0; i < ends.length; i = collapsed.has(i) ? ends[i] : i + 1) found[length++] = i;
  return found.subarray(0, length);
}

/** At which row each span stands, or -1. */
export function rowsOf(shown, spans) {
  const rows = new Int32Array(spans).fill(-1);
  for (let row = 0; row < shown.length; row++) rows[shown[row]] = row;
  return rows;
}

/** The collapsed ones, without those that hide a span. */
export function revealing(collapsed, parents, span) {
  let found = collapsed;
  for (let above = parents[span]; above >= 0; above = parents[above]) {
    if (!found.has(above)) continue;
    if (found === collapsed) found = new Set(collapsed);
    found.delete(above);
  }
  return found;
}

/** The next of some ascending numbers after (or, backwards, before) one, and round the end; null of none. */
export function nextOf(numbers, after, step = 1) {
  if (!numbers.length) return null;
  if (step > 0) return numbers.find((number) => number > after) ?? numbers[0];
  return numbers.findLast((number) => number < after) ?? numbers.at(-1);
}

/** What to do for a key on a tree: another active span, or other collapsed ones; null where the key means nothing. */
export function afterKey(key, { active, collapsed, ends, parents, shown, rows, page }) {
  const row = rows[active] ?? 0;
  const at = (wanted) => ({ active: shown[Math.max(0, Math.min(shown.length - 1, wanted))] });
  const isParent = ends[active] > active + 1;
  switch (key) {
    case "ArrowDown":
      return at(row + 1);
    case "ArrowUp":
      return at(row - 1);
    case "PageDown":
      return at(row + page);
    case "PageUp":
      return at(row - page);
    case "Home":
      return at(0);
    case "End":
      return at(shown.length - 1);
    case "ArrowRight":
      if (!isParent) return null;
      return collapsed.has(active) ? { collapsed: without(collapsed, active) } : at(row + 1);
    case "ArrowLeft":
      if (isParent && !collapsed.has(active)) return { collapsed: new Set(collapsed).add(active) };
      return parents[active] >= 0 ? { active: parents[active] } : null;
    default:
      return null;
  }
}

/** A set without one of its members. */
export function without(set, member) {
  const found = new Set(set);
  found.delete(member);
  return found;
}
