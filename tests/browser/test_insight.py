"""What insight has recorded, where the page shows it: shades, marks, and links from span to span."""

import re
from typing import Any

import pytest

from tests import insight
from tests.browser.conftest import OpenPage, expect

PLACES = """what => [...document.querySelectorAll(what)].map(mark => {
  const box = mark.getBoundingClientRect(), room = mark.closest('.cell-time').getBoundingClientRect();
  const width = room.width - 1;  // without its border
  return [(box.left - room.left - 1) / width, (box.right - room.left - 1) / width, width];
})"""
SHARES = """bar => [...bar.children].map(part =>
  [part.className, part.getBoundingClientRect().width / bar.getBoundingClientRect().width])"""


def opened(open_page: OpenPage, site: str, span: str = "") -> Any:
    page = open_page(f"{site}/traces/{insight.INSIGHT}" + (f"?span={span}" if span else ""), height=1000)
    expect(page.locator(".row")).to_have_count(11)
    return page


def row(page: Any, span: str) -> Any:
    return page.locator(f".row[data-span='{int(span, 16) - 1}']")


def remarks(page: Any) -> Any:
    return page.get_by_role("region", name="What happened")


def expect_shown(page: Any, name: str) -> None:
    expect(page.get_by_role("complementary", name="Span").locator("h2 .name")).to_have_text(name)


def assert_lies(page: Any, what: str, begin: float, end: float) -> None:
    ((left, right, pixels),) = page.evaluate(PLACES, what)
    assert left == pytest.approx(begin, abs=1.5 / pixels)
    assert right == pytest.approx(end, abs=1.5 / pixels)


def test_bars_are_shaded_by_what_their_spans_ran_were_ready_and_waited(open_page: OpenPage, site: str) -> None:
    page = opened(open_page, site)
    shares = dict(row(page, insight.COMPUTE).locator(".bar-of").evaluate(SHARES))
    assert shares == pytest.approx({"part run": 0.75, "part ready": 0.1, "part wait": 0.15}, abs=0.01)
    assert row(page, insight.AGENT).locator(".part").count() == 0
    page = opened(open_page, site, insight.COMPUTE)
    panel = page.locator(".panel")
    for name, text in (("ran", "about 225 ms"), ("ready to run", "about 30 ms"), ("waited", "about 45 ms (sampled)")):
        expect(panel.locator(".facts div").filter(has=page.get_by_text(name, exact=True))).to_contain_text(text)


def test_a_stall_is_marked_on_the_span_that_held_the_loop_and_on_those_that_were_held_up(
    open_page: OpenPage, site: str
) -> None:
    page = opened(open_page, site)
    spans = (insight.COMPUTE, insight.READER, insight.WRITER)
    place = {span: f".row[data-span='{int(span, 16) - 1}']" for span in spans}
    assert_lies(page, f"{place[insight.COMPUTE]} .stall", 0.15, 0.27)
    assert_lies(page, f"{place[insight.READER]} .held-up", 0.15, 0.27)
    assert_lies(page, f"{place[insight.WRITER]} .held-up", 0.2, 0.26)
    assert (page.locator(".stall").count(), page.locator(".held-up").count()) == (1, 2)
    expect(row(page, insight.READER).locator(".held-up")).to_have_attribute("title", re.compile("held up by compute"))


def test_culprit_and_victims_lead_to_each_other(open_page: OpenPage, site: str) -> None:
    page = opened(open_page, site, insight.COMPUTE)
    expect(remarks(page)).to_contain_text("held its event loop for 120 ms, after 50 ms")
    expect(remarks(page)).to_contain_text("agent.py:52 in digest")
    remarks(page).get_by_role("button", name="reader").click()
    expect_shown(page, "reader")
    expect(remarks(page)).to_contain_text("was held up for 120 ms at most by compute")
    remarks(page).get_by_role("button", name="compute").click()
    expect_shown(page, "compute")
    remarks(page).get_by_role("button", name="writer").click()
    remarks(page).get_by_role("link", name=insight.ELSEWHERE).click()
    expect(page).to_have_url(f"{site}/search?text={insight.ELSEWHERE}")
    expect(page.locator(".results tbody tr")).to_have_count(1)


def test_a_cancellation_is_a_sentence_that_leads_to_who_caused_it(open_page: OpenPage, site: str) -> None:
    page = opened(open_page, site, insight.LOSER)
    expect(remarks(page)).to_contain_text("was cancelled because a sibling had failed (no more), by failing in failing")
    remarks(page).get_by_role("button", name="failing").click()
    expect_shown(page, "failing")


def test_waiting_for_a_limiter_is_drawn_as_waiting(open_page: OpenPage, site: str) -> None:
    page = opened(open_page, site, insight.POOL)
    expect(page.locator(".bar-of.is-wait")).to_have_count(1)
    expect(row(page, insight.POOL).locator(".bar-of.is-wait")).to_have_count(1)
    expect(remarks(page)).to_contain_text("waited for the limiter pool, behind 2 others")


def test_what_was_cut_off_is_told_apart_from_what_is_open(open_page: OpenPage, site: str) -> None:
    page = opened(open_page, site)
    expect(row(page, insight.CUT)).to_have_class(re.compile("status-interrupted"))
    expect(row(page, insight.CUT).locator(".cell-duration")).to_have_text("cut off")
    expect(row(page, insight.CUT).locator(".note")).to_have_text(re.compile("^interrupted; began .* ago$"))
    expect(row(page, insight.RUNNING)).to_have_class(re.compile("status-pending"))
    expect(row(page, insight.RUNNING).locator(".note")).to_have_text(re.compile("^open for "))
    for outcome in ("1 failed", "1 cancelled", "1 open", "1 interrupted"):
        expect(page.locator(".trace-head .outcome", has_text=outcome)).to_have_count(1)
    page = open_page(f"{site}/?name={insight.INSIGHT}")
    expect(page.locator(".traces .outcome", has_text="1 interrupted")).to_have_count(1)


def test_links_say_what_was_waited_for_and_who_started_whom(open_page: OpenPage, site: str) -> None:
    page = opened(open_page, site, insight.LATER)
    links = page.locator(".links li")
    expect(links.filter(has_text="waited for reader")).to_have_count(1)
    expect(links.filter(has_text="started by agent")).to_have_count(1)
    links.get_by_role("link", name="reader").click()
    expect_shown(page, "reader")
    expect(page.locator(".links li")).to_contain_text(["waited for by later"])


def test_a_leak_says_where_its_span_was_started(open_page: OpenPage, site: str) -> None:
    page = opened(open_page, site, insight.FORGOTTEN)
    expect(remarks(page)).to_contain_text("was never ended by its program; it was started at agent.py:7 in main")


def test_what_is_collapsed_and_whether_the_path_is_shown_are_in_the_address(open_page: OpenPage, site: str) -> None:
    page = opened(open_page, site)
    page.locator(".grid").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowLeft", "c"):
        page.keyboard.press(key)
    expect(page.locator(".row")).to_have_count(10)
    expect(page).to_have_url(f"{site}/traces/{insight.INSIGHT}?closed={insight.READER}&path=off")
    page.reload()
    expect(page.locator(".row")).to_have_count(10)
    expect(page.locator(".critical")).to_have_count(0)
    expect(row(page, insight.READER)).to_have_attribute("aria-expanded", "false")
    page.locator(".grid").focus()
    for key in ("Home", "ArrowDown", "ArrowDown", "ArrowRight", "c"):
        page.keyboard.press(key)
    expect(page).to_have_url(f"{site}/traces/{insight.INSIGHT}")
    expect(page.locator(".row")).to_have_count(11)
