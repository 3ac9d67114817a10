"""The waterfall against the data that it draws, and everything that keys do in it."""

import re
from typing import Any

import pytest

from tests.browser import folders
from tests.browser.conftest import OpenPage, expect
from tests.browser.test_pages import asked, demo_ids

SPANS_WITH = """what => [...document.querySelectorAll(".row")]
  .filter(row => row.querySelector(what)).map(row => Number(row.dataset.span))"""
ZOOMED = re.compile(r"view=\d+-\d+")
WHOLE = re.compile(r"^(?!.*view=)")
BOXES = """() => [...document.querySelectorAll('.row')].filter(row => row.querySelector('.bar-of')).map(row => {
  const bar = row.querySelector('.bar-of').getBoundingClientRect();
  const room = row.querySelector('.cell-time').getBoundingClientRect();
  const width = room.width - 1;  // without its border
  return [Number(row.dataset.span), (bar.left - room.left - 1) / width, bar.width / width, width];
})"""


def opened(open_page: OpenPage, address: str, **options: Any) -> Any:
    page = open_page(address, **options)
    page.locator(".row").first.wait_for()
    page.locator(".grid").focus()
    return page


def expect_active(page: Any, name: str) -> None:
    expect(page.locator(".row.is-active .name")).to_have_text(name)


def assert_drawn_as(page: Any, trace: dict[str, Any], begin: float, end: float, least: int) -> None:
    boxes = page.evaluate(BOXES)
    assert len(boxes) >= least
    columns = trace["columns"]
    for span, left, width, pixels in boxes:
        start = max(begin, columns["start"][span])
        finish = min(end, columns["end"][span])
        assert left == pytest.approx((start - begin) / (end - begin), abs=1.5 / pixels)
        assert width == pytest.approx((finish - start) / (end - begin), abs=3.5 / pixels)


def test_bars_lie_where_the_times_say(open_page: OpenPage, site: str) -> None:
    trace = asked(site, f"/api/traces/{demo_ids(site)[0]}")
    page = opened(open_page, f"{site}/traces/{trace['trace_id']}", height=1600)
    expect(page.locator(".row")).to_have_count(trace["spans"])
    assert_drawn_as(page, trace, 0, trace["duration_ns"], trace["spans"])


def test_zoomed_bars_lie_where_the_times_say_too(open_page: OpenPage, site: str) -> None:
    trace = asked(site, f"/api/traces/{folders.BIG}")
    begin, end = 100_000_000, 140_000_000
    page = opened(
        open_page, f"{site}/traces/{trace['trace_id']}?view={begin}-{end}&span={trace['columns']['span_id'][110]}"
    )
    page.locator(".row[data-span='110'] .bar-of").wait_for()
    columns = trace["columns"]
    seen = page.evaluate(SPANS_WITH, ".bar-of")
    assert all(columns["end"][span] >= begin and columns["start"][span] <= end for span in seen)
    assert_drawn_as(page, trace, begin, end, 10)


def test_the_critical_path_is_drawn_under_the_bars_that_it_passes(open_page: OpenPage, site: str) -> None:
    trace = asked(site, f"/api/traces/{demo_ids(site)[0]}")
    page = opened(open_page, f"{site}/traces/{trace['trace_id']}", height=1600)
    passed = {span for span, *_ in trace["critical"]["segments"] if span >= 0}
    expect(page.locator(".row:has(.critical)")).to_have_count(len(passed))
    assert sorted(page.evaluate(SPANS_WITH, ".critical")) == sorted(passed)
    page.keyboard.press("c")
    expect(page.locator(".critical")).to_have_count(0)
    page.get_by_role("button", name="all ").click()
    expect(page.locator(".ranked li")).to_have_count(len(passed))


def test_arrows_walk_the_tree_and_fold_it(open_page: OpenPage, site: str) -> None:
    page = opened(open_page, f"{site}/traces/{demo_ids(site)[0]}")
    whole = page.locator(".grid").get_attribute("aria-rowcount")
    page.keyboard.press("ArrowDown")
    expect_active(page, "search")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    expect_active(page, "summarise_all")
    expect(page.locator(".row[aria-expanded=false]")).to_have_count(1)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".grid")).to_have_attribute("aria-rowcount", whole)
    page.keyboard.press("ArrowRight")
    expect_active(page, "fan_out")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect_active(page, "search")
    page.keyboard.press("End")
    expect_active(page, "chat gpt-4o-mini")
    page.keyboard.press("Home")
    expect_active(page, "research_agent")


def test_enter_opens_the_panel_and_escape_closes_it(open_page: OpenPage, site: str) -> None:
    page = opened(open_page, f"{site}/traces/{demo_ids(site)[0]}")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    panel = page.get_by_role("complementary", name="Span")
    expect(panel.locator("h2")).to_contain_text("search")
    page.keyboard.press("ArrowDown")
    panel.get_by_role("heading", name="fan_out").wait_for()
    page.keyboard.press("Escape")
    panel.wait_for(state="detached")
    expect(page).to_have_url(f"{site}/traces/{demo_ids(site)[0]}")
    expect(page.locator(".grid")).to_be_focused()


def test_e_leads_to_the_next_error(open_page: OpenPage, site: str) -> None:
    page = opened(open_page, f"{site}/traces/{folders.BIG}")
    for name in ("call 7", "call 1007", "call 2007"):
        page.keyboard.press("e")
        expect_active(page, name)
    page.keyboard.press("E")
    expect_active(page, "call 1007")
    page.keyboard.press("Home")
    page.keyboard.press("E")
    expect_active(page, "call 19007")


def test_what_is_found_is_counted_and_walked_through_even_where_it_was_folded(open_page: OpenPage, site: str) -> None:
    page = opened(open_page, f"{site}/traces/{demo_ids(site)[0]}")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".row")).to_have_count(1)
    page.keyboard.press("/")
    page.keyboard.type("QUERY_")
    page.locator(".found").get_by_text("3").wait_for()
    page.keyboard.press("Enter")
    expect_active(page, "query_database")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.keyboard.press("n")
    expect_active(page, "query_archive")
    page.keyboard.press("N")
    expect_active(page, "query_web")
    expect(page.locator(".row.is-found")).to_have_count(3)
    page.reload()
    page.locator(".found").get_by_text("3").wait_for()


def test_zoom_is_in_the_address_and_fit_takes_it_out(open_page: OpenPage, site: str) -> None:
    page = opened(open_page, f"{site}/traces/{demo_ids(site)[0]}")
    page.keyboard.press("+")
    expect(page).to_have_url(ZOOMED)
    page.keyboard.press("-")
    expect(page).to_have_url(WHOLE)
    page.locator(".axis-time").hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    expect(page).to_have_url(ZOOMED)
    page.keyboard.press("0")
    expect(page).to_have_url(WHOLE)


def test_a_stretch_that_is_dragged_over_the_profile_is_what_is_shown(open_page: OpenPage, site: str) -> None:
    trace = asked(site, f"/api/traces/{demo_ids(site)[0]}")
    page = opened(open_page, f"{site}/traces/{trace['trace_id']}")
    over = page.locator(".profile .u-over")
    over.wait_for()
    box = over.bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.25, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, y, steps=4)
    page.mouse.up()
    expect(page).to_have_url(ZOOMED)
    begin, end = map(int, page.url.partition("view=")[2].split("-"))
    assert begin == pytest.approx(trace["duration_ns"] * 0.25, rel=0.02)
    assert end == pytest.approx(trace["duration_ns"] * 0.5, rel=0.02)


def test_the_profile_stands_in_line_with_the_waterfall(open_page: OpenPage, site: str) -> None:
    page = opened(open_page, f"{site}/traces/{demo_ids(site)[0]}")
    page.locator(".profile .u-over").wait_for()
    over, axis = (page.locator(what).bounding_box() for what in (".profile .u-over", ".axis-time"))
    assert over["x"] == pytest.approx(axis["x"] + 1, abs=1.5)
    assert over["width"] == pytest.approx(axis["width"] - 1, abs=2)


def test_twenty_thousand_spans_are_a_few_dozen_rows_at_a_time(open_page: OpenPage, site: str) -> None:
    page = opened(open_page, f"{site}/traces/{folders.BIG}")
    expect(page.locator(".grid")).to_have_attribute("aria-rowcount", str(folders.BIG_SPANS + 1))
    assert page.locator(".row").count() < 80
    page.keyboard.press("End")
    page.locator(".row[data-span='19999']").wait_for()
    assert page.locator(".row").count() < 80


def test_an_open_span_an_event_and_a_first_chunk_are_marked(open_page: OpenPage, site: str) -> None:
    page = opened(open_page, f"{site}/traces/{folders.TALK}")
    expect(page.locator(".row", has_text="still open").locator(".bar-of.status-pending")).to_have_count(1)
    expect(page.locator(".row", has_text="still open").locator(".cell-duration")).to_have_text("open")
    expect(page.locator(".first-chunk")).to_have_count(1)
    page.goto(f"{site}/traces/{demo_ids(site)[0]}")
    page.locator(".row", has_text="fan_out").locator(".tick").first.wait_for()


def test_the_keys_are_told_on_a_question_mark(open_page: OpenPage, site: str) -> None:
    page = opened(open_page, f"{site}/traces/{demo_ids(site)[0]}")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("the next error")
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
