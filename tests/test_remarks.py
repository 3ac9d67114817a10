"""What a record says of a span's time and its end, in words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prela.record import facts
from prela.record.model import SpanEvent, SpanLink
from prela.record.remarks import Remark, remarks
from prela.record.text import Pending, note, pending_note, rows
from prela.record.tree import forest
from tests.insight import STACK, records
from tests.traces import MS, START, TRACE_ID, at, record

A, B = "a" * 16, "b" * 16


def said(attributes: dict[str, Any], **fields: Any) -> list[tuple[str, tuple[str, ...]]]:
    found = remarks(record(end_time_unix_nano=START + MS, attributes=attributes, **fields))
    return [(remark.text, remark.spans) for remark in found]


@pytest.mark.parametrize(
    ("attributes", "text", "spans"),
    [
        ({}, "was cancelled and nothing says why", ()),
        ({"prela.cancel.cause": "unknown"}, "was cancelled and nothing says why", ()),
        ({"prela.cancel.cause": "deadline"}, "was cancelled because a deadline had passed", ()),
        (
            {"prela.cancel.cause": "explicit", "prela.cancel.by": "Task-3", "prela.cancel.by_span": A},
            "was cancelled because it was told to stop, by Task-3 in",
            (A,),
        ),
        (
            {"prela.cancel.cause": "explicit", "prela.cancel.by_span": A},
            "was cancelled because it was told to stop, by",
            (A,),
        ),
        (
            {"prela.cancel.cause": "sibling_failed", "prela.cancel.reason": "boom\n!", "prela.cancel.by": "Task-3"},
            "was cancelled because a sibling had failed (boom\\x0a!), by Task-3",
            (),
        ),
        ({"prela.cancel.cause": "shutdown"}, "was cancelled because the program was ending", ()),
        ({"prela.cancel.cause": "disconnect"}, "was cancelled because the client had gone", ()),
        ({"prela.cancel.cause": "a whim"}, "was cancelled (a whim)", ()),
        ({"prela.cancel.cause": 7, "prela.cancel.by_span": 7}, "was cancelled and nothing says why", ()),
    ],
)
def test_a_cancellation_says_why_and_by_whom(attributes: dict[str, Any], text: str, spans: tuple[str, ...]) -> None:
    assert said(attributes, status="cancelled") == [(text, spans)]
    assert said(attributes) == []


def test_a_deadline_says_where_it_had_been_set() -> None:
    deadline = {"prela.cancel.cause": "deadline", "prela.cancel.scope": "research"}
    passed = ("was cancelled because a deadline had passed", ())
    assert said(deadline, status="cancelled") == [passed, ("the deadline had been set in research", ())]
    assert said({**deadline, "prela.cancel.scope_span": B}, status="cancelled") == [
        passed,
        ("the deadline had been set in", (B,)),
    ]
    cancelled = record(end_time_unix_nano=START + MS, attributes={"prela.cancel.cause": "deadline"}, status="cancelled")
    assert remarks(cancelled, deadline_in=A)[1] == Remark("cancelled", "the deadline had been set in", (A,))
    told_itself = {**deadline, "prela.cancel.scope_span": B}
    itself = record(end_time_unix_nano=START + MS, attributes=told_itself, status="cancelled")
    assert remarks(itself, deadline_in=A)[1].spans == (B,)


@pytest.mark.parametrize(
    ("attributes", "text", "spans"),
    [
        ({"prela.leaked": True}, "was never ended by its program", ()),
        (
            {"prela.leaked": True, "prela.leaked.where": "a.py:7 in f"},
            "was never ended by its program; it was started at a.py:7 in f",
            (),
        ),
        ({"prela.stall.victim_of": [A, B, A], "prela.stall.exposed": 0.1}, "was held up for 100 ms at most by", (A, B)),
        ({"prela.stall.victim_of": A}, "was held up by", (A,)),
        (
            {"prela.stall.exposed": 0.1},
            "was held up for 100 ms at most while code without a span held its event loop",
            (),
        ),
        ({"prela.time.longest_step": 0.04}, "ran 40 ms at one go", ()),
        (
            {
                "prela.time.longest_step": 0.04,
                "prela.time.longest_step.place": "a.py:7 in f",
                "prela.time.sampled": True,
            },
            "ran about 40 ms at one go, at a.py:7 in f",
            (),
        ),
        ({"prela.wait.for": "lock"}, "waited for the lock", ()),
        ({"prela.time.queued": 0.25}, "waited 250 ms until a thread took it up", ()),
        (
            {"prela.wait.for": "limiter", "prela.wait.name": "pool", "prela.wait.ahead": 1, "prela.wait.held_by": [A]},
            "waited for the limiter pool, behind 1 other, held by",
            (A,),
        ),
        (
            {
                "prela.group.first_failure": "fetch",
                "prela.group.first_failure_span": A,
                "prela.group.cancelled": 3,
            },
            "3 were cancelled; the first to fail was",
            (A,),
        ),
        ({"prela.group.first_failure": "fetch", "prela.group.cancelled": 0}, "fetch failed first", ()),
    ],
)
def test_what_was_recorded_of_a_span_is_a_sentence(
    attributes: dict[str, Any], text: str, spans: tuple[str, ...]
) -> None:
    assert said(attributes) == [(text, spans)]


def test_a_stall_is_told_with_its_stack_and_its_victims() -> None:
    compute = records()[1]
    assert remarks(compute, victims=[A, B])[:2] == [
        Remark("stall", "held its event loop for 120 ms, after 50 ms", (), STACK),
        Remark("stall", "held up 2 other spans:", (A, B)),
    ]


def test_links_say_what_they_are_for() -> None:
    kinds = ("spawn", "join", "join", "signal", "pull", "other", None)
    links = [
        SpanLink(trace_id=TRACE_ID, span_id=str(n) * 16, attributes={} if kind is None else {"prela.link.kind": kind})
        for n, kind in enumerate(kinds)
    ]
    assert said({}, links=links) == [
        ("waited for the end of", ("1" * 16, "2" * 16)),
        ("waited for a signal of", ("3" * 16,)),
        ("took items from", ("4" * 16,)),
        ("was started by", ("0" * 16,)),
    ]


def test_a_span_without_an_end_is_open_or_was_cut_off_and_its_age_is_told() -> None:
    pending = record(status="pending", end_time_unix_nano=None)
    heard, later = START + 120 * 10**9, START + 7_320 * 10**9
    assert remarks(pending) == []
    for state, mark, duration, told in (
        ("open", "…", "open", "open for 2 h 02 m"),
        ("interrupted", "†", "cut off", "interrupted 2 h 00 m ago, after 2 m 00 s at least"),
        ("", "…", "open", "not ended: ran for 2 m 00 s at least"),
    ):
        known = Pending(state, heard)
        assert remarks(pending, pending=known, now=later) == [Remark(state or "pending", told)]
        (row,) = rows(forest([pending])[0], pending={pending.span_id: known}, now=later)
        assert (row.mark, row.duration, row.note) == (mark, duration, told)
    assert rows(forest([pending])[0])[0].note == ""


def test_a_span_is_known_to_have_run_until_it_was_written_down() -> None:
    pending = record(status="pending", end_time_unix_nano=None, attributes={"prela.pending.age": 1.5})
    assert pending_note(pending, Pending(), START) == "not ended: ran for 1.5 s at least"
    assert pending_note(pending, Pending("interrupted", START + 10**9), START) == (
        "interrupted 0 µs ago, after 1.5 s at least"
    )


def test_a_stack_that_is_a_list_of_calls_is_turned_round_and_text_stays_as_it_is() -> None:
    def stack(value: Any) -> str:
        attributes = {"prela.stall.duration": 0.1, "prela.stall.stack": value}
        event = SpanEvent(name=facts.STALL, time_unix_nano=START, attributes=attributes)
        return facts.stalls(record(events=[event]))[0].stack

    assert stack(["inner", 7, "outer"]) == "outer\ninner"
    assert stack("one\ntwo") == "one\ntwo"
    assert stack(None) == stack(7) == ""


def test_a_stall_lies_before_the_event_that_tells_of_it_and_within_its_span() -> None:
    attributes = {"prela.stall.duration": 0.1}
    found = [
        facts.stalls(record(events=[SpanEvent(name=facts.STALL, time_unix_nano=at(when), attributes=attributes)]))
        for when in (250, 50, -10)
    ]
    assert [(stall.begin, stall.end) for (stall,) in found] == [(at(150), at(250)), (START, at(50)), (START, START)]


def test_notes_tell_of_stalls_and_leaks_where_nothing_worse_is_to_be_told() -> None:
    found = {record.name: note(record) for record in records()}
    assert found["compute"] == "held its event loop for 120 ms"
    assert found["reader"] == "held up for 120 ms at most"
    assert found["forgotten"] == "leaked: started at agent.py:7 in main"
    assert found["failing"] == "no route"
    assert found["loser"] == "cancelled: sibling_failed"
    assert found["writer"] == found["later"] == found["agent"] == ""


def test_bars_are_shaded_by_the_shares_of_running_being_ready_and_waiting() -> None:
    def bar(attributes: dict[str, Any], *, ascii_only: bool = False) -> str:
        found = record(end_time_unix_nano=START + 1_000 * MS, attributes=attributes)
        return rows(forest([found])[0], ascii_only=ascii_only)[0].bar

    times = {"prela.time.run": 0.25, "prela.time.ready": 0.25, "prela.time.wait": 0.5}
    assert bar(times) == "█" * 6 + "▓" * 6 + "░" * 12
    assert bar(times, ascii_only=True) == "#" * 6 + "=" * 6 + "-" * 12
    assert bar({**times, "prela.time.wait": 1e6}) == "░" * 24
    assert bar({"prela.time.run": 0.25}) == "█" * 24
    assert bar({"prela.wait.for": "lock"}) == "░" * 24


def test_a_row_tells_the_times_and_whether_they_were_sampled() -> None:
    times = {"prela.time.run": 0.25, "prela.time.ready": 0.0, "prela.time.wait": 0.5}
    found = [
        record(end_time_unix_nano=START + MS, attributes=attributes)
        for attributes in (times, {**times, "prela.time.ready": 0.1, "prela.time.sampled": True}, {})
    ]
    assert [rows(forest([one])[0])[0].times for one in found] == [
        "ran 250 ms, waited 500 ms",
        "about: ran 250 ms, ready 100 ms, waited 500 ms",
        "",
    ]


_VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text() | st.integers())
_NAMES = st.sampled_from(
    [
        *(f"prela.time.{name}" for name in ("run", "ready", "wait", "longest_step", "longest_step.place", "sampled")),
        *(f"prela.stall.{name}" for name in ("duration", "stack", "victim_of", "exposed")),
        *(f"prela.cancel.{name}" for name in ("cause", "reason", "by", "by_span", "scope", "scope_span")),
        *(f"prela.wait.{name}" for name in ("for", "name", "ahead", "held_by")),
        *(f"prela.group.{name}" for name in ("first_failure", "first_failure_span", "cancelled")),
        "prela.leaked",
        "prela.leaked.where",
        "prela.link.kind",
    ]
)
_ATTRIBUTES = st.dictionaries(_NAMES, _VALUES)


@given(_ATTRIBUTES, _ATTRIBUTES, st.sampled_from(["success", "cancelled", "pending"]), st.integers())
def test_whatever_a_file_says_there_are_lines_to_be_read(
    attributes: dict[str, Any], more: dict[str, Any], status: str, when: int
) -> None:
    found = record(
        status=status,
        end_time_unix_nano=None if status == "pending" else at(1),
        attributes=attributes,
        events=[SpanEvent(name=facts.STALL, time_unix_nano=when, attributes=more)],
        links=[SpanLink(trace_id=TRACE_ID, span_id=A, attributes=more)],
    )
    for remark in remarks(found, pending=Pending("open", when), now=when):
        assert remark.text.isprintable()
        assert all(isinstance(span, str) for span in remark.spans)
    (row,) = rows(forest([found])[0], now=when)
    assert row.text(20).isprintable()
    assert len(row.bar) == 24
