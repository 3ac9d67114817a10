"""Prela's spans go to the application's OpenTelemetry SDK, and are of one tree with the SDK's own."""

from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import prela
from prela.integrations.otel import instrument, uninstrument
from tests.conftest import RunProgram


class Sdk:
    """An application's SDK: a provider in force, and what its exporter was given."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(resource=Resource({"deployment.environment": "test"}), shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("the application")

    def finished(self) -> dict[str, ReadableSpan]:
        assert prela.sync.flush()
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sdk]:
    uninstrument()  # what an `init()` of an earlier test may have left
    found = Sdk()
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", found.provider)  # a process can set it once, a test run cannot
    prela.init("shop", exporter="otel")
    prela.sync.flush()  # tells of losses since the flush before: those of earlier tests are not ours
    yield found
    uninstrument()


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def id_of(span: ReadableSpan) -> int:
    assert span.context
    return span.context.span_id


def test_spans_of_both_sides_are_one_tree_in_the_sdks_pipeline(sdk: Sdk, tracer: prela.Tracer) -> None:
    with sdk.tracer.start_as_current_span("request"), tracer.span("agent") as agent:
        agent.set_attribute("question", "why?")
        with sdk.tracer.start_as_current_span("query"), tracer.span("tool"):
            pass
    found = sdk.finished()
    assert parent_of(found["request"]) is None
    for child, parent in (("agent", "request"), ("query", "agent"), ("tool", "query")):
        assert parent_of(found[child]) == id_of(found[parent])
    assert len({span.context.trace_id for span in found.values() if span.context}) == 1


async def test_so_are_those_of_tasks(sdk: Sdk, tracer: prela.Tracer, anyio_backend: Any) -> None:
    async def work(name: str) -> None:
        async with tracer.aspan(name):
            await anyio.lowlevel.checkpoint()
            sdk.tracer.start_span(f"below {name}").end()

    with sdk.tracer.start_as_current_span("root"):
        async with anyio.create_task_group() as group:
            group.start_soon(work, "a")
            group.start_soon(work, "b")
    assert await prela.flush()
    found = sdk.finished()
    for name in "ab":
        assert parent_of(found[name]) == id_of(found["root"])
        assert parent_of(found[f"below {name}"]) == id_of(found[name])


def test_every_field_that_the_sdk_has_a_place_for_arrives(sdk: Sdk, tracer: prela.Tracer) -> None:
    other = prela.SpanContext("a" * 32, "b" * 16, trace_state="k=v")
    with pytest.raises(ValueError), prela.use_span(other):
        with tracer.span("s", prela.SpanType.LLM, {"n": 1, "list": [1, 2]}, kind="client", links=[other]) as span:
            span.add_event("e", {"x": True})
            raise ValueError("boom")
    found = sdk.finished()["s"]
    assert found.context and found.context.span_id == int(span.span_id, 16) and found.context.trace_flags.sampled
    assert found.context.trace_state == {"k": "v"} and parent_of(found) == 0xBBBBBBBBBBBBBBBB
    assert found.kind is trace.SpanKind.CLIENT
    assert dict(found.attributes or {}) == {"n": 1, "list": (1, 2), "openinference.span.kind": "LLM"}
    assert [event.name for event in found.events] == ["e", "exception"]
    assert (found.events[0].attributes, found.events[0].timestamp) == ({"x": True}, span.events[0].time_ns)
    assert found.links[0].context.trace_id == 0xAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA
    assert (found.status.status_code, found.status.description) == (trace.StatusCode.ERROR, "boom")
    assert (found.start_time, found.end_time) == (span.start_time_ns, span.end_time_ns)
    assert found.instrumentation_scope and found.instrumentation_scope.name == "prela"


def test_the_resource_is_the_applications_and_its_name_ours_where_it_has_none(sdk: Sdk, tracer: prela.Tracer) -> None:
    tracer.start_span("s").end()
    assert dict(sdk.finished()["s"].resource.attributes) == {"service.name": "shop", "deployment.environment": "test"}


def test_what_went_well_is_unset_and_what_was_cancelled_says_so_in_an_attribute(sdk: Sdk, tracer: prela.Tracer) -> None:
    tracer.start_span("well").end()
    with pytest.raises(KeyboardInterrupt), tracer.span("cancelled"):
        raise KeyboardInterrupt
    found = sdk.finished()
    assert {span.status.status_code for span in found.values()} == {trace.StatusCode.UNSET}
    assert (found["cancelled"].attributes or {})["prela.status"] == "cancelled"


def test_what_limits_cut_is_told_to_the_sdk(sdk: Sdk, tracer: prela.Tracer) -> None:
    prela.init("shop", exporter="otel", limits={"attributes": 1, "events": 1, "links": 1})
    other = prela.SpanContext("a" * 32, "b" * 16)
    with tracer.span("s", attributes={"a": 1, "b": 2}, links=[other, other]) as span:
        span.add_event("1")
        span.add_event("2")
    found = sdk.finished()["s"]
    assert (found.dropped_attributes, found.dropped_events, found.dropped_links) == (1, 1, 1)


def test_the_applications_provider_stays_in_force(sdk: Sdk) -> None:
    assert not instrument()
    assert trace.get_tracer_provider() is sdk.provider


def test_the_sdks_own_exports_are_not_traced(sdk: Sdk, tracer: prela.Tracer) -> None:
    class Tracing(SpanExporter):
        def export(self, spans: Any) -> Any:
            with tracer.span("inside the export"):
                return super().export(spans)

    sdk.provider.add_span_processor(SimpleSpanProcessor(Tracing()))
    tracer.start_span("s").end()
    assert set(sdk.finished()) == {"s"}


def test_closing_has_the_sdk_send_what_it_holds_back(sdk: Sdk, tracer: prela.Tracer) -> None:
    late = InMemorySpanExporter()
    processor = BatchSpanProcessor(late, schedule_delay_millis=3_600_000)
    sdk.provider.add_span_processor(processor)
    tracer.start_span("s").end()
    assert prela.sync.shutdown()
    assert [span.name for span in late.get_finished_spans()] == ["s"]
    processor.shutdown()


def test_without_an_sdk_the_spans_are_counted_and_it_is_told(
    tracer: prela.Tracer, caplog: pytest.LogCaptureFixture
) -> None:
    before = prela.statistics().dropped.get("export_failed", 0)
    prela.init(exporter="otel")
    tracer.start_span("s").end()
    assert not prela.sync.flush()
    assert prela.statistics().dropped["export_failed"] == before + 1
    assert "no OpenTelemetry SDK is set up" in caplog.text
    uninstrument()


def test_with_another_exporter_next_the_two_have_nothing_to_do_with_each_other(sdk: Sdk, tracer: prela.Tracer) -> None:
    prela.init(exporter="memory")
    with tracer.span("ours"):
        sdk.tracer.start_span("theirs").end()
    assert parent_of(sdk.finished()["theirs"]) is None


PROGRAM = """
import prela
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

def set_up_sdk():
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(formatter=lambda span: f"sent {span.name}\\n")))
    trace.set_tracer_provider(provider)

FIRST()
SECOND()
with trace.get_tracer("app").start_as_current_span("theirs"), prela.get_tracer().span("ours"):
    pass
"""


@pytest.mark.parametrize("order", [("set_up_sdk", "prela.init"), ("prela.init", "set_up_sdk")])
def test_a_program_that_just_ends_loses_nothing_whichever_was_set_up_first(
    run_program: RunProgram, order: tuple[str, str]
) -> None:
    done = run_program(PROGRAM.replace("FIRST", order[0]).replace("SECOND", order[1]), PRELA_EXPORTER="otel")
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split("\n")) == ["", "sent ours", "sent theirs"], done.stderr
    assert not done.stderr


def test_it_asks_for_what_it_needs(run_program: Callable[..., Any]) -> None:
    done = run_program(
        "import sys; sys.modules['opentelemetry'] = None\nimport prela\n"
        "try: prela.init(exporter='otel')\nexcept prela.ConfigurationError as error: print(error)"
    )
    assert "prela[otel]" in done.stdout, done.stderr
