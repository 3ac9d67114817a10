"""From the span a program held to the record that is exported. Runs in the worker, never in the user's code."""

from collections.abc import Mapping
from sys import intern
from typing import Any, Final

from msgspec.structs import force_setattr, replace

from prela.core.details import Details
from prela.core.settings import Settings
from prela.core.span import Span
from prela.core.span_context import Link
from prela.record.enums import SpanType
from prela.record.model import SpanEvent, SpanLink, SpanRecord
from prela.record.text import PENDING_AGE
from prela.record.values import snapshot

CUTS: Final = "prela.cuts"
"""How many values were cut short by a limit; each is marked where it stood."""
_KEY_LENGTH: Final = 1_024
_LARGE: Final = 1 << 63
_KEYS_KNOWN: Final = 4_096
_TEXTS: Final = frozenset({str})
_known_keys: set[str] = set()
"""Keys that were found right before. Programs have few, and to look at each again takes a fifth of making a record."""
INCOMPLETE: Final = "prela.trace.incomplete"


def record_of(span: Span) -> SpanRecord:
    """Return the record of an ended span, and let go of the span's parent, so that no chain of spans is kept alive."""
    trace = span._trace
    settings = trace.settings
    span_id = settings.counters.ids.span_id
    # One C call copies the items: a thread that lost the race with `end` may still be writing.
    attributes = _checked(span._attributes.copy())
    parent = span._parent
    if parent is None:
        parent_id = trace.parent_id
        if trace.incomplete:
            attributes[INCOMPLETE] = True
    elif isinstance(parent, str):
        parent_id = parent
    else:
        parent_id = span._parent = span_id(parent._index)
    name, span_type, details = span.name, span.span_type, span._details
    if details is not None:
        if details.deferred:
            details.complete(attributes, settings.limits)
        if details.cuts:
            attributes[CUTS] = details.cuts
    # Fifteen arguments are the most that CPython passes by name without making a dict of them, which takes thrice as
    # long; two that most spans leave at their defaults come afterwards.
    record = SpanRecord(
        trace_id=trace._hex_id or trace.hex_id,
        span_id=span_id(span._index),
        parent_span_id=parent_id,
        name=name if type(name) is str else _text(name),
        span_type=span_type._value_ if type(span_type) is SpanType else _text(span_type),
        status="success" if details is None or details.status is None else str(details.status),
        status_message=None if details is None else details.status_message,
        start_time_unix_nano=span._start + trace.epoch,
        end_time_unix_nano=span._end + trace.epoch,
        attributes=attributes,
        events=() if details is None else _events(details, trace.epoch),
        links=() if details is None else tuple([_link(link) for link in details.links]),
        service_name=settings.service_name,
        resource=settings.resource,
        trace_state=trace.trace_state,
    )
    if details is not None:
        force_setattr(record, "kind", intern(str(details.kind)))  # interned: a default is omitted by identity
        force_setattr(record, "dropped", _dropped(details))
        if details.scope:
            force_setattr(record, "scope", details.scope)
            force_setattr(record, "otlp", details.otlp)
    return record


def pending_record_of(span: Span) -> SpanRecord:
    """Return the record of a span that is still open, as it stands: of status "pending", without an end.

    The span is not changed. What it holds goes through `redact`, as it will once more when the span ends.
    """
    settings = span._trace.settings
    details = Details() if span._details is None else span._details.as_it_stands()
    attributes = dict(span._attributes)
    details.complete(attributes, settings.limits)
    if settings.redact is not None:
        attributes = details.redact_all(settings.redact, attributes)
    attributes[PENDING_AGE] = (span._trace.clock() - span._start) / 1e9
    seen = Span()
    seen.name, seen.span_type = span.name, span.span_type
    seen._trace, seen._parent, seen._index = span._trace, span._parent, span._index
    seen._attributes, seen._details = attributes, details
    seen._start = seen._end = span._start
    return replace(record_of(seen), status="pending", end_time_unix_nano=None)


def _checked(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes, made right where the quick way of `set_attribute` took what it did not look at."""
    if _TEXTS.issuperset(map(type, attributes)) and (_known_keys.issuperset(attributes) or _are_right(attributes)):
        for value in attributes.values():
            if type(value) is int and not -_LARGE < value < _LARGE:
                break
        else:
            return attributes
    return {_text(key)[:_KEY_LENGTH]: snapshot(value) for key, value in attributes.items()}


def _text(value: object) -> str:
    """What should have been a text, as one."""
    try:
        return str(value)
    except Exception as error:
        return f"<{type(value).__name__}: {type(error).__name__} in __str__>"


def _are_right(keys: Mapping[str, Any]) -> bool:
    if any(len(key) > _KEY_LENGTH for key in keys):
        return False
    if len(_known_keys) > _KEYS_KNOWN:
        _known_keys.clear()
    _known_keys.update(keys)
    return True


def _events(details: Details, epoch: int) -> tuple[SpanEvent, ...]:
    return tuple(
        [SpanEvent(name=name, time_unix_nano=at + epoch, attributes=values) for name, at, values in details.events]
    )


def _dropped(details: Details) -> dict[str, int]:
    counts = {
        "attributes": details.dropped_attributes,
        "events": details.dropped_events,
        "links": details.dropped_links,
    }
    return {what: count for what, count in counts.items() if count}


def _link(link: Link) -> SpanLink:
    return SpanLink(
        trace_id=link.context.trace_id,
        span_id=link.context.span_id,
        attributes=dict(link.attributes or {}),
        trace_state=link.context.trace_state,
    )


def summary_record(settings: Settings, at: int, lost: dict[str, int]) -> SpanRecord:
    """A record that says inside the file what the file lacks: spans lost since the last one, by reason."""
    ids = settings.counters.ids
    return SpanRecord(
        trace_id=f"{ids.new_trace_id():032x}",
        span_id=f"{ids.new_trace_id() >> 64 or 1:016x}",
        parent_span_id=None,
        name="prela.dropped",
        span_type="custom",
        status="error",
        status_message=f"{sum(lost.values())} spans were lost",
        start_time_unix_nano=at,
        end_time_unix_nano=at,
        attributes={f"prela.dropped.{reason}": count for reason, count in lost.items()},
        events=(),
        links=(),
        service_name=settings.service_name,
        resource=settings.resource,
    )
