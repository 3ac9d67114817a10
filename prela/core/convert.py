"""From the span a program held to the record that is exported. Runs in the worker, never in the user's code."""

from sys import intern
from typing import Any, Final

from prela.core.settings import Settings
from prela.core.span import Span
from prela.core.span_context import Link
from prela.record.model import SpanEvent, SpanLink, SpanRecord
from prela.record.values import snapshot

CUTS: Final = "prela.cuts"
"""How many values were cut short by a limit; each is marked where it stood."""
_KEY_LENGTH: Final = 1_024
_LARGE: Final = 1 << 63
INCOMPLETE: Final = "prela.trace.incomplete"


def record_of(span: Span) -> SpanRecord:
    """Return the record of an ended span, and let go of the span's parent, so that no chain of spans is kept alive."""
    trace = span._trace
    settings = trace.settings
    span_id = settings.counters.ids.span_id
    parent = span._parent
    is_root = parent is None
    if isinstance(parent, Span):
        parent = span._parent = span_id(parent._index)
    parent_id = parent or trace.parent_id
    details = span._details
    # One C call copies the items: a thread that lost the race with `end` may still be writing.
    attributes = _checked(dict(span._attributes))
    if is_root and trace.incomplete:
        attributes[INCOMPLETE] = True
    common: dict[str, Any] = {} if details is None else _detailed(details, trace.epoch, attributes)
    return SpanRecord(
        trace_id=f"{trace.trace_id:032x}",
        span_id=f"{span_id(span._index):016x}",
        parent_span_id=f"{parent_id:016x}" if parent_id else None,
        name=_text(span.name),
        span_type=_text(span.span_type),
        start_time_unix_nano=span._start + trace.epoch,
        end_time_unix_nano=span._end + trace.epoch,
        attributes=attributes,
        service_name=settings.service_name,
        resource=settings.resource,
        trace_state=trace.trace_state,
        **{"status": "success", "status_message": None, "events": [], "links": [], **common},
    )


def _checked(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes, made right where the quick way of `set_attribute` took what it did not look at."""
    for key, value in attributes.items():
        if type(key) is not str or len(key) > _KEY_LENGTH or (type(value) is int and not -_LARGE < value < _LARGE):
            return {_text(name)[:_KEY_LENGTH]: snapshot(found) for name, found in attributes.items()}
    return attributes


def _detailed(details: Any, epoch: int, attributes: dict[str, Any]) -> dict[str, Any]:
    """The fields of a record that most spans leave at their defaults."""
    if details.cuts:
        attributes[CUTS] = details.cuts
    dropped = {
        "attributes": details.dropped_attributes,
        "events": details.dropped_events,
        "links": details.dropped_links,
    }
    return {
        "status": "success" if details.status is None else details.status.value,
        "status_message": details.status_message,
        "kind": intern(_text(details.kind)),  # msgspec omits a default only where it is the very same object
        "events": [
            SpanEvent(name=name, time_unix_nano=at + epoch, attributes=values) for name, at, values in details.events
        ],
        "links": [_link(link) for link in details.links],
        "dropped": {what: count for what, count in dropped.items() if count},
    }


def _link(link: Link) -> SpanLink:
    return SpanLink(
        trace_id=link.context.trace_id,
        span_id=link.context.span_id,
        attributes=dict(link.attributes or {}),
        trace_state=link.context.trace_state,
    )


def _text(value: object) -> str:
    return value if type(value) is str else str(value)


def summary_record(settings: Settings, ids: tuple[int, int], at: int, lost: dict[str, int]) -> SpanRecord:
    """A record that says inside the file what the file lacks: spans lost since the last one, by reason."""
    trace_id, span_id = ids
    return SpanRecord(
        trace_id=f"{trace_id:032x}",
        span_id=f"{span_id:016x}",
        parent_span_id=None,
        name="prela.dropped",
        span_type="custom",
        status="error",
        status_message=f"{sum(lost.values())} spans were lost",
        start_time_unix_nano=at,
        end_time_unix_nano=at,
        attributes={f"prela.dropped.{reason}": count for reason, count in lost.items()},
        events=[],
        links=[],
        service_name=settings.service_name,
        resource=settings.resource,
    )
