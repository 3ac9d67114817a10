"""Every page, light and dark, wide and narrow: kept as pictures, and held to what can be reckoned."""

from pathlib import Path
from typing import Any

import pytest

from tests import insight
from tests.browser.conftest import OpenPage
from tests.browser.test_pages import asked, demo_ids

CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = (text) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const style = (element) => getComputedStyle(element);
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const found = rgba(style(element).backgroundColor);
      if (found[3] === 255) return found;
    }
    return rgba(style(document.documentElement).backgroundColor);
  };
  const walker = document.createTreeWalker(document.getElementById("app"), NodeFilter.SHOW_TEXT);
  const bad = [];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const text = walker.currentNode.textContent.trim();
    if (!text || !element.checkVisibility() || element.closest(":disabled, option")) continue;
    const [a, b] = [light(rgba(style(element).color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${element.className} ${text.slice(0, 30)}`);
  }
  return bad;
}"""
"""Texts with less contrast to their ground than WCAG's AA asks for (1.4.3)."""

WAITED_FOR = {
    "list": ".traces tbody tr",
    "trace": ".profile canvas",
    "span": ".panel .attributes",
    "insight": ".panel .remarks",
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
            "insight": f"/traces/{insight.INSIGHT}?span={insight.COMPUTE}",
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
    moving = """[...document.querySelectorAll("*")].some(element => {
      const style = getComputedStyle(element);
      return style.transitionDuration !== "0s" || style.animationName !== "none";
    })"""
    assert not page.evaluate(moving)
