"""The plain functions behind the pages, run where they run: in the browser."""

from typing import Any

import pytest

from prela.record.text import format_duration
from tests.browser.conftest import OpenPage


@pytest.fixture
def run(open_page: OpenPage, site: str) -> Any:
    """Evaluates an expression over a module of the pages: `m`."""
    page = open_page(site + "/")
    return lambda module, expression, given=None: page.evaluate(
        f"async (given) => {{ const m = await import('/static/{module}'); return {expression}; }}", given
    )


def test_durations_read_as_in_the_terminal(run: Any) -> None:
    seconds = [
        0,
        1e-9,
        9.994e-7,
        1.5e-6,
        0.00123,
        0.0125,
        0.3636,
        0.9994,
        1.0,
        1.274,
        59.94,
        61,
        3_599,
        7_300,
        200_000,
        1e8,
    ]
    told = run("format.js", "given.map(m.duration)", seconds)
    assert told == [format_duration(second) for second in seconds]
    assert run("format.js", "[m.duration(null), m.duration(-0.5), m.duration(7300), m.duration(216000)]") == [
        "open",
        "−500 ms",
        "2 h 01 m",
        "2.5 d",
    ]


def test_a_time_of_any_trace_is_told_to_the_millisecond_or_as_it_stands(run: Any) -> None:
    assert run("format.js", "m.moment('1700000000123456789').endsWith('.123')")
    assert run("format.js", "m.moment('99999999999999999999999')") == "99999999999999999999999"
    assert run("format.js", "m.moment('never')") == "never"


def test_money_keeps_three_digits_however_little(run: Any) -> None:
    assert run("format.js", "[0, 0.0000225, 0.00000765, 12.3456, null].map(m.cost)") == [
        "$0",
        "$0.0000225",
        "$0.00000765",
        "$12.30",
        "",
    ]


DEPTHS = [0, 1, 2, 2, 1, 0, 1]


def test_the_rows_are_the_spans_that_no_collapsed_one_hides(run: Any) -> None:
    assert run("waterfall/tree.js", "[...m.ends(given)]", DEPTHS) == [5, 4, 3, 4, 5, 7, 7]
    rows = "[...m.visible(m.ends(given.depths), new Set(given.collapsed))]"
    for collapsed, shown in [
        ([], [0, 1, 2, 3, 4, 5, 6]),
        ([1], [0, 1, 4, 5, 6]),
        ([0, 1], [0, 5, 6]),
        ([2], list(range(7))),
    ]:
        assert run("waterfall/tree.js", rows, {"depths": DEPTHS, "collapsed": collapsed}) == shown


def test_what_is_revealed_opens_those_above_and_no_others(run: Any) -> None:
    call = "[...m.revealing(new Set([0, 1, 5]), [-1, 0, 1, 1, 0, -1, 5], given)].sort()"
    assert run("waterfall/tree.js", call, 3) == [5]
    assert run("waterfall/tree.js", call, 4) == [1, 5]
    assert run("waterfall/tree.js", call, 0) == [0, 1, 5]


def test_the_next_of_several_goes_round_the_end(run: Any) -> None:
    call = "[m.nextOf([2, 5, 9], given), m.nextOf([2, 5, 9], given, -1), m.nextOf([], given)]"
    assert run("waterfall/tree.js", call, 5) == [9, 2, None]
    assert run("waterfall/tree.js", call, 9) == [2, 5, None]
    assert run("waterfall/tree.js", call, 0) == [2, 9, None]


def test_zooming_keeps_its_place_and_never_leaves_the_trace(run: Any) -> None:
    zoom = "m.zoomed({from: 100000, to: 300000}, given.factor, given.at, 1000000)"
    assert run("waterfall/scale.js", zoom, {"factor": 0.5, "at": 200_000}) == {"from": 150_000, "to": 250_000}
    assert run("waterfall/scale.js", zoom, {"factor": 2, "at": 100_000}) == {"from": 100_000, "to": 500_000}
    assert run("waterfall/scale.js", zoom, {"factor": 4, "at": 300_000}) == {"from": 0, "to": 800_000}
    assert run("waterfall/scale.js", zoom, {"factor": 9, "at": 200_000}) == {"from": 0, "to": 1_000_000}
    assert run("waterfall/scale.js", "m.moved({from: 0, to: 100000}, -1, 1000000)") == {"from": 0, "to": 100_000}
    narrow = run("waterfall/scale.js", "m.between(500, 500, 1000000)")
    assert narrow["to"] - narrow["from"] == 100


def test_ticks_are_round_and_as_many_as_there_is_room_for(run: Any) -> None:
    assert run("waterfall/scale.js", "m.ticks({from: 0, to: 1000}, 5)") == [0, 200, 400, 600, 800, 1000]
    assert run("waterfall/scale.js", "m.ticks({from: 130, to: 190}, 6)") == [130, 140, 150, 160, 170, 180, 190]
    for most in range(1, 20):
        assert len(run("waterfall/scale.js", "m.ticks({from: 17, to: 123456789}, given)", most)) <= most + 1


def test_what_lies_outside_a_view_has_no_place_in_it(run: Any) -> None:
    placed = "m.placed({from: 100, to: 200}, given[0], given[1])"
    assert run("waterfall/scale.js", placed, [0, 99]) is None
    assert run("waterfall/scale.js", placed, [201, 300]) is None
    assert run("waterfall/scale.js", placed, [50, 150]) == {
        "left": 0,
        "width": 50,
        "isCutLeft": True,
        "isCutRight": False,
    }
    assert run("waterfall/scale.js", placed, [150, 150])["width"] == 0


def test_stretches_that_nobody_could_tell_apart_are_drawn_as_one(run: Any) -> None:
    call = "m.joined(given.stretches, given.view)"
    view = {"from": 0, "to": 20_000}
    stretches = [[0, 5], [15, 20], [31, 40], [5_000, 6_000], [30_000, 40_000]]
    assert run("waterfall/scale.js", call, {"stretches": stretches, "view": view}) == [
        [0, 20],
        [31, 40],
        [5_000, 6_000],
    ]
    close = {"from": 10, "to": 35}
    assert run("waterfall/scale.js", call, {"stretches": stretches, "view": close}) == [[15, 20], [31, 40]]
    assert run("waterfall/scale.js", call, {"stretches": [], "view": view}) == []


def test_a_view_is_read_from_the_address_as_it_was_written(run: Any) -> None:
    assert run("waterfall/scale.js", "m.read(m.written({from: 1000, to: 5000}, 9000), 9000)") == {
        "from": 1000,
        "to": 5000,
    }
    assert run("waterfall/scale.js", "m.written({from: 0, to: 9000}, 9000)") is None
    for broken in ("", "x-y", "-5", "1-"):
        assert run("waterfall/scale.js", "m.read(given, 9000)", broken) == {"from": 0, "to": 9000}


def test_values_are_told_without_the_tags_that_json_needs(run: Any) -> None:
    tell = "m.plain(given)"
    assert run("panel/values.js", tell, {"$float": "nan"}) == "nan"
    assert run("panel/values.js", tell, {"$bytes": "AAAA"}) == "3 bytes (base64): AAAA"
    assert run("panel/values.js", tell, {"$dict": {"$float": 1}}) == '{\n  "$float": 1\n}'
    assert run("panel/values.js", tell, {"a": [1, None, "x"], "b": {}}) == (
        '{\n  "a": [\n    1,\n    null,\n    "x"\n  ],\n  "b": {}\n}'
    )
    assert run("panel/values.js", "m.plain(JSON.parse('['.repeat(5000) + ']'.repeat(5000))).includes('[…]')")


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"gen_ai.input.messages": '[{"role":"user","content":"hi"}]'}, [["user", "text", "hi"]]),
        (
            {"gen_ai.input.messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
            [["user", "text", "hi"]],
        ),
        (
            {"gen_ai.output.messages": [{"parts": [{"type": "reasoning", "content": "so"}]}]},
            [["assistant", "reasoning", "so"]],
        ),
        ({"gen_ai.system_instructions": "Be brief."}, [["system", "text", "Be brief."]]),
        ({"gen_ai.input.messages": 7}, [["user", "text", "7"]]),
        ({}, []),
    ],
)
def test_messages_of_every_writer_are_one_conversation(
    run: Any, attributes: dict[str, Any], said: list[list[str]]
) -> None:
    call = "m.conversation(given).map(one => [one.role, one.parts[0].kind, one.parts[0].text])"
    assert run("panel/messages.js", call, attributes) == said


def test_the_longest_stretch_of_nothing_is_found(run: Any) -> None:
    for values, gap in [
        ([], [0, 0]),
        ([1], [0, 0]),
        ([0, 0], [0, 2]),
        ([1, 0, 2, 0, 0, 3, 0], [3, 2]),
        ([1, 0, 0, 0], [1, 3]),
    ]:
        assert run("pages/stats.js", "Object.values(m.longestGap(given))", values) == gap
