"""A span and what it is told: attributes, events, links, status, limits, times, redaction, and calls from threads."""

import copy
import logging
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum
from itertools import count
from typing import Any

import pytest

import prela
from prela.core import log, shortcut
from prela.core.convert import _known_keys, record_of
from prela.core.current import current_span
from prela.core.settings import QUICK_ATTRIBUTES, QUICK_STRING, Settings
from prela.core.silent import NO_SPAN
from prela.record.model import SpanRecord
from prela.testing import Recorder, TickingClock, recording


@contextmanager
def many_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def at_once(threads: int, work: Callable[[int], object]) -> None:
    """Run `work` with its number in so many threads, all released at one moment."""
    barrier = threading.Barrier(threads)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        barrier.wait(timeout=10)
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    started = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    with many_switches():
        for thread in started:
            thread.start()
        for thread in started:
            thread.join(timeout=30)
    assert not errors
    assert not any(thread.is_alive() for thread in started)


# --- attributes ---------------------------------------------------------------------------------------------------


def test_an_attribute_is_a_snapshot_of_the_moment_it_was_set(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    messages: list[Any] = [{"role": "user", "parts": ["hello"]}]
    with tracer.span("call", attributes={"first": messages}) as span:
        span.set_attribute("messages", messages)
        messages[0]["parts"].append("more")
        messages.append("another")
        span.set_attribute("later", messages)
    record = prela_spans["call"]
    assert record.attributes["first"] == record.attributes["messages"] == [{"role": "user", "parts": ["hello"]}]
    assert record.attributes["later"] == [{"role": "user", "parts": ["hello", "more"]}, "another"]


def test_events_and_links_are_snapshots_too(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    values = ["before"]
    target = prela.SpanContext("a" * 32, "b" * 16)
    with tracer.span("span") as span:
        span.add_event("event", {"values": values})
        span.add_link(target, {"values": values})
        values[0] = "after"
    record = prela_spans["span"]
    assert record.events[0].attributes == {"values": ["before"]}
    assert record.links[0].attributes == {"values": ["before"]}


def test_what_is_read_from_a_span_is_what_was_set_so_far_and_cannot_be_changed(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    with tracer.span("span") as span:
        span.set_attributes({"a": 1, "b": (2, 3)})
        span.set_attribute("a", 4)
        assert span.attributes == {"a": 4, "b": [2, 3]}
        with pytest.raises(TypeError):
            span.attributes["a"] = 5  # type: ignore[index]
    assert prela_spans["span"].attributes == {"a": 4, "b": [2, 3]}


@pytest.mark.parametrize("key", [5, None, (1, 2), b"bytes", True])
def test_a_key_that_is_no_string_is_recorded_as_one(key: Any, tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("span") as span:
        span.set_attribute(key, "small")
        span.set_attribute(key, ["not small"])
    assert prela_spans["span"].attributes == {str(key): ["not small"]}


@pytest.mark.parametrize("attributes", [5, ["a"], object()])
def test_attributes_that_are_no_mapping_are_ignored(
    attributes: Any, tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    with tracer.span("span", attributes=attributes) as span:
        span.set_attributes(attributes)
        span.set_attribute("after", 1)
    assert prela_spans["span"].attributes == {"after": 1}


def test_values_that_raise_or_change_while_they_are_recorded_harm_nobody(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    with tracer.span("span") as span:
        span.set_attribute("hostile", Hostile())
        span.set_attribute("within", [1, Hostile()])
    attributes = prela_spans["span"].attributes
    assert "RuntimeError in __repr__" in attributes["hostile"]
    assert attributes["within"] == [1, attributes["hostile"]]


# --- limits -------------------------------------------------------------------------------------------------------


def test_the_default_limits_are_those_of_the_documentation() -> None:
    limits = prela.Limits()
    assert (limits.attributes, limits.string_length, limits.nodes, limits.events, limits.links) == (
        256,
        65_536,
        10_000,
        1_024,
        256,
    )


def test_attributes_beyond_the_limit_are_counted_and_those_there_may_still_be_overwritten(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    with tracer.span("span") as span:
        for number in range(300):
            span.set_attribute(f"key {number}", number)
        span.set_attribute("key 0", "overwritten")
        span.set_attribute("key 255", ["overwritten"])
    record = prela_spans["span"]
    assert len(record.attributes) == 256
    assert record.attributes["key 0"] == "overwritten"
    assert record.attributes["key 255"] == ["overwritten"]
    assert record.attributes["key 100"] == 100
    assert record.dropped == {"attributes": 44}


def test_a_long_string_is_cut_marked_and_counted(tracer: prela.Tracer) -> None:
    with recording(limits={"string_length": 1_000}) as spans:
        with tracer.span("span") as span:
            span.set_attribute("just fits", "x" * 1_000)
            span.set_attribute("text", "x" * 1_234)
            span.set_attribute("bytes", b"y" * 1_234)
            span.set_attribute("nested", {"leaf": ["z" * 1_001]})
    record = spans["span"]
    assert record.attributes["just fits"] == "x" * 1_000
    assert record.attributes["text"] == "x" * 1_000 + "… [234 more characters cut]"
    assert record.attributes["bytes"] == b"y" * 1_000
    assert record.attributes["nested"] == {"leaf": ["z" * 1_000 + "… [1 more characters cut]"]}
    assert record.attributes["prela.cuts"] == 3


def test_a_string_leaf_of_64_kib_is_kept_whole_by_default(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("span") as span:
        span.set_attribute("whole", "x" * 65_536)
        span.set_attribute("cut", "x" * 65_537)
    record = prela_spans["span"]
    assert record.attributes["whole"] == "x" * 65_536
    assert record.attributes["cut"] == "x" * 65_536 + "… [1 more characters cut]"
    assert record.attributes["prela.cuts"] == 1


def test_what_is_taken_without_being_weighed_is_what_the_settings_say(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    with tracer.span("small") as small, tracer.span("many") as many, tracer.span("long") as long:
        small.set_attribute("text", "x" * QUICK_STRING)
        for number in range(QUICK_ATTRIBUTES - 1):
            small.set_attribute(str(number), number)
        for number in range(QUICK_ATTRIBUTES + 1):
            many.set_attribute(str(number), number)
        long.set_attribute("text", "x" * (QUICK_STRING + 1))
        assert [span._details is None for span in (small, many, long)] == [True, False, False]


def test_a_container_is_copied_up_to_its_items_marked_and_counted(tracer: prela.Tracer) -> None:
    with recording(limits={"nodes": 10}) as spans:
        with tracer.span("span") as span:
            span.set_attribute("fits", list(range(10)))
            span.set_attribute("long", range(25))
            span.set_attribute("wide", dict.fromkeys(map(str, range(25))))
    record = spans["span"]
    assert record.attributes["fits"] == list(range(10))
    assert record.attributes["long"] == [*range(10), "[15 more items cut]"]
    assert record.attributes["wide"] == {**dict.fromkeys(map(str, range(10))), "[cut]": "[15 more items cut]"}
    assert record.attributes["prela.cuts"] == 2


def test_events_and_links_beyond_their_limits_are_counted(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("span") as span:
        for number in range(1_030):
            span.add_event(f"event {number}")
        for number in range(260):
            span.add_link(prela.SpanContext("a" * 32, f"{number + 1:016x}"))
    record = prela_spans["span"]
    assert [event.name for event in record.events] == [f"event {number}" for number in range(1_024)]
    assert [int(link.span_id, 16) for link in record.links] == list(range(1, 257))
    assert record.dropped == {"events": 6, "links": 4}


def test_attributes_of_events_have_the_limits_of_a_span(tracer: prela.Tracer) -> None:
    with recording(limits={"attributes": 3, "string_length": 5}) as spans:
        with tracer.span("span") as span:
            span.add_event("event", {"a": 1, "b": "123456", "c": 3, "d": 4, "e": 5})
    record = spans["span"]
    assert record.events[0].attributes == {"a": 1, "b": "12345… [1 more characters cut]", "c": 3}
    assert record.dropped == {"attributes": 2}
    assert record.attributes == {"prela.cuts": 1}


def test_names_of_what_an_event_or_a_link_has_are_cut_and_charged(tracer: prela.Tracer) -> None:
    with recording() as spans:
        with tracer.span("other") as other, tracer.span("span") as span:
            span.add_event("event", {"k" * 5_000: 1})
            span.add_link(other, {"k" * 5_000: 1})
            assert span._extra_bytes() > 2_048
    record = spans["span"]
    assert [[*record.events[0].attributes], [*record.links[0].attributes]] == [["k" * 1_023 + "…"]] * 2


def test_a_kind_is_recorded_as_a_plain_text_whatever_class_of_text_it_is(tracer: prela.Tracer) -> None:
    class Safe(str):
        def __str__(self) -> str:
            return self

    with recording() as spans:
        with tracer.span(Safe("span"), Safe("type"), kind=Safe("client")):
            pass
    record = spans["span"]
    assert [type(text) for text in (record.name, record.span_type, record.kind)] == [str, str, str]


def test_how_a_span_ended_is_told_past_every_limit(tracer: prela.Tracer) -> None:
    with recording(limits={"events": 1, "attributes": 16}) as spans:
        with pytest.raises(ExceptionGroup), tracer.span("span") as span:
            span.add_event("the one that fits")
            span.add_event("one too many")
            for number in range(20):
                span.set_attribute(f"{number}", number)
            raise ExceptionGroup("both", [ValueError("a"), TypeError("b")])
    record = spans["span"]
    assert [event.name for event in record.events] == ["the one that fits", "exception", "exception"]
    assert record.attributes["prela.exception.leaves"] == 2
    assert record.status == "error"
    assert record.dropped == {"attributes": 4, "events": 1}


# --- after the end ------------------------------------------------------------------------------------------------


def test_calls_after_the_end_are_ignored_counted_and_told_once(
    tracer: prela.Tracer, prela_spans: Recorder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_told", set())  # another test may have heard it already
    with tracer.span("span", attributes={"kept": 1}) as span:
        pass
    with caplog.at_level(logging.WARNING, logger="prela"):
        span.set_attribute("late", 1)
        span.set_attribute("late", [1])
        span.set_attribute("kept", 2)
        span.set_attributes({"late": 1})
        span.add_event("late")
        span.add_link(prela.SpanContext("a" * 32, "b" * 16))
        span.record_exception(ValueError("late"))
        span.set_status("error", "late")
        span.end()
    assert prela_spans._settings.counters.late_calls.value == 9
    record = prela_spans["span"]
    assert (record.attributes, record.events, record.links) == ({"kept": 1}, (), ())
    assert (record.status, record.status_message) == ("success", None)
    assert len([r for r in caplog.records if "ended span" in r.getMessage()]) == 1


def test_end_of_a_span_that_never_started_is_ignored(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    span = tracer.span("never")
    span.end()
    assert span.is_recording
    assert span.start_time_ns == 0
    assert span.span_id == "0" * 16
    assert prela_spans.records == []


def test_an_ended_span_may_still_be_current_until_it_is_left(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("early") as span:
        span.end()
        assert prela.get_current_span() is span
        with tracer.span("child"):
            pass
    assert prela_spans.names == ["early", "child"]
    assert prela_spans["child"].parent_span_id == prela_spans["early"].span_id


# --- events, links, kinds, status ---------------------------------------------------------------------------------


def test_events_have_a_name_a_time_and_attributes(tracer: prela.Tracer) -> None:
    with recording(deterministic=True) as spans:
        with tracer.span("span") as span:
            span.add_event("first", {"n": 1})
            span.add_event("second")
            seen = span.events
    record = spans["span"]
    assert [(event.name, event.attributes) for event in record.events] == [("first", {"n": 1}), ("second", {})]
    times = [event.time_unix_nano for event in record.events]
    assert record.start_time_unix_nano < times[0] < times[1] < record.end_time_unix_nano
    assert [(event.name, event.time_ns, dict(event.attributes)) for event in seen] == [
        ("first", times[0], {"n": 1}),
        ("second", times[1], {}),
    ]
    assert isinstance(seen[0], prela.Event)


def test_links_take_spans_contexts_and_links(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    other = tracer.start_span("other")
    remote = prela.SpanContext("c" * 32, "d" * 16, trace_state="vendor=1")
    with tracer.span("span", links=[other, remote, prela.Link(remote, {"from": "link", "kept": 1})]) as span:
        span.add_link(other, {"at": "call"})
        span.add_link(prela.Link(remote, {"from": "link", "kept": 2}), {"from": "call"})
    other.end()
    links = prela_spans["span"].links
    ours = (other.trace_id, other.span_id)
    theirs = ("c" * 32, "d" * 16)
    assert [(link.trace_id, link.span_id) for link in links] == [ours, theirs, theirs, ours, theirs]
    assert [link.attributes for link in links] == [
        {},
        {},
        {"from": "link", "kept": 1},
        {"at": "call"},
        {"from": "call", "kept": 2},
    ]
    assert [link.trace_state for link in links] == ["", "vendor=1", "vendor=1", "", "vendor=1"]
    assert [link.context.span_id for link in span.links] == [link.span_id for link in links]


@pytest.mark.parametrize(
    "link", ["garbage", 5, None, prela.SpanContext("x", "y"), prela.SpanContext("0" * 32, "1" * 16)]
)
def test_a_link_that_cannot_be_is_left_out(link: Any, tracer: prela.Tracer, prela_spans: Recorder) -> None:
    good = prela.SpanContext("a" * 32, "b" * 16)
    with tracer.span("span", links=[link, good]) as span:
        span.add_link(link)
    assert [found.span_id for found in prela_spans["span"].links] == ["b" * 16]


def test_links_that_are_no_list_are_ignored(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("span", links=5):  # type: ignore[arg-type]
        pass
    assert prela_spans["span"].links == ()


def test_kind_and_type_are_recorded_as_their_words(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("plain") as plain:
        assert plain.kind == "internal"
        assert plain.span_type == "custom"
    with tracer.span("client", prela.SpanType.LLM, kind=prela.SpanKind.CLIENT) as client:
        assert client.kind == "client"
    with tracer.span("own words", "rerank", kind="server"):
        pass
    with tracer.span("said", kind=prela.SpanKind.INTERNAL) as said:
        assert said.kind == "internal"
    found = {record.name: (record.span_type, record.kind) for record in prela_spans.records}
    assert found == {
        "plain": ("custom", "internal"),
        "client": ("llm", "client"),
        "own words": ("rerank", "server"),
        "said": ("custom", "internal"),
    }


def test_a_span_may_be_renamed_and_retyped_while_it_is_open(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("before") as span:
        span.name = "after"
        span.span_type = prela.SpanType.TOOL
    assert prela_spans["after"].span_type == "tool"


def test_set_status_says_how_the_work_went(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("open") as span:
        assert span.status is prela.SpanStatus.PENDING
    assert span.status is prela.SpanStatus.SUCCESS
    with tracer.span("failed") as span:
        span.set_status(prela.SpanStatus.ERROR, "no answer")
        assert span.status is prela.SpanStatus.ERROR
        assert span.status_message == "no answer"
    with tracer.span("mended") as span:
        span.set_status("error", "first")
        span.set_status("success")
    with tracer.span("taken back") as span:
        span.set_status("error", "first")
        span.set_status("pending")
    with tracer.span("unknown word") as span:
        span.set_status("error", "kept")
        span.set_status("splendid", "ignored")
    found = {record.name: (record.status, record.status_message) for record in prela_spans.records}
    assert found == {
        "open": ("success", None),
        "failed": ("error", "no answer"),
        "mended": ("success", None),
        "taken back": ("success", None),
        "unknown word": ("error", "kept"),
    }


def test_record_exception_adds_an_event_and_leaves_the_status(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    class OwnError(Exception):
        pass

    with tracer.span("span") as span:
        try:
            raise OwnError("what went wrong")
        except OwnError as error:
            span.record_exception(error, {"attempt": 2, "exception.message": "a better message"})
        span.record_exception(ValueError("never raised"))
    record = prela_spans["span"]
    assert record.status == "success"
    first, second = record.events
    assert first.name == second.name == "exception"
    assert first.attributes["exception.type"] == f"{__name__}.{OwnError.__qualname__}"
    assert first.attributes["exception.message"] == "a better message"
    assert first.attributes["attempt"] == 2
    assert 'raise OwnError("what went wrong")' in first.attributes["exception.stacktrace"]
    assert second.attributes["exception.type"] == "ValueError"
    assert second.attributes["exception.message"] == "never raised"


def test_an_exception_whose_str_raises_is_recorded_all_the_same(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    error = MuteError()
    with pytest.raises(MuteError) as caught, tracer.span("span"):
        raise error
    assert caught.value is error
    record = prela_spans["span"]
    assert record.status == "error"
    assert "RuntimeError in __str__" in (record.status_message or "")


# --- time ---------------------------------------------------------------------------------------------------------


def test_times_and_duration_are_those_of_the_clock(tracer: prela.Tracer) -> None:
    with recording(deterministic=True) as spans:
        with tracer.span("span") as span:
            assert span.end_time_ns is None
            assert span.duration is None
            assert span.is_recording
    record = spans["span"]
    assert span.duration == record.duration == 0.001
    assert span.start_time_ns == record.start_time_unix_nano
    assert span.end_time_ns == record.end_time_unix_nano == span.start_time_ns + 1_000_000
    assert not span.is_recording
    assert record.start_time_unix_nano == 1_700_000_000_000_000_000 + 1_000_000


def traced_with(settings: Settings, program: Callable[[prela.Tracer], None]) -> dict[str, SpanRecord]:
    program(prela.Tracer(settings))
    return {span.name: record_of(span) for span in settings.buffer.take(1_000)[0]}


def test_names_are_cut_and_what_is_said_of_the_status_is_under_the_limits(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    long = "n" * 5_000
    with recording(limits=prela.Limits(string_length=2_000)) as spans, tracer.span(long, long) as span:
        span.add_event(long)
        span.set_attribute(long, 1)
        span.set_status("error", long)
    (record,) = spans.records
    cut = "n" * 1_023 + "…"
    assert (record.name, record.span_type, record.events[0].name) == (cut, cut, cut)
    assert {key: value for key, value in record.attributes.items() if key != "prela.cuts"} == {cut: 1}
    assert record.status_message == "n" * 2_000 + "… [3000 more characters cut]"


def test_a_trace_state_that_is_too_long_is_dropped_whole(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    for length in (8_192, 8_193):
        with tracer.span("span", parent=prela.SpanContext("a" * 32, "b" * 16, True, "k=" + "v" * (length - 2))):
            pass
    assert [len(record.trace_state) for record in prela_spans.records] == [8_192, 0]


def test_a_system_clock_that_is_set_back_changes_no_duration_and_no_order() -> None:
    wall_times = iter([2_000_000_000_000_000_000, 1_000_000_000_000_000_000, 500])
    settings = Settings(clock=TickingClock(0, 1_000), wall_clock=lambda: next(wall_times))

    def program(tracer: prela.Tracer) -> None:
        with tracer.span("root"):
            with tracer.span("first"):
                pass
            with tracer.span("second") as span:
                span.add_event("event")
        with tracer.span("after the clock was set back"):
            pass

    found = traced_with(settings, program)
    root, first, second = found["root"], found["first"], found["second"]
    assert root.start_time_unix_nano < first.start_time_unix_nano < first.end_time_unix_nano
    assert first.end_time_unix_nano < second.start_time_unix_nano < second.events[0].time_unix_nano
    assert second.events[0].time_unix_nano < second.end_time_unix_nano < root.end_time_unix_nano
    assert root.start_time_unix_nano == pytest.approx(2e18, abs=1e6)
    assert found["after the clock was set back"].start_time_unix_nano == pytest.approx(1e18, abs=1e6)
    assert [record.duration for record in (first, second, root)] == [1e-6, 2e-6, 6e-6]


def test_ids_are_w3c_ids_and_never_repeat(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    for _ in range(50):
        with tracer.span("root"), tracer.span("child"):
            pass
    records = prela_spans.records
    assert len({record.span_id for record in records}) == 100
    assert len({record.trace_id for record in records}) == 50
    assert all(len(record.trace_id) == 32 and int(record.trace_id, 16) for record in records)
    assert all(len(record.span_id) == 16 and int(record.span_id, 16) for record in records)


# --- threads ------------------------------------------------------------------------------------------------------


def test_many_threads_may_set_attributes_of_one_span_at_once(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span("shared") as span:

        def work(number: int) -> None:
            for i in range(30):
                span.set_attribute(f"{number} {i}", i if i % 2 else [i])

        at_once(8, work)
    expected = {f"{number} {i}": i if i % 2 else [i] for number in range(8) for i in range(30)}
    assert prela_spans["shared"].attributes == expected
    assert prela_spans["shared"].dropped == {}


def test_a_container_may_be_changed_by_another_thread_while_it_is_recorded(
    tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    shared: dict[int, list[int]] = {number: [number] for number in range(2_000)}
    done = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            for _ in range(50):
                span.set_attribute("shared", shared)
            done.set()
        while not done.is_set():
            for key in range(2_000, 2_100):
                shared[key] = []
            for key in range(2_000, 2_100):
                shared.pop(key, None)

    with tracer.span("span") as span:
        at_once(2, work)
    recorded = prela_spans["span"].attributes["shared"]
    assert {key: recorded[key] for key in map(str, range(2_000))} == {str(n): [n] for n in range(2_000)}


@pytest.mark.parametrize("with_details", [False, True])
def test_a_span_ended_by_many_threads_at_once_is_recorded_once(
    with_details: bool, tracer: prela.Tracer, prela_spans: Recorder
) -> None:
    spans = [tracer.start_span(f"{number}") for number in range(1_000)]
    if with_details:
        for span in spans:
            span.set_status("error")
    at_once(4, lambda _: [span.end() for span in spans])
    assert sorted(prela_spans.names, key=int) == [f"{number}" for number in range(1_000)]


def test_a_span_that_is_ended_again_while_it_ends_is_recorded_once(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    class EndingError(Exception):
        def __str__(self) -> str:
            prela.get_current_span().end()
            return "ended meanwhile"

    with pytest.raises(EndingError), tracer.span("span"):
        raise EndingError
    assert prela_spans.names == ["span"]


# --- redaction ----------------------------------------------------------------------------------------------------


def _hide(value: Any) -> Any:
    return value.replace("secret", "***") if isinstance(value, str) else "***" if value == b"secret" else value


def _hide_by_key(key: str, value: Any) -> Any:
    return _hide(value)


@pytest.mark.parametrize("redact", [_hide, _hide_by_key])
def test_redact_sees_every_value_before_it_is_queued(redact: Any, tracer: prela.Tracer) -> None:
    with recording(redact=redact) as spans:
        with pytest.raises(ValueError, match="secret"), tracer.span("span", attributes={"given": "a secret"}) as span:
            span.set_attribute("small", "secret")
            span.set_attribute("nested", {"list": ["the secret", 1, {"deep": b"secret"}], "number": 2})
            span.add_event("event", {"text": ["secret"]})
            span.add_link(prela.SpanContext("a" * 32, "b" * 16), {"link": "secret"})
            span.set_status("error", "overridden")
            raise ValueError("secret of the user")
        with tracer.span("told") as span:
            span.set_status("error", "the secret status")
        with tracer.span("parent"), tracer.span("child", attributes={"small": "secret"}):
            pass
    record = spans["span"]
    assert record.attributes == {
        "given": "a ***",
        "small": "***",
        "nested": {"list": ["the ***", 1, {"deep": "***"}], "number": 2},
    }
    event, exception = record.events
    assert event.attributes == {"text": ["***"]}
    assert record.links[0].attributes == {"link": "***"}
    assert exception.attributes["exception.message"] == "*** of the user"
    assert "ValueError: *** of the user" in exception.attributes["exception.stacktrace"]
    assert "secret" not in exception.attributes["exception.stacktrace"]
    assert record.status_message == "*** of the user"
    assert spans["told"].status_message == "the *** status"
    assert spans["child"].attributes == {"small": "***"}


def test_redact_is_told_where_each_value_stands(tracer: prela.Tracer) -> None:
    seen: list[tuple[str, Any]] = []

    def redact(key: str, value: Any) -> Any:
        seen.append((key, value))
        return value

    with recording(redact=redact):
        with tracer.span("span") as span:
            span.set_attribute("plain", 1)
            span.set_attribute("messages", [{"role": "user", "text": "hi"}])
            span.add_event("event", {"in event": True})
            span.set_status("error", "why")
    assert sorted(seen) == [
        ("in event", True),
        ("messages.role", "user"),
        ("messages.text", "hi"),
        ("plain", 1),
        ("status_message", "why"),
    ]


def test_where_redact_raises_nothing_of_the_value_is_kept(tracer: prela.Tracer) -> None:
    def redact(value: Any) -> Any:
        if isinstance(value, str):
            raise RuntimeError(value)
        return value

    with recording(redact=redact) as spans:
        with tracer.span("span") as span:
            span.set_attribute("text", "secret")
            span.set_attribute("nested", {"a": ["secret", 5]})
            span.set_status("error", "secret")
    record = spans["span"]
    assert record.attributes == {"text": "[redaction failed]", "nested": {"a": ["[redaction failed]", 5]}}
    assert record.status_message == "[redaction failed]"


def test_what_redact_returns_is_made_plain_and_a_traced_redact_does_not_trace_itself(tracer: prela.Tracer) -> None:
    calls: list[str] = []

    @prela.trace(capture_args=True)
    def redact(key: str, value: Any) -> Any:
        calls.append(key)
        return {1, 2} if key == "set" else value

    with recording(redact=redact) as spans:
        with tracer.span("span") as span:
            span.set_attribute("set", "x")
    assert spans.names == ["span"]
    assert sorted(spans["span"].attributes["set"]) == [1, 2]
    assert calls == ["set"]


def test_a_span_may_be_ended_from_within_redact(tracer: prela.Tracer) -> None:
    def redact(value: Any) -> Any:
        span.end()
        span.set_attribute("late", 1)
        return value

    with recording(redact=redact) as spans:
        span = tracer.start_span("span", attributes={"a": 1})
        span.end()
    assert spans.names == ["span"]
    assert spans["span"].attributes == {"a": 1}


def test_events_of_many_threads_on_fresh_spans_are_all_there(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    spans = [tracer.start_span(str(number)) for number in range(2_000)]
    barrier = threading.Barrier(4)

    def add_events(number: int) -> None:
        barrier.wait()
        for span in spans:
            span.add_event(str(number))

    at_once(4, add_events)
    for span in spans:
        span.end()
    assert sum(len(record.events) for record in prela_spans.records) == 8_000


def test_limits_lower_than_the_quick_way_knows_hold(tracer: prela.Tracer) -> None:
    with recording(limits={"attributes": 3, "string_length": 10}) as spans, tracer.span("span") as span:
        for number in range(5):
            span.set_attribute(f"{number}", "x" * 20)
    assert spans["span"].dropped == {"attributes": 2}
    assert spans["span"].attributes["0"].startswith("x" * 10 + "…")


def test_an_interruption_while_it_is_entered_leaves_no_span_behind(
    tracer: prela.Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last moment at which Ctrl-C can come: the span is current, and nobody has the token yet.

    Without the short cuts, which leave no such moment.
    """
    monkeypatch.setattr(shortcut, "compiled", None)
    with recording() as spans:
        _interrupt_while_it_is_entered(tracer, spans, monkeypatch)


def _interrupt_while_it_is_entered(tracer: prela.Tracer, spans: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    enter, open_before = current_span.set, prela.statistics().open

    def interrupted(span: Any) -> Any:
        enter(span)
        monkeypatch.setattr("prela.core.recording._set", enter)
        raise KeyboardInterrupt

    with tracer.span("outside") as outside:
        monkeypatch.setattr("prela.core.recording._set", interrupted)
        with pytest.raises(KeyboardInterrupt), tracer.span("inside"):
            pytest.fail("it was not entered")
        assert prela.get_current_span() is outside
        with tracer.span("after"):
            pass
    assert spans["inside"].status == "cancelled"
    assert spans["inside"].parent_span_id == spans["after"].parent_span_id == outside.span_id
    assert prela.statistics().open == open_before


@pytest.mark.parametrize(
    "enter",
    [
        lambda span, stack: stack.enter_context(span),  # by its type, with the span
        lambda span, stack: span.__enter__(),
        lambda span, stack: type(span).__enter__(span),
    ],
)
@pytest.mark.parametrize(
    "options", [{}, {"sample_rate": 0.0}, {"redact": lambda value: value}, {"insight": True}, None]
)
def test_entering_gives_the_span_whoever_does_it(
    tracer: prela.Tracer, options: dict[str, Any] | None, enter: Callable[[Any, ExitStack], Any]
) -> None:
    with recording(**(options or {})), ExitStack() as stack:
        if options is None:
            tracer.configure(None)
        for span in (tracer.span("root"), tracer.span("below"), prela.get_current_span()):
            assert enter(span, stack) is span
            with span as entered:
                assert entered is span


def test_entering_below_a_suppressed_span_gives_that(tracer: prela.Tracer) -> None:
    with recording(), prela.suppress(), ExitStack() as stack:
        span = tracer.span("nothing")
        assert stack.enter_context(span) is span


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda span: pickle.loads(pickle.dumps(span))])
def test_a_copy_of_a_span_that_records_nothing_is_that_span(
    tracer: prela.Tracer, copied: Callable[[prela.Span], prela.Span]
) -> None:
    tracer.configure(None)
    span = tracer.span("nothing")
    assert copied(span) is span
    with tracer.span("nothing") as entered:
        assert entered is span


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_what_holds_a_span_may_be_copied_and_the_copy_holds_the_same(
    tracer: prela.Tracer, prela_spans: Recorder, copied: Callable[[Any], Any]
) -> None:
    with tracer.span("one") as span:
        assert copied([span])[0] is span
    assert prela_spans.names == ["one"]


def test_a_span_that_is_ended_while_it_is_left_is_ended_once(tracer: prela.Tracer) -> None:
    """As by a signal handler, or another thread: at the reading of the clock in the middle of `__exit__`."""
    ending: list[prela.Span] = []
    now = count()

    def clock() -> int:
        if ending:
            ending.pop().end()
        return next(now)

    with recording(clock=clock) as spans:
        with tracer.span("root"), tracer.span("left") as span:
            ending.append(span)
        assert spans.names == ["left", "root"]


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_span_that_was_made_current_and_is_left_is_left_alone(tracer: prela.Tracer, rate: float) -> None:
    with recording(sample_rate=rate) as spans:
        span = tracer.start_span("started")
        with prela.use_span(span):
            span.__exit__(None, None, None)
            assert prela.get_current_span() is span
        assert not span.is_recording
        with tracer.span("after"):
            pass
    assert spans.names == (["started", "after"] if rate else [])


def test_ctrl_c_in_redact_ends_the_span_without_what_redact_has_not_seen(tracer: prela.Tracer) -> None:
    pressed = False

    def redact(value: Any) -> Any:
        nonlocal pressed
        if not pressed:
            pressed = True
            raise KeyboardInterrupt
        return value

    with recording(redact=redact) as spans:
        with pytest.raises(KeyboardInterrupt), tracer.span("interrupted") as span:
            span.set_attribute("secret", 1)
        assert prela.get_current_span() is NO_SPAN
        with tracer.span("after", attributes={"seen": 1}):
            pass
    assert [(record.name, record.parent_span_id, record.attributes) for record in spans.records] == [
        ("interrupted", None, {}),
        ("after", None, {"seen": 1}),
    ]


class Interrupted(dict[int, Any]):
    """What is known by the `id()` of a span, where Ctrl-C comes just before an entry is taken out."""

    is_pressed = False

    def __getitem__(self, key: int) -> Any:
        if self.is_pressed:
            self.is_pressed = False
            raise KeyboardInterrupt
        return super().__getitem__(key)


@pytest.mark.parametrize("name", ["_claims", "_making"])
def test_what_ctrl_c_leaves_behind_of_a_span_is_no_later_ones(
    tracer: prela.Tracer, prela_spans: Recorder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Spans have the same place in memory one after the other, and are known by it while they end."""
    known = Interrupted()
    monkeypatch.setattr(f"prela.core.span.{name}", known)
    with tracer.span("outside"):
        try:
            with tracer.span("interrupted") as span:
                if name == "_claims":
                    span.set_attribute("long way", [1])
                known.is_pressed = True
                span.add_event("of the interrupted")
        except KeyboardInterrupt:
            pass
        assert not known.is_pressed
        assert known  # the entry is still there
        del span
        prela_spans.clear()
        for _ in range(100):
            with tracer.span("later") as later:
                later.add_event("its own")
            del later
    found = [record for record in prela_spans.records if record.name == "later"]
    assert len(found) == 100
    assert {(record.status, tuple(event.name for event in record.events)) for record in found} == {
        ("success", ("its own",))
    }


class InterruptedVariable:
    """The current span, where Ctrl-C comes once between its being set and the token's being kept."""

    def __init__(self) -> None:
        self.is_pressed = True
        self.get, self.reset = current_span.get, current_span.reset

    def set(self, value: Any) -> Any:
        token = current_span.set(value)
        if self.is_pressed:
            self.is_pressed = False
            raise KeyboardInterrupt
        return token


class Asked:
    def should_sample(self, request: prela.SamplingRequest) -> bool:
        return True


@pytest.mark.parametrize(
    ("where", "options"), [("current", {"redact": lambda value: value}), ("tracer", {"sampler": Asked()})]
)
def test_ctrl_c_while_tracing_is_suppressed_for_a_moment_leaves_it_on(
    tracer: prela.Tracer, monkeypatch: pytest.MonkeyPatch, where: str, options: dict[str, Any]
) -> None:
    with recording(**options) as spans:
        variable = InterruptedVariable()
        monkeypatch.setattr(f"prela.core.{where}.current_span", variable)
        with pytest.raises(KeyboardInterrupt), tracer.span("interrupted", attributes={"a": 1}):
            pass
        assert not variable.is_pressed
        assert prela.get_current_span() is NO_SPAN
        with tracer.span("after"):
            pass
        assert spans.names[-1:] == ["after"]


class Column:
    """A key that is equal to a text, and none."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __hash__(self) -> int:
        return hash(self._name)

    def __eq__(self, other: object) -> bool:
        return str(other) == self._name

    def __str__(self) -> str:
        return self._name


class Word(str, Enum):  # noqa: UP042  (whose `str` is not its value)
    """A text that says something else of itself."""

    ALPHA = "alpha"


@pytest.mark.parametrize("was_seen_before", [False, True])
def test_keys_are_texts_in_the_record_whatever_was_set_before(
    tracer: prela.Tracer, prela_spans: Recorder, was_seen_before: bool
) -> None:
    _known_keys.clear()
    if was_seen_before:
        with tracer.span("before", attributes={"user": 1, "alpha": 2}):
            pass
        assert prela_spans["before"].attributes == {"user": 1, "alpha": 2}
    with tracer.span("span") as span:
        span.set_attribute(Column("user"), 1)  # type: ignore[arg-type]
        span.set_attribute(Word.ALPHA, 2)
    attributes = prela_spans["span"].attributes
    assert attributes == {"user": 1, "Word.ALPHA": 2}
    assert {type(key) for key in attributes} == {str}


class Speechless:
    def __str__(self) -> str:
        raise RuntimeError


def test_a_name_or_a_key_that_is_no_text_costs_no_span(tracer: prela.Tracer, prela_spans: Recorder) -> None:
    with tracer.span(Speechless()) as span:  # type: ignore[arg-type]
        span.set_attribute(Speechless(), 1)  # type: ignore[arg-type]
    with tracer.span(10**5000):  # type: ignore[arg-type]
        pass
    first, second = prela_spans.records
    assert (first.name, first.attributes) == (said := "<Speechless: RuntimeError in __str__>", {said: 1})
    assert second.name == "<int: ValueError in __str__>"


def test_what_is_not_recorded_may_be_left_for_lack_of_stack_too(tracer: prela.Tracer) -> None:
    class ButFor:
        def should_sample(self, request: prela.SamplingRequest) -> bool:
            return request.name != "not this"

    with recording(sampler=ButFor()) as spans:
        with pytest.raises(KeyboardInterrupt), tracer.span("outer"):
            tracer.span("not this", parent=None).__enter__()  # its `__exit__` was never called
            raise KeyboardInterrupt
        assert prela.get_current_span() is NO_SPAN
    assert spans.names == ["outer"]
