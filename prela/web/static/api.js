// What the server is asked, and how its answers are followed.

import { useLayoutEffect, useRef, useState } from "./ui.js";

/** What the server said it could not do, in its own words. */
export class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The path of a question with its parameters; those that are empty are left out. */
export function question(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "" && one !== false) query.append(name, String(one));
    }
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** Integers that a double cannot hold come as BigInt, so that no digit of a recorded number is lost. */
function exact(_name, value, context) {
  const isRounded = typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value);
  return isRounded && /^-?\d+$/.test(context?.source ?? "") ? BigInt(context.source) : value;
}

/**
 * Ask once. With a `tag` (of the answer before) null is returned where nothing has changed since.
 * `isExact` keeps every digit of large integers, and is slow on large answers.
 */
export async function ask(path, { signal, tag, isExact = false } = {}) {
  let response;
  try {
    response = await fetch(path, { signal, headers: tag ? { "If-None-Match": tag } : {} });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server does not answer. Is `prela serve` still running?", 0);
  }
  if (response.status === 304) return null;
  const text = await response.text();
  if (!response.ok) throw new Refusal(sentence(text) ?? `The server answered ${response.status}.`, response.status);
  return { value: isExact ? JSON.parse(text, exact) : JSON.parse(text), tag: response.headers.get("ETag") };
}

function sentence(text) {
  try {
    return JSON.parse(text).error;
  } catch {
    return null;
  }
}

const NO_ANSWER = { value: null, error: null, path: null, about: null };

/**
 * The answer to a question, asked again when the question changes, and every `every` milliseconds while the page is
 * looked at. The last answer stays while the next is awaited, and with it what it is `about`, so that nothing is said
 * of it that is true of the next only; `path` null asks nothing.
 */
export function useAnswer(path, { every = 0, isExact = false, about = null } = {}) {
  const [state, setState] = useState(NO_ANSWER);
  const tag = useRef(null);
  useLayoutEffect(() => {
    tag.current = null;
    if (path === null) return setState(NO_ANSWER);
    const ending = new AbortController();
    let timer = 0;
    const once = async () => {
      try {
        const answer = document.hidden && tag.current ? null : await ask(path, { signal: ending.signal, tag: tag.current, isExact });
        if (answer) {
          tag.current = answer.tag;
          setState({ value: answer.value, error: null, path, about });
        } else {
          setState((before) => (before.error ? { ...before, error: null } : before));
        }
      } catch (error) {
        if (error.name === "AbortError") return;
        setState((before) => ({ value: before.path === path ? before.value : null, error, path, about }));
      }
      if (every && !ending.signal.aborted) timer = setTimeout(once, every);
    };
    once();
    return () => {
      clearTimeout(timer);
      ending.abort();
    };
  }, [path, every]);
  return { ...state, isStale: state.path !== path };
}
