"""Every page, light and dark, wide and narrow: kept as pictures, and held to what can be reckoned."""

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import OpenPage
from tests.browser.test_pages import asked, demo_ids

CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = (text) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = (c) => { const f = c.slice(0, 3).map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
  const ground = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] === 255) return c; } return rgba(getComputedStyle(document.documentElement).backgroundColor); };
  const walker = document.createTreeWalker(document.getElementById("app"), NodeFilter.SHOW_TEXT);
  const bad = [];
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !e.checkVisibility() || e.closest(":disabled, option")) continue;
    const [a, b] = [light(rgba(getComputedStyle(e).color)), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${e.className} ${walker.currentNode.textContent.trim().slice(0, 30)}`);
  }
  return bad;
}"""
"""Texts with less contrast to their ground than WCAG's AA asks for (1.4.3)."""

WAITED_FOR = {
    "list": ".traces tbody tr",
    "trace": ".profile canvas",
    "span": ".panel .attributes",
    "search": ".results tbody tr",
    "stats": ".chart canvas",
    "compare": ".changes tbody tr",
}


def address(site: str, page: str) -> str:
    newer, older = demo_ids(site)
    trace = asked(site, f"/api/traces/{newer}")
    streamed = trace["columns"]["span_id"][int(next(iter(trace["first_chunk"])))]
    return (
        site
        + {
            "list": "/",
            "trace": f"/traces/{newer}",
            "span": f"/traces/{newer}?span={streamed}",
            "search": "/search?type=llm",
            "stats": "/stats?by=name",
            "compare": f"/compare?before={older}&after={newer}",
        }[page]
    )


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", WAITED_FOR)
def test_a_page_fits_its_window_and_its_texts_can_be_read(
    open_page: OpenPage, site: str, artefacts: Path, name: str, theme: str, width: int
) -> None:
    options: dict[str, Any] = {"width": width, "height": 800 if width > 640 else 844, "color_scheme": theme}
    page = open_page(address(site, name), **options)
    page.locator(WAITED_FOR[name]).first.wait_for()
    page.screenshot(path=artefacts / f"{name}-{theme}-{width}.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []


def test_on_a_phone_the_panel_is_a_sheet_over_the_waterfall(open_page: OpenPage, site: str) -> None:
    page = open_page(address(site, "span"), width=390, height=844)
    page.locator(WAITED_FOR["span"]).first.wait_for()
    box = page.locator(".panel").bounding_box()
    assert box["width"] == 390
    assert box["y"] + box["height"] == 844
    page.get_by_role("button", name="close").click()
    page.locator(".panel").wait_for(state="detached")


def test_who_wants_less_motion_is_given_none(open_page: OpenPage, site: str) -> None:
    page = open_page(site + "/", reduced_motion="reduce")
    page.locator(WAITED_FOR["list"]).first.wait_for()
    moving = "[...document.querySelectorAll('*')].some(e => getComputedStyle(e).transitionDuration !== '0s' || getComputedStyle(e).animationName !== 'none')"
    assert not page.evaluate(moving)
