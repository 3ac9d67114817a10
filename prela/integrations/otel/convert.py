"""The same things in OpenTelemetry's API and here: span contexts, kinds, statuses, types."""

from collections.abc import Mapping
from typing import Final

from opentelemetry import trace

from prela.core.span import Span
from prela.core.span_context import SpanContext
from prela.integrations import semconv
from prela.record.enums import SpanKind, SpanStatus, SpanType

STATUS_CODES: Final[Mapping[str, trace.StatusCode]] = {
    SpanStatus.SUCCESS: trace.StatusCode.OK,
    SpanStatus.ERROR: trace.StatusCode.ERROR,
}
"""What is set; a span that was cancelled, and one of which nothing was said, is UNSET."""

OPENINFERENCE_KIND: Final = "openinference.span.kind"
TRACELOOP_KIND: Final = "traceloop.span.kind"

_TYPES: Final[Mapping[str, Mapping[str, SpanType]]] = {
    semconv.OPERATION: {
        "chat": SpanType.LLM,
        "text_completion": SpanType.LLM,
        "generate_content": SpanType.LLM,
        "embeddings": SpanType.EMBEDDING,
        "retrieval": SpanType.RETRIEVAL,
        "execute_tool": SpanType.TOOL,
        "create_agent": SpanType.AGENT,
        "invoke_agent": SpanType.AGENT,
        "invoke_workflow": SpanType.AGENT,
    },
    OPENINFERENCE_KIND: {
        "LLM": SpanType.LLM,
        "EMBEDDING": SpanType.EMBEDDING,
        "RETRIEVER": SpanType.RETRIEVAL,
        "RERANKER": SpanType.RETRIEVAL,
        "TOOL": SpanType.TOOL,
        "AGENT": SpanType.AGENT,
    },
    TRACELOOP_KIND: {"agent": SpanType.AGENT, "workflow": SpanType.AGENT, "tool": SpanType.TOOL},
}
"""By attribute and its value: OpenTelemetry's GenAI conventions, OpenInference's, OpenLLMetry's."""


def span_type_of(key: str, value: object) -> SpanType | None:
    """The type that an attribute says a span is of; None for the attributes, and values, that say nothing of it."""
    words = _TYPES.get(key)
    return None if words is None or not isinstance(value, str) else words.get(value)


def span_type_among(attributes: Mapping[str, object]) -> SpanType:
    """The type that the attributes a span starts with say it is of."""
    found = (span_type_of(key, value) for key, value in attributes.items())
    return next((span_type for span_type in found if span_type is not None), SpanType.CUSTOM)


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
