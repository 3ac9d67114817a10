"""The same things in OpenTelemetry's API and here: span contexts, kinds, statuses."""

from collections.abc import Mapping
from typing import Final

from opentelemetry import trace

from prela.core.span import Span
from prela.core.span_context import SpanContext
from prela.record.enums import SpanKind, SpanStatus
from prela.record.otlp import meaning

STATUS_CODES: Final[Mapping[str, trace.StatusCode]] = {
    SpanStatus.SUCCESS: trace.StatusCode.OK,
    SpanStatus.ERROR: trace.StatusCode.ERROR,
}
"""What is set; a span that was cancelled, and one of which nothing was said, is UNSET."""

_TELLING: Final = frozenset({meaning.OPERATION, meaning.OPENINFERENCE_KIND, meaning.TRACELOOP_KIND})


def tells_type(key: str) -> bool:
    """Whether an attribute of this name may tell the type of its span (`prela.record.otlp.meaning`)."""
    return key in _TELLING


def to_otel(context: SpanContext) -> trace.SpanContext:
    """A span context of ours as the API's."""
    flags = trace.TraceFlags.SAMPLED if context.sampled else trace.TraceFlags.DEFAULT
    state = trace.TraceState.from_header([context.trace_state]) if context.trace_state else None
    return trace.SpanContext(
        int(context.trace_id, 16), int(context.span_id, 16), context.is_remote, trace.TraceFlags(flags), state
    )


def from_otel(context: trace.SpanContext) -> SpanContext:
    """A span context of the API's as ours, valid or not."""
    return SpanContext(
        trace.format_trace_id(context.trace_id),
        trace.format_span_id(context.span_id),
        context.trace_flags.sampled,
        context.trace_state.to_header() if context.trace_state else "",
        context.is_remote,
    )


def kind_of(kind: object) -> SpanKind:
    """The kind of a span, by the API's; they have the same names."""
    return SpanKind(kind.name.lower()) if isinstance(kind, trace.SpanKind) else SpanKind.INTERNAL


def otel_kind_of(span: Span) -> trace.SpanKind:
    """The API's kind of a span of ours."""
    return trace.SpanKind.__members__.get(str(span.kind).upper(), trace.SpanKind.INTERNAL)
