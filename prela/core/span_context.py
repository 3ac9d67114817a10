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


def checked_context(context: object) -> SpanContext:
    """The context, if its ids are what W3C Trace Context allows.

    Raises:
        ValueError: They are not, or it is no `SpanContext` at all.
    """
    if isinstance(context, tuple) and len(context) >= 2:
        found = SpanContext(*context)
        if _is_id(found.trace_id, 32) and _is_id(found.span_id, 16):
            return found
    raise ValueError(f"{context!r} is no span context: its ids are 32 and 16 hexadecimal digits, not all 0")


def _is_id(text: object, length: int) -> bool:
    digits = "0123456789abcdefABCDEF"
    return isinstance(text, str) and len(text) == length and not text.strip(digits) and text.strip("0") != ""
