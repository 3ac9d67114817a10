"""What a span's type, status and kind are called in OTLP, and which attributes carry what OTLP has no field for.

The rule throughout: an attribute of ours is sent only where the reader would otherwise take the span for something
else, so that most spans carry none. `ADDED` names those that a reader of ours takes off again, and `KEPT` holds the
program's own attributes that happen to have one of these names.
"""

from collections.abc import Mapping
from typing import Any, Final

from prela.record.enums import SpanKind, SpanStatus, SpanType

STATUS: Final = "prela.status"
SPAN_TYPE: Final = "prela.span.type"
KIND: Final = "prela.span.kind"
STATUS_MESSAGE: Final = "prela.status.message"
ADDED: Final = "prela.otlp.added"
KEPT: Final = "prela.otlp.kept"
_RESERVED: Final = frozenset({STATUS, SPAN_TYPE, KIND, STATUS_MESSAGE, ADDED, KEPT})

# --- the span's type ------------------------------------------------------------------------------------------------

OPERATION: Final = "gen_ai.operation.name"
"""OpenTelemetry's GenAI semantic conventions (`open-telemetry/semantic-conventions-genai`)."""
OPENINFERENCE_KIND: Final = "openinference.span.kind"
"""OpenInference semantic conventions, which Arize Phoenix shows."""

TRACELOOP_KIND: Final = "traceloop.span.kind"
"""OpenLLMetry's."""

TELLING: Final = frozenset({*_RESERVED, OPERATION, OPENINFERENCE_KIND, TRACELOOP_KIND})
"""Attributes that count here. A span of type custom that ended well, and has none of them, needs no mark."""

_CUSTOM: Final = SpanType.CUSTOM.value  # here once: on 3.11 it takes longer than all the rest of `implied_type`
_TYPE_OF_OPERATION: Final = {
    "chat": SpanType.LLM.value,
    "generate_content": SpanType.LLM.value,
    "text_completion": SpanType.LLM.value,
    "embeddings": SpanType.EMBEDDING.value,
    "retrieval": SpanType.RETRIEVAL.value,
    "invoke_agent": SpanType.AGENT.value,
    "execute_tool": SpanType.TOOL.value,
}
_TYPE_OF_KIND: Final = {
    "LLM": SpanType.LLM.value,
    "EMBEDDING": SpanType.EMBEDDING.value,
    "RETRIEVER": SpanType.RETRIEVAL.value,
    "AGENT": SpanType.AGENT.value,
    "TOOL": SpanType.TOOL.value,
}
_TYPE_OF_TRACELOOP_KIND: Final = {"agent": SpanType.AGENT.value, "tool": SpanType.TOOL.value}
_TYPES_OF_KINDS: Final = ((OPENINFERENCE_KIND, _TYPE_OF_KIND), (TRACELOOP_KIND, _TYPE_OF_TRACELOOP_KIND))
_HINTS: Final[Mapping[str, Mapping[str, str]]] = {
    SpanType.LLM: {OPENINFERENCE_KIND: "LLM"},  # which of the three operations it was is not known
    SpanType.EMBEDDING: {OPERATION: "embeddings", OPENINFERENCE_KIND: "EMBEDDING"},
    SpanType.RETRIEVAL: {OPERATION: "retrieval", OPENINFERENCE_KIND: "RETRIEVER"},
    SpanType.AGENT: {OPERATION: "invoke_agent", OPENINFERENCE_KIND: "AGENT"},
    SpanType.TOOL: {OPERATION: "execute_tool", OPENINFERENCE_KIND: "TOOL"},
}


def implied_type(attributes: Mapping[str, Any]) -> str:
    """The type that a span's attributes tell; "custom" where they tell none."""
    operation = attributes.get(OPERATION)
    if operation is not None and isinstance(operation, str) and operation in _TYPE_OF_OPERATION:
        return _TYPE_OF_OPERATION[operation]
    for name, types in _TYPES_OF_KINDS:
        kind = attributes.get(name)
        if kind is not None and isinstance(kind, str) and kind in types:
            return types[kind]
    return _CUSTOM


def hints_of_type(span_type: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that tell a reader the type, of whatever make it is; none where they tell it already."""
    if implied_type(attributes) == span_type:
        return {}
    hints = {name: word for name, word in _HINTS.get(span_type, {}).items() if name not in attributes}
    return hints if implied_type({**attributes, **hints}) == span_type else {SPAN_TYPE: str(span_type)}


# --- status and kind ------------------------------------------------------------------------------------------------

UNSET: Final = 0
"""What SDKs leave a span at that ended well: OK is for whoever wants to overrule the conventions (OpenTelemetry trace
API, "Set Status")."""
ERROR: Final = 2

_PENDING, _ENDED, _FAILED = SpanStatus.PENDING.value, SpanStatus.SUCCESS.value, SpanStatus.ERROR.value

KINDS: Final[Mapping[str, int]] = {
    SpanKind.INTERNAL: 1,
    SpanKind.SERVER: 2,
    SpanKind.CLIENT: 3,
    SpanKind.PRODUCER: 4,
    SpanKind.CONSUMER: 5,
}
KIND_NAMES: Final[Mapping[int, str]] = {number: SpanKind(name).value for name, number in KINDS.items()}


def implied_status(code: int, end: int) -> str:
    """The status that a code and an end tell. A span with no end is one that had not ended when it was sent."""
    return _FAILED if code == ERROR else _ENDED if end else _PENDING


# --- attributes of ours ---------------------------------------------------------------------------------------------


def marked(attributes: Mapping[str, Any], added: Mapping[str, Any]) -> Mapping[str, Any]:
    """Attributes, and those that are added for the reader."""
    if not _RESERVED.isdisjoint(attributes):
        kept = {name: value for name, value in attributes.items() if name in _RESERVED}
        attributes = {name: value for name, value in attributes.items() if name not in kept}
        added = {**added, KEPT: {**added.get(KEPT, {}), **kept}}
    if not added:
        return attributes
    foreign = ",".join(name for name in added if name not in _RESERVED)
    return {**attributes, **added, **({ADDED: foreign} if foreign else {})}


def unmarked(attributes: dict[str, Any]) -> Mapping[str, Any]:
    """Undo `marked`: take off what was added, and return those of our names."""
    if _RESERVED.isdisjoint(attributes):
        return {}
    marks = {name: attributes.pop(name) for name in _RESERVED if name in attributes}
    added, kept = marks.get(ADDED), marks.get(KEPT)
    for name in added.split(",") if isinstance(added, str) else ():
        attributes.pop(name, None)
    if isinstance(kept, dict):
        attributes.update(kept)
    return {name: value for name, value in marks.items() if isinstance(value, str)}
