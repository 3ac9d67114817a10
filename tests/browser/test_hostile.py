"""Traces that were written to break the page that shows them."""

import pytest

from tests.browser import folders
from tests.browser.conftest import OpenPage, expect

PLACES = {
    "/": ".traces tbody tr",
    f"/traces/{folders.HOSTILE}": ".profile canvas",
    f"/traces/{folders.HOSTILE}?span={'0' * 15}1": ".panel .attributes",
    "/search?name=%3Cimg": ".results tbody tr",
    "/stats?by=name": ".totals tbody tr",
    "/stats?by=service": ".chart canvas",
    f"/compare?before={folders.HOSTILE}&after={folders.HOSTILE}": ".empty",
    "/?name=%3Cscript%3Ealert(1)%3C/script%3E": ".empty",
    f"/traces/{folders.HOSTILE}?find=%3Cimg&view=abc-def&span=%22%3E": ".row.is-found",
}
"""Where to look, and what is there once all of it has come."""


@pytest.mark.parametrize("place", PLACES)
def test_markup_in_a_trace_is_shown_and_never_obeyed(open_page: OpenPage, site: str, place: str) -> None:
    page = open_page(site + place)
    page.locator(PLACES[place]).first.wait_for()
    assert page.evaluate("document.querySelectorAll('#app img, #app script, #app iframe').length") == 0
    assert page.title() != "broken in"
    assert page.evaluate("({}).polluted === undefined && !('polluted' in Object.prototype)")


def test_a_hostile_name_is_read_as_it_is_written(open_page: OpenPage, site: str) -> None:
    page = open_page(f"{site}/traces/{folders.HOSTILE}")
    expect(page.locator("h1")).to_have_text(folders.MARKUP)
    expect(page.locator(".row .name", has_text="(no name)")).to_have_count(1)
    box = page.locator(".row", has_text="nnnnnn").bounding_box()
    assert box["height"] == 26


def test_ten_megabytes_of_text_are_shown_in_pieces(open_page: OpenPage, site: str) -> None:
    page = open_page(f"{site}/traces/{folders.HOSTILE}?span={'0' * 15}1")
    more = page.get_by_role("button", name=f"{folders.LONG_TEXT:,}")
    more.wait_for()
    assert page.evaluate("document.querySelector('.panel').textContent.length") < 50_000
    more.click()
    expect(page.locator(".panel")).to_contain_text("x" * 50_000)


def test_no_digit_of_a_large_integer_is_lost(open_page: OpenPage, site: str) -> None:
    page = open_page(f"{site}/traces/{folders.HOSTILE}?span={'0' * 15}1")
    page.locator(".attributes dd").get_by_text(str(2**63 - 1)).wait_for()


def test_two_thousand_levels_can_be_walked_to_the_last(open_page: OpenPage, site: str) -> None:
    page = open_page(f"{site}/traces/{folders.DEEP}")
    page.locator(".row").first.wait_for()
    page.locator(".grid").focus()
    page.keyboard.press("End")
    row = page.locator(f".row[data-span='{folders.DEPTH - 1}']")
    row.wait_for()
    assert row.get_attribute("aria-level") == str(folders.DEPTH)
    assert row.locator(".name").bounding_box()["width"] > 20


def test_a_cycle_of_parents_is_shown_once_round(open_page: OpenPage, site: str) -> None:
    page = open_page(f"{site}/traces/{folders.CYCLE}")
    expect(page.locator(".row")).to_have_count(2)
    assert sorted(page.locator(".row .name").all_inner_texts()) == ["egg", "hen"]
