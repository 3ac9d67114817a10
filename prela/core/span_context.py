"""What identifies a span to others, and the small values a span is told: links and events."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class SpanContext(NamedTuple):
    """What identifies a span to other processes (W3C Trace Context)."""

    trace_id: str
    """32 hexadecimal digits."""
    span_id: str
    """16 hexadecimal digits."""
    sampled: bool = True
    trace_state: str = ""
    is_remote: bool = False


class Link(NamedTuple):
    """A reference from one span to another that is not its parent."""

    context: SpanContext
    attributes: Mapping[str, Any] | None = None


class Event(NamedTuple):
    """Something that happened at one moment of a span."""

    name: str
    time_ns: int
    """Nanoseconds since the Unix epoch."""
    attributes: Mapping[str, Any]
