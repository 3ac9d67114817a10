"""A trace of 20,000 spans in a real browser: how soon its waterfall is drawn, and how evenly it scrolls.

Chromium without a window, and `prela serve` in a process of its own. Drawn is when the first rows have been painted,
counted from the beginning of the navigation: the page, its scripts, the trace's answer and the drawing. A frame is the
time between two of the browser's animation frames while the rows are scrolled from top to bottom and back.
"""

import tempfile
from pathlib import Path

from tests.browser.conftest import WORDS, chromium, serving
from tests.browser.folders import BIG, big, write

_RUNS = 5
_DRAWN = """() => new Promise(resolve => {
  const look = () => document.querySelector(".row .bar-of")
    ? requestAnimationFrame(() => setTimeout(() => resolve(performance.now())))  // after the paint that shows them
    : requestAnimationFrame(look);
  look();
})"""
_SCROLL = """() => new Promise(resolve => {
  const grid = document.querySelector(".grid"), rows = grid.scrollHeight, frames = [];
  let before = 0, n = 0;
  const step = now => {
    if (before) frames.push(now - before);
    before = now;
    if (++n > 300) return resolve(frames);
    grid.scrollTop = rows * (n < 150 ? n : 300 - n) / 150;
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""


def measure(spans: int = 20_000) -> dict[str, float]:
    """Milliseconds: until drawn, the first time and the median of later ones; the longest and the median frame."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, "big", big(spans))
        with serving(folder) as base, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=WORDS)
            drawn, frames = [], []
            for _ in range(_RUNS):
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                page.goto(f"{base}/traces/{BIG}", wait_until="commit")
                drawn.append(page.evaluate(_DRAWN))
                page.locator(".profile canvas").wait_for()
                frames.append(sorted(page.evaluate(_SCROLL)))
                page.close()
            browser.close()
    return {
        "first drawn (ms)": drawn[0],
        "drawn (ms)": sorted(drawn)[_RUNS // 2],
        "longest frame (ms)": sorted(run[-1] for run in frames)[_RUNS // 2],
        "median frame (ms)": sorted(run[len(run) // 2] for run in frames)[_RUNS // 2],
    }
