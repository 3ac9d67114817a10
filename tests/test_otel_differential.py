"""The same random programs against the OpenTelemetry SDK and against Prela: what is recorded is the same."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode

from prela.integrations.otel import instrument, uninstrument
from prela.record.model import SpanRecord
from prela.testing import recording

REMOTE = SpanContext(0xFEED, 0xBEEF, is_remote=True, trace_flags=trace.TraceFlags(1))
EPOCH = 1_700_000_000_000_000_000

scalars = st.one_of(st.booleans(), st.integers(-(1 << 40), 1 << 40), st.floats(allow_nan=False), st.text(max_size=20))
values = st.one_of(scalars, st.lists(st.integers(0, 9), max_size=3), st.lists(st.text(max_size=3), max_size=3))
attributes = st.dictionaries(st.text("abc.", min_size=1, max_size=4), values, max_size=3)

calls = st.one_of(
    st.tuples(st.just("set_attribute"), st.text("abc.", min_size=1, max_size=4), values),
    st.tuples(st.just("set_attributes"), attributes),
    st.tuples(st.just("add_event"), st.text("ev", min_size=1, max_size=3), attributes, st.integers(EPOCH, EPOCH + 9)),
    st.tuples(st.just("add_link"), st.sampled_from([REMOTE, trace.INVALID_SPAN_CONTEXT]), attributes),
    st.tuples(st.just("update_name"), st.text("xyz", min_size=1, max_size=3)),
    st.tuples(st.just("set_status"), st.sampled_from(StatusCode)),
    st.tuples(st.just("set_status"), st.builds(Status, st.just(StatusCode.ERROR), st.text("why", max_size=3))),
    st.tuples(st.just("record_exception"), st.builds(ValueError, st.text(max_size=5)), attributes),
    st.tuples(st.just("end")),
)

starts = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["one", "two", "three"]),
        "kind": st.sampled_from(SpanKind),
        "attributes": st.none() | attributes,
        "links": st.none() | st.lists(st.builds(Link, st.just(REMOTE), attributes), max_size=2),
        "record_exception": st.booleans(),
        "set_status_on_exception": st.booleans(),
    }
)

blocks: st.SearchStrategy[Any] = st.recursive(
    st.tuples(st.just("call"), calls) | st.tuples(st.just("raise"), st.just(None)),
    lambda inner: st.tuples(
        st.sampled_from(["current", "current, kept open", "use_span", "with the span", "new root", "remote", "caught"]),
        starts,
        st.lists(inner, max_size=4),
    ),
    max_leaves=12,
)
programs = st.lists(blocks, min_size=1, max_size=4)


class Interpreter:
    """Runs a program of API calls against whatever provider a tracer is of."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self.tracer = tracer
        self.kept_open: list[trace.Span] = []

    def run(self, program: Sequence[Any]) -> None:
        with contextlib.suppress(KeyError):
            self.run_all(program)
        for span in self.kept_open:
            span.end(EPOCH)

    def run_all(self, program: Sequence[Any]) -> None:
        for what, how, *inside in program:
            if what == "raise":
                raise KeyError("raised")
            if what == "call":
                name, *arguments = how
                getattr(trace.get_current_span(), name)(*arguments)
            else:
                with self.block(what, how):
                    self.run_all(inside[0])

    @contextlib.contextmanager
    def block(self, what: str, start: dict[str, Any]) -> Iterator[None]:
        flags = {key: start[key] for key in ("record_exception", "set_status_on_exception")}
        if what == "current":
            with self.tracer.start_as_current_span(**start):
                yield
        elif what == "current, kept open":
            with self.tracer.start_as_current_span(**start, end_on_exit=False) as span:
                self.kept_open.append(span)
                yield
        elif what == "use_span":
            with trace.use_span(self.tracer.start_span(**start), end_on_exit=True, **flags):
                yield
        elif what == "with the span":
            with self.tracer.start_span(**start, start_time=EPOCH):
                yield
        elif what == "caught":
            with contextlib.suppress(KeyError), self.tracer.start_as_current_span(**start):
                yield
        else:
            parent = trace.NonRecordingSpan(REMOTE) if what == "remote" else trace.INVALID_SPAN
            token = otel_context.attach(trace.set_span_in_context(parent, Context()))
            try:
                with self.tracer.start_as_current_span(**start):
                    yield
            finally:
                otel_context.detach(token)


Facts = dict[str, Any]


def plain(mapping: Any) -> dict[str, Any]:
    """Attributes in one form: sequences as lists, and without what one side leaves out by the conventions."""
    left_out = {"exception.stacktrace", "exception.escaped"}
    found = {key: list(v) if isinstance(v, tuple) else v for key, v in dict(mapping or {}).items()}
    return {key: value for key, value in found.items() if key not in left_out}


def set_time(at: int | None) -> int | None:
    """A time that the program set; None for one that was taken."""
    return at if at is not None and EPOCH <= at <= EPOCH + 9 else None


def facts_of_sdk(span: ReadableSpan) -> Facts:
    assert span.context is not None and span.start_time is not None
    return {
        "name": span.name,
        "kind": span.kind.name.lower(),
        "attributes": plain(span.attributes),
        "events": [(e.name, plain(e.attributes), set_time(e.timestamp)) for e in span.events],
        "links": [(link.context.span_id, plain(link.attributes)) for link in span.links],
        "status": (span.status.status_code is StatusCode.ERROR, span.status.description or None),
        "scope": span.instrumentation_scope.name if span.instrumentation_scope else None,
        "start": set_time(span.start_time),
        "end": set_time(span.end_time),
        "remote": span.context.trace_id == 0xFEED,
    }


def facts_of_ours(record: SpanRecord) -> Facts:
    return {
        "name": record.name,
        "kind": record.kind,
        "attributes": plain(record.attributes),
        "events": [(e.name, plain(e.attributes), set_time(e.time_unix_nano)) for e in record.events],
        "links": [(int(link.span_id, 16), plain(link.attributes)) for link in record.links],
        "status": (record.status == "error", record.status_message or None),
        "scope": record.scope["name"],
        "start": set_time(record.start_time_unix_nano),
        "end": set_time(record.end_time_unix_nano),
        "remote": record.trace_id == f"{0xFEED:032x}",
    }


def by_the_sdk(program: Any) -> tuple[list[Facts], list[int | None]]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    Interpreter(provider.get_tracer("the scope")).run(program)
    found = exporter.get_finished_spans()
    places = {span.context.span_id: place for place, span in enumerate(found) if span.context}
    return [facts_of_sdk(s) for s in found], [places.get(s.parent.span_id, -1) if s.parent else None for s in found]


def by_ours(program: Any) -> tuple[list[Facts], list[int | None]]:
    with recording() as recorder:
        assert instrument()
        try:
            Interpreter(trace.get_tracer("the scope")).run(program)
        finally:
            uninstrument()
        found = recorder.records
    places = {record.span_id: place for place, record in enumerate(found)}
    return [facts_of_ours(r) for r in found], [
        places.get(r.parent_span_id, -1) if r.parent_span_id else None for r in found
    ]


@given(programs)
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_a_random_program_leaves_the_same_spans_events_links_statuses_and_tree(program: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_on")
        theirs = by_the_sdk(program)
    assert by_ours(program) == theirs
