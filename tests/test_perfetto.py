"""Records as a Perfetto trace: every track nests, every span is there once, and the times survive."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prela.record.model import SpanEvent, SpanLink, SpanRecord
from prela.record.perfetto import _microseconds, encode_trace
from tests.traces import TRACE_ID, any_records, at, cancelled, chain, record, records_of, span

Events = list[dict[str, Any]]


def events(records: list[SpanRecord], **options: Any) -> Events:
    found: Events = json.loads(encode_trace(records, **options))["traceEvents"]
    return found


def slices(found: Events) -> Events:
    return [event for event in found if event["ph"] == "X"]


def nanoseconds(microseconds: float) -> int:
    return round(microseconds * 1000)


def tracks(records: list[SpanRecord]) -> dict[str, str]:
    """The name of each span's track."""
    found = events(records)
    names = {
        (event["pid"], event["tid"]): event["args"]["name"] for event in found if event.get("name") == "thread_name"
    }
    return {event["name"]: names[event["pid"], event["tid"]] for event in slices(found)}


def on_task(number: int, name: str = "") -> dict[str, Any]:
    return {"attributes": {"prela.task.id": number, "prela.task.name": name}}


# --- what holds for every trace -------------------------------------------------------------------------------------


@given(any_records())
def test_on_each_track_slices_nest_or_lie_apart(records: list[SpanRecord]) -> None:
    by_track: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for event in slices(events(records)):
        start = nanoseconds(event["ts"])
        by_track.setdefault((event["pid"], event["tid"]), []).append((start, start + nanoseconds(event["dur"])))
    for found in by_track.values():
        for i, (start, end) in enumerate(found):
            for other_start, other_end in found[:i]:
                is_apart = end <= other_start or other_end <= start
                is_within = other_start <= start and end <= other_end
                is_around = start <= other_start and other_end <= end
                assert is_apart or is_within or is_around


@given(any_records())
def test_a_slice_lies_only_within_slices_of_spans_above_it(records: list[SpanRecord]) -> None:
    found = slices(events(records))
    parents = {event["args"]["span_id"]: event["args"]["parent_span_id"] for event in found}

    def above(span_id: str) -> set[str]:
        seen: set[str] = set()
        while (parent := parents.get(span_id)) is not None and parent not in seen:
            seen.add(parent)
            span_id = parent
        return seen

    for one in found:
        for other in found:
            if one is other or (one["pid"], one["tid"]) != (other["pid"], other["tid"]):
                continue
            start, other_start = nanoseconds(one["ts"]), nanoseconds(other["ts"])
            end, other_end = start + nanoseconds(one["dur"]), other_start + nanoseconds(other["dur"])
            if other_start < start and end < other_end:
                assert other["args"]["span_id"] in above(one["args"]["span_id"])


@given(any_records())
def test_every_record_is_one_slice(records: list[SpanRecord]) -> None:
    found = slices(events(records))
    assert Counter(event["args"]["span_id"] for event in found) == Counter(record.span_id for record in records)


@given(any_records())
def test_a_slice_has_the_times_of_its_record_to_the_nanosecond(records: list[SpanRecord]) -> None:
    document = json.loads(encode_trace(records))
    origin = int(document["otherData"]["origin_time_unix_nano"])
    by_id = {record.span_id: record for record in records}
    for event in slices(document["traceEvents"]):
        one = by_id[event["args"]["span_id"]]
        assert origin + nanoseconds(event["ts"]) == one.start_time_unix_nano
        if one.end_time_unix_nano is not None:
            length = max(0, one.end_time_unix_nano - one.start_time_unix_nano)
            assert nanoseconds(event["dur"]) == length


@given(any_records())
def test_every_track_and_process_is_named_once(records: list[SpanRecord]) -> None:
    found = events(records)
    names = Counter((e["pid"], e["tid"]) for e in found if e["name"] == "thread_name")
    assert names == dict.fromkeys({(e["pid"], e["tid"]) for e in found if e["ph"] != "M"}, 1)
    processes = Counter(e["pid"] for e in found if e["name"] == "process_name")
    assert processes == dict.fromkeys({e["pid"] for e in found}, 1)


@given(any_records())
def test_every_arrow_has_two_ends_in_the_order_of_time_each_in_a_slice(records: list[SpanRecord]) -> None:
    found = events(records)
    ends: dict[int, Events] = {}
    for event in found:
        if event["ph"] in "sf":
            ends.setdefault(event["id"], []).append(event)
    for pair in ends.values():
        assert sorted(event["ph"] for event in pair) == ["f", "s"]
        assert {e["ph"]: e["ts"] for e in pair}["s"] <= {e["ph"]: e["ts"] for e in pair}["f"]
        for end in pair:
            assert any(
                (end["pid"], end["tid"], end["ts"]) == (one["pid"], one["tid"], one["ts"]) for one in slices(found)
            )


@given(st.integers(-(10**18), 10**18))
def test_microseconds_give_the_nanoseconds_back_to_readers_that_round_and_to_those_that_cut(number: int) -> None:
    small = number % 10**15  # eleven days: beyond, a float has no room for the digits
    assert int(_microseconds(small) * 1000) == small
    assert nanoseconds(_microseconds(small)) == small
    assert int(_microseconds(-small) * 1000) == -small


# --- tracks ---------------------------------------------------------------------------------------------------------


def test_each_task_has_a_track_and_spans_that_name_none_are_on_their_parents() -> None:
    records = records_of(
        span(
            "root",
            0,
            10,
            span("one", 1, 9, span("inside", 2, 3), **on_task(2, "worker 1")),
            span("two", 1, 9, **on_task(3, "worker 2")),
            **on_task(1, "main"),
        )
    )
    assert tracks(records) == {"root": "main", "one": "worker 1", "inside": "worker 1", "two": "worker 2"}


def test_a_thread_that_a_span_names_has_a_track() -> None:
    threads = {"attributes": {"thread.id": 5, "thread.name": "pool-0"}}
    assert tracks(records_of(span("root", 0, 9, span("work", 1, 2, **threads)))) == {"root": "root", "work": "pool-0"}


def test_tracks_without_a_name_have_their_number() -> None:
    records = records_of(
        span("task", 0, 9, attributes={"prela.task.id": 5}), span("thread", 0, 9, attributes={"thread.id": 6})
    )
    assert tracks(records) == {"task": "task 5", "thread": "thread 6"}


def test_siblings_that_overlap_without_a_task_are_on_lanes_and_lanes_are_used_again() -> None:
    records = records_of(span("root", 0, 20, span("a", 1, 6), span("b", 2, 8), span("c", 9, 12), span("d", 10, 11)))
    assert tracks(records) == {"root": "root", "a": "root", "b": "root (2)", "c": "root", "d": "root (2)"}


def test_what_is_below_a_span_on_a_lane_is_on_that_lane() -> None:
    records = records_of(span("root", 0, 20, span("a", 1, 6), span("b", 2, 8, span("below", 3, 5))))
    assert tracks(records)["below"] == "root (2)"


def test_a_short_sibling_is_not_drawn_within_the_long_one_beside_it() -> None:
    assert tracks(records_of(span("root", 0, 20, span("long", 1, 9), span("short", 3, 5))))["short"] == "root (2)"


def test_services_and_resources_are_processes() -> None:
    records = records_of(
        span("client", 0, 9, span("server", 1, 8, service_name="far"), span("again", 1, 8, resource={"host": b"\x00"}))
    )
    found = events(records)
    assert [e["args"]["name"] for e in found if e["name"] == "process_name"] == ["service", "far", "service"]
    assert [e["pid"] for e in slices(found)] == [1, 2, 3]


def test_traces_of_one_process_share_it_and_have_tracks_of_their_own() -> None:
    records = [record("one"), record("two", trace_id="2" * 32)]
    found = events(records)
    assert {e["pid"] for e in found} == {1}
    assert len({e["tid"] for e in slices(found)}) == 2


# --- what a slice says ----------------------------------------------------------------------------------------------


def test_a_slice_has_its_type_status_and_attributes() -> None:
    (one,) = slices(
        events(records_of(span("chat", 2, 5, span_type="llm", attributes={"model": "m", "raw": b"x"}, kind="client")))
    )
    assert (one["name"], one["cat"], one["ts"], one["dur"]) == ("chat", "llm", 0.0, 3000.0)
    assert one["args"]["attributes"] == {"model": "m", "raw": {"$bytes": "eA=="}}
    assert (one["args"]["status"], one["args"]["kind"]) == ("success", "client")
    assert "cname" not in one


def test_errors_cancelled_and_pending_spans_have_a_colour_and_say_why() -> None:
    records = records_of(
        span("bad", 0, 1, status="error", status_message="no"), cancelled("left", 0, 1), span("open", 0, None)
    )
    found = {e["name"]: e for e in slices(events(records, now=at(4)))}
    assert {name: e["cname"] for name, e in found.items()} == {"bad": "terrible", "left": "grey", "open": "yellow"}
    assert found["bad"]["args"]["status_message"] == "no"
    assert found["open"]["dur"] == 4000.0


def test_events_of_a_span_are_marks_on_its_track() -> None:
    mark = SpanEvent(name="retry", time_unix_nano=at(3), attributes={"n": 1})
    found = events(records_of(span("root", 0, 9, events=[mark])))
    (one,) = [e for e in found if e["ph"] == "i"]
    assert (one["name"], one["ts"], one["args"], one["s"]) == ("retry", 3000.0, {"n": 1}, "t")
    assert (one["pid"], one["tid"]) == (slices(found)[0]["pid"], slices(found)[0]["tid"])


def test_a_link_is_an_arrow_from_the_span_that_started_first() -> None:
    link = SpanLink(trace_id=TRACE_ID, span_id=f"{2:016x}", attributes={"prela.link.kind": "batch"})
    found = events(records_of(span("root", 0, 9, span("first", 1, 3), span("second", 4, 5, links=[link]))))
    arrows = [(e["ph"], e["name"], e["ts"]) for e in found if e["ph"] in "sf"]
    assert arrows == [("s", "batch", 1000.0), ("f", "batch", 4000.0)]


def test_a_link_to_what_is_not_there_or_to_itself_is_no_arrow() -> None:
    links = [SpanLink(trace_id=TRACE_ID, span_id=f"{i:016x}", attributes={}) for i in (1, 99)]
    assert [e for e in events(records_of(span("root", 0, 9, links=links))) if e["ph"] in "sf"] == []


@pytest.mark.parametrize("name", ["</script>", "\ud800", "\x00", "a" * 100_000])
def test_any_name_is_valid_json(name: str) -> None:
    (one,) = slices(events([record(name, service_name=name, span_type=name)]))
    assert one["name"] == name.encode(errors="backslashreplace").decode()


def test_no_records_are_an_empty_trace() -> None:
    assert json.loads(encode_trace([]))["traceEvents"] == []


def test_a_trace_deeper_than_pythons_stack_is_one_track() -> None:
    found = slices(events(chain(5_000)))
    assert len({event["tid"] for event in found}) == 1
    assert found[0]["ts"] == 0.0
