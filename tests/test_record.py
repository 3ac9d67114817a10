"""The record on disk: golden lines keep the promise of the format, and whatever stands in a file can be read."""

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prela.record.jsonl import Lines, decode, encode, latest
from prela.record.model import SpanEvent, SpanLink, SpanRecord
from prela.record.text import format_duration, lines, one_line, rows, timeline_bar, totals
from prela.record.tree import Node, forest

GOLDEN = Path(__file__).parent / "golden"

MS = 1_000_000
START = 1_700_000_000_000_000_000


def record(name: str = "span", **fields: Any) -> SpanRecord:
    defaults: dict[str, Any] = {
        "trace_id": "0" * 31 + "1",
        "span_id": "0" * 15 + "1",
        "parent_span_id": None,
        "span_type": "custom",
        "status": "success",
        "status_message": None,
        "start_time_unix_nano": START,
        "end_time_unix_nano": START + 5 * MS,
        "attributes": {},
        "events": (),
        "links": (),
        "service_name": "golden",
        "resource": {},
    }
    return SpanRecord(name=name, **{**defaults, **fields})


def spans(*described: tuple[str, str, str | None, int]) -> list[SpanRecord]:
    """Records from name, id, parent and start in milliseconds; each lasts 10 ms."""
    return [
        record(
            name,
            span_id=span_id,
            parent_span_id=parent,
            start_time_unix_nano=START + at * MS,
            end_time_unix_nano=START + (at + 10) * MS,
        )
        for name, span_id, parent, at in described
    ]


GOLDEN_RECORDS = {
    "plain": record(),
    "values": record(
        attributes={
            "text": 'quotes " and \\ and \n and é and 🎉 and \x00',
            "int": -5,
            "float": 1.5,
            "true": True,
            "none": None,
            "list": [1, "a", [None, {"k": [2.5]}]],
            "bytes": b"\x00\xff",
            "nan": math.nan,
            "inf": math.inf,
            "-inf": -math.inf,
            "large": 2**64,
            "negative": -(2**63) - 1,
            "unsigned": 2**64 - 1,
            "$key": 1,
            "tag": {"$bytes": "aGk="},
            "nested tag": [{"$dict": {"a": 1}}],
            "two dollars": {"$a": 1, "$b": 2},
        }
    ),
    "full": record(
        "chat gpt",
        trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
        span_id="00f067aa0ba902b7",
        parent_span_id="b9c7c989f97918e1",
        span_type="llm",
        status="error",
        status_message="no answer",
        attributes={"gen_ai.request.model": "m"},
        events=(
            SpanEvent(name="exception", time_unix_nano=START + MS, attributes={"exception.type": "ValueError"}),
            SpanEvent(name="bare", time_unix_nano=START + 2 * MS),
        ),
        links=(
            SpanLink(trace_id="a" * 32, span_id="b" * 16, attributes={"raw": b"x"}, trace_state="v=1"),
            SpanLink(trace_id="c" * 32, span_id="d" * 16, attributes={}),
        ),
        resource={"service.name": "golden", "id": b"\x01"},
        kind="client",
        flags=3,
        trace_state="vendor=1",
        scope={"name": "lib", "version": "1"},
        dropped={"attributes": 3, "events": 1},
    ),
    "pending": record(status="pending", end_time_unix_nano=None),
}


# --- golden lines -------------------------------------------------------------------------------------------------


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.jsonl").read_bytes()


@pytest.mark.parametrize("name", GOLDEN_RECORDS)
def test_a_record_is_written_as_exactly_these_bytes(name: str) -> None:
    assert encode(GOLDEN_RECORDS[name]) == golden(name)


@pytest.mark.parametrize("name", GOLDEN_RECORDS)
def test_the_golden_bytes_are_read_as_this_record(name: str) -> None:
    found, expected = decode(golden(name)), GOLDEN_RECORDS[name]
    if name == "values":
        assert math.isnan(found.attributes.pop("nan"))
        expected = msgspec.structs.replace(
            expected, attributes={key: value for key, value in expected.attributes.items() if key != "nan"}
        )
    assert found == expected
    assert list(map(type, found.attributes.values())) == list(map(type, expected.attributes.values()))


def test_a_line_has_the_fields_of_the_format_and_those_that_differ_from_the_default() -> None:
    always = {
        "v",
        "trace_id",
        "span_id",
        "parent_span_id",
        "name",
        "span_type",
        "status",
        "status_message",
        "start_time_unix_nano",
        "end_time_unix_nano",
        "attributes",
        "events",
        "links",
        "service_name",
        "resource",
    }
    assert set(json.loads(golden("plain"))) == always
    assert set(json.loads(golden("full"))) == always | {"kind", "flags", "trace_state", "scope", "dropped"}
    assert json.loads(golden("plain"))["v"] == 1
    assert json.loads(golden("pending"))["end_time_unix_nano"] is None


# --- both ways ----------------------------------------------------------------------------------------------------

words = st.text(max_size=15)
hexes = st.text("0123456789abcdef", min_size=1, max_size=32)
times = st.integers(0, 2**63 - 1)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.just("$bytes"), inner, max_size=3),
    max_leaves=8,
)
attributes = st.dictionaries(words, values, max_size=4)
records = st.builds(
    SpanRecord,
    trace_id=hexes,
    span_id=hexes,
    parent_span_id=st.none() | hexes,
    name=words,
    span_type=words,
    status=st.sampled_from(["success", "error", "cancelled", "pending"]),
    status_message=st.none() | words,
    start_time_unix_nano=times,
    end_time_unix_nano=st.none() | times,
    attributes=attributes,
    events=st.lists(st.builds(SpanEvent, name=words, time_unix_nano=times, attributes=attributes), max_size=2).map(
        tuple
    ),
    links=st.lists(
        st.builds(SpanLink, trace_id=hexes, span_id=hexes, attributes=attributes, trace_state=words), max_size=2
    ).map(tuple),
    service_name=words,
    resource=st.dictionaries(words, words | st.booleans() | st.integers(0, 2**63), max_size=3),
    kind=st.sampled_from(["internal", "server", "client"]) | words,
    flags=st.integers(0, 255),
    trace_state=words,
    scope=st.dictionaries(words, words, max_size=2),
    dropped=st.dictionaries(words, st.integers(0, 100), max_size=2),
)


@settings(deadline=None)
@given(records)
def test_every_record_is_one_line_and_comes_back_the_same(found: SpanRecord) -> None:
    line = encode(found)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == found
    assert decode(line.decode()) == found


@settings(deadline=None)
@given(records)
def test_a_line_is_json_to_any_reader(found: SpanRecord) -> None:
    parsed = json.loads(encode(found), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert parsed["v"] == 1
    assert parsed["name"] == found.name


@pytest.mark.parametrize("field", ["name", "status_message", "service_name", "span_type", "trace_state", "kind"])
def test_lone_surrogates_anywhere_cost_nothing_but_themselves(field: str) -> None:
    found = decode(encode(record(**{field: "a\ud800"})))
    assert getattr(found, field) == "a\\ud800"


def test_lone_surrogates_in_attributes_are_escaped() -> None:
    assert decode(encode(record(attributes={"\ud800": ["\udfff"]}))).attributes == {"\\ud800": ["\\udfff"]}


# --- damaged and foreign files ------------------------------------------------------------------------------------


def test_a_half_written_last_line_costs_only_itself() -> None:
    whole = [encode(record(str(number))) for number in range(3)]
    data = b"".join(whole)
    for length in range(len(data) - len(whole[2]) + 1, len(data) - 1):
        found = Lines(data[:length].splitlines(keepends=True))
        assert [r.name for r in found] == ["0", "1"]
        assert found.bad == 1


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"{}",
        b"[]",
        b"5",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"\x00" * 100,
        b'{"v": 1}',
        b'{"v": 1, "name": 5}',
        encode(record()).replace(b'"v":1', b'"v":2'),
        encode(record()).replace(b'"v":1', b'"v":"1"'),
        encode(record()).replace(b'"attributes":{}', b'"attributes":[]'),
        encode(record()).replace(b'"name":"span"', b'"name":null'),
        b"[" * 100_000,
    ],
    ids=lambda line: repr(line[:20]),
)
def test_foreign_lines_are_counted_and_skipped(line: bytes) -> None:
    found = Lines([encode(record("before")), line + b"\n", b"\n", b"  \n", encode(record("after"))])
    assert [r.name for r in found] == ["before", "after"]
    assert found.bad == 1
    with pytest.raises(ValueError):
        decode(line)


def test_fields_that_a_later_version_adds_are_tolerated() -> None:
    line = encode(record("known", events=[SpanEvent(name="e", time_unix_nano=1)]))
    newer = json.loads(line)
    newer["added"] = {"later": [1]}
    newer["events"][0]["added"] = 2
    assert decode(json.dumps(newer).encode()) == decode(line)


@pytest.mark.parametrize("order", [1, -1])
def test_a_final_record_beats_a_pending_one_in_either_order(order: int) -> None:
    pending = record("pending", status="pending", end_time_unix_nano=None)
    final = record("final", status="error")
    other = record("other", span_id="0" * 15 + "2", status="pending", end_time_unix_nano=None)
    same_id_elsewhere = record("elsewhere", trace_id="f" * 32)
    found = latest([pending, final, other, same_id_elsewhere][::order])
    assert sorted(r.name for r in found) == ["elsewhere", "final", "other"]


def test_of_two_pending_records_the_later_line_stands_and_of_two_final_ones_the_first() -> None:
    pending = [record(name, status="pending", end_time_unix_nano=None) for name in "ab"]
    assert [r.name for r in latest(pending)] == ["b"]
    assert [r.name for r in latest([record("c"), record("d")])] == ["c"]


# --- trees --------------------------------------------------------------------------------------------------------


def shape(nodes: list[Node]) -> list[str]:
    return ["  " * depth + node.record.name for root in nodes for depth, node in root.walk()]


def test_forest_builds_trees_in_the_order_of_starting_whatever_the_order_of_lines() -> None:
    found = spans(("d", "4", "1", 9), ("b", "2", "1", 5), ("c", "3", "2", 6), ("a", "1", None, 1), ("z", "5", None, 0))
    expected = ["z", "a", "  b", "    c", "  d"]
    assert shape(forest(found)) == expected
    assert shape(forest(reversed(found))) == expected


def test_orphans_become_roots() -> None:
    found = spans(("a", "1", "missing", 1), ("b", "2", "1", 2), ("c", "3", "also missing", 3))
    assert shape(forest(found)) == ["a", "  b", "c"]


def test_a_parent_of_another_trace_is_none() -> None:
    a, b = spans(("a", "1", None, 1), ("b", "2", "1", 2))
    assert shape(forest([a, msgspec.structs.replace(b, trace_id="f" * 32)])) == ["a", "b"]


def test_cycles_are_cut_at_their_earliest_span_and_lose_nobody() -> None:
    found = spans(("own parent", "9", "9", 0), ("b", "2", "3", 2), ("c", "3", "1", 3), ("a", "1", "2", 1))
    assert shape(forest(found)) == ["own parent", "a", "  c", "    b"]


def test_a_cycle_keeps_what_hangs_on_it() -> None:
    found = spans(("a", "1", "2", 1), ("b", "2", "1", 2), ("leaf of b", "3", "2", 3), ("sound", "4", None, 0))
    assert shape(forest(found)) == ["sound", "a", "  b", "    leaf of b"]


def test_trees_may_be_deeper_than_python_recurses() -> None:
    found = spans(*((str(n), str(n), str(n - 1) if n else None, n) for n in range(5_000)))
    (root,) = forest(found)
    assert max(depth for depth, _ in root.walk()) == 4_999
    assert len(lines(root)) == 5_000


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 5)), max_size=12))
def test_every_span_is_in_the_forest_once_whatever_the_parents_are(found: list[tuple[int, int, int]]) -> None:
    unique = {span_id: (str(span_id), str(span_id), str(parent), at) for span_id, parent, at in found}
    names = [node.record.name for root in forest(spans(*unique.values())) for _, node in root.walk()]
    assert sorted(names) == sorted(map(str, unique))


# --- text ---------------------------------------------------------------------------------------------------------


def test_a_tree_is_printed_with_branches_marks_durations_and_bars() -> None:
    found = spans(("root", "1", None, 0), ("first", "2", "1", 0), ("inner", "3", "2", 5), ("last", "4", "1", 10))
    found[2] = msgspec.structs.replace(found[2], status="error", status_message="no answer", span_type="llm")
    found[3] = msgspec.structs.replace(found[3], status="cancelled", attributes={"prela.cancel.cause": "deadline"})
    (root,) = forest(found)
    assert lines(root, ascii_only=True) == [
        "+ root                  10 ms  ############............",
        "+ |- first              10 ms  ############............",
        "x |  `- inner [llm]     10 ms  ......############......  no answer",
        "~ `- last               10 ms  ............############  cancelled: deadline",
    ]
    assert [line[:11] for line in lines(root)] == ["✓ root     ", "✓ ├─ first ", "✗ │  └─ inn", "⊘ └─ last  "]


def test_an_open_span_is_printed_as_open() -> None:
    (root,) = forest([record("working", status="pending", end_time_unix_nano=None)])
    (row,) = rows(root)
    assert (row.mark, row.duration, row.status) == ("…", "open", "pending")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "open"),
        (0.0, "0 µs"),
        (1.234e-6, "1.23 µs"),
        (0.000_999, "999 µs"),
        (0.001, "1 ms"),
        (0.012_34, "12.3 ms"),
        (0.999_4, "999 ms"),
        (1.0, "1 s"),
        (12.345, "12.3 s"),
        (60.0, "1 m 00 s"),
        (3_599.0, "59 m 59 s"),
        (3_725.0, "1 h 02 m"),
        (200_000.0, "2.31 d"),
        (1e8, "1157 d"),
    ],
)
def test_durations_have_three_digits_and_a_unit(seconds: float | None, text: str) -> None:
    assert format_duration(seconds) == text


def test_bars_lie_where_the_span_did() -> None:
    begin, end = START, START + 100 * MS

    def bar(first: int, last: int | None) -> str:
        found = record(
            start_time_unix_nano=START + first * MS, end_time_unix_nano=None if last is None else START + last * MS
        )
        return timeline_bar(found, begin, end, width=10, ascii_only=True)

    assert bar(0, 100) == "##########"
    assert bar(0, 50) == "#####....."
    assert bar(50, 100) == ".....#####"
    assert bar(40, 41) == "....#....."
    assert bar(100, 100) == ".........#"
    assert bar(30, None) == "...#######"


@settings(deadline=None)
@given(st.integers(-200, 400), st.integers(-200, 400), st.integers(0, 300), st.integers(1, 40))
def test_a_bar_is_as_wide_as_asked_and_never_empty(first: int, last: int, extent: int, width: int) -> None:
    found = record(start_time_unix_nano=START + first, end_time_unix_nano=START + last)
    bar = timeline_bar(found, START, START + extent, width=width)
    assert len(bar) == width
    assert "█" in bar
    assert "█" in bar.strip("·") and "·" not in bar.strip("·")


HOSTILE = "\x1b[31mred\x1b]0;title\x07\r\nnext\tline\u2028\u202e\x9b2J\x00"


@settings(deadline=None)
@given(st.text())
def test_text_from_a_trace_is_printed_on_one_line_without_control_characters(text: str) -> None:
    for hostile in (text, text + HOSTILE):
        clean = one_line(hostile, 50)
        assert clean.isprintable()
        assert len(clean) <= 51


def test_printable_text_is_printed_as_it_is_and_cut_when_long() -> None:
    assert one_line("héllo wörld 🎉") == "héllo wörld 🎉"
    assert one_line("x" * 200) == "x" * 200
    assert one_line("x" * 201) == "x" * 200 + "…"
    assert one_line("a\x1bb\n") == "a\\x1bb\\x0a"


def test_hostile_names_messages_and_causes_never_reach_the_terminal_as_such() -> None:
    found = [
        record(HOSTILE, span_id="1", status="error", status_message=HOSTILE),
        record(
            HOSTILE, span_id="2", parent_span_id="1", status="cancelled", attributes={"prela.cancel.cause": HOSTILE}
        ),
    ]
    (root,) = forest(found)
    for line in [*lines(root), *lines(root, ascii_only=True)]:
        assert line.isprintable()


def test_totals_count_spans_by_status() -> None:
    statuses = ["success", "error", "success", "cancelled"]
    assert totals(record(status=status) for status in statuses) == "4 spans: 2 success, 1 error, 1 cancelled"
    assert totals([record()]) == "1 span: 1 success"
    assert totals([]) == "no spans"


@pytest.mark.parametrize("dollar", ["$", "\\u0024"])
@pytest.mark.parametrize("as_text", [True, False])
def test_a_tag_is_known_however_json_spells_it(dollar: str, as_text: bool) -> None:
    line = encode(
        SpanRecord(
            trace_id="1" * 32,
            span_id="2" * 16,
            parent_span_id=None,
            name="n",
            span_type="custom",
            status="success",
            status_message=None,
            start_time_unix_nano=1,
            end_time_unix_nano=2,
            attributes={"data": b"\x00\x01"},
            events=(),
            links=(),
            service_name="s",
            resource={},
        )
    ).decode()
    assert "$bytes" in line
    spelled = line.replace("$", dollar)
    assert decode(spelled if as_text else spelled.encode()).attributes == {"data": b"\x00\x01"}
