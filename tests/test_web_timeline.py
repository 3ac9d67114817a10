"""The columns of a trace, against trees whose answer was worked out by hand."""

import json
from itertools import pairwise
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the web view is an extra")

from hypothesis import given

from prela.record.model import SpanEvent, SpanRecord
from prela.store.store import TraceSummary
from prela.web.timeline import MOST_MARKS, Timeline
from tests.traces import MS, START, TRACE_ID, any_records, at, cancelled, record, records_of, span

SUMMARY = TraceSummary(TRACE_ID, "root", "service", START, 0.1, 3, 0, 0, 0, 0, 0, None)


def told(records: list[SpanRecord]) -> Any:
    return json.loads(Timeline(SUMMARY, records).encoded)


def ms(*times: float) -> list[int]:
    return [round(time * MS) for time in times]


def test_the_columns_of_a_small_trace() -> None:
    found = told(
        records_of(
            span(
                "root",
                0,
                100,
                span("late", 60, 110, span_type="llm", attributes={"gen_ai.response.time_to_first_chunk": 0.02}),
                span("early", 10, 50, cancelled("leaf", 20, 30, cause="deadline"), span("open", 40, None)),
            )
        )
    )
    columns = found["columns"]
    assert [found["names"][i] for i in columns["name"]] == ["root", "early", "leaf", "open", "late"]
    assert [found["types"][i] for i in columns["type"]] == ["custom"] * 4 + ["llm"]
    assert [found["statuses"][i] for i in columns["status"]] == [
        "success",
        "success",
        "cancelled",
        "pending",
        "success",
    ]
    assert [found["services"][i] for i in columns["service"]] == ["service"] * 5
    assert columns["parent"] == [-1, 0, 1, 1, 0]
    assert columns["depth"] == [0, 1, 2, 2, 1]
    assert columns["start"] == ms(0, 10, 20, 40, 60)
    assert columns["end"] == ms(100, 50, 30, 110, 110)
    assert columns["self"] == ms(20, 20, 10, 70, 50)
    assert columns["run"] is columns["ready"] is columns["wait"] is None
    assert (found["begin"], found["duration_ns"]) == (str(START), 110 * MS)
    assert found["notes"] == {"2": "cancelled: deadline"}
    assert found["first_chunk"] == {"4": 20 * MS}
    assert (found["marks"], found["marks_cut"]) == ({}, False)


def test_the_critical_path_concurrency_and_gaps_are_those_of_the_analysis() -> None:
    found = told(records_of(span("root", 0, 100, span("a", 10, 40), span("b", 20, 70))))
    assert found["critical"] == {
        "is_exact": False,
        "basis": "timing",
        "segments": [[0, 0, 20 * MS], [2, 20 * MS, 70 * MS], [0, 70 * MS, 100 * MS]],
    }
    assert found["concurrency"]["steps"] == [
        [time, running] for time, running in zip(ms(0, 20, 40, 100), (1, 2, 1, 0), strict=True)
    ]
    assert (found["concurrency"]["peak"], found["concurrency"]["average"]) == (2, 1.2)
    assert found["idle"] == [ms(70, 100), ms(0, 10)]


def test_a_time_with_no_root_open_has_no_span_on_the_path() -> None:
    found = told(records_of(span("one", 0, 10), span("two", 20, 30)))
    assert found["critical"]["segments"] == [[0, *ms(0, 10)], [-1, *ms(10, 20)], [1, *ms(20, 30)]]


def test_run_ready_and_wait_are_columns_where_any_span_tells_them() -> None:
    times = {"prela.time.run": 0.001, "prela.time.ready": 0.5, "prela.time.wait": 2}
    columns = told(records_of(span("root", 0, 10, span("leaf", 0, 1, attributes=times))))["columns"]
    assert (columns["run"], columns["ready"], columns["wait"]) == ([None, MS], [None, 500 * MS], [None, 2_000 * MS])


@pytest.mark.parametrize("value", ["1", True, None, -1, float("nan"), float("inf"), 1e300, [1], 10**30])
def test_a_time_that_is_none_is_not_told(value: Any) -> None:
    attributes = {"gen_ai.response.time_to_first_chunk": value, "prela.time.run": value}
    found = told(records_of(span("root", 0, 10, attributes=attributes)))
    assert (found["first_chunk"], found["columns"]["run"]) == ({}, [None])


def test_events_are_marks_up_to_a_bound_and_then_it_is_said() -> None:
    def with_events(*counts: int) -> Any:
        events = [[SpanEvent(name=f"e{i}", time_unix_nano=at(i)) for i in range(count)][::-1] for count in counts]
        return told(records_of(*(span("root", 0, 1, events=found) for found in events)))

    assert with_events(2)["marks"] == {"0": [[0, "e0"], [MS, "e1"]]}
    for counts, is_cut in (((MOST_MARKS,), False), ((MOST_MARKS + 1,), True), ((MOST_MARKS, 1), True)):
        found = with_events(*counts)
        assert (sum(map(len, found["marks"].values())), found["marks_cut"]) == (MOST_MARKS, is_cut)
    assert with_events(MOST_MARKS, 0)["marks_cut"] is False


def test_times_of_a_damaged_line_are_answered() -> None:
    event = SpanEvent(name="when", time_unix_nano=10**30)
    found = told(
        [
            record(start_time_unix_nano=-(2**63), end_time_unix_nano=2**63 - 1, events=[event]),
            record(span_id="2" * 16, start_time_unix_nano=2**63 - 1, end_time_unix_nano=-(2**63)),
        ]
    )
    assert (found["begin"], found["duration_ns"]) == (str(-(2**63)), 2**64 - 1)


@given(any_records())
def test_every_trace_however_damaged_is_columns_of_one_length(records: list[SpanRecord]) -> None:
    timeline = Timeline(SUMMARY, records)
    found = json.loads(timeline.encoded)
    columns = {name: values for name, values in found["columns"].items() if values is not None}
    assert {len(values) for values in columns.values()} == {len(records)}
    assert all(parent < at for at, parent in enumerate(columns["parent"]))
    assert all(
        0 <= start <= end <= found["duration_ns"] for start, end in zip(columns["start"], columns["end"], strict=True)
    )
    for at_, span_id in enumerate(columns["span_id"]):
        around = timeline.around(span_id)
        below = [columns["span_id"][i] for i, parent in enumerate(columns["parent"]) if parent == at_]
        assert around.children == below
        for one, other in pairwise(below):
            assert (timeline.around(one).after, timeline.around(other).before) == (other, one)
