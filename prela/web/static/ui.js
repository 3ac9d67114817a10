// What every component is made with: `html` makes nodes from templates, and texts in them are only ever texts.

import { Fragment, h, render } from "./vendor/preact.js";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./vendor/hooks.js";
import htm from "./vendor/htm.js";

export const html = htm.bind(h);
export { Fragment, render, useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState };

/** Class names, of those that are true. */
export function classes(...names) {
  return names.filter(Boolean).join(" ");
}
