"""From the list to a trace, to a span, to a comparison: as a person would, with a mouse."""

import json
import os
import re
import urllib.request
from pathlib import Path
from typing import Any

from tests.browser import folders
from tests.browser.conftest import OpenPage, expect, serving
from tests.traces import MS, START, record


def asked(site: str, path: str) -> Any:
    with urllib.request.urlopen(site + path) as response:
        return json.load(response)


def demo_ids(site: str) -> list[str]:
    return [t["trace_id"] for t in asked(site, "/api/traces?limit=100")["traces"] if t["name"] == "research_agent"]


def test_an_empty_folder_says_how_to_begin(open_page: OpenPage, tmp_path: Path) -> None:
    with serving(tmp_path) as base:
        page = open_page(base + "/")
        expect(page.locator(".empty")).to_contain_text("prela demo")


def test_a_trace_that_is_written_while_the_list_is_open_appears_in_it(open_page: OpenPage, tmp_path: Path) -> None:
    with serving(tmp_path) as base:
        page = open_page(base + "/")
        page.locator(".empty").wait_for()
        folders.write(tmp_path, "late", [record("late arrival", end_time_unix_nano=START + MS)])
        page.get_by_text("late arrival").wait_for()


HELD_READING = """
from prela.web import reading
from prela.cli import main
reading._WORTH_TELLING = 1
on_progress = reading.Reading._on_progress
def held(self, progress):
    on_progress(self, progress)
    open({gate!r}).read()  # until somebody writes there
reading.Reading._on_progress = held
main()
"""


def test_a_folder_that_is_still_being_read_is_shown_with_how_far_that_is(open_page: OpenPage, tmp_path: Path) -> None:
    folder, gate = tmp_path / "traces", tmp_path / "gate"
    folder.mkdir()
    os.mkfifo(gate)
    folders.write(folder, "a", [record("first of all", end_time_unix_nano=START + MS)])
    size = (folder / "a.jsonl").stat().st_size
    with serving(folder, source=HELD_READING.format(gate=str(gate)), waits=False) as base:
        page = open_page(base + "/")
        told = page.locator(".indexing")
        expect(told).to_contain_text(f"reading the folder: {size} bytes of {size} bytes, 1 span")
        expect(told.get_by_role("progressbar")).to_have_attribute("value", str(size))
        assert page.locator(".empty").count() == 0
        gate.write_text("go on")
        expect(page.get_by_role("link", name="first of all")).to_have_count(1)
        expect(told).to_have_count(0)


def test_the_slow_call_of_the_demo_is_named_above_its_waterfall(open_page: OpenPage, site: str) -> None:
    page = open_page(site + "/")
    page.get_by_role("link", name="research_agent").first.click()
    page.locator(".chip", has_text="summarise thread pools").click()
    panel = page.get_by_role("complementary", name="Span")
    expect(panel).to_contain_text("chat gpt-4o-mini")
    expect(panel).to_contain_text("Summarise: thread pools")
    expect(panel).to_contain_text("Thread pools run blocking work beside the loop.")


def test_the_list_can_be_narrowed_to_a_name_and_to_errors(open_page: OpenPage, site: str) -> None:
    page = open_page(site + "/")
    page.get_by_label("name or id").fill("research")
    expect(page.locator(".traces tbody tr")).to_have_count(2)
    page.get_by_label("name or id").fill("everything")
    page.get_by_label("with errors").check()
    expect(page.locator(".traces tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile("name=everything.*errors=true"))
    page.reload()
    expect(page.locator(".traces tbody tr")).to_have_count(1)


def test_two_ticked_traces_are_compared_the_older_first(open_page: OpenPage, site: str) -> None:
    newer, older = demo_ids(site)
    page = open_page(site + "/?name=research")
    expect(page.locator(".traces tbody tr")).to_have_count(2)
    for box in page.locator(".traces input[type=checkbox]").all():
        box.check()
    page.get_by_role("link", name="Compare the two").click()
    expect(page).to_have_url(f"{site}/compare?before={older}&after={newer}")
    answer = asked(site, f"/api/compare?before={older}&after={newer}")
    expect(page.locator(".changes tbody tr")).to_have_count(len(answer["changes"]))
    page.locator(".changes tbody tr .pair a").first.click()
    page.get_by_role("complementary", name="Span").wait_for()


def test_what_is_searched_for_leads_to_its_span(open_page: OpenPage, site: str) -> None:
    page = open_page(site + "/search")
    page.get_by_label("name", exact=True).fill("query_archive")
    page.get_by_label("status").select_option("error")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".results tbody tr")).to_have_count(2)
    page.locator(".results tbody a").first.click()
    panel = page.get_by_role("complementary", name="Span")
    panel.get_by_text("ConnectionError").first.wait_for()
    page.go_back()
    page.locator(".results tbody tr").first.wait_for()


def test_a_search_that_makes_no_sense_is_answered_in_words(open_page: OpenPage, site: str) -> None:
    page = open_page(site + "/search?min_duration=soon", may_complain="Failed to load resource")
    assert page.get_by_role("alert").inner_text().strip("✗ ")


def test_what_is_typed_into_the_search_stays_while_the_form_grows(open_page: OpenPage, site: str) -> None:
    page = open_page(site + "/search")
    page.get_by_label("name", exact=True).fill("query_archive")
    page.get_by_role("button", name="+ attribute").click()
    expect(page.get_by_label("attribute")).to_have_count(2)
    page.get_by_label("attribute").first.fill("no.such=thing")
    expect(page.get_by_label("name", exact=True)).to_have_value("query_archive")
    page.get_by_role("button", name="Search").click()
    expect(page).to_have_url(f"{site}/search?name=query_archive&attribute=no.such%3Dthing")


def test_the_stats_have_a_row_for_each_group_and_lead_to_its_spans(open_page: OpenPage, site: str) -> None:
    page = open_page(site + "/stats?by=type")
    expect(page.locator(".totals tbody tr")).to_have_count(len(asked(site, "/api/stats?by=type")["totals"]))
    page.locator(".chart canvas").first.wait_for()
    page.get_by_role("combobox", name="by", exact=True).select_option("name")
    page.get_by_role("link", name="query_archive").click()
    expect(page).to_have_url(re.compile("group=query_archive"))
    row = page.locator(".totals tr", has_text="query_archive")
    row.get_by_role("link", name="spans").click()
    page.locator(".results tbody tr").first.wait_for()


def test_where_spans_lie_years_apart_the_charts_say_so_and_lead_to_the_latest(open_page: OpenPage, site: str) -> None:
    page = open_page(site + "/stats")
    expect(page.locator(".quiet-stretch")).to_contain_text("Nothing ran from 2023-")
    page.get_by_role("button", name="What came after").click()
    expect(page).to_have_url(re.compile("since=20"))
    first = asked(site, f"/api/traces/{demo_ids(site)[1]}")["begin"]
    shown = page.evaluate("Date.parse(new URLSearchParams(location.search).get('since'))")
    assert shown == int(first) // 1_000_000
    expect(page.locator(".totals tr", has_text="query_archive")).to_have_count(1)
    expect(page.locator(".totals tr", has_text="everything")).to_have_count(0)


def test_a_call_of_a_model_is_a_conversation_with_tools_and_its_stream(open_page: OpenPage, site: str) -> None:
    page = open_page(f"{site}/traces/{folders.TALK}?span={'2' * 16}")
    expect(page.locator(".message")).to_have_count(6)
    roles = [text.split()[0] for text in page.locator(".message > header").all_inner_texts()]
    assert roles == ["system", "user", "assistant", "tool", "user", "assistant"]
    assert '"city": "Paris"' in page.locator(".tool.call").inner_text()
    assert "weather answers" in page.locator(".tool.result").inner_text()
    assert "image" in page.locator(".media").inner_text()
    for fact in ("1,200, 1,000 of them cached", "200 tokens/s", "gpt-4o (answered by gpt-4o-2026)"):
        expect(page.locator(".panel")).to_contain_text(fact)
    page.get_by_label("find in attributes").fill("chunks")
    expect(page.locator(".attributes dt")).to_have_count(1)


def test_a_trace_that_is_not_there_is_said_to_be_missing(open_page: OpenPage, site: str) -> None:
    page = open_page(f"{site}/traces/{'9' * 32}", may_complain="Failed to load resource")
    expect(page.get_by_role("alert")).to_contain_text("9999")


def test_the_theme_that_was_chosen_is_there_after_a_reload(open_page: OpenPage, site: str) -> None:
    page = open_page(site + "/", color_scheme="light")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_label("Theme: as the system").click()
    page.get_by_label("Theme: light").click()
    page.get_by_label("Theme: dark").wait_for()
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark


def test_every_module_that_a_page_needs_is_asked_for_by_the_page_itself(open_page: OpenPage, site: str) -> None:
    page = open_page(site + "/")
    page.locator(".traces").wait_for()
    named = set(page.locator("link[rel=modulepreload]").evaluate_all("links => links.map(link => link.href)"))
    loaded = "performance.getEntriesByType('resource').map(entry => entry.name).filter(name => name.endsWith('.js'))"
    besides = {f"{site}/static/{name}" for name in ("app.js", "theme.js")}
    assert set(page.evaluate(loaded)) == named | besides
