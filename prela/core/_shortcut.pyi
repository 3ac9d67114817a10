"""What `shortcut.c` is compiled to."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

from prela.core.span import Span
from prela.core.tracer import Tracer
from prela.record.enums import SpanType

def begin(
    current_span: ContextVar[Any],
    left: object,
    closed: dict[str, Any],
    quick_attributes: int,
    quick_string: int,
    monotonic_ns: Callable[[], int],
    deque: type,
    span_types: type,
    slots: Mapping[str, object],
    /,
) -> None: ...
def begin_tracer(
    tracer_class: type[Tracer],
    settings: object,
    span_class: object,
    custom: SpanType,
    no_span: Span,
    unsampled: Span,
    doc: str,
    /,
) -> Callable[..., Span]: ...
def methods(kind: str, span_class: type[Span], /) -> dict[str, Callable[..., Any]]: ...
def track(spans: list[Span], /) -> None: ...
