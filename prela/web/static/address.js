// The address bar holds what is shown: every page reads its state from it, so that reload and back work.

import { useLayoutEffect, useState } from "./ui.js";

const CHANGED = "prela:address";

/** The path and the query that are shown. */
export function here() {
  return { path: location.pathname, query: new URLSearchParams(location.search) };
}

/** Show another address; with `replace` in place of this one, so that "back" leads past it. */
export function go(address, { replace = false } = {}) {
  if (address === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", address);
  dispatchEvent(new Event(CHANGED));
}

/** This address with some of its query changed; what is empty, null or false is left out. */
export function changed(changes, { path, query } = here()) {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "" && one !== false) next.append(name, String(one));
    }
  }
  const text = next.toString();
  return text ? `${path}?${text}` : path;
}

/** An address of ours, from a path and a query. */
export function address(path, query = {}) {
  return changed(query, { path, query: "" });
}

/** The address that is shown, followed. */
export function useAddress() {
  const [at, setAt] = useState(here);
  useLayoutEffect(() => {
    // before anybody can click: an address that changes unheard would be shown never
    const follow = () => setAt(here());
    addEventListener("popstate", follow);
    addEventListener(CHANGED, follow);
    return () => {
      removeEventListener("popstate", follow);
      removeEventListener(CHANGED, follow);
    };
  }, []);
  return at;
}

/** Links within the application change the address without loading the page anew. */
export function followLinks(event) {
  const link = event.target.closest?.("a[href]");
  const isPlain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey || event.altKey);
  if (!link || !isPlain || link.target || link.origin !== location.origin || link.hasAttribute("download")) return;
  event.preventDefault();
  go(link.pathname + link.search);
  if (link.pathname !== location.pathname) scrollTo(0, 0);
}
