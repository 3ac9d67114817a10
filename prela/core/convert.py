"""From the span a program held to the record that is exported. Runs in the worker, never in the user's code."""

from sys import intern
from typing import Any, Final

from msgspec.structs import force_setattr, replace

from prela.core.details import Details
from prela.core.ids import BLOCK_BITS, WITHIN_BLOCK
from prela.core.local_trace import LocalTrace
from prela.core.outage import spans_were
from prela.core.readable import ReadableSpan
from prela.core.settings import Settings
from prela.core.span import Span
from prela.core.span_context import Link
from prela.record.enums import SpanType
from prela.record.jsonl import CheckedRecords, is_plain
from prela.record.model import SpanEvent, SpanLink, SpanRecord
from prela.record.text import PENDING_AGE
from prela.record.values import NAME_LENGTH, short, snapshot

CUTS: Final = "prela.cuts"
"""How many values were cut short by a limit; each is marked where it stood."""
_LARGE: Final = 1 << 63
_KEYS_KNOWN: Final = 4_096
_known_keys: dict[str, str] = {}
"""Keys that were found right before, each under itself: programs have few. One that is found to be the very object
need not even be asked for its type."""
INCOMPLETE: Final = "prela.trace.incomplete"


def record_of(span: Span) -> SpanRecord:
    """Return the record of an ended span, and let go of the span's parent, so that no chain of spans is kept alive."""
    records = CheckedRecords()
    _move([span], records, 1, stop=False)
    (record,) = records
    if (details := span._details) is not None:
        _dress(record, details, span._trace)
    return record


def move_plain(spans: list[Span], records: CheckedRecords, most: int) -> bool:
    """Take up to so many ended spans from the end of one list, and add their records to the other.

    False if it stopped before a span that is not like most: with `Details`, or with a verdict of tail sampling.

    Raises:
        Exception: A span could not be made a record; it is taken, and those after it are still there.
    """
    return _move(spans, records, most, stop=True)


def _move(spans: list[Span], records: CheckedRecords, most: int, *, stop: bool) -> bool:
    # A span is let go of as its record is made: a batch of objects that die together would have the garbage collector
    # run, as the records come, for nothing. What spans have in common is looked up when it changes.
    known, least, largest, block_number = _known_keys, -_LARGE, _LARGE, -1
    trace = settings = parent = None
    name_before: Any = known  # which is no name
    type_before: Any = known
    for _ in range(min(most, len(spans))):
        span = spans.pop()
        if span._trace is not trace:
            trace = span._trace
            if stop and trace.verdict is not None:
                spans.append(span)
                return False
            if trace.settings is not settings:
                settings = trace.settings
                ids = settings.counters.ids
                block_number = -1
                service_name, resource = settings.service_name, settings.resource
                resource_is_plain = is_plain(resource)
            trace_id, trace_state, epoch = trace.hex_id, trace.trace_state, trace.epoch
        if stop and span._details is not None:
            spans.append(span)
            return False
        # Nobody writes to those of an ended span; but where setting one takes time, as it does with `Details`, a thread
        # that lost the race with `end` may be about to.
        attributes = span._attributes if stop else span._attributes.copy()
        plain = resource_is_plain
        try:
            for key, value in attributes.items():
                if known[key] is not key and type(key) is not str:
                    raise KeyError(key)
                kind = type(value)
                if kind is str:
                    continue
                if kind is int:
                    if not least < value < largest:
                        raise KeyError(key)
                elif kind is float:
                    if value - value != 0.0:  # nan, or an infinity
                        plain = False
                elif kind is not bool:
                    plain = False
        except Exception:  # a key not known, or too strange to be looked up
            attributes, plain = _looked_at(attributes.copy()), False
        if span._parent is not parent:
            parent = span._parent
            parent_id = ids.span_id(parent._index) if isinstance(parent, ReadableSpan) else parent
        if parent is None:
            above = trace.parent_id
            if above is not None:
                records.local_roots.add(len(records))
            if trace.incomplete:
                attributes[INCOMPLETE] = True
        else:
            above = span._parent = parent_id
        index = span._index
        if index >> BLOCK_BITS != block_number:
            block_number = index >> BLOCK_BITS
            block = ids.block(block_number)
        if span.name is not name_before:
            name = name_before = span.name
            if type(name) is not str or len(name) > NAME_LENGTH:
                name = short(_text(name))
        if span.span_type is not type_before:
            type_before = span.span_type
            span_type = type_before._value_ if type(type_before) is SpanType else short(_text(type_before))
        if not plain:
            records.unplain.add(len(records))
        records.append(
            SpanRecord(
                trace_id,
                block[index & WITHIN_BLOCK],
                above,
                name,
                span_type,
                "success",
                None,
                span._start + epoch,
                span._end + epoch,
                attributes,
                (),
                (),
                service_name,
                resource,
                "internal",
                1,
                trace_state,
            )
        )
    return True


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


def _looked_at(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes, made right where the quick way of `set_attribute` took what it did not look at: keys, and ints.

    What was right is known from now on.
    """
    found = {short(_text(key)): snapshot(value) if type(value) is int else value for key, value in attributes.items()}
    if len(_known_keys) > _KEYS_KNOWN:
        _known_keys.clear()
    _known_keys.update(zip(found, found, strict=True))
    return found


def _text(value: object) -> str:
    """What should have been a text, as one."""
    try:
        text = str(value)
        return text if type(text) is str else str.__str__(text)
    except BaseException as error:  # whatever it is, it is the program's, and not meant for the worker
        return f"<{type(value).__name__}: {type(error).__name__} in __str__>"


def _dress(record: SpanRecord, details: Details, trace: LocalTrace) -> None:
    """Add what most spans do not have. `force_setattr`: nobody has seen the record yet."""
    if details.deferred:
        details.complete(record.attributes, trace.settings.limits)
    if details.cuts:
        record.attributes[CUTS] = details.cuts
    if details.status is not None:
        force_setattr(record, "status", str(details.status))
    force_setattr(record, "status_message", details.status_message)
    force_setattr(record, "kind", intern(short(_text(details.kind))))  # interned: a default is omitted by identity
    if details.events:
        force_setattr(record, "events", _events(details, trace.epoch))
    if details.links:
        force_setattr(record, "links", tuple([_link(link) for link in details.links]))
    if counts := _dropped(details):
        force_setattr(record, "dropped", counts)
    if details.scope:
        force_setattr(record, "scope", details.scope)
        force_setattr(record, "otlp", details.otlp)


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
        status_message=f"{spans_were(sum(lost.values()))} lost",
        start_time_unix_nano=at,
        end_time_unix_nano=at,
        attributes={f"prela.dropped.{reason}": count for reason, count in lost.items()},
        events=(),
        links=(),
        service_name=settings.service_name,
        resource=settings.resource,
    )
