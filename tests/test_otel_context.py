"""The OpenTelemetry current span and Prela's agree at all times, in both directions, under every law of context."""

import asyncio
import contextvars
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.context import Context

import prela
from prela.core.context import copy_context_to_thread
from prela.core.silent import NO_SPAN
from prela.testing import Recorder, recording
from tests.otel_fixtures import otel, spans

__all__ = ["otel", "spans"]

REMOTE = trace.SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=trace.TraceFlags(1))


def agree() -> None:
    """Fail unless both sides say that the same span is current."""
    ours, theirs = prela.get_current_span(), trace.get_current_span().get_span_context()
    if ours is NO_SPAN:
        assert not theirs.is_valid
    else:
        assert (ours.trace_id, ours.span_id) == (f"{theirs.trace_id:032x}", f"{theirs.span_id:016x}")


def test_outside_any_span_both_sides_have_none(spans: Recorder) -> None:
    assert trace.get_current_span() is trace.INVALID_SPAN
    agree()


def test_a_span_of_ours_is_current_for_opentelemetry_and_writable_through_it(
    spans: Recorder, tracer: prela.Tracer
) -> None:
    with tracer.span("ours"):
        agree()
        trace.get_current_span().set_attribute("from", "their side")
        assert trace.get_current_span() == trace.get_current_span()
    agree()
    assert spans["ours"].attributes == {"from": "their side"}


def test_a_span_of_theirs_is_current_for_us(spans: Recorder, otel: trace.Tracer) -> None:
    with otel.start_as_current_span("theirs") as theirs:
        assert trace.get_current_span() is theirs
        agree()
        prela.get_current_span().set_attribute("from", "our side")
    agree()
    assert spans["theirs"].attributes == {"from": "our side"}


def test_spans_of_both_sides_make_one_tree(spans: Recorder, tracer: prela.Tracer, otel: trace.Tracer) -> None:
    with tracer.span("a"), otel.start_as_current_span("b"), tracer.span("c"), otel.start_as_current_span("d"):
        otel.start_span("e").end()
        tracer.start_span("f").end()
    assert spans.tree() == "a\n  b\n    c\n      d\n        e\n        f"


def test_a_span_may_be_made_current_again_and_again(spans: Recorder, tracer: prela.Tracer, otel: trace.Tracer) -> None:
    span = otel.start_span("worked on in turns")
    for turn in range(3):
        with trace.use_span(span):
            agree()
            with tracer.span(f"turn {turn}"):
                pass
        agree()
    span.end()
    assert spans.tree() == "worked on in turns\n  turn 0\n  turn 1\n  turn 2"


def test_a_context_captured_in_a_span_of_ours_makes_it_current_where_it_is_attached(
    spans: Recorder, tracer: prela.Tracer
) -> None:
    with tracer.span("captured") as span:
        captured = context.get_current()
    token = context.attach(captured)
    assert prela.get_current_span() is span
    with tracer.span("late"):
        pass
    context.detach(token)
    agree()
    assert spans["late"].parent_span_id == spans["captured"].span_id


def test_an_empty_context_begins_a_new_trace(spans: Recorder, tracer: prela.Tracer, otel: trace.Tracer) -> None:
    with tracer.span("around"):
        token = context.attach(Context())
        agree()
        with tracer.span("root of ours"):
            otel.start_span("below it").end()
        otel.start_span("root of theirs").end()
        context.detach(token)
        agree()
    assert spans.tree() == "around\nroot of ours\n  below it\nroot of theirs"


def test_a_remote_parent_that_is_attached_is_continued_by_both(
    spans: Recorder, tracer: prela.Tracer, otel: trace.Tracer
) -> None:
    token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(REMOTE)))
    assert trace.get_current_span().get_span_context().is_remote
    with tracer.span("ours"):
        pass
    otel.start_span("theirs").end()
    context.detach(token)
    for name in ("ours", "theirs"):
        assert (spans[name].trace_id, spans[name].parent_span_id) == (f"{0xABC:032x}", f"{0xDEF:016x}")


def test_a_remote_parent_of_ours_is_current_for_opentelemetry(spans: Recorder, otel: trace.Tracer) -> None:
    with prela.use_span(prela.SpanContext("a" * 32, "b" * 16, is_remote=True)):
        found = trace.get_current_span()
        assert found.get_span_context().span_id == 0xBBBBBBBBBBBBBBBB and not found.is_recording()
        otel.start_span("child").end()
    assert spans["child"].parent_span_id == "b" * 16


def test_other_entries_of_a_context_stay_while_spans_come_and_go(spans: Recorder, tracer: prela.Tracer) -> None:
    key = context.create_key("entry")
    token = context.attach(context.set_value(key, "kept"))
    with tracer.span("ours"):
        assert context.get_value(key) == "kept"
        inner = context.attach(context.set_value("other", 1))
        assert context.get_value(key) == "kept" and context.get_value("other") == 1
        agree()
        context.detach(inner)
        assert context.get_value("other") is None
    context.detach(token)
    assert context.get_value(key) is None


# --- detaching --------------------------------------------------------------------------------------------------------
def test_detached_out_of_order_a_context_is_passed_over(spans: Recorder, otel: trace.Tracer) -> None:
    a, b = otel.start_span("a"), otel.start_span("b")
    first = context.attach(trace.set_span_in_context(a))
    second = context.attach(trace.set_span_in_context(b))
    context.detach(first)
    assert trace.get_current_span() is b
    agree()
    context.detach(second)
    agree()
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_context_detached_below_a_span_of_ours_leaves_that_current(
    spans: Recorder, tracer: prela.Tracer, otel: trace.Tracer
) -> None:
    token = context.attach(trace.set_span_in_context(otel.start_span("attached")))
    with tracer.span("ours") as ours:
        context.detach(token)
        assert prela.get_current_span() is ours
        agree()
    assert prela.get_current_span() is NO_SPAN
    agree()


def test_a_span_of_ours_left_below_a_context_leaves_that_attached(
    spans: Recorder, tracer: prela.Tracer, otel: trace.Tracer
) -> None:
    ours = tracer.span("ours")
    ours.__enter__()
    theirs = otel.start_span("theirs")
    token = context.attach(trace.set_span_in_context(theirs))
    ours.__exit__(None, None, None)
    assert trace.get_current_span() is theirs
    agree()
    context.detach(token)
    agree()
    assert prela.get_current_span() is NO_SPAN


def test_detaching_elsewhere_touches_nothing_and_says_nothing(
    spans: Recorder, tracer: prela.Tracer, otel: trace.Tracer, caplog: pytest.LogCaptureFixture
) -> None:
    token = context.attach(trace.set_span_in_context(otel.start_span("attached")))
    with tracer.span("elsewhere") as elsewhere:
        contextvars.copy_context().run(context.detach, token)
        assert prela.get_current_span() is elsewhere
        agree()
    assert prela.get_current_span() is NO_SPAN, "what was detached elsewhere is passed over where it was attached"
    agree()
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_detaching_twice_is_detaching_once(spans: Recorder, otel: trace.Tracer) -> None:
    outer = context.attach(trace.set_span_in_context(otel.start_span("outer")))
    inner = context.attach(Context())
    context.detach(inner)
    context.detach(inner)
    assert prela.get_current_span().name == "outer"
    context.detach(outer)


async def test_a_task_inherits_the_span_and_its_own_are_nobody_elses(
    spans: Recorder, tracer: prela.Tracer, otel: trace.Tracer, anyio_backend: Any
) -> None:
    async def work(name: str) -> None:
        agree()
        with otel.start_as_current_span(name):
            await anyio.lowlevel.checkpoint()
            agree()
            async with tracer.aspan(f"in {name}"):
                await anyio.lowlevel.checkpoint()
                agree()

    async with tracer.aspan("root"):
        async with anyio.create_task_group() as group:
            group.start_soon(work, "one")
            group.start_soon(work, "two")
        agree()
    assert sorted(spans.tree().splitlines()) == sorted("root\n  one\n    in one\n  two\n    in two".splitlines())


async def test_a_thread_has_the_span_of_the_context_that_was_copied_to_it(
    spans: Recorder, otel: trace.Tracer, anyio_backend: Any
) -> None:
    def work() -> None:
        agree()
        otel.start_span("in the thread").end()

    with otel.start_as_current_span("root"):
        await anyio.to_thread.run_sync(copy_context_to_thread(work))
        await prela.aio.to_thread(work)
    assert spans.tree() == "root\n  in the thread\n  in the thread"


async def test_a_generator_closed_by_another_task_disturbs_nobody(
    spans: Recorder, tracer: prela.Tracer, otel: trace.Tracer, anyio_backend: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def stream() -> AsyncIterator[int]:
        with otel.start_as_current_span("stream"):
            yield 1

    items = stream()
    async with anyio.create_task_group() as group:
        group.start_soon(items.__anext__)
    with tracer.span("closing") as closing:
        await items.aclose()  # type: ignore[attr-defined]
        assert prela.get_current_span() is closing
        agree()
    assert prela.get_current_span() is NO_SPAN
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert spans["stream"].attributes == {"prela.stream.outcome": "closed_early"}


def test_what_a_traced_generator_attaches_is_not_attached_in_its_consumer(
    spans: Recorder, tracer: prela.Tracer, otel: trace.Tracer
) -> None:
    @prela.trace("steps")
    def steps() -> Iterator[int]:
        token = context.attach(context.set_value("inside", True))
        with otel.start_as_current_span("inner"):
            yield 1
            agree()
            assert context.get_value("inside") and prela.get_current_span().name == "inner"
            yield 2
        context.detach(token)

    with tracer.span("consumer"):
        for _ in steps():
            assert prela.get_current_span().name == "consumer" and context.get_value("inside") is None
            agree()
            otel.start_span("between").end()
    assert spans.tree() == "consumer\n  steps\n    inner\n  between\n  between"


@pytest.mark.parametrize("sort", ["function", "coroutine function", "generator", "async generator"])
async def test_start_as_current_span_decorates_every_sort_of_function(
    spans: Recorder, otel: trace.Tracer, sort: str, anyio_backend: Any
) -> None:
    decorate = otel.start_as_current_span("decorated", attributes={"k": "v"})

    @decorate
    def function() -> None:
        otel.start_span("inside").end()

    @decorate
    async def coroutine_function() -> None:
        await anyio.lowlevel.checkpoint()
        otel.start_span("inside").end()

    @decorate
    def generator() -> Iterator[int]:
        otel.start_span("inside").end()
        yield 1

    @decorate
    async def async_generator() -> AsyncIterator[int]:
        otel.start_span("inside").end()
        yield 1

    for _ in range(2):
        if sort == "function":
            function()
        elif sort == "coroutine function":
            await coroutine_function()
        elif sort == "generator":
            for _ in generator():
                otel.start_span("consumer's").end()
        else:
            async for _ in async_generator():
                otel.start_span("consumer's").end()
    expected = ["decorated", "  inside", *(["consumer's"] if "generator" in sort else [])]
    assert sorted(spans.tree().splitlines()) == sorted(expected * 2)
    assert spans.records[-1].attributes["k"] == "v"


# --- cancellation -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("way", ["start_as_current_span", "use_span", "with the span"])
async def test_a_cancelled_span_is_cancelled_and_no_error(
    spans: Recorder, otel: trace.Tracer, way: str, anyio_backend: Any
) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        if way == "start_as_current_span":
            with otel.start_as_current_span("work"):
                await anyio.sleep_forever()
        elif way == "use_span":
            with trace.use_span(otel.start_span("work"), end_on_exit=True):
                await anyio.sleep_forever()
        else:
            with otel.start_span("work"):
                await anyio.sleep_forever()
    assert (spans["work"].status, spans["work"].events) == ("cancelled", ())
    assert "prela.cancel.cause" in spans["work"].attributes


def test_a_span_begun_and_ended_while_a_cancellation_is_handled_is_not_cancelled_by_it(
    spans: Recorder, otel: trace.Tracer
) -> None:
    try:
        raise asyncio.CancelledError
    except asyncio.CancelledError:
        otel.start_span("cleaning up").end()
    assert spans["cleaning up"].status == "success"


@pytest.mark.parametrize("said", [None, "", "CancelledError", "why", "CancelledError: why"])
def test_an_error_that_only_names_a_cancellation_is_a_cancellation(
    spans: Recorder, otel: trace.Tracer, said: str | None
) -> None:
    span = otel.start_span("work")
    try:
        raise asyncio.CancelledError("why")
    except asyncio.CancelledError as error:
        span.set_status(trace.Status(trace.StatusCode.ERROR, said))
        span.record_exception(error)
        span.end()
    assert (spans["work"].status, spans["work"].status_message) == ("cancelled", None)
    assert "prela.cancel.cause" in spans["work"].attributes


def test_an_error_that_says_more_is_one_and_so_is_one_told_outside(spans: Recorder, otel: trace.Tracer) -> None:
    more, before, within = (otel.start_span(name) for name in ("more", "before", "within"))
    before.set_status(trace.Status(trace.StatusCode.ERROR, "CancelledError"))
    try:
        raise asyncio.CancelledError
    except asyncio.CancelledError:
        more.set_status(trace.Status(trace.StatusCode.ERROR, "the answer was cut off"))
        try:
            raise ValueError("CancelledError")
        except ValueError:
            within.set_status(trace.Status(trace.StatusCode.ERROR, "CancelledError"))
            within.end()
        more.end()
        before.end()
    assert [spans[name].status for name in ("more", "before", "within")] == ["error"] * 3


def test_a_span_that_was_told_its_status_keeps_it_when_cancelled(spans: Recorder, otel: trace.Tracer) -> None:
    for end in (otel.start_as_current_span, lambda name: trace.use_span(otel.start_span(name), end_on_exit=True)):
        with pytest.raises(asyncio.CancelledError), end("done") as span:  # type: ignore[operator]
            span.set_status(trace.StatusCode.OK)
            raise asyncio.CancelledError
    assert [record.status for record in spans.records] == ["success", "success"]


# --- suppression, sampling, baggage, propagation ----------------------------------------------------------------------
def test_inside_suppress_instrumentations_are_told_to_trace_nothing(spans: Recorder, otel: trace.Tracer) -> None:
    from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY

    with otel.start_as_current_span("around"):
        with prela.suppress():
            assert context.get_value(_SUPPRESS_INSTRUMENTATION_KEY)
            assert context.get_value("suppress_instrumentation")
            assert trace.get_current_span() is trace.INVALID_SPAN
            with otel.start_as_current_span("not traced") as span:
                assert not span.is_recording()
                with prela.get_tracer().span("nor this"):
                    pass
            assert context.get_value(_SUPPRESS_INSTRUMENTATION_KEY), "a context attached inside does not end it"
        assert not context.get_value(_SUPPRESS_INSTRUMENTATION_KEY)
        agree()
    assert spans.names == ["around"]


def test_exports_run_suppressed_for_opentelemetry_too() -> None:
    seen = []

    class Looking:
        async def export(self, spans: Any) -> None:
            seen.append(context.get_value("suppress_instrumentation"))

    from prela.integrations.otel import instrument, uninstrument

    prela.init(exporter=Looking(), auto_instrument=False)
    assert instrument()
    prela.get_tracer().start_span("one").end()
    assert prela.sync.flush()
    uninstrument()
    assert seen == [True]


def test_below_an_unsampled_root_of_either_side_nothing_is_recorded_and_all_is_counted(
    tracer: prela.Tracer, otel: trace.Tracer
) -> None:
    from prela.integrations.otel import instrument, uninstrument

    prela.init(exporter="memory", sample_rate=0.0, auto_instrument=False)
    assert instrument()
    before = prela.statistics().unsampled
    with tracer.span("ours"), otel.start_as_current_span("theirs") as child:
        flags = trace.get_current_span().get_span_context()
        assert flags.is_valid and not flags.trace_flags.sampled and not child.is_recording()
        with tracer.span("ours again"):
            agree()
    with otel.start_as_current_span("a root of theirs") as root:
        assert root.get_span_context().is_valid
        with tracer.span("below it"), otel.start_as_current_span("and below that") as last:
            assert last.get_span_context().trace_id == root.get_span_context().trace_id
    uninstrument()
    assert prela.statistics().unsampled - before == 6


def test_baggage_is_one(spans: Recorder, otel: trace.Tracer) -> None:
    with prela.baggage(ours="1"):
        assert dict(baggage.get_all()) == {"ours": "1"}
        token = context.attach(baggage.set_baggage("theirs", "2"))
        assert dict(prela.get_baggage()) == {"ours": "1", "theirs": "2"}
        with otel.start_as_current_span("span"), prela.baggage(more="3"):
            assert dict(baggage.get_all()) == {"ours": "1", "theirs": "2", "more": "3"}
        assert dict(baggage.get_all()) == {"ours": "1", "theirs": "2"}
        context.detach(token)
        assert dict(prela.get_baggage()) == {"ours": "1"} == dict(baggage.get_all())
    assert not prela.get_baggage() and not baggage.get_all()


def test_the_apis_propagators_carry_our_current_span_and_baggage(spans: Recorder, tracer: prela.Tracer) -> None:
    carrier: dict[str, str] = {}
    with tracer.span("client") as client, prela.baggage(user="ana maria"):
        propagate.inject(carrier)
    assert carrier == {"traceparent": f"00-{client.trace_id}-{client.span_id}-01", "baggage": "user=ana+maria"}
    token = context.attach(propagate.extract(carrier))
    assert dict(prela.get_baggage()) == {"user": "ana maria"}
    with tracer.span("server"):
        pass
    context.detach(token)
    assert spans.tree() == "client\n  server"


def test_a_trace_state_is_carried_through(spans: Recorder, tracer: prela.Tracer) -> None:
    carrier = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01", "tracestate": "vendor=x,other=y"}
    token = context.attach(propagate.extract(carrier))
    onward: dict[str, str] = {}
    with tracer.span("server"):
        propagate.inject(onward)
    context.detach(token)
    assert onward["tracestate"] == "vendor=x,other=y" == spans["server"].trace_state


# --- while the two have nothing to do with each other -----------------------------------------------------------------
def test_uninstrumented_the_two_know_nothing_of_each_other(tracer: prela.Tracer) -> None:
    with recording() as recorder, tracer.span("ours"):
        assert trace.get_current_span() is trace.INVALID_SPAN
        token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(REMOTE)))
        assert prela.get_current_span().name == "ours"
        assert trace.get_current_span().get_span_context() is REMOTE
        context.detach(token)
    assert recorder.names == ["ours"]


def test_what_is_attached_when_it_ends_stays_attached_until_it_is_detached(spans: Recorder, otel: trace.Tracer) -> None:
    from prela.integrations.otel import uninstrument

    outer = context.attach(context.set_value("outer", 1))
    uninstrument()
    inner = context.attach(context.set_value("inner", 2))
    assert (context.get_value("outer"), context.get_value("inner")) == (1, 2)
    context.detach(inner)
    assert (context.get_value("outer"), context.get_value("inner")) == (1, None)
    context.detach(outer)
    assert context.get_value("outer") is None


def test_a_context_that_is_detached_in_a_step_of_a_generator_is_in_force_no_more(prela_spans: Recorder) -> None:
    token = context.attach(context.set_value("key", 1))

    @prela.trace("steps")
    def steps() -> Iterator[object]:
        yield 1
        context.detach(token)
        yield context.get_value("key")

    assert list(steps()) == [1, 1], "a generator keeps what it inherited"
    assert context.get_value("key") is None
