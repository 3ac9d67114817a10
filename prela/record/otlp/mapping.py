"""The record and OTLP: every field of one as a field of the other, both ways, and nothing lost on either.

    record                      OTLP (opentelemetry-proto 1.9, trace.proto)
    trace_id, span_id           the same, as bytes
    parent_span_id              the same; None: empty
    name, trace_state, flags    the same
    kind                        kind; internal is 1 and so on; another word: SPAN_KIND_INTERNAL and `prela.span.kind`
    start_time_unix_nano        the same
    end_time_unix_nano          the same; None (pending): 0
    status, status_message      status: error is ERROR, all others UNSET; `prela.status` says which, where success (or,
                                with no end, pending) would be wrong. "" as a message: `prela.status.message`
    span_type                   `gen_ai.operation.name` and `openinference.span.kind`, where those have a word for it;
                                else `prela.span.type`
    attributes                  attributes; the values as in `values`
    events, links               the same
    dropped                     dropped_attributes_count, dropped_events_count, dropped_links_count
    service_name, resource      resource.attributes, among them `service.name`
    scope                       scope: name, version, attributes; {} is the name "prela"
    otlp                        what is left: fields that the record has no word for, under the .proto's names

Messages are dicts here, as in `values`; `as_protobuf` and `as_json` make bytes of them. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from prela.record.model import SpanEvent, SpanLink, SpanRecord
from prela.record.otlp import meaning
from prela.record.otlp.values import Message, attributes_of, key_values

OUR_SCOPE: Final = "prela"
UNKNOWN_SERVICE: Final = "unknown_service"
"""What a resource that names no service is taken for (OpenTelemetry resource conventions, "Service")."""

_DROPPED: Final = {
    "attributes": "dropped_attributes_count",
    "events": "dropped_events_count",
    "links": "dropped_links_count",
}
_TRACE_ID_BYTES: Final = 16
_SPAN_ID_BYTES: Final = 8

# The fields that are mapped one by one; all others of a message go into the record's `otlp`.
_SPAN: Final = frozenset(
    {
        "trace_id",
        "span_id",
        "trace_state",
        "parent_span_id",
        "flags",
        "name",
        "kind",
        "status",
        "start_time_unix_nano",
        "end_time_unix_nano",
        "attributes",
        "events",
        "links",
        *_DROPPED.values(),
    }
)
_EVENT: Final = frozenset({"time_unix_nano", "name", "attributes"})
_LINK: Final = frozenset({"trace_id", "span_id", "trace_state", "attributes"})
_STATUS: Final = frozenset({"message", "code"})
_RESOURCE: Final = frozenset({"attributes"})
_SCOPE: Final = frozenset({"name", "version", "attributes"})


# --- from records to OTLP -------------------------------------------------------------------------------------------


class Scope(NamedTuple):
    """The spans of one instrumentation scope: a ScopeSpans, but for the spans themselves."""

    head: Message
    records: list[SpanRecord]


class Group(NamedTuple):
    """The spans of one resource: a ResourceSpans, but for its scopes."""

    head: Message
    scopes: list[Scope]


def grouped(records: Iterable[SpanRecord]) -> list[Group]:
    """Put records together by resource and scope, in the order in which these first come."""
    groups: dict[str, tuple[Group, dict[str, Scope]]] = {}
    recent: dict[tuple[object, ...], list[SpanRecord]] = {}  # by identity: most records share their resource
    for record in records:
        key = (id(record.resource), record.service_name, id(record.scope or None), id(record.otlp or None))
        together = recent.get(key)
        if together is not None:
            together.append(record)
            continue
        resource_spans, scope_spans = _resource_spans_of(record), _scope_spans_of(record)
        group, scopes = groups.setdefault(repr(resource_spans), (Group(resource_spans, []), {}))
        found = scopes.get(repr(scope_spans))
        if found is None:
            found = scopes[repr(scope_spans)] = Scope(scope_spans, [])
            group.scopes.append(found)
        found.records.append(record)
        recent[key] = found.records
    return [group for group, _ in groups.values()]


def request_of(records: Iterable[SpanRecord], *, cancelled_as: str = "unset") -> Message:
    """Return records as an ExportTraceServiceRequest. For large batches see the encodings, which can do it in pieces.

    Raises:
        ValueError: An id of a record is none.
    """
    resource_spans = []
    for group in grouped(records):
        scope_spans = [
            {**scope.head, "spans": [span_of(record, cancelled_as) for record in scope.records]}
            for scope in group.scopes
        ]
        resource_spans.append({**group.head, "scope_spans": scope_spans})
    return {"resource_spans": resource_spans}


def span_of(record: SpanRecord, cancelled_as: str = "unset") -> Message:
    """Return a record as a Span.

    Args:
        record: Where its texts hold lone surrogates, the message holds them too; see `values.mended`.
        cancelled_as: "unset", or "error" for receivers in which a cancelled span should look like a failed one.

    Raises:
        ValueError: An id is none.
    """
    failed = record.status == "error" or (record.status == "cancelled" and cancelled_as == "error")
    code = meaning.ERROR if failed else meaning.UNSET
    end = record.end_time_unix_nano or 0
    marks: dict[str, Any] = meaning.hints_of_type(record.span_type, record.attributes)
    if record.status != meaning.implied_status(code, end):
        marks[meaning.STATUS] = str(record.status)
    if record.status_message == "":
        marks[meaning.STATUS_MESSAGE] = ""
    kind = meaning.KINDS.get(record.kind)
    if kind is None:
        marks[meaning.KIND] = str(record.kind)
    span: Message = {
        "trace_id": _id(record.trace_id, _TRACE_ID_BYTES),
        "span_id": _id(record.span_id, _SPAN_ID_BYTES),
        "flags": record.flags,
        "name": record.name,
        "kind": kind or meaning.KINDS["internal"],
        "start_time_unix_nano": record.start_time_unix_nano,
        "end_time_unix_nano": end,
        "attributes": key_values(meaning.marked(record.attributes, marks)),
    }
    if record.parent_span_id is not None:
        span["parent_span_id"] = _id(record.parent_span_id, _SPAN_ID_BYTES)
    if record.trace_state:
        span["trace_state"] = record.trace_state
    if code or record.status_message:
        span["status"] = {"code": code, "message": record.status_message or ""}
    if record.events:
        span["events"] = [_event(event) for event in record.events]
    if record.links:
        span["links"] = [_link(link) for link in record.links]
    for what, count in record.dropped.items():
        if what in _DROPPED:
            span[_DROPPED[what]] = count
    return _with_rest(span, record.otlp) if record.otlp else span


def _id(text: str, length: int) -> bytes:
    found = bytes.fromhex(text)
    if len(found) != length:
        raise ValueError(f"{text!r} is no id: it has not {2 * length} hexadecimal digits")
    return found


def _event(event: SpanEvent) -> Message:
    return {
        "time_unix_nano": event.time_unix_nano,
        "name": event.name,
        "attributes": key_values(event.attributes),
    }


def _link(link: SpanLink) -> Message:
    return {
        "trace_id": bytes.fromhex(link.trace_id),
        "span_id": bytes.fromhex(link.span_id),
        "trace_state": link.trace_state,
        "attributes": key_values(link.attributes),
    }


def _with_rest(span: Message, rest: Mapping[str, Any]) -> Message:
    """The span with what the record had no word for when it came."""
    span.update(rest.get("span", {}))
    if "status" in rest:
        span["status"] = {**span.get("status", {}), **rest["status"]}
    for field in ("events", "links"):
        for index, left in rest.get(field, {}).items():
            span[field][int(index)].update(left)
    return span


def _resource_spans_of(record: SpanRecord) -> Message:
    attributes: Mapping[str, Any] = record.resource
    added: dict[str, Any] = {}
    if attributes.get("service.name", UNKNOWN_SERVICE) != record.service_name:
        added["service.name"] = record.service_name
        if "service.name" in attributes:
            attributes = {name: value for name, value in attributes.items() if name != "service.name"}
            added[meaning.KEPT] = {"service.name": record.resource["service.name"]}
    resource = {"attributes": key_values(meaning.marked(attributes, added)), **record.otlp.get("resource", {})}
    return {"resource": resource, **record.otlp.get("resource_spans", {})}


def _scope_spans_of(record: SpanRecord) -> Message:
    scope: Message = {name: record.scope[name] for name in ("name", "version") if record.scope.get(name)}
    if not record.scope:
        scope["name"] = OUR_SCOPE
    if record.scope.get("attributes"):
        scope["attributes"] = key_values(record.scope["attributes"])
    return {"scope": {**scope, **record.otlp.get("scope", {})}, **record.otlp.get("scope_spans", {})}


# --- from OTLP to records -------------------------------------------------------------------------------------------


class Records:
    """Reads records from an ExportTraceServiceRequest. A span that cannot be read costs itself only.

    Args:
        request: A message. A ValueError in the place of a span says why a decoder could make none of it.
    """

    def __init__(self, request: Mapping[str, Any]) -> None:
        self._request = request
        self.refused: int = 0
        """Spans that were passed over so far."""
        self.reason: str = ""
        """Why the first of them was."""

    def __iter__(self) -> Iterator[SpanRecord]:
        for resource_spans in self._request.get("resource_spans", ()):
            origin = _Origin(resource_spans)
            for scope_spans in resource_spans.get("scope_spans", ()):
                origin.enter(scope_spans)
                for span in scope_spans.get("spans", ()):
                    try:
                        yield _record_of(span, origin)
                    except (ValueError, TypeError, AttributeError, RecursionError) as error:
                        self.refused += 1
                        self.reason = self.reason or str(error)


class _Origin:
    """Where spans come from: what those of one resource, and of one scope, have in common."""

    def __init__(self, resource_spans: Mapping[str, Any]) -> None:
        resource = resource_spans.get("resource", {})
        self.resource: dict[str, Any] = attributes_of(resource.get("attributes", ()))
        name = self.resource.get("service.name", UNKNOWN_SERVICE)
        self.service_name: str = name if isinstance(name, str) else str(name)
        meaning.unmarked(self.resource)
        self._rest = {
            "resource_spans": _rest(resource_spans, frozenset({"resource", "scope_spans"})),
            "resource": _rest(resource, _RESOURCE),
        }
        self.scope: dict[str, Any] = {}
        self.rest: dict[str, Any] = {}

    def enter(self, scope_spans: Mapping[str, Any]) -> None:
        """Go on to the next scope of the resource."""
        scope = scope_spans.get("scope", {})
        found = {name: scope[name] for name in ("name", "version") if scope.get(name)}
        if scope.get("attributes"):
            found["attributes"] = attributes_of(scope["attributes"])
        self.scope = {} if found == {"name": OUR_SCOPE} else found or {"name": ""}
        rest = {
            **self._rest,
            "scope_spans": _rest(scope_spans, frozenset({"scope", "spans"})),
            "scope": _rest(scope, _SCOPE),
        }
        self.rest = {message: left for message, left in rest.items() if left}


def _record_of(span: Any, origin: _Origin) -> SpanRecord:
    if isinstance(span, ValueError):
        raise span
    attributes = attributes_of(span.get("attributes", ()))
    implied_type = meaning.implied_type(attributes)
    marks = meaning.unmarked(attributes)
    status, kind = span.get("status", {}), span.get("kind", 0)
    code, end = status.get("code", meaning.UNSET), span.get("end_time_unix_nano", 0)
    events, links = span.get("events", ()), span.get("links", ())
    rest = {
        "span": {**_rest(span, _SPAN), **({} if kind in meaning.KIND_NAMES else {"kind": kind})},
        "status": {**_rest(status, _STATUS), **({} if code in (meaning.UNSET, meaning.ERROR) else {"code": code})},
        "events": _rests(events, _EVENT),
        "links": _rests(links, _LINK),
    }
    return SpanRecord(
        trace_id=_hex(span, "trace_id", _TRACE_ID_BYTES),
        span_id=_hex(span, "span_id", _SPAN_ID_BYTES),
        parent_span_id=_hex(span, "parent_span_id", _SPAN_ID_BYTES) if any(span.get("parent_span_id", b"")) else None,
        name=span.get("name", ""),
        span_type=marks.get(meaning.SPAN_TYPE, implied_type),
        status=marks.get(meaning.STATUS, meaning.implied_status(code, end)),
        status_message=status.get("message") or marks.get(meaning.STATUS_MESSAGE),
        start_time_unix_nano=span.get("start_time_unix_nano", 0),
        end_time_unix_nano=end or None,
        attributes=attributes,
        events=tuple([_event_of(event) for event in events]),
        links=tuple([_link_of(link) for link in links]),
        service_name=origin.service_name,
        resource=origin.resource,
        kind=marks.get(meaning.KIND, meaning.KIND_NAMES.get(kind, "internal")),
        flags=span.get("flags", 0),
        trace_state=span.get("trace_state", ""),
        scope=origin.scope,
        dropped={what: span[field] for what, field in _DROPPED.items() if span.get(field)},
        otlp={**origin.rest, **{message: left for message, left in rest.items() if left}},
    )


def _hex(span: Mapping[str, Any], field: str, length: int) -> str:
    found = span.get(field, b"")
    if len(found) != length or not any(found):
        raise ValueError(f"a span's {field} is {found.hex()!r}: no {length} bytes, or all of them 0")
    return str(found.hex())


def _event_of(event: Mapping[str, Any]) -> SpanEvent:
    return SpanEvent(
        name=event.get("name", ""),
        time_unix_nano=event.get("time_unix_nano", 0),
        attributes=attributes_of(event.get("attributes", ())),
    )


def _link_of(link: Mapping[str, Any]) -> SpanLink:
    return SpanLink(
        trace_id=link.get("trace_id", b"").hex(),
        span_id=link.get("span_id", b"").hex(),
        attributes=attributes_of(link.get("attributes", ())),
        trace_state=link.get("trace_state", ""),
    )


def _rest(message: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name not in known}


def _rests(messages: Sequence[Mapping[str, Any]], known: frozenset[str]) -> dict[str, dict[str, Any]]:
    """What is left of each, by its number."""
    return {str(number): left for number, message in enumerate(messages) if (left := _rest(message, known))}
