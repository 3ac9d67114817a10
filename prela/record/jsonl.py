"""Records as JSON Lines, both ways.

What it leaves to others: files. A line that cannot be read is the reader's to skip and count; it costs only itself.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from sys import intern
from typing import Any

import msgspec

from prela.record.model import SpanEvent, SpanLink, SpanRecord
from prela.record.values import attributes_from_json, attributes_to_json

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(SpanRecord)


class CheckedRecords(list[SpanRecord]):
    """Records whose maker has looked which of them can be encoded as they are, so that nobody need look again."""

    __slots__ = ("local_roots", "unplain")

    def __init__(self) -> None:
        super().__init__()
        self.unplain: set[int] = set()
        """The places of those that may hold what JSON has no words for."""
        self.local_roots: set[int] = set()
        """The places of those whose parent is in another process, or under settings before: no parent follows here."""

    def append_unplain(self, record: SpanRecord) -> None:
        """Add a record that nobody has looked at, or that may hold such."""
        self.unplain.add(len(self))
        self.append(record)


def encode(record: SpanRecord) -> bytes:
    """Return the record as one line of UTF-8 JSON that ends in a newline."""
    if _are_json_already((record,)):
        try:
            return _encoder.encode(record) + b"\n"
        except Exception:
            pass  # a lone surrogate, or what an exporter's user put there; the slow way below mends it
    return _encoder.encode(_with_json_values(record)) + b"\n"


def encode_lines(records: Sequence[SpanRecord]) -> bytes:
    """Return what `encode` returns for each, one after the other."""
    plain = plain_lines(records, 0, len(records))
    return b"".join(map(encode, records)) if plain is None else plain


def plain_lines(records: Sequence[SpanRecord], begin: int, end: int) -> bytes | None:
    """The lines of these of the records, made in one go where all can be encoded as they are; None where one cannot."""
    part = records[begin:end]
    try:
        if isinstance(records, CheckedRecords):
            are_plain = records.unplain.isdisjoint(range(begin, end))
        else:
            are_plain = _are_json_already(part)
        return _encoder.encode_lines(part) if are_plain else None
    except Exception:
        return None  # a lone surrogate, or what an exporter's user put there


def decode(line: bytes | str) -> SpanRecord:
    """Return the record that a line holds.

    Raises:
        ValueError: The line is no JSON, no record, or of a format version this reader does not know.
    """
    record = _decoder.decode(line)
    return record if _has_no_tags(line) else _untagged(record)


def _has_no_tags(line: bytes | str) -> bool:
    """True where no "$" stands, in either of JSON's spellings: nearly always, and then the record is what it says."""
    if isinstance(line, str):
        return "$" not in line and "\\u0024" not in line
    return b"$" not in line and b"\\u0024" not in line


def _untagged(record: SpanRecord) -> SpanRecord:
    return msgspec.structs.replace(
        record,
        attributes=attributes_from_json(record.attributes),
        resource=attributes_from_json(record.resource),
        scope=attributes_from_json(record.scope),
        otlp=attributes_from_json(record.otlp),
        events=tuple(msgspec.structs.replace(e, attributes=attributes_from_json(e.attributes)) for e in record.events),
        links=tuple(msgspec.structs.replace(x, attributes=attributes_from_json(x.attributes)) for x in record.links),
    )


class Lines:
    """Reads records from lines, and counts in `bad` those that hold none."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = lines
        self.bad: int = 0

    def __iter__(self) -> Iterator[SpanRecord]:
        for line in self._lines:
            if not line.strip():
                continue
            try:
                yield decode(line)
            except ValueError:
                self.bad += 1


def latest(records: Iterable[SpanRecord]) -> list[SpanRecord]:
    """One record a span: a final one beats a pending one of the same ids, in whatever order they stand."""
    kept: dict[tuple[str, str], SpanRecord] = {}
    for record in records:
        key = (record.trace_id, record.span_id)
        if key not in kept or kept[key].status == "pending":
            kept[key] = record
    return list(kept.values())


def _are_json_already(records: Iterable[SpanRecord]) -> bool:
    """True for the common spans: short, flat values that JSON has words for."""
    resource = None  # most records share theirs
    for record in records:
        if record.events or record.links or record.scope or record.otlp or not is_plain(record.attributes):
            return False
        if record.resource is not resource:
            resource = record.resource
            if not is_plain(resource):
                return False
    return True


def is_plain(values: Mapping[str, Any]) -> bool:
    """Whether JSON has words for all these values as they are: nothing nested, nothing to be tagged."""
    for value in values.values():
        kind = type(value)
        if kind is str:
            continue
        if kind is int:
            if -(1 << 63) <= value < 1 << 64:
                continue
        elif kind is float:
            if value - value == 0.0:  # finite: neither nan nor an infinity
                continue
        elif kind is bool or value is None:
            continue
        return False
    return True


def _with_json_values(record: SpanRecord) -> SpanRecord:
    return msgspec.structs.replace(
        record,
        trace_id=_text(record.trace_id),
        span_id=_text(record.span_id),
        parent_span_id=None if record.parent_span_id is None else _text(record.parent_span_id),
        name=_text(record.name),
        span_type=_text(record.span_type),
        kind=_text(record.kind),
        trace_state=_text(record.trace_state),
        status=_text(record.status),
        status_message=None if record.status_message is None else _text(record.status_message),
        service_name=_text(record.service_name),
        attributes=attributes_to_json(record.attributes),
        resource=attributes_to_json(record.resource),
        scope=attributes_to_json(record.scope),
        otlp=attributes_to_json(record.otlp),
        events=tuple(
            SpanEvent(name=_text(e.name), time_unix_nano=e.time_unix_nano, attributes=attributes_to_json(e.attributes))
            for e in record.events
        ),
        links=tuple(
            SpanLink(
                trace_id=_text(x.trace_id),
                span_id=_text(x.span_id),
                attributes=attributes_to_json(x.attributes),
                trace_state=_text(x.trace_state),
            )
            for x in record.links
        ),
    )


def _text(text: str) -> str:
    return intern(text.encode(errors="backslashreplace").decode())  # interned: msgspec omits a default by identity
