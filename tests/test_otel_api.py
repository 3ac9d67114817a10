"""Every call of the OpenTelemetry tracing API does what its specification says, and raises nothing."""

import asyncio
import contextvars
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

import prela
from prela.core import log
from prela.integrations.otel import instrument, uninstrument
from prela.integrations.otel.span import OtelSpan
from prela.testing import Recorder, recording
from tests.otel_fixtures import otel, spans

__all__ = ["otel", "spans"]

OTHER = SpanContext(0x1234, 0x5678, is_remote=True, trace_flags=TraceFlags(1), trace_state=TraceState([("k", "v")]))


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    monkeypatch.setattr(log, "_told", set())
    return lambda: [r.getMessage() for r in caplog.records if r.name == "prela" and r.levelno >= logging.WARNING]


def test_start_span_takes_every_argument(spans: Recorder, otel: trace.Tracer) -> None:
    span = otel.start_span(
        "name",
        context=trace.set_span_in_context(trace.NonRecordingSpan(OTHER), Context()),
        kind=SpanKind.CLIENT,
        attributes={"a": 1, "b": ("x", "y")},
        links=[Link(OTHER, {"why": "related"})],
        start_time=1_700_000_000_000_000_000,
        record_exception=False,
        set_status_on_exception=False,
    )
    span.end(1_700_000_000_500_000_000)
    record = spans["name"]
    assert (record.trace_id, record.parent_span_id) == (f"{0x1234:032x}", f"{0x5678:016x}")
    assert (record.kind, record.attributes) == ("client", {"a": 1, "b": ["x", "y"]})
    assert record.trace_state == "k=v"
    assert [(link.span_id, link.attributes, link.trace_state) for link in record.links] == [
        (f"{0x5678:016x}", {"why": "related"}, "k=v")
    ]
    assert (record.start_time_unix_nano, record.duration) == (1_700_000_000_000_000_000, 0.5)


@pytest.mark.parametrize("kind", list(SpanKind))
def test_kinds_have_the_same_names(spans: Recorder, otel: trace.Tracer, kind: SpanKind) -> None:
    span = otel.start_span("s", kind=kind)
    assert span.kind is kind  # type: ignore[attr-defined]
    span.end()
    assert spans["s"].kind == kind.name.lower()


def test_the_instrumentation_scope_is_recorded(spans: Recorder) -> None:
    schema = "https://opentelemetry.io/schemas/1.44.0"
    trace.get_tracer("lib", "2.0", schema_url=schema, attributes={"a": 1}).start_span("full").end()
    trace.get_tracer("bare").start_span("bare").end()
    assert spans["full"].scope == {
        "name": "lib",
        "version": "2.0",
        "attributes": {"a": 1},
    }
    assert spans["full"].otlp == {"scope_spans": {"schema_url": schema}}
    assert (spans["bare"].scope, spans["bare"].otlp) == ({"name": "bare"}, {})
    with prela.get_tracer().span("ours"):
        pass
    assert spans["ours"].scope == {}


def test_a_context_without_a_span_is_a_new_root(spans: Recorder, otel: trace.Tracer) -> None:
    with otel.start_as_current_span("around"):
        otel.start_span("root", context=Context()).end()
        otel.start_span("child").end()
    assert spans.tree() == "around\n  child\nroot"


def test_a_span_of_ours_in_a_context_is_the_parent(spans: Recorder, otel: trace.Tracer, tracer: prela.Tracer) -> None:
    with tracer.span("parent"):
        captured = context.get_current()
    otel.start_span("child", context=captured).end()
    assert spans.tree() == "parent\n  child"


def test_end_on_exit_may_be_declined(spans: Recorder, otel: trace.Tracer) -> None:
    with pytest.raises(ValueError), otel.start_as_current_span("open", end_on_exit=False) as span:
        raise ValueError("told")
    assert span.is_recording() and not spans.names
    span.end()
    assert spans["open"].status_message == "ValueError: told"


def test_a_span_starts_when_its_block_is_entered(spans: Recorder, otel: trace.Tracer) -> None:
    block = otel.start_as_current_span("later")
    with otel.start_as_current_span("parent"), block:
        pass
    assert spans.tree() == "parent\n  later"


# --- exceptions and status --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("records", [True, False])
@pytest.mark.parametrize("sets_status", [True, False])
@pytest.mark.parametrize("way", ["start_as_current_span", "use_span", "with the span"])
def test_exceptions_are_told_as_was_asked(
    spans: Recorder, otel: trace.Tracer, records: bool, sets_status: bool, way: str
) -> None:
    flags: Any = {"record_exception": records, "set_status_on_exception": sets_status}
    blocks: dict[str, Callable[[], Any]] = {
        "start_as_current_span": lambda: otel.start_as_current_span("s", **flags),
        "use_span": lambda: trace.use_span(otel.start_span("s"), end_on_exit=True, **flags),
        "with the span": lambda: otel.start_span("s", **flags),
    }
    with pytest.raises(KeyError), blocks[way]():
        raise KeyError("k")
    record = spans["s"]
    assert (record.status, record.status_message) == (("error", "KeyError: 'k'") if sets_status else ("success", None))
    assert [event.attributes["exception.type"] for event in record.events] == (["KeyError"] if records else [])


def test_an_exception_that_quotes_a_secret_does_not_bring_it_into_the_status(
    spans: Recorder, otel: trace.Tracer
) -> None:
    with pytest.raises(ValueError), otel.start_as_current_span("s"):
        raise ValueError("bad key sk-abcdefghijklmnopqrstuvwxyz012345")
    assert "abcdefghij" not in str(spans["s"])


def test_ok_is_final_unset_changes_nothing_and_only_errors_are_described(spans: Recorder, otel: trace.Tracer) -> None:
    def said(*steps: Any) -> tuple[str, str | None]:
        with otel.start_as_current_span("s") as span:
            for step in steps:
                span.set_status(*step) if isinstance(step, tuple) else span.set_status(step)
        record = spans.records[-1]
        return record.status, record.status_message

    assert said() == ("success", None)
    assert said((StatusCode.ERROR, "why")) == ("error", "why")
    assert said(Status(StatusCode.ERROR, "why")) == ("error", "why")
    assert said((StatusCode.ERROR, "first"), (StatusCode.ERROR, "second")) == ("error", "second")
    assert said((StatusCode.ERROR, "why"), StatusCode.UNSET) == ("error", "why")
    assert said((StatusCode.ERROR, "why"), StatusCode.OK) == ("success", None)
    assert said(StatusCode.OK, (StatusCode.ERROR, "too late")) == ("success", None)
    assert said((StatusCode.OK, "not described")) == ("success", None)
    assert said(("nonsense",), (None,)) == ("success", None)


def test_the_status_set_through_the_api_can_be_read(spans: Recorder, otel: trace.Tracer) -> None:
    span = otel.start_span("s")
    assert isinstance(span, OtelSpan)
    assert span.status.status_code is StatusCode.UNSET
    span.set_status(StatusCode.ERROR, "why")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "why")
    span.end()


def test_record_exception_takes_attributes_and_a_time(spans: Recorder, otel: trace.Tracer) -> None:
    span = otel.start_span("s")
    try:
        raise OSError("disk")
    except OSError as error:
        span.record_exception(error, {"exception.message": "overridden", "more": 1}, timestamp=77, escaped=True)
    span.end()
    (event,) = spans["s"].events
    assert event.name == "exception" and event.time_unix_nano == 77
    assert event.attributes["exception.type"] == "OSError"
    assert (event.attributes["exception.message"], event.attributes["more"]) == ("overridden", 1)
    assert "test_otel_api.py" in event.attributes["exception.stacktrace"]
    assert spans["s"].status == "success", "the status stays as it is"


def test_events_have_a_time_of_their_own_or_now(spans: Recorder, otel: trace.Tracer) -> None:
    span = otel.start_span("s")
    span.add_event("then", {"a": 1}, timestamp=123_456_789)
    span.add_event("now")
    span.end()
    then, now = spans["s"].events
    assert (then.name, then.time_unix_nano, then.attributes) == ("then", 123_456_789, {"a": 1})
    assert spans["s"].start_time_unix_nano <= now.time_unix_nano <= (spans["s"].end_time_unix_nano or 0)


def test_a_link_without_ids_is_kept_for_what_else_it_says(spans: Recorder, otel: trace.Tracer) -> None:
    stateful = SpanContext(0, 0, False, trace_state=TraceState([("k", "v")]))
    span = otel.start_span("s", links=[Link(trace.INVALID_SPAN_CONTEXT), Link(stateful)])
    span.add_link(trace.INVALID_SPAN_CONTEXT, {"only": "attributes"})
    span.add_link(trace.INVALID_SPAN_CONTEXT)
    span.add_link(OTHER)
    span.end()
    assert [(link.trace_id[-4:], link.attributes, link.trace_state) for link in spans["s"].links] == [
        ("0000", {}, "k=v"),
        ("0000", {"only": "attributes"}, ""),
        ("1234", {}, "k=v"),
    ]


# --- names, attributes, limits ----------------------------------------------------------------------------------------
def test_a_span_can_be_called_something_else(spans: Recorder, otel: trace.Tracer) -> None:
    with otel.start_as_current_span("before") as span:
        span.update_name("after")
    span.update_name("too late")
    assert spans.names == ["after"]


def test_keys_that_are_no_names_are_told_of_and_left_out(
    spans: Recorder, otel: trace.Tracer, warnings: Callable[[], list[str]]
) -> None:
    span = otel.start_span("s", attributes={"": 1, 5: 2, "kept": 3})  # type: ignore[dict-item]
    span.set_attribute(None, 1)  # type: ignore[arg-type]
    span.set_attributes({"": 1, "also kept": 4})
    span.set_attributes(None)  # type: ignore[arg-type]
    span.end()
    assert spans["s"].attributes == {"kept": 3, "also kept": 4}
    assert len([message for message in warnings() if "attribute was left out" in message]) == 1


class Foreign:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "value", [None, object(), {1, 2}, {"nested": {"deep": [1, None]}}, b"bytes", [1, "mixed"], Foreign(), 1 << 9000]
)
def test_any_value_is_recorded_bounded_and_nothing_is_raised(
    spans: Recorder, otel: trace.Tracer, value: object
) -> None:
    with otel.start_as_current_span("s", attributes={"start": value}) as span:  # type: ignore[dict-item]
        span.set_attribute("later", value)  # type: ignore[arg-type]
    assert set(spans["s"].attributes) >= {"start", "later"}


def test_our_limits_hold_for_their_spans(otel: trace.Tracer) -> None:
    with recording(limits={"attributes": 2, "events": 1, "links": 1, "string_length": 4}) as recorder:
        assert instrument()
        span = otel.start_span("s", attributes={"a": "too long", "b": 2, "c": 3}, links=[Link(OTHER), Link(OTHER)])
        span.add_event("kept")
        span.add_event("cut")
        span.end()
        uninstrument()
    record = recorder["s"]
    assert record.dropped == {"attributes": 1, "events": 1, "links": 1}
    assert record.attributes["a"].startswith("too … [4 more")


@pytest.mark.parametrize(
    ("key", "value", "span_type"),
    [
        ("gen_ai.operation.name", "chat", "llm"),
        ("gen_ai.operation.name", "embeddings", "embedding"),
        ("gen_ai.operation.name", "execute_tool", "tool"),
        ("gen_ai.operation.name", "invoke_agent", "agent"),
        ("gen_ai.operation.name", "something new", "custom"),
        ("openinference.span.kind", "RETRIEVER", "retrieval"),
        ("openinference.span.kind", "CHAIN", "custom"),
        ("traceloop.span.kind", "tool", "tool"),
        ("unrelated", "LLM", "custom"),
        ("gen_ai.operation.name", ["chat"], "custom"),
    ],
)
def test_the_type_of_a_span_is_read_from_what_it_says_of_itself(
    spans: Recorder, otel: trace.Tracer, key: str, value: Any, span_type: str
) -> None:
    otel.start_span("at its start", attributes={key: value}).end()
    span = otel.start_span("later")
    span.set_attribute(key, value)
    span.end()
    assert [record.span_type for record in spans.records] == [span_type, span_type]


def test_what_is_true_of_all_spans_is_true_of_theirs(spans: Recorder, otel: trace.Tracer) -> None:
    with prela.propagate_attributes(session_id="s1"):
        otel.start_span("s").end()
    assert spans["s"].attributes == {"session.id": "s1"}


def test_their_values_go_through_redact(otel: trace.Tracer) -> None:
    with recording(redact=lambda key, value: "hidden") as recorder:
        assert instrument()
        otel.start_span("s", attributes={"a": "secret"}, links=[Link(OTHER, {"b": "secret"})]).end()
        uninstrument()
    assert "secret" not in str(recorder["s"])


# --- ended, and not recorded ------------------------------------------------------------------------------------------
def test_an_ended_span_ignores_every_call(spans: Recorder, otel: trace.Tracer) -> None:
    span = otel.start_span("s", attributes={"a": 1})
    identity = span.get_span_context()
    span.end()
    for _ in range(2):
        span.end(5)
        span.set_attribute("a", 2)
        span.set_attribute("gen_ai.operation.name", "chat")
        span.add_event("late")
        span.add_link(OTHER)
        span.set_status(StatusCode.ERROR, "late")
        span.record_exception(ValueError("late"))
        span.update_name("late")
    assert not span.is_recording() and span.get_span_context() == identity
    record = spans["s"]
    assert (record.attributes, record.events, record.links, record.status) == ({"a": 1}, (), (), "success")
    assert record.span_type == "custom"


def test_while_tracing_is_off_remote_parents_still_pass_through(otel: trace.Tracer) -> None:
    assert instrument()
    try:
        parent = trace.set_span_in_context(trace.NonRecordingSpan(OTHER), Context())
        span = otel.start_span("s", context=parent)
        assert span.get_span_context() == OTHER and not span.is_recording()
        with otel.start_as_current_span("t") as other:
            assert not other.get_span_context().is_valid
    finally:
        uninstrument()


def test_a_span_that_is_not_recorded_takes_every_call(otel: trace.Tracer) -> None:
    with recording(sample_rate=0.0) as recorder:
        assert instrument()
        with otel.start_as_current_span("s", kind=SpanKind.SERVER, links=[Link(OTHER)], start_time=5) as span:
            span.set_attributes({"a": 1, "openinference.span.kind": "LLM"})
            span.add_event("e", timestamp=1)
            span.add_link(OTHER)
            span.set_status(StatusCode.OK)
            span.record_exception(ValueError())
            span.update_name("n")
            repr(span)
            span.end(7)
        with pytest.raises(ValueError), otel.start_as_current_span("t"):
            raise ValueError
        uninstrument()
    assert not recorder.records


@pytest.mark.parametrize(
    "arguments",
    [
        {"context": 5},
        {"kind": "client"},
        {"attributes": [1]},
        {"links": [None]},
        {"links": 7},
        {"start_time": "noon"},
    ],
)
def test_wrong_arguments_raise_nothing_in_the_program(
    spans: Recorder, otel: trace.Tracer, arguments: dict[str, Any]
) -> None:
    with otel.start_as_current_span("s", **arguments) as span:
        span.set_attribute("a", 1)


# --- what breaks inside -----------------------------------------------------------------------------------------------
def internal_functions() -> Iterator[Any]:
    from prela.integrations.otel import context as ours
    from prela.integrations.otel import span as span_module
    from prela.integrations.otel import tracer as tracer_module

    for module in (ours, span_module, tracer_module):
        for name in ("_span_in", "_with_ours", "_with_span", "last_attached", "judge", "from_otel", "to_otel"):
            if hasattr(module, name):
                yield pytest.param(module, name, id=f"{module.__name__.rpartition('.')[2]}.{name}")
    yield pytest.param(tracer_module, "_parent_in", id="tracer._parent_in")
    yield pytest.param(tracer_module, "implied_type", id="tracer.implied_type")
    yield pytest.param(span_module, "tells_type", id="span.tells_type")
    yield pytest.param(ours.Attachment, "__init__", id="Attachment.__init__")
    yield pytest.param(ours.Attachment, "detach", id="Attachment.detach")
    yield pytest.param(tracer_module.OtelTracer, "_start", id="OtelTracer._start")
    yield pytest.param(tracer_module.OtelTracer, "_dress", id="OtelTracer._dress")
    yield pytest.param(span_module.OtelSpan, "_tell", id="OtelSpan._tell")
    yield pytest.param(span_module.OtelSpan, "_is_cancelled_by", id="OtelSpan._is_cancelled_by")


@pytest.mark.parametrize(("place", "name"), list(internal_functions()))
def test_whatever_breaks_inside_the_program_goes_on_as_it_would(
    spans: Recorder, otel: trace.Tracer, tracer: prela.Tracer, monkeypatch: pytest.MonkeyPatch, place: Any, name: str
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("broken inside")

    monkeypatch.setattr(place, name, broken)
    said = []

    def program() -> None:
        with tracer.span("ours"):
            with otel.start_as_current_span("theirs", Context(), attributes={"a": 1}, links=[Link(OTHER)]) as span:
                span.set_attribute("b", 2)
                span.add_link(OTHER)
                token = context.attach(context.set_value("k", "v"))
                said.append(context.get_value("k"))
                context.detach(token)
                trace.get_current_span().get_span_context()
                try:
                    raise asyncio.CancelledError
                except asyncio.CancelledError:
                    otel.start_span("child").end()
                raise KeyError("the program's own")

    with pytest.raises(KeyError, match="the program's own"):
        contextvars.copy_context().run(program)  # what breaks in detaching may leave something attached
    assert said == ["v"]
