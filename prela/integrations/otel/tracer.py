"""The OpenTelemetry API's tracers, making spans of Prela's."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from prela.aio.tracer import Tracer
from prela.core import log
from prela.core.decorator import wrapped
from prela.core.silent import NO_SPAN, SUPPRESSION
from prela.core.span import Span
from prela.core.tracer import CURRENT, Parent, _Current
from prela.integrations.otel.convert import from_otel, kind_of
from prela.integrations.otel.flushing import flushed
from prela.integrations.otel.force import force
from prela.integrations.otel.span import Attributes, OtelSpan
from prela.record.otlp.meaning import implied_type
from prela.record.values import snapshot

F = TypeVar("F", bound=Callable[..., Any])
Links = Sequence[trace.Link] | None


class PrelaTracerProvider(trace.ProxyTracerProvider):
    """Gives out tracers whose spans are Prela's, as long as the application has set no other provider.

    By its class it says so to those who look whether there is one already, as programs do that then set up their SDK.

    Args:
        tracer: Makes the spans.
    """

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> trace.Tracer:
        """A tracer for an instrumentation; the arguments are recorded as the scope of its spans."""
        scope = {
            "name": instrumenting_module_name or "",
            "version": instrumenting_library_version,
            "attributes": snapshot(attributes) if attributes else None,
        }
        return OtelTracer(self, {key: value for key, value in scope.items() if value is not None}, schema_url)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until what has ended is exported, as `prela.sync.flush`: programs written for the SDK ask for it.

        Returns:
            Whether it was, in time. False also in the worker's own thread or loop, which cannot wait for itself.
        """
        return flushed(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Wait until what has ended is exported. Tracing goes on: `prela.shutdown()` is what ends it."""
        self.force_flush()


class OtelTracer(trace.Tracer):
    """A tracer of one instrumentation.

    Args:
        provider: Whose it is.
        scope: The instrumentation scope: name, version and attributes, those that there are.
        schema_url: Which version of the semantic conventions it follows.
    """

    def __init__(self, provider: PrelaTracerProvider, scope: dict[str, Any], schema_url: str | None) -> None:
        self._provider = provider
        self._scope = scope
        self._schema_url = schema_url
        self._otlp = {"scope_spans": {"schema_url": schema_url}} if schema_url else {}

    def start_span(
        self,
        name: str,
        context: Context | None = None,
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Links = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
    ) -> trace.Span:
        """Start a span below that of the context, or below the current one. The arguments are the API's."""
        try:
            if not force.is_ours:
                return self._elsewhere().start_span(
                    name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
                )
            span = self._start(name, context, kind, attributes or {})
            if span is NO_SPAN or span is SUPPRESSION:
                return _not_recording(context)
            started = OtelSpan(span, record_exception=record_exception, set_status_on_exception=set_status_on_exception)
            if span.is_recording:
                self._dress(started, attributes, links, start_time)
            return started
        except Exception as error:
            log.failed("otel start_span", error)
            return trace.INVALID_SPAN

    def _start(self, name: str, context: Context | None, kind: object, attributes: Mapping[str, object]) -> Span:
        parent: Parent | _Current = CURRENT if context is None else _parent_in(context)
        return self._provider.tracer.start_span(name, implied_type(attributes), kind=kind_of(kind), parent=parent)

    def _dress(self, started: OtelSpan, attributes: Attributes, links: Links, start_time: int | None) -> None:
        if start_time is not None:
            started.span._start_at(start_time)
        details = started.span._ensure_details()
        details.scope, details.otlp = self._scope, self._otlp
        if attributes:
            started.set_attributes(attributes)
        for link in links or ():
            started.add_link(link.context, link.attributes)

    def start_as_current_span(  # type: ignore[override]  # the API names its own context manager, which is private
        self,
        name: str,
        context: Context | None = None,
        kind: trace.SpanKind = trace.SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Links = None,
        start_time: int | None = None,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
    ) -> "CurrentSpan":
        """A span that starts when the block is entered, and is current in it; or for each call of a function.

        What it decorates may be a function, a coroutine function, a generator or an async generator. The span of a
        generator is current only while the generator's own code runs.
        """

        def start() -> trace.Span:
            return self.start_span(
                name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
            )

        return CurrentSpan(start, record_exception, set_status_on_exception, end_on_exit)

    def _elsewhere(self) -> trace.Tracer:
        """The same tracer of the provider that is in force instead of ours."""
        scope = self._scope
        return trace.get_tracer_provider().get_tracer(
            scope["name"], scope.get("version"), self._schema_url, scope.get("attributes")
        )


def _not_recording(context: Context | None) -> trace.Span:
    """What stands for a span while nothing is traced: it passes the parent's context on.

    OpenTelemetry trace API, "Behavior of the API in the absence of an installed SDK".
    """
    found = trace.get_current_span(context)
    return trace.NonRecordingSpan(found.get_span_context()) if found.is_recording() else found


def _parent_in(context: Context) -> Parent:
    """The parent that a context names; None for a root."""
    found = trace.get_current_span(context)
    if isinstance(found, OtelSpan):
        return found.span
    span_context = found.get_span_context()
    return from_otel(span_context) if span_context.is_valid else None


class CurrentSpan(AbstractContextManager[trace.Span, None]):
    """What `start_as_current_span` returns: `with` it, or decorate a function with it."""

    def __init__(self, start: Callable[[], trace.Span], records: bool, sets_status: bool, ends: bool) -> None:
        self._start = start
        self._records = records
        self._sets_status = sets_status
        self._ends = ends
        self._span: OtelSpan | None = None
        self._other: AbstractContextManager[trace.Span] | None = None
        self._token: Any = None

    def __enter__(self) -> trace.Span:
        span = self._start()
        if isinstance(span, OtelSpan):
            self._span = span
            self._token = otel_context.attach(trace.set_span_in_context(span))
            return span
        self._other = trace.use_span(span, self._ends, self._records, self._sets_status)
        return self._other.__enter__()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._span is not None:
            otel_context.detach(self._token)
            self._span.leave(exc, records=self._records, sets_status=self._sets_status, ends=self._ends)
        elif self._other is not None:
            self._other.__exit__(exc_type, exc, traceback)

    def __call__(self, func: F) -> F:
        """Have each call of a function inside a span of its own."""
        decorated: F = wrapped(func, self)
        return decorated

    # What `prela.core.decorator` asks of a plan.

    def span(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> "CurrentSpan":
        """For a function and a coroutine function."""
        return CurrentSpan(self._start, self._records, self._sets_status, self._ends)

    def start_span(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Span:
        """For a generator."""
        span = self._start()
        return span.span if isinstance(span, OtelSpan) else NO_SPAN

    def record_result(self, span: object, result: object) -> None:
        """Results are not recorded: OpenTelemetry has no word for them."""
