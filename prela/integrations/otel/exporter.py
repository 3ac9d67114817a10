"""Hands Prela's spans to the OpenTelemetry SDK that the application has set up: `prela.init(exporter="otel")`.

Each record becomes one of the SDK's `ReadableSpan`s, with its own ids, and is given to the span processors of the
application's provider as a span that has ended. docs/opentelemetry.md says what is kept, and what is not.
"""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes

from prela.integrations.otel.convert import STATUS_CODES
from prela.integrations.otel.flushing import sdk_watch
from prela.record.model import SpanLink, SpanRecord
from prela.record.otlp.meaning import STATUS, hints_of_type

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan

_TURN: Final = 16
"""Spans between two occasions for other threads to run."""
_SERVICE: Final = "service.name"
_NOBODY: Final = "unknown_service"


class OtelExporter:
    """See the module. It runs in a thread of its own, since the processors may block."""

    def __init__(self) -> None:
        self._resources: dict[int, tuple[dict[str, Any], Resource]] = {}

    def export(self, spans: Sequence[SpanRecord]) -> None:
        """Give spans to the SDK's processors; they are then the SDK's, which has its own queue and its own losses.

        Raises:
            RuntimeError: The application has set up no SDK.
        """
        sdk_watch.look()
        tracer: Any = trace.get_tracer_provider().get_tracer("prela")
        processor = getattr(tracer, "span_processor", None)
        if processor is None:
            raise RuntimeError("no OpenTelemetry SDK is set up (trace.set_tracer_provider)")
        for done, record in enumerate(spans, 1):
            processor.on_end(self._readable(record, tracer.resource))
            if done % _TURN == 0:
                time.sleep(0)

    def aclose(self) -> None:
        """Have the SDK send what it was given."""
        force_flush = getattr(trace.get_tracer_provider(), "force_flush", None)
        if force_flush is not None and not sdk_watch.is_ending:
            force_flush()

    def _readable(self, record: SpanRecord, resource: "Resource") -> "ReadableSpan":
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.sdk.util import BoundedList
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        state = trace.TraceState.from_header([record.trace_state]) if record.trace_state else trace.TraceState()
        scope = record.scope or {"name": "prela"}
        attributes = _attributes({**record.attributes, **_added(record)})
        attributes.dropped = record.dropped.get("attributes", 0)
        events = BoundedList.from_seq(
            None, [Event(e.name, _attributes(e.attributes), e.time_unix_nano) for e in record.events]
        )
        events.dropped = record.dropped.get("events", 0)
        links = BoundedList.from_seq(None, [_link(link) for link in record.links])
        links.dropped = record.dropped.get("links", 0)
        return ReadableSpan(
            name=record.name,
            context=_context(record.trace_id, record.span_id, record.flags, state),
            parent=_context(record.trace_id, record.parent_span_id, record.flags, state)
            if record.parent_span_id
            else None,
            resource=self._resource(record, resource),
            attributes=attributes,
            events=events,
            links=links,
            kind=trace.SpanKind.__members__.get(record.kind.upper(), trace.SpanKind.INTERNAL),
            instrumentation_scope=InstrumentationScope(
                scope.get("name", ""),
                scope.get("version"),
                record.otlp.get("scope_spans", {}).get("schema_url"),
                scope.get("attributes"),
            ),
            status=_status(record),
            start_time=record.start_time_unix_nano,
            end_time=record.end_time_unix_nano,
        )

    def _resource(self, record: SpanRecord, theirs: "Resource") -> "Resource":
        """The application's resource, with what only ours says; its name too, where the SDK was given none."""
        from opentelemetry.sdk.resources import Resource

        known = self._resources.get(id(record.resource))
        if known is not None and known[0] is record.resource:
            return known[1]
        ours = Resource(_attributes({**record.resource, _SERVICE: record.service_name}))
        merged = ours.merge(theirs)
        if str(theirs.attributes.get(_SERVICE, _NOBODY)).startswith(_NOBODY):
            merged = merged.merge(Resource({_SERVICE: record.service_name}))
        self._resources = {id(record.resource): (record.resource, merged)}
        return merged


def _added(record: SpanRecord) -> dict[str, Any]:
    """What tells a reader the type, and the status that OpenTelemetry lacks (`prela.record.otlp.meaning`)."""
    cancelled = {STATUS: record.status} if record.status == "cancelled" else {}
    return {**hints_of_type(record.span_type, record.attributes), **cancelled}


def _attributes(attributes: dict[str, Any]) -> BoundedAttributes:
    return BoundedAttributes(attributes=attributes)


def _context(trace_id: str, span_id: str, flags: int, state: trace.TraceState) -> trace.SpanContext:
    return trace.SpanContext(int(trace_id, 16), int(span_id, 16), False, trace.TraceFlags(flags), state)


def _link(link: SpanLink) -> trace.Link:
    state = trace.TraceState.from_header([link.trace_state]) if link.trace_state else trace.TraceState()
    return trace.Link(_context(link.trace_id, link.span_id, 1, state), _attributes(link.attributes))


def _status(record: SpanRecord) -> trace.Status:
    """Only errors: what went well is UNSET, as the SDK's own spans are unless the program says more."""
    if STATUS_CODES.get(record.status) is trace.StatusCode.ERROR:
        return trace.Status(trace.StatusCode.ERROR, record.status_message)
    return trace.Status(trace.StatusCode.UNSET)
